"""A version as one tar archive, which is never stored: headers are made, and files sent from where they lie.

The archive depends on nothing but the manifest: paths in order below ``models/``, no times, no owners. Its SHA-256 takes one reading of
all the bytes, and is remembered by manifest.
"""

from __future__ import annotations

import bisect
import hashlib
import tarfile
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from runstone.domain import content, manifests, names, versions
from runstone.domain.content import PIECE, StoredFile
from runstone.domain.context import Context
from runstone.domain.names import Place
from runstone.domain.store import Store
from runstone.errors import Conflict, Missing
from runstone.storage.chunks import transact
from runstone.storage.index import Txn
from runstone.storage.tables import ARCHIVES, BLOB_VERSIONS, DESCRIBED, Archive, Described, Entry, Version

ROOT = "models/"
_BLOCK = tarfile.BLOCKSIZE
MEDIA_TYPE = "application/x-tar"


class ArchiveInfo(NamedTuple):
    """An archive's SHA-256 (hexadecimal) and its size."""

    sha256: str
    size: int


def require_held(store: Store, ctx: Context, name: str) -> None:
    """Raises :class:`Conflict` for a version with files whose bytes are not here."""
    for file in versions.files(store, ctx, name):
        if file.url:
            raise Conflict(
                f"{name} has {file.path}, a reference to {file.url}; a version is packed only when all its bytes are held here"
            )


def archive(store: Store, ctx: Context, name: str) -> ArchiveInfo:
    """The SHA-256 and size of a version's archive: read once, remembered after."""
    with store.index.read() as view:
        _, version = names.find_version(store, view, ctx, names.parse(ctx, name))
        known = view.get(ARCHIVES, version.manifest)
    if known is not None:
        return ArchiveInfo(known.sha256.hex(), known.size)
    hasher = hashlib.sha256()
    with open_archive(store, ctx, name) as packed:
        for start in range(0, packed.size, PIECE):
            ctx.check_deadline()
            hasher.update(packed.read(start, min(packed.size, start + PIECE)))
        made = Archive(hasher.digest(), packed.size)
    transact(store.index, lambda txn: txn.put(ARCHIVES, version.manifest, made))
    return ArchiveInfo(made.sha256.hex(), made.size)


def open_archive(store: Store, ctx: Context, name: str) -> TarOfVersion:
    """A version's archive, to be read from; close it."""
    require_held(store, ctx, name)
    with store.index.read() as view:
        place, version = names.find_version(store, view, ctx, names.parse(ctx, name))
        entries = list(manifests.entries(view, version.manifest))
    return TarOfVersion(store, place, version, entries)


