"""Pictures: a range of a series in buckets, from summaries where a bucket holds all of a cell, from points where it does not.

Buckets are as wide as a power of two, or one and a half times that, and begin at a multiple of their width. So they are no more than were
asked for and about two thirds of it or more; they hold whole cells, which begin and end at multiples of smaller powers of two; and
they stay where they are while a view moves or a series grows. A few buckets are cut as asked: then few cells lie across an edge.
Every figure is exact: a cell that lies across an edge is read point by point.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runstone._native.points import OBJECT
from runstone._native.zoom import Buckets
from runstone.storage.index import View
from runstone.storage.series import directory
from runstone.storage.series.blocks import FINE_FROM, flat, unpacked
from runstone.storage.series.directory import first_of, last_of
from runstone.storage.series.points import I64_MAX, I64_MIN, Floats, Ints, Points, joined
from runstone.storage.series.reading import Span
from runstone.storage.series.tail import Tail
from runstone.storage.tables import SERIES_CELLS, BlockEntry, SeriesGroup

#: Rows of a block or group: the first, and the one after the last.
Rows = tuple[int, int]
#: Up to so many buckets are cut as asked.
_FEW = 32
_FINE_CELLS = 64


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """The buckets that hold numbers, in order: each has the points with ``start <= x < end``.

    ``count`` includes ``nans``. ``min``, ``max`` and ``mean`` are over the numbers that are not NaN, and NaN without one. ``last`` is the
    value at the greatest (step, time, value). The mean is the exact sum, rounded once, divided by their number.
    """

    start: Ints
    end: Ints
    count: Ints
    nans: Ints
    min: Floats
    max: Floats
    last: Floats
    mean: Floats


def draw(
    view: View,
    spans: Sequence[Span],
    key: int,
    tails: Sequence[Tail],
    by_time: bool,
    low: int | None,
    high: int | None,
    buckets: int,
) -> Picture:
    """A history's range ``low <= x < high``, of steps or of times, in at most ``buckets`` buckets; None is where points begin or end."""
    sources = [
        _Source(view, span[0], key, span[1], tail, by_time) for span, tail in zip(spans, tails, strict=True)
    ]
    extents = [extent for source in sources if (extent := source.extent()) is not None]
    least = min((extent[0] for extent in extents), default=0)
    greatest = max((extent[1] for extent in extents), default=-1)
    low = least if low is None else max(low, least)
    last = greatest if high is None else min(high - 1, greatest)
    if low > last:
        return _picture(None, 0, 1)
    start, width, count = cut_range(low, last, buckets)
    target = Buckets(start, width, count, low, last, by_time)
    for source in sources:
        source.add_to(target, low, last, width)
    return _picture(target, start, width)


