"""Plans: all that a fetch of a version needs to know, in one answer; where its bytes lie; and the store's word for it."""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Iterable
from typing import NamedTuple

from runstone._native.digests import blake3
from runstone.domain import audit, names, versions
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import Invalid
from runstone.storage.parts import lengths
from runstone.storage.reading import BlobReader
from runstone.types import FileEntry, Resolved

#: The longest header of a safetensors file that a plan brings along.
MAX_HEAD = 4 << 20
#: A signature is used again for so many seconds.
SIGNED_SECONDS = 60
TENSORS = ".safetensors"
_LENGTH = struct.Struct("<Q")

#: (path of a file on this machine, offset, length)
Place = tuple[str, int, int]


class Planned(NamedTuple):
    """A file of a plan; a reference to bytes elsewhere has neither ``root`` nor chunks.

    ``root`` is the Xet hash in hexadecimal, ``chunks`` packed 44-byte records, ``head`` the chunks that hold the header of a safetensors file.
    """

    file: FileEntry
    root: str
    chunks: bytes
    head: bytes


def files(store: Store, ctx: Context, name: str) -> list[Planned]:
    """The files of a version with their chunks."""
    with store.index.read() as view:
        place, version = names.find_version(store, view, ctx, names.parse(ctx, name))
    known: dict[str, tuple[str, bytes, bytes]] = {}
    found = []
    for file in versions.files(store, ctx, f"{place}@v{version.number}"):
        ctx.check_deadline()
        if file.url:
            found.append(Planned(file, "", b"", b""))
            continue
        if file.sha256 not in known:
            digest = bytes.fromhex(file.sha256)
            with contextlib.closing(store.blobs.open(place.namespace.domain, digest)) as reader:
                records = reader.chunk_records()
                head = _head(reader, records) if file.path.endswith(TENSORS) else b""
                known[file.sha256] = reader.info.xet.hex(), records, head
        found.append(Planned(file, *known[file.sha256]))
    return found


def _head(reader: BlobReader, records: bytes) -> bytes:
    """The leading chunks up to the end of a safetensors header; nothing where there is none, or too long a one."""
    if reader.size < _LENGTH.size:
        return b""
    end = _LENGTH.size + _LENGTH.unpack(reader.read(0, _LENGTH.size))[0]
    if end > min(MAX_HEAD, reader.size):
        return b""
    stop = 0
    for length in lengths(records):
        if stop >= end:
            break
        stop += length
    return reader.read(0, stop)


def places(store: Store, ctx: Context, name: str) -> list[tuple[FileEntry, tuple[Place, ...]]]:
    """The files of a version and where each lies on this machine, checked as before any service.

    For whoever has shown that it can read the store's files anyway. A range is not freed while it is locked for reading.
    """
    with store.index.read() as view:
        place, version = names.find_version(store, view, ctx, names.parse(ctx, name))
    found: list[tuple[FileEntry, tuple[Place, ...]]] = []
    for file in versions.files(store, ctx, f"{place}@v{version.number}"):
        ctx.check_deadline()
        if file.url:
            found.append((file, ()))
            continue
        with contextlib.closing(
            store.blobs.open(place.namespace.domain, bytes.fromhex(file.sha256))
        ) as reader:
            found.append((file, tuple(reader.places())))
    return found


def listing(planned: Iterable[Planned]) -> str:
    """What a signature says of a version's files: BLAKE3 over a line of path, size, and root or address for each, by path."""
    lines = [
        f"{each.file.path}\0{each.file.size}\0{each.root or each.file.url}\n"
        for each in sorted(planned, key=lambda each: each.file.path)
    ]
    return blake3("".join(lines).encode()).hex()


class Signatures:
    """The store's signed word for what a name stands for, made again when it is a minute old."""

    def __init__(self, store: Store) -> None:
        self._signer = audit.signer(store)
        self._made: dict[tuple[str, int, str, float], tuple[float, bytes]] = {}

    def of(self, name: str, found: Resolved, files: str, grace: float) -> bytes:
        """The signed note that ``name`` stands for ``found``, whose files have the :func:`listing` ``files``.

        It holds for ``grace`` seconds: so long may it be relied on when the store cannot be asked.
        """
        key = (name, found.version, files, grace)
        now = time.time()
        made = self._made.get(key)
        if made is None or not 0 <= now - made[0] < SIGNED_SECONDS:
            if len(self._made) >= 65_536:
                self._made.clear()
            text = (
                f"runstone plan\n{self._signer.name}\n{name}\n{found.collection}:v{found.version}\n{files}\n"
                f"issued {int(now)}\nuntil {int(now + grace)}\n"
            )
            made = self._made[key] = now, self._signer.sign_text(text)
        return made[1]


def signed(store: Store, name: str, found: Resolved, files: str, grace: float) -> bytes:
    """See :meth:`Signatures.of`."""
    signatures: Signatures = store.part("plan signatures", Signatures)
    return signatures.of(name, found, files, grace)


def recheck(store: Store, ctx: Context, name: str, path: str, start: int, stop: int) -> bool:
    """Checks bytes of a file by BLAKE3 because a client found them damaged; whether they are whole here.

    Those that are not are recorded, and the versions that hold them withdrawn.
    """
    from runstone.domain import content, integrity
    from runstone.errors import Corrupt

    with content.open_file(store, ctx, name, path) as file:
        if not 0 <= start < stop <= file.size or stop - start > MAX_HEAD:
            raise Invalid(f"bytes {start} to {stop} are no part of {path!r}, or over {MAX_HEAD} bytes")
        try:
            file.verify(start, stop)
        except Corrupt:
            integrity.withdraw(store)
            return False
    return True
