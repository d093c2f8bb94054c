"""The journal of one process and run: an append-only log that survives the process (docs/format/journal.md).

What :meth:`Journal.append` returned from is in the page cache of the kernel, and so outlives a kill of the process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

from runstone._native.digests import xxh3_64
from runstone.client.runs.records import FINISH, HEADER, HEADER_SIZE, ROLL, Record, framed, scan
from runstone.client.runs.segment import Segment, is_mappable, path_of

FIRST_SEGMENT = 256 << 10
LARGEST_SEGMENT = 4 << 20
SMALLEST_SEGMENT = 64 << 10
#: Kept free in each segment: room to cut, to finish and to roll even when the disk is full.
RESERVE = 256
SPARE = "spare"
#: How many bytes may wait in all, and in memory where the disk has no room for them.
LIMIT = 8 << 30
MEMORY_LIMIT = 32 << 20
_RETRY_SECONDS = 1.0


class Full(Exception):
    """There is no room for a record, neither on the disk nor below the limits; ``why`` says what is in the way."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Journal:
    """A new journal in a directory of its own; safe from threads, signal handlers and finalizers, not from a fork.

    ``end`` is the position behind the last record, ``delivered`` the one up to which nothing is needed any more.
    ``limit`` bounds what may lie between them, in bytes.
    """

    def __init__(self, directory: Path, *, limit: int = LIMIT, first_segment: int = FIRST_SEGMENT) -> None:
        self.directory = directory
        self.limit = limit
        self.mapped = is_mappable(directory)
        self.end = 0
        self.delivered = 0
        #: Why records lie in memory only, or nothing.
        self.volatile = ""
        self._size = first_segment
        self._lock = threading.RLock()
        self._busy = False
        self._late: list[tuple[int, bytes]] = []
        self._lost = 0
        self._closed = False
        self._memory = 0
        self._disk_again = 0.0
        self._spare: Segment | None = None
        self._segments: list[Segment] = []
        self._use(self._allocated(0, RESERVE + HEADER_SIZE))

    def _use(self, segment: Segment) -> None:
        all_, room = [*self._segments, segment], segment.size - RESERVE
        map_, base = segment.map, segment.base
        # No call in between: a signal handler that raises finds either all of this done, or none of it.
        self._segments, self._current, self._map, self._base, self._at, self._room = (
            all_, segment, map_, base, 0, room,
        )  # fmt: skip

    def append(self, kind: int, payload: bytes) -> int:
        """Adds a record; the position behind it. Raises :class:`Full`, and then the journal is as it was."""
        with self._lock:
            if self._busy:  # a signal handler or finalizer, in the middle of an append of its own thread
                self._late.append((kind, payload))
                return self.end
            self._busy = True
            try:
                return self._append(kind, payload)
            finally:
                self._busy = False
                if self._late:
                    self._append_late()

    def _append(self, kind: int, payload: bytes) -> int:
        length = len(payload)
        at = self._at
        stop = at + HEADER_SIZE + length
        if stop > self._room and (kind < FINISH or stop > self._room + RESERVE - HEADER_SIZE):
            self._roll(HEADER_SIZE + length)
            at, stop = 0, HEADER_SIZE + length
        position = self._base + at
        record = HEADER.pack(xxh3_64(payload, position << 8 | kind), length, kind) + payload
        if self._map is not None:
            self._map[at:stop] = record
        else:
            self._written(at, record)
        self._at = stop
        self.end = end = self._base + stop
        return end

    def _written(self, at: int, record: bytes) -> None:
        try:
            self._current.write(at, record)
        except OSError as error:
            raise Full(error.strerror or str(error)) from None

    def _append_late(self) -> None:
        while self._late:
            kind, payload = self._late.pop(0)
            try:
                self.append(kind, payload)
            except Full:
                self._lost += 1

    def take_lost(self) -> int:
        """How many records of signal handlers found no room since this was last asked."""
        with self._lock:
            lost, self._lost = self._lost, 0
        return lost

    def _roll(self, size: int) -> None:
        """Goes on in a new segment with room for a record of ``size`` bytes."""
        if self._closed:
            raise Full("the journal is closed")
        base = self._base + self._current.size
        if size + RESERVE > self._left(base):
            raise Full(f"{self.limit} bytes wait to be delivered, which is the limit")
        spare, self._spare = self._spare, None
        if spare is not None and spare.size < size + RESERVE:
            spare.close(remove=True)
            spare = None
        segment = spare or self._allocated(base, size + RESERVE)
        try:
            self._current.write(self._at, framed(self._base + self._at, ROLL, b""))
        except OSError as error:
            segment.close(remove=True)
            raise Full(error.strerror or str(error)) from None
        self._use(segment)

    def _left(self, base: int) -> int:
        """The bytes that a segment at a position may have below the limit."""
        return self.limit - (base - self.delivered)

    def _allocated(self, base: int, least: int) -> Segment:
        why = self.volatile
        if time.monotonic() >= self._disk_again:
            try:
                segment = self._on_disk(base, least)
            except OSError as error:
                why = error.strerror or str(error)
                self._disk_again = time.monotonic() + _RETRY_SECONDS
            else:
                self._size = min(self._size * 4, max(LARGEST_SEGMENT, self._size))
                self.volatile = ""
                return segment
        self.volatile = why or "no room"
        size = max(least, SMALLEST_SEGMENT)
        if self._memory + size > MEMORY_LIMIT:
            raise Full(f"{self.directory}: {self.volatile}, and {MEMORY_LIMIT} bytes wait in memory already")
        self._memory += size
        return Segment.in_memory(base, size)

    def _on_disk(self, base: int, least: int) -> Segment:
        """A segment of the usual size or, where that does not fit, of a smaller one."""
        size = max(min(self._size, self._left(base)), least)
        while True:
            try:
                return Segment.create(path_of(self.directory, base), base, size, mapped=self.mapped)
            except OSError:
                if size <= max(least, SMALLEST_SEGMENT):
                    raise
                size = max(size // 4, least, SMALLEST_SEGMENT)

    def prepare(self) -> None:
        """Makes the next segment before it is needed; for a thread that has the time."""
        with self._lock:
            if self._busy or self._spare is not None or self._at < self._current.size // 4:
                return
            if time.monotonic() < self._disk_again:
                return
            current = self._current
        base = current.base + current.size
        if self._left(base) < self._size:
            return
        try:
            # Under another name: the lock is not held, and a writer may need the real one just now.
            made = Segment.create(self.directory / SPARE, base, self._size, mapped=self.mapped)
        except OSError:
            return
        made.touch()
        with self._lock:
            if self._busy or self._current is not current or made.path is None:
                made.close(remove=True)
                return
            made.path = made.path.rename(path_of(self.directory, base))
            self._spare = made
            self._size = min(self._size * 4, max(LARGEST_SEGMENT, self._size))

    def records(self, start: int) -> Iterator[Record]:
        """The records from a position to the present end; not for use by two threads at once."""
        with self._lock:
            segments, end = list(self._segments), self.end
        return scan(segments, start, end)

    def frees(self, position: int) -> bool:
        """Whether :meth:`release` of a position would remove a segment."""
        first = self._segments[0]
        return len(self._segments) > 1 and first.base + first.size <= position

    def release(self, position: int) -> None:
        """Says that nothing before a position is needed any more; frees the segments that lie before it."""
        with self._lock:
            self.delivered = position
            freed = [each for each in self._segments[:-1] if each.base + each.size <= position]
            self._segments = self._segments[len(freed) :]
            self._memory -= sum(each.size for each in freed if each.path is None)
        for segment in freed:
            segment.close(remove=True)

    def close(self) -> None:
        """Closes the files, which stay; nothing can be added any more."""
        with self._lock:
            if self._spare is not None:
                self._spare.close(remove=True)
                self._spare = None
            for segment in self._segments:
                segment.close()
            self._closed, self._room = True, -RESERVE
