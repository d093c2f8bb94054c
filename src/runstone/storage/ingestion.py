"""One blob's bytes on their way in: one native pass over them, a look into the chunk index, and only new chunks are written."""

from __future__ import annotations

from runstone._native.ingest import Ingest
from runstone.storage import chunks
from runstone.storage.index import Index
from runstone.storage.packs import LARGE, Lease, aligned
from runstone.storage.parts import DIGEST_SIZE, PART_CHUNKS, RECORD_SIZE, PartBuilder, lengths
from runstone.storage.tables import Part

#: So many chunks are remembered beside the index: repetitions within about 1 GiB of one upload are stored once.
_MAX_RECENT = 16_384


class Ingestion:
    """Takes in one blob. Not for two threads at once, and of no more use once a call has raised.

    Memory is the caller's piece and up to one chunk (128 KiB) carried to the next.
    """

    def __init__(self, index: Index, lease: Lease, *, size: int | None = None, md5: bool = False) -> None:
        self._index = index
        self._lease = lease
        self._size = size
        self._kernel = Ingest(md5=md5)
        self._carry = b""
        self._finished = False
        self._part = PartBuilder()
        #: Bytes taken in, and those of them that are whole chunks and have their place.
        self.received = 0
        self.placed = 0
        #: Parts that are complete, with their offsets; whoever stores them may take them out.
        self.parts: list[tuple[int, Part]] = []

    @property
    def carry(self) -> bytes:
        """The bytes after the last whole chunk."""
        return self._carry

    def take(self, data: memoryview) -> None:
        """Takes in the next bytes. The buffer may be used again afterwards."""
        records = self._kernel.update(data)
        self.received += len(data)
        if records:
            self._place(records, data)
        fresh = min(self.received - self.placed, len(data))
        kept = self.received - self.placed - fresh
        self._carry = self._carry[len(self._carry) - kept :] + data[len(data) - fresh :]

    def take_chunks(self, records: bytes, data: memoryview) -> None:
        """Takes in whole chunks that somebody else has cut and verified; for a blob that is made of nothing else."""
        self.received += len(data)
        self._place(records, data)

    def finish(self) -> None:
        """Takes in the last chunk."""
        self._finished = True
        records = self._kernel.finish()
        if records:
            self._place(records, memoryview(b""))
        self._carry = b""

    def digests(self) -> tuple[bytes, bytes, bytes]:
        """SHA-256, the Xet file hash, and MD5 if it was asked for (else empty), of a finished blob."""
        return self._kernel.sha256(), self._kernel.xet_hash(), self._kernel.md5() or b""

    def all_parts(self) -> list[tuple[int, Part]]:
        """The complete parts and the one that is growing."""
        return [*self.parts, (self._part.offset, self._part.build())] if len(self._part) else self.parts

    def refeed(self, data: memoryview) -> bytes:
        """Takes stored bytes through the pass again, without storing them; the records of the chunks that they finished."""
        self.received += len(data)
        return self._kernel.update(data)

    def resumed(self, part: PartBuilder, carry: bytes) -> None:
        """Goes on after stored parts, of which ``part`` is still growing, with the bytes that no chunk holds yet."""
        self._part = part
        self.placed = self.received
        self._kernel.update(carry)
        self.received += len(carry)
        self._carry = carry

    def _place(self, packed: bytes, data: memoryview) -> None:
        records = [packed[at : at + RECORD_SIZE] for at in range(0, len(packed), RECORD_SIZE)]
        known = self._known(records)
        end = start = None
        at, run, views = 0, -1, []
        for record, length, place in zip(records, lengths(packed), known, strict=True):
            if place is None and (place := self._lease.recent.get(record[:DIGEST_SIZE])) is None:
                if end is None:
                    end = start = self._start()
                place = self._lease.take().pack, end
                self._remember(record[:DIGEST_SIZE], place)
                end += length
                if run < 0:
                    run = at
            elif run >= 0:
                views += self._views(run, at, data)
                run = -1
            self._add(record, place, length)
            at += length
        if run >= 0:
            views += self._views(run, at, data)
        if start is not None and end is not None:
            self._lease.append(views, end - start, start)
        self.placed += at

    def _known(self, records: list[bytes]) -> list[tuple[int, int] | None]:
        with self._index.read() as view:
            return chunks.find(view, self._lease.domain, records)

    def _start(self) -> int:
        end = self._lease.take().end
        if self.placed:
            return end
        return aligned(end, self.received if self._finished or self.received >= LARGE else self._size)

    def _remember(self, digest: bytes, place: tuple[int, int]) -> None:
        if len(self._lease.recent) >= _MAX_RECENT:
            self._lease.recent.clear()
        self._lease.recent[digest] = place

    def _add(self, record: bytes, place: tuple[int, int], length: int) -> None:
        if len(self._part) >= PART_CHUNKS:
            self.parts.append((self._part.offset, self._part.build()))
            self._part = PartBuilder(self._part.offset + self._part.size)
        self._part.add(record, place[0], place[1], length)

    def _views(self, start: int, stop: int, data: memoryview) -> list[memoryview]:
        # The chunks of one pass lie in what was carried over and, after it, in the caller's piece.
        carried = len(self._carry)
        views = [memoryview(self._carry)[start:stop]] if start < carried else []
        if stop > carried:
            views.append(data[max(0, start - carried) : stop - carried])
        return views
