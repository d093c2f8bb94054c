"""Manifests: which files a version has, kept in pages by path and shared by versions of equal content."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator
from itertools import pairwise

import msgspec

from runstone._native.digests import sha256
from runstone.domain import limits
from runstone.errors import Corrupt, Invalid, Missing, TooLarge
from runstone.storage.index import View
from runstone.storage.state import State
from runstone.storage.tables import MANIFEST_PAGES, MANIFESTS, Entry, Manifest, Page
from runstone.types import FileEntry

PAGE_FILES = 256
_encode = msgspec.msgpack.Encoder().encode


def checked(files: Iterable[FileEntry]) -> tuple[Entry, ...]:
    """The entries of a manifest, checked and sorted by path.

    Raises :class:`Invalid` for a hostile path, a path that is given twice or that is both a file and a directory.
    """
    entries = sorted((_checked_entry(file) for file in files), key=lambda entry: entry.path)
    if len(entries) > limits.MAX_FILES:
        raise TooLarge(f"{len(entries)} files are over the limit of {limits.MAX_FILES} a version")
    paths = {entry.path for entry in entries}
    if len(paths) != len(entries):
        twice = next(a.path for a, b in pairwise(entries) if a.path == b.path)
        raise Invalid(f"path {twice!r} is given twice")
    for path in paths:
        for cut in range(len(path)):
            if path[cut] == "/" and path[:cut] in paths:
                raise Invalid(f"path {path[:cut]!r} is given as a file and as a directory")
    return tuple(entries)


def _checked_entry(file: FileEntry) -> Entry:
    path, size = limits.path(file.path), limits.size(file.size, f"size of {file.path!r}")
    media_type = limits.text(file.media_type, "media type", 256)
    etag = limits.text(file.etag, "etag", 1024)
    if bool(file.sha256) == bool(file.url) and not file.url:
        raise Invalid(f"file {path!r} needs a sha256 (bytes held here) or a url (bytes elsewhere)")
    digest = limits.digest(file.sha256) if file.sha256 else b""
    if file.url and not (etag or digest):
        raise Invalid(f"reference {path!r} needs an etag or a sha256, so that a change of it can be seen")
    return Entry(path, size, digest, limits.url(file.url) if file.url else "", etag, media_type)


def digest_of(entries: Iterable[Entry]) -> bytes:
    """The digest of a manifest: SHA-256 over a tag and the MessagePack of each entry in order of path."""
    return sha256(b"".join([b"runstone-manifest-1\0", *map(_encode, entries)]))


def held(entries: Iterable[Entry]) -> dict[bytes, int]:
    """The blobs that a manifest needs here: size by SHA-256. External references need none."""
    return {entry.sha256: entry.size for entry in entries if not entry.url}


def store_pages(state: State, digest: bytes, entries: tuple[Entry, ...]) -> Manifest:
    """Writes a manifest's head and pages, in ``apply``."""
    pages = [entries[at : at + PAGE_FILES] for at in range(0, len(entries), PAGE_FILES)]
    manifest = Manifest(
        len(entries), sum(entry.size for entry in entries), tuple(page[0].path for page in pages)
    )
    state.put(MANIFESTS, digest, manifest)
    for number, page in enumerate(pages):
        state.put(MANIFEST_PAGES, digest, number, Page(page))
    return manifest


def drop_pages(state: State, digest: bytes) -> None:
    """Removes a manifest that no version has any more, in ``apply``."""
    manifest = state.get(MANIFESTS, digest)
    if manifest is None:
        return
    for number in range(len(manifest.pages)):
        state.delete(MANIFEST_PAGES, digest, number)
    state.delete(MANIFESTS, digest)


def entries(view: View | State, digest: bytes, *, prefix: str = "", after: str = "") -> Iterator[Entry]:
    """A manifest's entries by path: those whose path begins with ``prefix``, from just past ``after``."""
    manifest = view.get(MANIFESTS, digest)
    if manifest is None:
        raise Corrupt(f"manifest {digest.hex()} is missing from the index; run 'runstone verify'")
    start = max(prefix, after)
    first = max(bisect.bisect_right(manifest.pages, start) - 1, 0)
    for number in range(first, len(manifest.pages)):
        if prefix and manifest.pages[number][: len(prefix)] > prefix:
            return
        page = view.get(MANIFEST_PAGES, digest, number)
        if page is None:
            raise Corrupt(f"page {number} of manifest {digest.hex()} is missing from the index")
        for entry in page.entries:
            if entry.path > after and entry.path.startswith(prefix):
                yield entry


def find(view: View, digest: bytes, path: str) -> Entry:
    """One entry by its path; raises :class:`Missing`."""
    manifest = view.get(MANIFESTS, digest)
    number = bisect.bisect_right(manifest.pages, path) - 1 if manifest else -1
    page = view.get(MANIFEST_PAGES, digest, number) if number >= 0 else None
    for entry in page.entries if page else ():
        if entry.path == path:
            return entry
    raise Missing(f"the version has no file {path!r}")


def shown(entry: Entry) -> FileEntry:
    """An entry as it is shown."""
    return FileEntry(
        path=entry.path,
        size=entry.size,
        sha256=entry.sha256.hex(),
        url=entry.url,
        etag=entry.etag,
        media_type=entry.media_type,
    )