class TarOfVersion:
    """The archive of a version's files. Bytes are verified before they are answered; close it, or use it as a context manager."""

    def __init__(self, store: Store, place: Place, version: Version, entries: list[Entry]) -> None:
        self._store, self._place, self._version = store, place, version
        self._starts: list[int] = []
        self._pieces: list[bytes | Entry] = []
        self._open: dict[bytes, StoredFile] = {}
        self.size = 0
        for piece in _pieces(entries):
            self._starts.append(self.size)
            self._pieces.append(piece)
            self.size += len(piece) if isinstance(piece, bytes) else piece.size
        self.etag = f'"tar-{version.manifest.hex()}"'
        self.media_type = MEDIA_TYPE
        self.last_modified = version.created / 1e6
        self.name = f"{place.collection.name}-v{version.number}.tar"
        self.version_id = version.id

    def segments(self, start: int, stop: int) -> list[bytes | tuple[int, int, int]]:
        """Bytes ``start`` to ``stop``: what is made, and where files lie (descriptor, offset, length)."""
        found: list[bytes | tuple[int, int, int]] = []
        number = max(0, bisect.bisect_right(self._starts, start) - 1)
        while number < len(self._pieces) and self._starts[number] < stop:
            at, piece = self._starts[number], self._pieces[number]
            low, high = max(0, start - at), stop - at
            if isinstance(piece, bytes):
                if part := piece[low:high]:
                    found.append(part)
            elif low < (end := min(high, piece.size)):
                found += self._file(piece).segments(low, end)
            number += 1
        return found

    def read(self, start: int, stop: int) -> bytes:
        """Bytes ``start`` to ``stop``."""
        parts = []
        number = max(0, bisect.bisect_right(self._starts, start) - 1)
        while number < len(self._pieces) and self._starts[number] < stop:
            at, piece = self._starts[number], self._pieces[number]
            low, high = max(0, start - at), stop - at
            if isinstance(piece, bytes):
                parts.append(piece[low:high])
            elif low < (end := min(high, piece.size)):
                parts.append(self._file(piece).read(low, end))
            number += 1
        return b"".join(parts)

    def _file(self, entry: Entry) -> StoredFile:
        if entry.sha256 not in self._open:
            owner = f"{self._place}:v{self._version.number}"
            domain = self._place.namespace.domain
            self._open[entry.sha256] = content.open_entry(
                self._store, domain, entry, owner, self._version.id, self._version.created
            )
        return self._open[entry.sha256]

    def close(self) -> None:
        """Lets the packs go; no segment may be in use."""
        for file in self._open.values():
            file.close()
        self._open = {}

    def __enter__(self) -> TarOfVersion:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _pieces(entries: list[Entry]) -> Iterator[bytes | Entry]:
    known: set[str] = set()
    yield _header(ROOT, 0, directory=True)
    for entry in entries:
        for at, character in enumerate(entry.path):
            if character == "/" and entry.path[:at] not in known:
                known.add(entry.path[:at])
                yield _header(ROOT + entry.path[:at] + "/", 0, directory=True)
        yield _header(ROOT + entry.path, entry.size)
        if entry.size:
            yield entry
        if entry.size % _BLOCK:
            yield bytes(_BLOCK - entry.size % _BLOCK)
    yield bytes(2 * _BLOCK)


def _header(path: str, size: int, *, directory: bool = False) -> bytes:
    member = tarfile.TarInfo(path)
    member.size, member.mode = size, 0o755 if directory else 0o644
    member.type = tarfile.DIRTYPE if directory else tarfile.REGTYPE
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def note_described(store: Store, ctx: Context, name: str, digests: dict[str, str]) -> None:
    """Remembers for a collection which documents about a version the digests are of, so that they are found by digest."""
    with store.index.read() as view:
        place, version = names.find_version(store, view, ctx, names.parse(ctx, name))
        rows = [view.get(DESCRIBED, place.collection.id, bytes.fromhex(digest)) for digest in digests]
    if None in rows:
        transact(
            store.index,
            partial(_describe, collection=place.collection.id, number=version.number, digests=digests),
        )


def _describe(txn: Txn, collection: int, number: int, digests: dict[str, str]) -> None:
    for digest, what in digests.items():
        txn.put(DESCRIBED, collection, bytes.fromhex(digest), Described(number, what))


def described(store: Store, ctx: Context, collection: str, digest: str) -> tuple[int, str] | None:
    """The number of the version that a digest is a document about, and which document, if it was noted."""
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, names.parse(ctx, collection))
        row = view.get(DESCRIBED, place.collection.id, bytes.fromhex(digest))
    return (row.number, row.what) if row is not None else None


def open_held(store: Store, ctx: Context, collection: str, digest: str) -> StoredFile:
    """Bytes that a usable version of a collection has, by their SHA-256; raises :class:`Missing`."""
    sha256 = bytes.fromhex(digest)
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, names.parse(ctx, collection))
        for (_, _, holder), _ in view.scan(BLOB_VERSIONS, place.namespace.domain, sha256):
            found = names.version_by_id(view, holder)
            if found is not None and found[1].collection == place.collection.id and found[1].state == "live":
                version = found[1]
                break
        else:
            raise Missing(f"no version of {place} has a file with sha256 {digest}")
    size = store.blobs.stat(place.namespace.domain, sha256).size
    entry = Entry(path=f"sha256-{digest}", size=size, sha256=sha256)
    owner = f"{place}:v{version.number}"
    return content.open_entry(store, place.namespace.domain, entry, owner, version.id, version.created)
