"""The scrubber: reads every row of the index and every chunk of every blob, and names what is damaged."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from runstone._native.digests import check_chunks, verify_chunks
from runstone.errors import Corrupt, Missing
from runstone.storage import damages
from runstone.storage.index import Index
from runstone.storage.intervals import Intervals
from runstone.storage.openpacks import Check, Fault, OpenPacks, faults
from runstone.storage.parts import RECORD_SIZE, Run, lengths, runs
from runstone.storage.reading import BlobReader, Reader
from runstone.storage.tables import BLOB_PARTS, BLOBS, DAMAGES, TABLES, Part, Table

Progress = Callable[[int, int], object]
_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Found:
    """A damaged chunk: the blob and the place in it, the pack and the place in that, and what is wrong."""

    domain: int
    sha256: bytes
    offset: int
    length: int
    pack: int
    pack_offset: int
    how: str


@dataclass(slots=True)
class ScrubReport:
    """What a scrub read and found.

    ``index`` has a message for each damaged row. ``repaired`` damages verified again, ``healed`` ones were pointed at another copy.
    """

    rows: int = 0
    blobs: int = 0
    chunks: int = 0
    bytes: int = 0
    index: list[str] = field(default_factory=list)
    damages: list[Found] = field(default_factory=list)
    repaired: int = 0
    healed: int = 0

    @property
    def clean(self) -> bool:
        """Whether nothing is damaged."""
        return not self.index and not self.damages


class Scrubber:
    """Scrubs one store."""

    def __init__(self, index: Index, packs: OpenPacks, reader: Reader, clock: Callable[[], int]) -> None:
        self._index, self._packs, self._reader, self._clock = index, packs, reader, clock

    def scrub(
        self, *, deep: bool = False, limit_rate: float | None = None, progress: Progress | None = None
    ) -> ScrubReport:
        """Checks every row, and every chunk with xxh3 (``deep``: with BLAKE3, the identity), and records the damage.

        ``limit_rate`` is in bytes a second; ``progress`` is called with the bytes of blobs done and of all blobs. Bytes that several
        blobs share are read once, unless they are damaged.
        """
        report = ScrubReport()
        for table in TABLES.values():
            report.rows += sum(1 for _ in self._rows(table, report))
        blobs = [
            (BLOBS.key.unpack(key), BLOBS.decode(body)) for key, body in self._rows(BLOBS, ScrubReport())
        ]
        total, done = sum(row.size for _, row in blobs), 0
        pace = _Pace(limit_rate)
        walk = _Walk(verify_chunks if deep else check_chunks, defaultdict(Intervals), report, pace)
        for (domain, sha256), row in blobs:
            try:
                with self._reader.open(domain, sha256) as blob:
                    self._scrub_blob(blob, walk)
            except Missing:
                pass  # deleted since it was listed
            done += row.size
            if progress is not None:
                progress(done, total)
        if report.damages:
            report.healed = damages.heal(self._index, self._packs)
        return report

    def _rows(self, table: Table[Any], report: ScrubReport) -> Iterator[tuple[bytes, bytes]]:
        """Rows of a table; a damaged one is reported and passed over, and what cannot be passed ends the walk."""
        after: bytes | None = None
        while True:
            try:
                with self._index.read() as view:
                    for seen, row in enumerate(view.scan_bodies(table, after=after)):
                        yield row
                        after = row[0]
                        if seen == _ROWS:
                            break
                    else:
                        return
            except Corrupt as error:
                bad = bytes.fromhex(error.details.get("key", ""))
                report.index.append(error.message)
                if after is not None and bad <= after:
                    report.index.append(
                        f"index: the rows of table {table.name} after {after.hex()} cannot be read"
                    )
                    return
                after = bad

    def _scrub_blob(self, blob: BlobReader, walk: _Walk) -> None:
        info, at, bad = blob.info, 0, set[int]()
        while at < info.size and (part := self._part(blob, at)) is not None:
            bad |= self._scrub_part(blob, at, part, walk)
            at += part.size
        if at != info.size and damages.record_gap(
            self._index, info.domain, info.sha256, at, info.size - at, self._clock()
        ):
            gap = Found(info.domain, info.sha256, at, info.size - at, 0, 0, damages.NO_PART)
            walk.report.damages.append(gap)
            bad.add(at)
        walk.report.blobs += 1
        with self._index.read() as view:
            known = [key[2] for key, _ in view.scan(DAMAGES, info.domain, info.sha256)]
        good = [offset for offset in known if offset not in bad]
        walk.report.repaired += damages.forget(self._index, info.domain, info.sha256, good)

    def _part(self, blob: BlobReader, offset: int) -> Part | None:
        try:
            with self._index.read() as view:
                part = view.get(BLOB_PARTS, blob.info.domain, blob.info.sha256, offset)
        except Corrupt:
            return None  # reported with its table
        return part if part is not None and part.size else None

    def _scrub_part(self, blob: BlobReader, offset: int, part: Part, walk: _Walk) -> set[int]:
        info, wrong = blob.info, list[Fault]()
        walk.report.chunks += len(part.chunks) // RECORD_SIZE
        for run in runs(part, offset, offset, offset + part.size):
            for unread in _unread(run, walk.good[run.pack]):
                wrong += self._check(unread, walk)
        if not wrong:
            return set()
        real = damages.record(self._index, info.domain, info.sha256, wrong, self._clock())
        for fault in real:
            place = fault.pack, fault.pack_offset
            walk.report.damages.append(
                Found(info.domain, info.sha256, fault.offset, fault.length, *place, fault.how)
            )
        return {fault.offset for fault in real}

    def _check(self, run: Run, walk: _Walk) -> list[Fault]:
        walk.report.bytes += run.length
        walk.pace.wait(run.length)
        try:
            pack = self._packs.hold(run.pack)
        except FileNotFoundError:
            return list(_all_missing(run))
        try:
            wrong = list(faults(pack.handle, run, walk.check))
        finally:
            self._packs.release(pack)
        if not wrong:
            walk.good[run.pack].add(run.pack_offset, run.pack_offset + run.length)
        return wrong


@dataclass(slots=True)
class _Walk:
    """What one scrub carries along: how it checks, what of each pack it found good, its report, its pace."""

    check: Check
    good: defaultdict[int, Intervals]
    report: ScrubReport
    pace: _Pace


class _Pace:
    """Holds a walk to a rate."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._due = time.monotonic()

    def wait(self, size: int) -> None:
        """Waits until ``size`` more bytes may be read."""
        if self._rate:
            now = time.monotonic()
            self._due = max(self._due, now) + size / self._rate
            time.sleep(max(0.0, self._due - now - 0.1))


def _unread(run: Run, good: Intervals) -> Iterator[Run]:
    """The stretches of a run that were not found good yet."""
    if good.covers(run.pack_offset, run.pack_offset + run.length):
        return
    at = begin = first = 0
    for place, length in enumerate(lengths(run.records)):
        if good.covers(run.pack_offset + at, run.pack_offset + at + length):
            if begin < at:
                yield _stretch(run, begin, at, run.records[first * RECORD_SIZE : place * RECORD_SIZE])
            begin, first = at + length, place + 1
        at += length
    if begin < at:
        yield _stretch(run, begin, at, run.records[first * RECORD_SIZE :])


def _stretch(run: Run, start: int, stop: int, records: bytes) -> Run:
    return Run(run.pack, run.pack_offset + start, run.offset + start, stop - start, records)


def _all_missing(run: Run) -> Iterator[Fault]:
    at = 0
    for place, length in enumerate(lengths(run.records)):
        record = run.records[place * RECORD_SIZE : (place + 1) * RECORD_SIZE]
        yield Fault(run.offset + at, length, record, run.pack, run.pack_offset + at, "missing")
        at += length
