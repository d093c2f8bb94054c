"""An upload in progress as one process holds it: its hash state, its place in a pack, its checkpoints, its end.

The hash state lives in memory only. What is checkpointed (bytes synced, then rows) is enough to build it again by reading the stored
bytes once, so an upload goes on after a crash, or in another process.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from itertools import chain

from msgspec.structs import replace

from runstone.errors import Conflict, Corrupt, Gone, RunstoneError, TryAgain
from runstone.storage import chunks, holdings
from runstone.storage.chunks import transact
from runstone.storage.index import Index, Txn
from runstone.storage.ingestion import Ingestion
from runstone.storage.openpacks import OpenPacks, is_genuine, read_pieces
from runstone.storage.packs import Lease, PackPool
from runstone.storage.parts import PART_CHUNKS, RECORD_SIZE, PartBuilder, extents
from runstone.storage.tables import PINS, UPLOAD_PARTS, UPLOADS, Part, Pin, Upload

#: Pieces smaller than this are gathered: a pass over the index for each would cost more than the copy.
_GATHERED = 1 << 20
_DIRECT = 256 << 10
_ATTEMPTS = 10


class Moved(Exception):
    """The chunk index changed between the look at it and the transaction."""


class Session:
    """One upload's state. Whoever uses it holds ``lock``; after a call has raised, call :meth:`reset`."""

    def __init__(self, index: Index, pool: PackPool, packs: OpenPacks, upload: bytes) -> None:
        self._index, self._pool, self._packs = index, pool, packs
        self.id = upload
        self.lock = threading.Lock()
        self.owned = False
        self._row: Upload | None = None
        self._ingestion: Ingestion | None = None
        self._lease: Lease | None = None
        self._pending = bytearray()

    @property
    def row(self) -> Upload:
        """The upload's row as of the last checkpoint."""
        assert self._row is not None
        return self._row

    @property
    def offset(self) -> int:
        """How many bytes have been taken in."""
        if self._ingestion is None:
            return self.row.offset
        return self._ingestion.received + len(self._pending)

    def is_at(self, row: Upload) -> bool:
        """Whether this is the state that a row describes."""
        return self._ingestion is not None and self._row is not None and self._row.serial == row.serial

    def load(self, row: Upload, *, bare: bool = False) -> None:
        """Makes this the state of an upload's row: as it is if nobody else went on with the upload, else read from the packs.

        ``bare`` leaves out the hash state: enough to abort, and to nothing else.
        """
        if self.is_at(row):
            return
        self.reset()
        self._lease = Lease(self._pool, row.domain, list(row.ranges))
        self._ingestion = Ingestion(self._index, self._lease, size=row.size, md5=row.md5)
        self._row = row
        if row.offset and not bare:
            self._resume(self._ingestion, row)

    def _resume(self, ingestion: Ingestion, row: Upload) -> None:
        last = PartBuilder()
        for offset, part in self._stored_parts():
            found = b"".join(
                ingestion.refeed(piece)
                for extent in extents(part)
                for piece in read_pieces(self._packs, *extent)
            )
            if found != part.chunks:
                raise Corrupt(
                    f"upload {self.id.hex()}: bytes stored at {offset} are damaged; abort it and send it again"
                )
            full = len(found) == PART_CHUNKS * RECORD_SIZE
            last = PartBuilder(offset + part.size) if full else PartBuilder(offset, part)
        ingestion.resumed(last, row.carry)
        if ingestion.received != row.offset:
            raise Corrupt(
                f"upload {self.id.hex()}: {ingestion.received} bytes are stored of {row.offset}; send it again"
            )

    def _stored_parts(self) -> Iterator[tuple[int, Part]]:
        for key, body in self._index.rows(UPLOAD_PARTS, self.id, batch=8):
            yield UPLOAD_PARTS.key.unpack(key)[1], UPLOAD_PARTS.decode(body)

    def take(self, data: memoryview) -> None:
        """Takes in the next bytes."""
        ingestion = self._active()
        if len(data) < _DIRECT:
            self._pending += data
            if len(self._pending) < _GATHERED:
                return
            data = memoryview(b"")
        self._drain(ingestion)
        if data:
            ingestion.take(data)

    def _drain(self, ingestion: Ingestion) -> None:
        if self._pending:
            pending, self._pending = self._pending, bytearray()
            ingestion.take(memoryview(pending))

    def _active(self) -> Ingestion:
        assert self._ingestion is not None
        return self._ingestion

    def checkpoint(self, expires: int) -> None:
        """Makes durable what was taken in, so that the upload can go on from here after a crash or in another process."""
        ingestion, lease = self._active(), self._lease
        assert lease is not None
        self._drain(ingestion)
        if ingestion.received == self.row.offset:
            return
        lease.sync()
        row = replace(
            self.row,
            offset=ingestion.received,
            expires=expires,
            serial=self.row.serial + 1,
            carry=ingestion.carry,
            ranges=tuple(lease.ranges),
        )
        parts = ingestion.all_parts()

        def change(txn: Txn) -> None:
            self._require_unmoved(txn)
            for offset, part in parts:
                txn.put(UPLOAD_PARTS, self.id, offset, part)
            lease.account(txn)
            txn.put(UPLOADS, self.id, row)

        transact(self._index, change)
        lease.accounted()
        ingestion.parts.clear()
        self._row = row

    def _require_unmoved(self, txn: Txn) -> None:
        row = txn.get(UPLOADS, self.id)
        if row is None:
            raise Gone(f"upload {self.id.hex()} was aborted or has expired; begin again")
        if row.serial != self.row.serial:
            raise Conflict(
                f"upload {self.id.hex()} was continued elsewhere; ask for its offset and go on from there"
            )

    def finish(self) -> holdings.Incoming:
        """Takes in the last chunk; the blob as it is now, not yet stored."""
        ingestion = self._active()
        self._drain(ingestion)
        ingestion.finish()
        sha256, xet, md5 = ingestion.digests()
        return holdings.Incoming(sha256, xet, md5, ingestion.received, ingestion.all_parts(), self.id)

    def store(self, blob: holdings.Incoming, now: int, expires: int) -> bool:
        """Stores a finished blob and pins it; False when it was here already, and the new bytes were freed."""
        lease = self._lease
        assert lease is not None
        lease.sync()
        since = self.row.generation

        def change(txn: Txn) -> bool:
            self._require_unmoved(txn)
            if chunks.generation(txn) != since:
                raise Moved
            new = holdings.keep(txn, lease, blob, now)
            if new:
                lease.account(txn)
            self._delete_parts(txn)
            row = replace(
                self.row, offset=blob.size, serial=self.row.serial + 1, carry=b"", ranges=(), done=blob.sha256
            )
            txn.put(UPLOADS, self.id, replace(row, expires=expires))
            txn.put(PINS, lease.domain, blob.sha256, self.id, Pin(expires, self.row.owner))
            return new

        for _ in range(_ATTEMPTS):
            parts = chain(self._stored_parts(), blob.parts)
            since, blob.indexed = confirm(self._index, self._packs, lease, parts, since)
            try:
                new = transact(self._index, change)
                break
            except Moved:
                continue
        else:
            raise TryAgain(f"upload {self.id.hex()}: the store is changing too fast to finish it; try again")
        self._end(lease, kept=new)
        if new:
            holdings.index_rest(self._index, lease, blob.sha256)
        return new

    def abort(self) -> None:
        """Forgets the upload and frees its bytes."""
        lease = self._lease
        assert lease is not None

        def change(txn: Txn) -> None:
            self._delete_parts(txn)
            txn.delete(UPLOADS, self.id)

        transact(self._index, change)
        self._end(lease, kept=False)

    def _delete_parts(self, txn: Txn) -> None:
        for key in [key for key, _ in txn.scan(UPLOAD_PARTS, self.id)]:
            txn.delete(UPLOAD_PARTS, *key)

    def _end(self, lease: Lease, *, kept: bool) -> None:
        if kept:
            lease.accounted()
        ranges = [] if kept else lease.own_ranges()
        self.reset()
        for pack, start, stop in ranges:
            # Nobody else can refer to these bytes: they were never indexed, and accounted bytes are never written again.
            # If this fails the collector frees them: it goes by what is referred to.
            if start < stop:
                with contextlib.suppress(RunstoneError, FileNotFoundError, BlockingIOError):
                    self._pool.backend.punch(pack, start, stop - start)

    def reset(self) -> None:
        """Drops the state in memory; what was checkpointed stays."""
        lease, self._lease = self._lease, None
        self._ingestion = None
        self._pending = bytearray()
        if lease is not None:
            lease.release()


def confirm(
    index: Index, packs: OpenPacks, lease: Lease, parts: Iterable[tuple[int, Part]], since: int
) -> tuple[int, bool]:
    """Makes sure that every chunk that was referred to, and not written, is still where it was.

    Answers the generation this holds for, and whether all the chunks are indexed there. A chunk that the collector has taken out of
    the index since is still on the disk, because garbage outlives the uploads that were under way when it was marked.
    Raises :class:`Corrupt` when a chunk is no longer good.
    """
    with index.read() as view:
        current = chunks.generation(view)
    if current == since:
        return current, True
    indexed = True
    for _, part in parts:
        with index.read() as view:
            doubtful = list(chunks.unindexed(view, lease.domain, part, lease.ranges))
        for record, pack, offset, _ in doubtful:
            indexed = False
            if not is_genuine(packs, record, pack, offset):
                raise Corrupt(
                    "bytes that this upload shares with another file were lost in the meantime; send it again"
                )
    return current, indexed
