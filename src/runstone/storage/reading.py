"""Reading blobs: where their bytes lie, checked before they are handed out, and kept while somebody reads them.

A reader holds its blob and its packs for as long as it takes: no collector, of this or any other process, deletes a blob that is read
or frees a range that a reader may have looked up. No clock comes into it:

- A reader first locks the byte of its blob (:mod:`locks`), then looks at the blob's row. A collector first writes that the blob is
  dying, then looks at the lock. So the reader finds the blob gone, or the collector finds it read and leaves it.
- A repair replaces the parts of a blob that lives on. So a reader locks the epoch of the last repair too, and looks whether it still is
  the last; what a repair let go of is freed when no process reads from before it. In this process the ranges in use are known.
"""

from __future__ import annotations

import mmap
import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import NamedTuple, Self

from runstone._native.digests import verify_chunks
from runstone.errors import Corrupt, Missing, RangeUnsatisfiable, RunstoneError, StorageFailed
from runstone.storage import chunks, damages
from runstone.storage.holdings import BlobInfo, describe, require
from runstone.storage.index import Index, View
from runstone.storage.intervals import Intervals
from runstone.storage.locks import Locks, number_of_blob, number_of_repair
from runstone.storage.openpacks import Fault, OpenPack, OpenPacks, faults
from runstone.storage.parts import RECORD_SIZE, Run, lengths, runs
from runstone.storage.tables import BLOB_PARTS, Part

_SINGLE_READ = 1 << 30
_ATTEMPTS = 3


class Segment(NamedTuple):
    """Bytes of a blob in a file: descriptor, offset, length."""

    handle: int
    offset: int
    length: int


class Chunks(NamedTuple):
    """Packed 44-byte chunk records that cover a range, and the offset of the first in the blob."""

    offset: int
    records: bytes


class Held:
    """What readers hold: blobs and repair epochs, which every process sees, and ranges of packs, which this one does."""

    def __init__(self, locks: Locks) -> None:
        self._locks = locks
        self._lock = threading.Lock()
        self._shared: Counter[int] = Counter()
        self._ranges: dict[int, dict[BlobReader, list[tuple[int, int]]]] = {}

    def hold(self, sha256: bytes, repair: int) -> None:
        """Notes a reader of a blob, who has yet to see that the blob is there and that the repair is the last."""
        with self._lock:
            self._share(number_of_blob(sha256))
            try:
                self._share(number_of_repair(repair))
            except BaseException:
                self._unshare(number_of_blob(sha256))
                raise

    def _share(self, number: int) -> None:
        if not self._shared[number]:
            self._locks.share(number)
        self._shared[number] += 1

    def hold_range(self, reader: BlobReader, pack: int, start: int, stop: int) -> None:
        """Notes that a reader uses a range of a pack, until it lets go."""
        with self._lock:
            self._ranges.setdefault(pack, {}).setdefault(reader, []).append((start, stop))

    def let_go(self, reader: BlobReader) -> None:
        """Notes the end of a reader."""
        with self._lock:
            self._release(reader.info.sha256, reader.repair)
            for pack in [pack for pack, readers in self._ranges.items() if reader in readers]:
                del self._ranges[pack][reader]
                if not self._ranges[pack]:
                    del self._ranges[pack]

    def release(self, sha256: bytes, repair: int) -> None:
        """Takes back one :meth:`hold`."""
        with self._lock:
            self._release(sha256, repair)

    def _release(self, sha256: bytes, repair: int) -> None:
        self._unshare(number_of_repair(repair))
        self._unshare(number_of_blob(sha256))

    def _unshare(self, number: int) -> None:
        self._shared[number] -= 1
        if not self._shared[number]:
            del self._shared[number]
            self._locks.release(number)

    def holds(self, sha256: bytes) -> bool:
        """Whether a blob has a reader, in any process."""
        number = number_of_blob(sha256)
        with self._lock:
            return number in self._shared or self._locks.is_held(number)

    def holds_from_before(self, repair: int) -> bool:
        """Whether another process has a reader that began before a repair. Of this one's the ranges are known."""
        return repair > 0 and self._locks.is_held(number_of_repair(0), repair)

    def free(self, pack: int, start: int, stop: int, punch: Callable[[int, int], None]) -> int:
        """Calls ``punch(start, stop)`` on what of a range nobody holds, and lets nobody take hold meanwhile; bytes left out."""
        with self._lock:
            busy = Intervals(used for ranges in self._ranges.get(pack, {}).values() for used in ranges)
            left = stop - start
            for low, high in busy.gaps(start, stop):
                punch(low, high)
                left -= high - low
            return left


