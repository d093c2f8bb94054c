"""Exact reads: the points of a series, and rows of several series joined by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runstone.storage.index import View
from runstone.storage.series import directory
from runstone.storage.series.directory import first_of, last_of
from runstone.storage.series.points import I64_MAX, I64_MIN, Points, Position, joined, none
from runstone.storage.series.tail import Tail
from runstone.storage.tables import BlockEntry

#: A stretch of a run's history: a stream, and the step before which it ends, or None.
Span = tuple[int, int | None]
#: (step, time of the latest value, {key: last value at the step}).
Row = tuple[int, int, dict[int, Any]]


@dataclass(frozen=True, slots=True)
class Range:
    """Which points are asked for: ``low <= x < high`` of steps or times, after a position, at least ``limit`` if there are."""

    low: int | None = None
    high: int | None = None
    by_time: bool = False
    after: Position | None = None

    def within(self, max_step: int | None) -> Range:
        """The range without the steps from ``max_step`` on; by time, :meth:`chosen` leaves them out."""
        if max_step is None or self.by_time:
            return self
        return Range(self.low, max_step if self.high is None else min(self.high, max_step), False, self.after)

    def start(self) -> Position:
        """No point before it is asked for."""
        start = (I64_MIN if self.low is None or self.by_time else self.low, I64_MIN)
        return start if self.after is None else max(start, self.after)

    def may_hold(self, entry: BlockEntry) -> bool:
        """Whether a block can hold points of the range."""
        if self.after is not None and last_of(entry) <= self.after:
            return False
        low, high = (entry.min_time, entry.max_time) if self.by_time else (entry.first_step, entry.last_step)
        return (self.low is None or high >= self.low) and (self.high is None or low < self.high)

    def chosen(self, points: Points, max_step: int | None) -> Points:
        """Those of some ordered points that lie in the range, and before ``max_step``."""
        if self.after is not None:
            points = points.take(slice(points.place(self.after, right=True), None))
        axis = points.times if self.by_time else points.steps
        kept = np.ones(len(points), bool)
        if self.low is not None:
            kept &= axis >= max(min(self.low, I64_MAX), I64_MIN)
            if self.low > I64_MAX:
                kept[:] = False
        if self.high is not None and self.high <= I64_MAX:
            kept &= axis < max(self.high, I64_MIN)
        if max_step is not None and max_step <= I64_MAX:
            kept &= points.steps < max(max_step, I64_MIN)
        return points if kept.all() else points.take(kept)


def read_span(view: View, span: Span, key: int, tail: Tail, asked: Range, limit: int | None) -> Points:
    """Points of a range in order: from blocks and from the tail, identical ones once.

    With a limit they end with the position at which it is reached, else with the range.
    """
    stream, max_step = span
    asked = asked.within(max_step)
    late = asked.chosen(tail.points(key), max_step)
    parts: list[Points] = []
    count = 0
    horizon: Position | None = None
    reached: Position | None = None
    for entry in _entries(view, stream, key, asked, max_step):
        if limit is not None and count >= limit:
            horizon = reached
            break
        if asked.may_hold(entry):
            parts.append(asked.chosen(directory.read_block(view, stream, key, entry), max_step))
            count += len(parts[-1])
    if horizon is not None:
        late = late.take(slice(0, late.place(horizon, right=True)))
    # Blocks are in order by themselves, and mostly the tail follows them.
    found = joined([part for part in (*parts, late) if len(part)])
    found = found.ordered()
    return found if limit is None else page(found, limit)


def _entries(view: View, stream: int, key: int, asked: Range, max_step: int | None) -> Iterator[BlockEntry]:
    end = max_step if asked.by_time else asked.high
    for group in directory.groups(view, stream, key, asked.start()):
        for entry in group.blocks:
            if end is not None and first_of(entry)[0] >= end:
                return
            yield entry


def page(points: Points, limit: int) -> Points:
    """The first ``limit`` points and what else stands at the last one's position."""
    if len(points) <= limit:
        return points
    last = limit - 1
    return points.take(slice(0, points.place((int(points.steps[last]), int(points.times[last])), right=True)))


def read_points(
    view: View, spans: Sequence[Span], key: int, tails: Sequence[Tail], asked: Range, limit: int | None
) -> Points:
    """The points of a history in order, identical ones once, also those that two of its streams hold."""
    parts = [read_span(view, span, key, tail, asked, limit) for span, tail in zip(spans, tails, strict=True)]
    parts = [part for part in parts if len(part)]
    if len(parts) <= 1:
        return parts[0] if parts else none()
    if limit is not None:
        # A stream that has more to come speaks only for positions up to its last one.
        full = [part.last() for part in parts if len(part) >= limit]
        if full:
            parts = [part.take(slice(0, part.place(min(full), right=True))) for part in parts]
    found = joined(parts).ordered()
    return found if limit is None else page(found, limit)


def read_rows(
    view: View, spans: Sequence[Span], keys: Sequence[int], tails: Sequence[Tail], asked: Range, limit: int
) -> list[Row]:
    """The first ``limit`` rows of a range of steps: an outer join of series by step, each with its last value at the step."""
    depth = limit
    while True:
        columns = {key: read_points(view, spans, key, tails, asked, depth) for key in keys}
        # A series that was cut off may go on at the step of its last point.
        cut = [int(points.steps[-1]) for points in columns.values() if len(points) >= depth]
        horizon = min(cut) if cut else None
        steps = _steps(columns, horizon)
        if horizon is None or len(steps) >= limit:
            return _join(columns, steps[:limit])
        depth *= 4


def _steps(columns: dict[int, Points], horizon: int | None) -> Any:
    found = [points.steps for points in columns.values() if len(points)]
    steps = np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)
    return steps if horizon is None else steps[steps < horizon]


def _join(columns: dict[int, Points], steps: Any) -> list[Row]:
    values: list[dict[int, Any]] = [{} for _ in range(len(steps))]
    times = np.full(len(steps), I64_MIN)
    for key, points in columns.items():
        if not len(points) or not len(steps):
            continue
        # The last point at each step, of the steps that are in the page.
        last = np.flatnonzero(np.append(points.steps[1:] != points.steps[:-1], True))
        places = np.searchsorted(steps, points.steps[last])
        kept = (places < len(steps)) & (steps[np.minimum(places, len(steps) - 1)] == points.steps[last])
        chosen = points.take(last[kept])
        places = places[kept]
        times[places] = np.maximum(times[places], chosen.times)
        for place, value in zip(places.tolist(), chosen.values(), strict=True):
            values[place][key] = value
    return list(zip(steps.tolist(), times.tolist(), values, strict=True))