def cut_range(low: int, last: int, buckets: int) -> tuple[int, int, int]:
    """(start, width, count) of the buckets for ``low <= x <= last``."""
    span = last - low + 1
    if buckets <= _FEW:
        width = min(-(-span // buckets), 1 << 63)
        return low, width, -(-span // width)
    width = 1
    while True:
        for wide in (width, width + width // 2):
            start = max(low // wide * wide, I64_MIN)
            count = (last - start) // wide + 1
            if count <= buckets:
                return start, wide, count
        width *= 2


def _picture(target: Buckets | None, start: int, width: int) -> Picture:
    parts = target.columns() if target is not None else (b"",) * 6
    counts, nans = (np.frombuffer(part, np.int64) for part in parts[:2])
    held = np.flatnonzero(counts)
    # Modulo 2^64, for a width of 2^63 is no int64; where a bucket begins always is one, and where it ends may be beyond.
    starts = held.astype(np.uint64) * np.uint64(width) + np.uint64(start % (1 << 64))
    begin = starts.view(np.int64)
    ends = np.where(begin > I64_MAX - width, np.int64(I64_MAX), (starts + np.uint64(width)).view(np.int64))
    return Picture(
        begin,
        ends,
        counts[held],
        nans[held],
        *(np.frombuffer(part, np.float64)[held] for part in parts[2:]),
    )


class _Source:
    """One span of a history: its groups, and the points that are in no block or may be in one too."""

    def __init__(
        self, view: View, stream: int, key: int, max_step: int | None, tail: Tail, by_time: bool
    ) -> None:
        self._view, self._stream, self._key, self._by_time = view, stream, key, by_time
        self._last_step = I64_MAX if max_step is None else max(max_step, I64_MIN + 1) - 1
        self._nothing = max_step is not None and max_step <= I64_MIN
        self._tail = tail.points(key)
        if max_step is not None and max_step <= I64_MAX:
            self._tail = self._tail.take(self._tail.steps < max(max_step, I64_MIN))
        self._groups: list[SeriesGroup] = []
        for group in directory.groups(view, stream, key):
            if group.blocks[0].first_step > self._last_step:
                break
            self._groups.append(group)

    def extent(self) -> tuple[int, int] | None:
        """The least and the greatest step or time; None without points."""
        ranges = [
            self._extent_of(entry)
            for group in self._groups
            for entry in group.blocks
            if entry.first_step <= self._last_step
        ]
        if len(self._tail):
            axis = self._tail.times if self._by_time else self._tail.steps
            ranges.append((int(axis.min()), int(axis.max())))
        if not ranges or self._nothing:
            return None
        return min(least for least, _ in ranges), max(greatest for _, greatest in ranges)

    def _extent_of(self, entry: BlockEntry) -> tuple[int, int]:
        if entry.last_step <= self._last_step:
            return (entry.min_time, entry.max_time) if self._by_time else (entry.first_step, entry.last_step)
        # A fork parts this block, and where its points before that end is for the points to say.
        points = directory.read_block(self._view, self._stream, self._key, entry)
        points = points.take(points.steps <= self._last_step)
        axis = points.times if self._by_time else points.steps
        return int(axis.min()), int(axis.max())

    def add_to(self, target: Buckets, low: int, last: int, width: int) -> None:
        """Adds the span's points to the buckets."""
        if self._nothing:
            return
        target.last_step = self._last_step
        late = self._tail
        for group in self._groups:
            begin, end = first_of(group.blocks[0]), last_of(group.blocks[-1])
            if not self._concerns(group.blocks, low, last):
                continue
            within = late.take(slice(late.place(begin), late.place(end, right=True)))
            if len(within):
                late = self._add_mixed(target, group, late, width)
            else:
                needed = target.add_cells(*unpacked(group.cells), None)
                for entry, parts in _by_block(group.blocks, needed):
                    self._add_parts(target, entry, parts, width)
        add_points(target, late)

    def _concerns(self, entries: Sequence[BlockEntry], low: int, last: int) -> bool:
        if not self._by_time:
            return entries[-1].last_step >= low and entries[0].first_step <= last
        return any(entry.max_time >= low and entry.min_time <= last for entry in entries)

    def _add_mixed(self, target: Buckets, group: SeriesGroup, late: Points, width: int) -> Points:
        """Adds a group into which late points fall; answers those that are left."""
        for block in directory.placed(group):
            begin, end = late.place(first_of(block.entry)), late.place(last_of(block.entry), right=True)
            if begin < end:
                points = directory.read_block(self._view, self._stream, self._key, block.entry)
                add_points(target, joined([points, late.take(slice(begin, end))]).ordered())
                late = joined([late.take(slice(0, begin)), late.take(slice(end, None))])
                continue
            floats = flat(np.concatenate([block.coarse.floats.ravel(), block.coarse.terms]))
            needed = target.add_cells(flat(block.coarse.ints), floats, None)
            if needed:
                self._add_parts(target, block.entry, needed, width)
        return late

    def _add_parts(self, target: Buckets, entry: BlockEntry, parts: list[Rows], width: int) -> None:
        """Adds stretches of a block's rows, whose coarse cells lie across edges."""
        span = entry.max_time - entry.min_time if self._by_time else entry.last_step - entry.first_step
        if entry.count >= FINE_FROM and span // _FINE_CELLS < width:
            packed = directory.packed_key(self._stream, self._key, first_of(entry))
            body = self._view.get_body(SERIES_CELLS, packed)
            if body is not None:
                ints, floats = unpacked(SERIES_CELLS.decode(body))
                parts = [part for within in parts for part in target.add_cells(ints, floats, within)]
        if parts:
            points = directory.read_block(self._view, self._stream, self._key, entry)
            chosen = np.zeros(len(points), bool)
            for first, stop in parts:
                chosen[first:stop] = True
            add_points(target, points, chosen)


def add_points(target: Buckets, points: Points, chosen: Any = True) -> None:
    """Adds points one by one: all, or those of a mask."""
    numeric = (points.kinds != OBJECT) & chosen
    target.add_points(flat(points.steps), flat(points.times), flat(points.floats()), flat(numeric))


def _by_block(entries: Sequence[BlockEntry], needed: list[Rows]) -> Iterator[tuple[BlockEntry, list[Rows]]]:
    """Stretches of a group's rows as those of each block, joined where they touch."""
    place, offset = 0, 0
    parts: list[Rows] = []
    for first, stop in needed:
        while first >= offset + entries[place].count:
            if parts:
                yield entries[place], parts
                parts = []
            offset += entries[place].count
            place += 1
        begin, end = first - offset, stop - offset
        if parts and parts[-1][1] == begin:
            parts[-1] = (parts[-1][0], end)
        else:
            parts.append((begin, end))
    if parts:
        yield entries[place], parts