class Reader:
    """Reads the blobs of one store; safe from threads."""

    def __init__(self, index: Index, packs: OpenPacks, held: Held, clock: Callable[[], int]) -> None:
        self.index, self.packs, self.held, self.clock = index, packs, held, clock
        #: A commit, and the epoch of the last repair as of it.
        self._repair = (0, 0)

    def stat(self, domain: int, sha256: bytes) -> BlobInfo:
        """What is known of a blob; raises :class:`Missing`."""
        with self.index.read() as view:
            return describe(domain, sha256, require(view, domain, sha256))

    def open(self, domain: int, sha256: bytes) -> BlobReader:
        """A blob to read from; raises :class:`Missing`. Close it, or use it in a ``with`` block."""
        while True:
            seen, repair = self._repair
            self.held.hold(sha256, repair)
            try:
                with self.index.read() as view:
                    commit = view.commit
                    latest = repair if commit == seen else chunks.repair_epoch(view)
                    if latest == repair:
                        self._repair = (commit, repair)
                        row = require(view, domain, sha256)
                        return BlobReader(self, describe(domain, sha256, row), repair)
            except BaseException:
                self.held.release(sha256, repair)
                raise
            self.held.release(sha256, repair)
            self._repair = (commit, latest)


class BlobReader:
    """A blob that is being read. Its descriptors stay open, and its bytes on the disk, until :meth:`close`; safe from threads."""

    def __init__(self, reader: Reader, info: BlobInfo, repair: int) -> None:
        self._reader = reader
        self.info = info
        #: The epoch of the last repair before this reader began.
        self.repair = repair
        self.size = info.size
        self._lock = threading.Lock()
        self._packs: dict[int, OpenPack] = {}
        self._superseded: list[OpenPack] = []
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def segments(self, start: int = 0, stop: int | None = None) -> list[Segment]:
        """Where the bytes from ``start`` to ``stop`` lie, all of them checked.

        The whole of each chunk is checked of which a byte is asked for. Raises :class:`Corrupt` (``sha256``, ``offset``, ``length``,
        ``pack``, ``how``) for one that fails, after recording it, and :class:`RangeUnsatisfiable`.
        """
        stop = self._bounded(start, stop)
        for _ in range(_ATTEMPTS):
            covering = self._covering(start, stop)
            fault = next(self._faults(covering), None)
            if fault is None:
                return _cut(covering, self._packs, start, stop)
            self._report(fault)
        raise Missing(
            f"the blob {self.info.sha256.hex()} was deleted or moved while it was read; read it again"
        )

    def places(self) -> list[tuple[str, int, int]]:
        """Where the bytes lie, all of them checked: (path of a pack, offset, length). For who locks the ranges before they are read."""
        packs = self._reader.packs
        return [
            (packs.path_of(self._number_of(segment.handle)), segment.offset, segment.length)
            for segment in self.segments()
        ]

    def verify(self, start: int, stop: int) -> None:
        """Reads bytes again and checks them by BLAKE3; raises :class:`Corrupt` like :meth:`segments`."""
        self.segments(start, stop)
        for run in self._covering(start, stop):
            for fault in faults(self._packs[run.pack].handle, run, verify_chunks):
                self._report(fault)

    def _bounded(self, start: int, stop: int | None) -> int:
        stop = self.size if stop is None else stop
        if not 0 <= start <= stop <= self.size:
            raise RangeUnsatisfiable(
                f"bytes {start} to {stop} do not lie in the blob {self.info.sha256.hex()} of {self.size} bytes",
                size=self.size,
            )
        return stop

    def _covering(self, start: int, stop: int) -> list[Run]:
        with self._reader.index.read() as view:
            parts = parts_covering(view, self.info.domain, self.info.sha256, start, stop)
        return [run for base, part in parts for run in runs(part, base, start, stop)]

    def _faults(self, covering: list[Run]) -> Iterator[Fault]:
        held, packs = self._reader.held, self._reader.packs
        for run in covering:
            # Noted first and looked at after: a range that is freed in between is seen to have changed.
            held.hold_range(self, run.pack, run.pack_offset, run.pack_offset + run.length)
        for number in dict.fromkeys(run.pack for run in covering):
            self._look(number)
        for run in covering:
            pack = self._packs.get(run.pack)
            end = run.pack_offset + run.length
            if pack is None and self._closed:
                # Not damage: whoever was still reading is told, and nothing is recorded.
                raise Missing(f"the reader of the blob {self.info.sha256.hex()} was closed; open it again")
            if pack is None:
                yield Fault(run.offset, run.length, run.records, run.pack, run.pack_offset, "missing")
            elif end > pack.signature[3] or not packs.is_verified(pack, run.pack_offset, end):
                seen = pack.signature
                yield from faults(pack.handle, run)
                packs.mark_verified(pack, seen, run.pack_offset, end)

    def _look(self, number: int) -> None:
        try:
            pack = self._reader.packs.hold(number)
        except FileNotFoundError:
            return
        with self._lock:
            before = self._packs.get(number)
            if before is pack or self._closed:
                self._reader.packs.release(pack)
                return
            if before is not None:
                self._superseded.append(before)
            self._packs[number] = pack

    def _report(self, fault: Fault) -> None:
        info = self.info
        details = {
            "sha256": info.sha256.hex(),
            "offset": fault.offset,
            "length": fault.length,
            "pack": f"{fault.pack:016x}",
            "how": fault.how,
        }
        message = (
            f"blob {details['sha256']}: {fault.length} bytes at {fault.offset} are damaged ({fault.how}) in pack "
            f"{details['pack']} at {fault.pack_offset}; upload the file again to repair it"
        )
        first = Fault(fault.offset, lengths(fault.record)[0], fault.record[:RECORD_SIZE], *fault[3:])
        try:
            real = damages.record(self._reader.index, info.domain, info.sha256, [first], self._reader.clock())
        except RunstoneError as error:
            raise Corrupt(message, **details, unrecorded=error.message) from error
        if real:
            raise Corrupt(message, **details)

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes from ``start`` to ``stop``, checked."""
        segments = self.segments(start, stop)
        into = memoryview(bytearray(sum(segment.length for segment in segments)))
        at = 0
        for segment in segments:
            _read_all(segment, into[at : at + segment.length])
            at += segment.length
        return bytes(into)

    def map(self, start: int = 0, stop: int | None = None) -> memoryview | None:
        """The bytes from ``start`` to ``stop``, checked and mapped where they lie; None when they lie in several places.

        The view is read-only, costs no copy, and keeps the blob held for as long as it or a slice of it lives, even after :meth:`close`.
        A pack that something outside cuts short under a mapping is a SIGBUS: this is for a store that is yours alone.
        """
        segments = self.segments(start, stop)
        if not segments:
            return memoryview(b"")
        if len(segments) > 1:
            return None
        handle, offset, length = segments[0]
        begin = offset // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
        mapped = mmap.mmap(handle, offset - begin + length, mmap.MAP_SHARED, mmap.PROT_READ, offset=begin)
        keeper = self._reader.open(self.info.domain, self.info.sha256)
        self._reader.held.hold_range(keeper, self._number_of(handle), offset, offset + length)
        weakref.finalize(mapped, keeper.close)
        return memoryview(mapped)[offset - begin :]

    def _number_of(self, handle: int) -> int:
        return next(number for number, pack in self._packs.items() if pack.handle == handle)

    def chunk_records(self, start: int = 0, stop: int | None = None) -> bytes:
        """The packed 44-byte records of the chunks that cover ``start`` to ``stop``."""
        return self.chunks(start, stop).records

    def chunks(self, start: int = 0, stop: int | None = None) -> Chunks:
        """The records of the chunks that cover ``start`` to ``stop``, and where the first of them begins."""
        covering = self._covering(start, self._bounded(start, stop))
        return Chunks(covering[0].offset if covering else start, b"".join(run.records for run in covering))

    def close(self) -> None:
        """Lets go of everything. Nothing may read the descriptors any more; a second call does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            packs = [*self._packs.values(), *self._superseded]
            self._packs, self._superseded = {}, []
        self._reader.held.let_go(self)
        for pack in packs:
            self._reader.packs.release(pack)


