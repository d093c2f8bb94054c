"""Bytes by the chunk, for clients that speak Xet: xorbs in, files made of them, and chunks out.

Who names a xorb, a chunk or a file must be allowed to use bytes that hold it, or is told that it is not here: so nobody learns what
another tenant holds. Nothing that a client says of a file is believed: its chunks are looked up, and its bytes read and hashed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from runstone._native.digests import blake3_keyed, xet_hex
from runstone.domain import limits, names, versions
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import Corrupt, DigestMismatch, Invalid, Missing, RangeUnsatisfiable
from runstone.storage.index import View
from runstone.storage.parts import DIGEST_SIZE, RECORD_SIZE, lengths
from runstone.storage.reading import BlobReader
from runstone.storage.xetnames import WHOLE, has, named
from runstone.storage.xorbs import Intake, Window

#: The key of the hash over a term's chunk hashes (xet-core, metadata_shard/chunk_verification.rs).
_RANGE_KEY = bytes.fromhex("7f1857d6ce56ed66127ff913e7a5c3f3a4cd26d5b5db49e64124987f28fb94c3")
_HEADER = 8
#: Windows of a file that a client is told of when it asks for one of its chunks, at most 2 GiB.
TOLD = 64
#: Blobs looked at for one that the principal may use.
_TRIES = 256


class Term(NamedTuple):
    """Chunks ``start`` to ``stop`` of a xorb, of ``size`` bytes; ``check`` is the keyed hash over their hashes, or empty."""

    xorb: bytes
    size: int
    start: int
    stop: int
    check: bytes = b""


class NewFile(NamedTuple):
    """A file as a client describes it: its Xet hash, its chunks, and its SHA-256 or nothing."""

    hash: bytes
    terms: tuple[Term, ...]
    sha256: bytes = b""


def generation(store: Store, ctx: Context, namespace: str, *, write: bool) -> int:
    """How often xorbs were forgotten here: what clients remember of them under another number holds no more."""
    if write:
        with store.index.read() as view:
            names.find_namespace(store, view, ctx, namespace, "write")
    return store.blobs.xorbs.generation()


def begin_xorb(store: Store, ctx: Context, namespace: str, digest: bytes) -> Intake:
    """Begins to take a xorb in, into a namespace that the principal may write."""
    with store.index.read() as view:
        held = names.find_namespace(store, view, ctx, namespace, "write")
    return store.blobs.xorbs.begin(held.domain, ctx.principal.name, digest)


def make_files(
    store: Store,
    ctx: Context,
    namespace: str,
    files: Sequence[NewFile],
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> int:
    """Makes files of chunks that are here, ready to be committed by the principal; how many.

    Raises :class:`Missing` for a xorb that is not here for the principal, :class:`Invalid` for terms that do not fit it, and
    :class:`DigestMismatch` for a file that is not what it is said to be.
    """
    with store.index.read() as view:
        domain = names.find_namespace(store, view, ctx, namespace, "write").domain
    found: dict[bytes, bytes] = {}
    resolved = []
    for file in files:
        ctx.check_deadline()
        for term in file.terms:
            if term.xorb not in found:
                found[term.xorb] = _records_of(store, ctx, domain, term.xorb)
        resolved.append(b"".join(_chosen(found[term.xorb], term) for term in file.terms))
    total, done = sum(term.size for file in files for term in file.terms), 0
    limits.size(total, "the files of a shard")

    def advance(count: int) -> None:
        nonlocal done
        ctx.check_deadline()
        done += count
        progress(done, total)

    xorbs = store.blobs.xorbs
    for file, records in zip(files, resolved, strict=True):
        made = xorbs.form(domain, ctx.principal.name, file.hash, records, file.sha256, advance)
        xorbs.note_blob(domain, sorted({term.xorb for term in file.terms}), made.sha256)
    return len(files)


def _records_of(store: Store, ctx: Context, domain: int, digest: bytes) -> bytes:
    with store.index.read() as view:
        row = store.blobs.xorbs.get(view, domain, digest)
        if row is not None and any(versions.may_use(store, view, ctx, domain, blob) for blob in row.blobs):
            return row.records
    raise Missing(f"there is no xorb {xet_hex(digest)} that {ctx.principal.name} may use; upload it first")


def _chosen(records: bytes, term: Term) -> bytes:
    count = len(records) // RECORD_SIZE
    if not 0 <= term.start < term.stop <= count:
        raise Invalid(
            f"xorb {xet_hex(term.xorb)} has {count} chunks; a file cannot have its chunks {term.start} to {term.stop}"
        )
    chosen = records[term.start * RECORD_SIZE : term.stop * RECORD_SIZE]
    if sum(lengths(chosen)) != term.size:
        raise DigestMismatch(
            f"chunks {term.start} to {term.stop} of xorb {xet_hex(term.xorb)} do not have {term.size} bytes"
        )
    if term.check and blake3_keyed(_RANGE_KEY, b"".join(_hashes(chosen))) != term.check:
        raise DigestMismatch(f"chunks {term.start} to {term.stop} of xorb {xet_hex(term.xorb)} do not verify")
    return chosen


def _hashes(records: bytes) -> Iterator[bytes]:
    for at in range(0, len(records), RECORD_SIZE):
        yield records[at : at + DIGEST_SIZE]


def known_chunk(store: Store, ctx: Context, namespace: str, digest: bytes) -> list[Window]:
    """Chunks around one that is here in a file that the principal may use, told as xorbs; raises :class:`Missing`."""
    with store.index.read() as view:
        domain = names.visible_namespace(store, view, ctx, namespace).domain
        place = next(_usable(store, view, ctx, domain, digest, chunk=True), None)
    if place is None:
        raise Missing(f"no chunk {xet_hex(digest)} is here for {ctx.principal.name}")
    sha256, at = place
    windows = store.blobs.xorbs.windows(domain, sha256, 0, store.blobs.stat(domain, sha256).size)
    here = next(
        number for number, window in enumerate(windows) if at < window.offset + sum(lengths(window.records))
    )
    first = max(0, min(here - TOLD // 2, len(windows) - TOLD))
    told = windows[first : first + TOLD]
    store.blobs.xorbs.tell(domain, sha256, told)
    return told


def _usable(
    store: Store, view: View, ctx: Context, domain: int, digest: bytes, *, chunk: bool
) -> Iterator[tuple[bytes, int]]:
    for tried, (sha256, at) in enumerate(named(view, domain, digest)):
        if tried == _TRIES:
            return
        if (at != WHOLE) == chunk and versions.may_use(store, view, ctx, domain, sha256):
            yield sha256, at


def hash_of(store: Store, ctx: Context, namespace: str, sha256: str, *, readable: bool = True) -> str:
    """The Xet hash of bytes of a version; with ``readable``, nothing for those that cannot be asked for by it.

    Whether the principal may read them is asked when it does.
    """
    digest = bytes.fromhex(sha256)
    with store.index.read() as view:
        domain = names.visible_namespace(store, view, ctx, namespace).domain
    with contextlib.suppress(Missing):
        xet = store.blobs.stat(domain, digest).xet
        with store.index.read() as view:
            if not readable or has(view, domain, xet, digest):
                return xet_hex(xet)
    return ""


class Reconstruction(NamedTuple):
    """How bytes of a file are read by the chunk: its SHA-256, where the first byte asked for lies in the first piece, and the pieces."""

    sha256: str
    skip: int
    pieces: list[Piece]


class Piece(NamedTuple):
    """Chunks ``first`` to ``last`` of a window of a file, which is at ``start`` to ``stop`` of it and reads as the xorb ``hash``.

    ``size`` is their bytes, and ``begin`` to ``end`` is where they lie in the xorb as it is read.
    """

    hash: str
    start: int
    stop: int
    first: int
    last: int
    size: int
    begin: int
    end: int


def reconstruction(
    store: Store, ctx: Context, namespace: str, digest: bytes, start: int = 0, stop: int | None = None
) -> Reconstruction:
    """How bytes ``start`` to ``stop`` of a file that the principal may use are read; raises :class:`Missing`."""
    with store.index.read() as view:
        domain = names.visible_namespace(store, view, ctx, namespace).domain
        found = next(_usable(store, view, ctx, domain, digest, chunk=False), None)
    if found is None:
        raise Missing(f"no file {xet_hex(digest)} is here for {ctx.principal.name}")
    sha256 = found[0]
    size = store.blobs.stat(domain, sha256).size
    stop = size if stop is None else min(stop, size)
    if not 0 <= start < stop:
        raise RangeUnsatisfiable(f"bytes {start} to {stop} do not lie in a file of {size} bytes", size=size)
    pieces = [
        _piece(window, start, stop) for window in store.blobs.xorbs.windows(domain, sha256, start, stop)
    ]
    before = sum(
        lengths(store.blobs.xorbs.windows(domain, sha256, start, start + 1)[0].records)[: pieces[0].first]
    )
    return Reconstruction(sha256.hex(), start - pieces[0].start - before, pieces)


def _piece(window: Window, start: int, stop: int) -> Piece:
    sizes = lengths(window.records)
    ends = list(accumulate(sizes))
    first = next(number for number, end in enumerate(ends) if window.offset + end > start)
    last = next((number + 1 for number, end in enumerate(ends) if window.offset + end >= stop), len(ends))
    begin = sum(sizes[:first]) + first * _HEADER
    size = sum(sizes[first:last])
    return Piece(
        hash=xet_hex(window.hash),
        start=window.offset,
        stop=window.offset + ends[-1],
        first=first,
        last=last,
        size=size,
        begin=begin,
        end=begin + size + (last - first) * _HEADER,
    )


def open_window(
    store: Store, ctx: Context, namespace: str, sha256: str, start: int, stop: int
) -> FramedChunks:
    """The chunks of bytes ``start`` to ``stop`` of a file that the principal may use, framed as a xorb."""
    digest = limits.digest(sha256)
    with store.index.read() as view:
        domain = names.visible_namespace(store, view, ctx, namespace).domain
        if not versions.may_use(store, view, ctx, domain, digest):
            raise Missing(f"no file with sha256 {sha256} is here for {ctx.principal.name}")
        changed = 0.0
    reader = store.blobs.open(domain, digest)
    try:
        chunks = reader.chunks(start, stop)
        sizes = lengths(chunks.records)
        if chunks.offset != start or start + sum(sizes) != stop:
            raise Invalid(f"bytes {start} to {stop} of {sha256} are no whole chunks")
    except BaseException:
        reader.close()
        raise
    return FramedChunks(reader, start, list(sizes), f'"{sha256}-{start}-{stop}"', changed or None)


@dataclass(slots=True)
class FramedChunks:
    """Chunks of a blob behind a header each, uncompressed: the header bytes are made, the chunks sent from where they lie."""

    _reader: BlobReader
    _start: int
    _sizes: list[int]
    etag: str
    last_modified: float | None = None
    media_type: str = "application/octet-stream"
    name: str | None = None

    @property
    def size(self) -> int:
        """Bytes of all the frames."""
        return sum(self._sizes) + _HEADER * len(self._sizes)

    def segments(self, start: int, stop: int) -> list[bytes | tuple[int, int, int]]:
        """Bytes ``start`` to ``stop`` of the frames: headers, and where the chunks lie (descriptor, offset, length)."""
        found: list[bytes | tuple[int, int, int]] = []
        wanted = [
            (at, low, high)
            for at, low, high in self._frames()
            if at < stop and start < at + _HEADER + high - low
        ]
        if not wanted:
            return found
        lying = _Lying(list(self._reader.segments(wanted[0][1], wanted[-1][2])), wanted[0][1])
        for at, low, high in wanted:
            header = bytes((0, *(high - low).to_bytes(3, "little"), 0, *(high - low).to_bytes(3, "little")))
            if piece := header[max(0, start - at) : max(0, stop - at)]:
                found.append(piece)
            body = at + _HEADER
            cut = max(low, low + start - body), min(high, low + stop - body)
            if cut[0] < cut[1]:
                found += lying.between(*cut)
        return found

    def _frames(self) -> Iterator[tuple[int, int, int]]:
        """Where each frame begins, and its chunk's place in the blob."""
        at, low = 0, self._start
        for size in self._sizes:
            yield at, low, low + size
            at, low = at + _HEADER + size, low + size

    def close(self) -> None:
        """Lets the packs go."""
        self._reader.close()


class _Lying:
    """Segments of a blob from an offset on, cut further by ascending ranges."""

    def __init__(self, segments: Sequence[tuple[int, int, int]], offset: int) -> None:
        self._left = list(reversed(segments))
        self._at = offset

    def between(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        found = []
        while self._left and start < stop:
            handle, offset, length = self._left[-1]
            if start >= self._at + length:
                self._left.pop()
                self._at += length
                continue
            count = min(stop, self._at + length) - start
            found.append((handle, offset + start - self._at, count))
            start += count
        if start < stop:
            raise Corrupt("a pack ended before the chunk in it did")
        return found
