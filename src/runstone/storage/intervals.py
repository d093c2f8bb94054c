"""Sets of byte ranges: what of a pack is verified, in use, or free."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class Intervals:
    """Disjoint half-open ranges in ascending order; ranges that touch are one."""

    __slots__ = ("_starts", "_stops")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        for start, stop in sorted(ranges):
            if stop <= start:
                continue
            if self._stops and start <= self._stops[-1]:
                self._stops[-1] = max(self._stops[-1], stop)
            else:
                self._starts.append(start)
                self._stops.append(stop)

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._starts, self._stops, strict=True))

    def add(self, start: int, stop: int) -> None:
        """Adds a range."""
        if stop <= start:
            return
        low, high = bisect_left(self._stops, start), bisect_right(self._starts, stop)
        if low < high:
            start, stop = min(start, self._starts[low]), max(stop, self._stops[high - 1])
        self._starts[low:high] = [start]
        self._stops[low:high] = [stop]

    def covers(self, start: int, stop: int) -> bool:
        """Whether the whole of a range is in the set; an empty one always is."""
        place = bisect_right(self._starts, start) - 1
        return stop <= start or (place >= 0 and stop <= self._stops[place])

    def gaps(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """The parts of a range that are not in the set."""
        place = bisect_right(self._stops, start)
        while start < stop:
            low = self._starts[place] if place < len(self._starts) else stop
            if start < low:
                yield start, min(low, stop)
            if place >= len(self._starts):
                return
            start = self._stops[place]
            place += 1