def parts_covering(view: View, domain: int, sha256: bytes, start: int, stop: int) -> list[tuple[int, Part]]:
    """The parts that hold bytes ``start`` to ``stop`` of a blob, with their offsets; raises :class:`Missing`, :class:`Corrupt`."""
    require(view, domain, sha256)
    if start == stop:
        return []
    found: list[tuple[int, Part]] = []
    first = damages.part_at(view, domain, sha256, start)
    if first is not None and first[0] <= start:
        found.append(first)
        at = first[0] + first[1].size
        while at < stop and (part := view.get(BLOB_PARTS, domain, sha256, at)) is not None and part.size:
            found.append((at, part))
            at += part.size
        if start < at and stop <= at:
            return found
    raise Corrupt(
        f"blob {sha256.hex()}: the index lacks a part of bytes {start} to {stop}", sha256=sha256.hex()
    )


def _cut(covering: list[Run], packs: dict[int, OpenPack], start: int, stop: int) -> list[Segment]:
    segments: list[Segment] = []
    for run in covering:
        low, high = max(start, run.offset), min(stop, run.offset + run.length)
        handle, offset = packs[run.pack].handle, run.pack_offset + low - run.offset
        last = segments[-1] if segments else None
        if last is not None and last.handle == handle and last.offset + last.length == offset:
            segments[-1] = Segment(handle, last.offset, last.length + high - low)
        else:
            segments.append(Segment(handle, offset, high - low))
    return segments


def _read_all(segment: Segment, into: memoryview) -> None:
    done = 0
    try:
        while done < len(into):
            count = os.preadv(segment.handle, [into[done : done + _SINGLE_READ]], segment.offset + done)
            if not count:
                raise Corrupt("a pack was cut short while it was read")
            done += count
    except OSError as error:
        raise StorageFailed(f"a pack cannot be read: {error.strerror}; check the disk") from error
