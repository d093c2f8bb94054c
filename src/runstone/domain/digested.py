"""Files as a client names them that knows bytes by their MD5, as wandb's manifests do: told for any version, and found for a new one."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from runstone.domain import limits, manifests, names, versions
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import Conflict, DigestMismatch, Invalid, Missing
from runstone.storage.index import View
from runstone.storage.tables import DRAFTS, ENTRY_EXTRAS, Entry, Version
from runstone.types import FileEntry

_HEADER = b"wandb-artifact-manifest-v1\n"
#: How many files an error names.
_NAMED = 5
MAX_EXTRA = 64 << 10


class DigestedFile(msgspec.Struct, frozen=True, gc=False):
    """A file of a manifest. ``digest`` is its MD5 in base64; that of a reference (``ref``) is whatever says when it changes.

    ``artifact`` and ``source`` are the id of another artifact and a path in it, for a reference to those bytes.
    """

    path: str
    digest: str
    size: int = 0
    ref: str = ""
    extra: dict[str, Any] = {}
    artifact: int = 0
    source: str = ""
    #: Its bytes are here, under its MD5, even if it was given as a reference.
    held: bool = False


def digest_of(files: Iterable[DigestedFile]) -> bytes:
    """The MD5 of a manifest, over each path and digest in order of path."""
    hasher = hashlib.md5(_HEADER, usedforsecurity=False)
    for file in sorted(files, key=lambda file: file.path):
        hasher.update(f"{file.path}:{file.digest}\n".encode())
    return hasher.digest()


def md5_of(digest: str, path: str = "") -> bytes:
    """The MD5 that a base64 text says; raises :class:`Invalid`."""
    try:
        found = base64.b64decode(digest, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != 16:
        raise Invalid(f"{digest!r:.80} is not the MD5 of {path or 'a file'} in base64")
    return found


def written(md5: bytes) -> str:
    """An MD5 in base64."""
    return base64.b64encode(md5).decode()


def of_version(store: Store, domain: int, version: Version) -> list[DigestedFile]:
    """The files of a version by path; an MD5 that nobody asked for yet is worked out from the bytes. No policy is asked."""
    with store.index.read() as view:
        entries = list(manifests.entries(view, version.manifest))
        extras = _extras(view, version.id)
    return told(store, domain, entries, extras)


def told(
    store: Store, domain: int, entries: list[Entry], extras: dict[str, dict[str, Any]]
) -> list[DigestedFile]:
    """Entries of a manifest as digested files."""
    md5s = store.blobs.md5s(domain, {entry.sha256 for entry in entries if not entry.url})
    found = []
    for entry in entries:
        beside = extras.get(entry.path, {})
        digest = entry.etag or entry.sha256.hex() if entry.url else written(md5s[entry.sha256])
        ref, extra = beside.get("ref") or entry.url, beside.get("extra") or {}
        found.append(DigestedFile(entry.path, digest, entry.size, ref, extra, held=not entry.url))
    return found


def _extras(view: View, version: int) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for _, packed in view.scan(ENTRY_EXTRAS, version):
        found |= msgspec.msgpack.decode(packed)
    return found


class Finder:
    """Finds the bytes of digested files among those that the principal may use, in one read of the index."""

    def __init__(self, store: Store, view: View, ctx: Context, domain: int) -> None:
        self._store, self._view, self._ctx, self._domain = store, view, ctx, domain

    def held(self, md5: bytes) -> bytes | None:
        """The SHA-256 of bytes with an MD5 that are here and that the principal may make a version of."""
        for sha256 in self._store.blobs.with_md5(self._view, self._domain, md5):
            if versions.may_use(self._store, self._view, self._ctx, self._domain, sha256):
                return sha256
        return None

    def entries(self, files: Iterable[DigestedFile]) -> tuple[list[FileEntry], dict[str, dict[str, Any]]]:
        """The entries of a manifest and what is kept beside them; raises :class:`Conflict` naming files that never arrived."""
        found, extras, absent = [], {}, []
        for file in files:
            entry = self._entry(file)
            if entry is None:
                absent.append(file.path)
                continue
            found.append(entry)
            if beside := _beside(file, entry):
                extras[file.path] = beside
        if absent:
            more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
            raise Conflict(
                f"the bytes of {', '.join(sorted(absent)[:_NAMED])}{more} never arrived; log the artifact again",
                missing=len(absent),
            )
        return found, extras

    def _entry(self, file: DigestedFile) -> FileEntry | None:
        if file.artifact:
            return self._of_another(file)
        if file.ref and not file.held:
            return FileEntry(path=file.path, size=file.size, url=_address(file.ref), etag=file.digest)
        sha256 = self.held(md5_of(file.digest, file.path))
        if sha256 is None:
            return None
        size = self._store.blobs.stat(self._domain, sha256).size
        if size != file.size:
            raise DigestMismatch(
                f"{file.path} has {size} bytes, and the manifest says {file.size}; log the artifact again",
                path=file.path,
            )
        return FileEntry(path=file.path, size=size, sha256=sha256.hex())

    def _of_another(self, file: DigestedFile) -> FileEntry:
        """Bytes that lie in another artifact: the same bytes, so that they stay when that artifact goes."""
        found = version_of(self._store, self._view, self._ctx, file.artifact)
        if found is None or found[0].namespace.domain != self._domain:
            raise Missing(f"{file.path} refers to an artifact that does not exist here: {file.ref}")
        entry = manifests.find(self._view, found[1].manifest, file.source)
        if entry.url:
            return FileEntry(path=file.path, size=entry.size, url=entry.url, etag=entry.etag)
        return FileEntry(path=file.path, size=entry.size, sha256=entry.sha256.hex())


def held(store: Store, ctx: Context, wanted: Iterable[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
    """Which of some (namespace, MD5) are of bytes that are here and that the principal may make a version of."""
    found: set[tuple[str, bytes]] = set()
    finders: dict[str, Finder] = {}
    with store.index.read() as view:
        for namespace, md5 in wanted:
            if namespace not in finders:
                space = names.find_namespace(store, view, ctx, namespace, "read")
                finders[namespace] = Finder(store, view, ctx, space.domain)
            if finders[namespace].held(md5) is not None:
                found.add((namespace, md5))
    return found


def version_of(store: Store, view: View, ctx: Context, artifact: int) -> tuple[names.Place, Version] | None:
    """The version that the id of an artifact stands for, if there is one that the principal may read."""
    draft = view.get(DRAFTS, artifact)
    found = names.version_by_id(view, draft.version if draft else artifact)
    if found is None or found[1].state == "deleted":
        return None
    place = found[0]
    return found if store.policy.allows(view, ctx, "read", place.namespace, place.project) else None


def _address(ref: str) -> str:
    """A reference as an address without spaces, which a manifest cannot hold; the text itself is kept beside it."""
    return limits.url("%20".join(ref.split(" ")) if " " in ref else ref)


def _beside(file: DigestedFile, entry: FileEntry) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    if file.ref and file.ref != entry.url:
        kept["ref"] = limits.text(file.ref, "reference", limits.MAX_URL)
    if file.extra:
        if len(limits.metadata(file.extra)) > MAX_EXTRA:
            raise Invalid(f"what the manifest says beside {file.path} is over {MAX_EXTRA} bytes")
        kept["extra"] = file.extra
    return kept
