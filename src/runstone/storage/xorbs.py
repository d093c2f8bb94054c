"""Xorbs: chunks that came together from a Xet client, or that it is told of together, and that it may name by one hash.

The chunks of a xorb that comes are stored raw, as those of any blob. The blob is referred to by nothing but a pin, and is garbage in a
day; what files are made of by then stays. The row of the xorb, from which files are made, goes when its chunks do.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from runstone._native.digests import xet_file_hash, xet_xorb_hash
from runstone._native.frames import unframe
from runstone.errors import DigestMismatch, Invalid, Missing, RunstoneError, TooLarge
from runstone.storage import chunks, holdings, xetnames
from runstone.storage.batches import Batches
from runstone.storage.chunks import transact
from runstone.storage.holdings import BlobInfo, Incoming
from runstone.storage.index import Index, Txn, View
from runstone.storage.ingestion import Ingestion
from runstone.storage.openpacks import OpenPacks, read_pieces
from runstone.storage.packs import Lease, PackPool
from runstone.storage.parts import DIGEST_SIZE, RECORD_SIZE, lengths
from runstone.storage.reading import parts_covering
from runstone.storage.tables import SETTINGS, XET_NAMES, XORBS, Part, Xorb
from runstone.storage.uploads import Uploads

#: The most bytes and chunks of a xorb, and bytes on the wire: each chunk has a header of 8 bytes, and a footer may follow.
MAX_BYTES = 64 << 20
MAX_CHUNKS = 8192
MAX_BODY = MAX_BYTES + MAX_CHUNKS * 8 + (1 << 20)
#: Chunks that clients are told of together: even the largest make no larger xorb than they may send.
WINDOW = 512
#: Bytes decoded at a time.
_BATCH = 4 << 20
_MAX_BLOBS = 64
_GENERATION = "xorbs.generation"


class Window(NamedTuple):
    """Chunks of a blob that clients read as a xorb: where the first begins, and the packed records."""

    offset: int
    records: bytes

    @property
    def hash(self) -> bytes:
        """The hash of the xorb that they are."""
        return xet_xorb_hash(self.records)

    def chunks(self) -> list[tuple[bytes, int]]:
        """The hash and the length of each chunk."""
        starts = range(0, len(self.records), RECORD_SIZE)
        hashes = [self.records[at : at + DIGEST_SIZE] for at in starts]
        return list(zip(hashes, lengths(self.records), strict=True))


class Xorbs:
    """The xorbs of one store; safe from threads."""

    def __init__(
        self,
        index: Index,
        pool: PackPool,
        packs: OpenPacks,
        uploads: Uploads,
        batches: Batches,
        clock: Callable[[], int],
    ) -> None:
        self._index, self._pool, self._packs = index, pool, packs
        self._uploads, self._batches, self._clock = uploads, batches, clock

    def begin(self, domain: int, owner: str, digest: bytes) -> Intake:
        """Begins to take a xorb in."""
        holder = self._uploads.hold(domain, owner)
        intake = Intake(self._index, Lease(self._pool, domain), self._batches, holder, owner, digest)
        # One that is dropped without an end expires like any upload that nobody is at work on.
        weakref.finalize(intake, self._uploads.unhold, holder).atexit = False
        return intake

    def get(self, view: View, domain: int, digest: bytes) -> Xorb | None:
        """The row of a xorb."""
        return view.get(XORBS, domain, digest)

    def generation(self) -> int:
        """How often xorbs were forgotten that a client may still know of."""
        with self._index.read() as view:
            return _count(view)

    def form(
        self,
        domain: int,
        owner: str,
        file: bytes,
        records: bytes,
        sha256: bytes,
        progress: Callable[[int], object],
    ) -> BlobInfo:
        """Makes a blob of chunks that are here, pinned for ``owner``; every byte is read and hashed again.

        ``file`` is its Xet hash, ``sha256`` what its bytes must hash to, or empty. Raises :class:`Missing` when a chunk is not here any
        more, and :class:`DigestMismatch`.
        """
        if xet_file_hash(records) != file:
            raise DigestMismatch("the file's chunks do not have the hash that the shard gives the file")
        places = self._places(domain, records)
        if any(place is None for place in places):
            self._forget(lambda txn: None)
            raise Missing("chunks of the file are not held here any more; repeat the upload")
        found = self._held(domain, owner, file, sha256)
        if found is not None:
            progress(found.size)
            return found
        sizes = lengths(records)
        upload = self._uploads.begin(domain, owner, sum(sizes), sha256 or None)
        try:
            at = 0
            for pack, offset, length in _extents(places, sizes):
                for piece in read_pieces(self._packs, pack, offset, length):
                    at = self._uploads.write(upload, at, piece)
                    progress(len(piece))
            info = self._uploads.finish(upload)
        except BaseException:
            with contextlib.suppress(RunstoneError):
                self._uploads.abort(upload)
            raise
        if info.xet != file:
            self._uploads.abort(upload)
            raise DigestMismatch(
                "the file is not cut into chunks as it is here; use a client that cuts as hf_xet does"
            )
        return info

    def _held(self, domain: int, owner: str, file: bytes, sha256: bytes) -> BlobInfo | None:
        """A blob that is here whole already, pinned: its chunks are known to be those of the file."""
        holder, expires = os.urandom(16), self._clock() + self._uploads.limits.lifetime

        def change(txn: Txn) -> BlobInfo | None:
            row = holdings.held(txn, domain, sha256)
            if row is None or row.xet != file or row.garbage or holdings.damaged(txn, domain, sha256):
                return None
            if not xetnames.has(txn, domain, file, sha256):
                return None  # somebody else cut its chunks: its bytes are still to be looked at
            holdings.pin(txn, domain, sha256, holder, owner, expires)
            return holdings.describe(domain, sha256, row)

        return transact(self._index, change) if sha256 else None

    def _places(self, domain: int, records: bytes) -> list[tuple[int, int] | None]:
        split = [records[at : at + RECORD_SIZE] for at in range(0, len(records), RECORD_SIZE)]
        with self._index.read() as view:
            return chunks.find(view, domain, split)

    def note_blob(self, domain: int, xorbs: Sequence[bytes], sha256: bytes) -> None:
        """Notes that a blob is made of chunks of xorbs: whoever may use it may use those."""

        def change(txn: Txn) -> None:
            for digest in xorbs:
                row = txn.get(XORBS, domain, digest)
                if row is not None and sha256 not in row.blobs:
                    txn.put(XORBS, domain, digest, replace(row, blobs=(*row.blobs, sha256)[-_MAX_BLOBS:]))

        transact(self._index, change)

    def windows(self, domain: int, sha256: bytes, start: int, stop: int) -> list[Window]:
        """The windows of a blob that hold bytes ``start`` to ``stop``. They depend on nothing but the blob."""
        with self._index.read() as view:
            parts = parts_covering(view, domain, sha256, start, stop)
        return [
            window
            for base, part in parts
            for window in _windows(base, part)
            if window.offset < stop and start < window.offset + sum(lengths(window.records))
        ]

    def tell(self, domain: int, sha256: bytes, windows: Sequence[Window]) -> None:
        """Makes xorbs of windows that a client is told of, so that it may name them."""

        def change(txn: Txn) -> None:
            for window in windows:
                row = txn.get(XORBS, domain, window.hash) or Xorb(window.records, ())
                if sha256 not in row.blobs:
                    blobs = (*row.blobs, sha256)[-_MAX_BLOBS:]
                    txn.put(XORBS, domain, window.hash, replace(row, blobs=blobs))

        transact(self._index, change)

    def prune(self) -> None:
        """After a collection: forgets xorbs whose chunks may be gone, and the names of blobs that are."""
        gone: list[tuple[int, bytes]] = []
        for key, body in self._index.rows(XORBS):
            domain, digest = XORBS.key.unpack(key)
            row = XORBS.decode(body)
            with self._index.read() as view:
                blobs = tuple(blob for blob in row.blobs if holdings.held(view, domain, blob) is not None)
            if blobs != row.blobs and (not blobs or None in self._places(domain, row.records)):
                gone.append((domain, digest))
        if gone:
            self._forget(lambda txn: [txn.delete(XORBS, *key) for key in gone])
        stale = []
        for key, _ in self._index.rows(XET_NAMES):
            domain, _, sha256 = XET_NAMES.key.unpack(key)
            with self._index.read() as view:
                if holdings.held(view, domain, sha256) is None:
                    stale.append(key)
        if stale:
            transact(self._index, lambda txn: [txn.delete_body(XET_NAMES, key) for key in stale])

    def _forget(self, change: Callable[[Txn], object]) -> None:
        def counted(txn: Txn) -> None:
            change(txn)
            txn.put(SETTINGS, _GENERATION, (_count(txn) + 1).to_bytes(8, "little"))

        transact(self._index, counted)


class Intake:
    """A xorb on its way in. Not for two threads at once; ends with :meth:`finish` or :meth:`abort`."""

    def __init__(
        self, index: Index, lease: Lease, batches: Batches, holder: bytes, owner: str, digest: bytes
    ) -> None:
        self._lease, self._batches, self._holder, self._owner = lease, batches, holder, owner
        self._digest = digest
        self._ingestion = Ingestion(index, lease, size=MAX_BYTES)
        self._sha256 = hashlib.sha256()
        self._waiting = bytearray()
        self._records = bytearray()
        self._received = 0
        self._footer = False

    def take(self, data: bytes) -> None:
        """Takes the next bytes of the frames; raises :class:`Invalid` and :class:`TooLarge`."""
        self._received += len(data)
        if self._received > MAX_BODY:
            raise TooLarge(f"the xorb has over {MAX_BODY} bytes, the limit", limit=MAX_BODY)
        if self._footer:
            return
        self._waiting += data
        if len(self._waiting) >= _BATCH:
            self._decode()

    def _decode(self) -> None:
        while not self._footer:
            try:
                raw, records, taken, self._footer = unframe(self._waiting, _BATCH)
            except ValueError as error:
                raise Invalid(f"the xorb does not decode: {error}") from None
            if not taken:
                return
            self._records += records
            if (
                self._ingestion.received + len(raw) > MAX_BYTES
                or len(self._records) > MAX_CHUNKS * RECORD_SIZE
            ):
                raise TooLarge(f"the xorb has over {MAX_BYTES} bytes or {MAX_CHUNKS} chunks, the limits")
            self._sha256.update(raw)
            self._ingestion.take_chunks(records, memoryview(raw))
            del self._waiting[:taken]

    def finish(self) -> None:
        """Makes the xorb one that files can be made of, durably; raises :class:`DigestMismatch` when it is another."""
        self._decode()
        if self._waiting and not self._footer:
            raise Invalid(f"the xorb ends inside a frame, {len(self._waiting)} bytes into it")
        records = bytes(self._records)
        if not records or xet_xorb_hash(records) != self._digest:
            raise DigestMismatch("the xorb's chunks do not have the hash that it was sent under")
        sha256, domain = self._sha256.digest(), self._lease.domain
        blob = Incoming(
            sha256,
            xet_file_hash(records),
            b"",
            self._ingestion.received,
            self._ingestion.all_parts(),
            foreign=True,
        )

        def also(txn: Txn) -> None:
            row = txn.get(XORBS, domain, self._digest) or Xorb(records, ())
            if sha256 not in row.blobs:
                row = replace(row, blobs=(*row.blobs, sha256)[-_MAX_BLOBS:])
                txn.put(XORBS, domain, self._digest, row)

        self._batches.store_alone(self._lease, self._holder, self._owner, blob, also)

    def abort(self) -> None:
        """Drops what has come; after :meth:`finish` it does nothing."""
        self._batches.give_up(self._lease, self._holder)


def _count(view: View) -> int:
    found: bytes | None = view.get(SETTINGS, _GENERATION)
    return 0 if found is None else int.from_bytes(found, "little")


def _extents(
    places: Sequence[tuple[int, int] | None], sizes: Sequence[int]
) -> Iterator[tuple[int, int, int]]:
    """Chunks that lie side by side, together: pack, offset, length."""
    pack = start = stop = -1
    for place, size in zip(places, sizes, strict=True):
        assert place is not None
        if place != (pack, stop):
            if stop > start:
                yield pack, start, stop - start
            pack, start = place
            stop = start
        stop += size
    if stop > start:
        yield pack, start, stop - start


def _windows(base: int, part: Part) -> Iterator[Window]:
    for first in range(0, len(part.chunks), WINDOW * RECORD_SIZE):
        records = part.chunks[first : first + WINDOW * RECORD_SIZE]
        yield Window(base, records)
        base += sum(lengths(records))
