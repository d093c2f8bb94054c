"""Statistics of series, kept as points arrive: what a summary needs without reading a point.

A row of the table ``stats`` is a page: the records of up to 32 keys with neighbouring numbers, since keys that are logged together
are numbered together. A record is 72 little-endian bytes, see ``docs/format/runs.md``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from runstone.storage.index import View
from runstone.storage.state import State
from runstone.storage.tables import STATS

PAGE = 32
_RECORD = struct.Struct("<IIQQdddqqd")
INTEGER = 1
OVERLAP = 2


class Stat(NamedTuple):
    """One key's numbers in a stream.

    ``minimum``, ``maximum`` and ``total`` leave NaN out (NaN, NaN and 0 when there is nothing else). ``step``, ``time`` and ``value`` are
    the latest point: the greatest (step, time, value). ``flags``: INTEGER, the latest value was an integer; OVERLAP, points came at or
    before steps that were there, so that points and total may count a repeated point twice.
    """

    key: int
    flags: int
    points: int
    nans: int
    minimum: float
    maximum: float
    total: float
    step: int
    time: int
    value: float

    @property
    def mean(self) -> float:
        """The mean of what is not NaN; NaN of nothing."""
        there = self.points - self.nans
        return self.total / there if there else math.nan


def unpack(page: bytes) -> dict[int, Stat]:
    """The records of a page by key."""
    return {record[0]: Stat(*record) for record in _RECORD.iter_unpack(page)}


def pack(stats: Iterable[Stat]) -> bytes:
    """A page of records, by key."""
    return b"".join([_RECORD.pack(*stat) for stat in sorted(stats)])


def merged(old: Stat | None, new: Stat, low: int) -> Stat:
    """The statistics with those of a batch added; ``low`` is the batch's lowest step of the key."""
    if old is None:
        return new
    latest = max(old[7:], new[7:], key=_order)
    flags = (new if latest == new[7:] else old).flags & INTEGER
    flags |= (old.flags | new.flags) & OVERLAP
    if low <= old.step:
        flags |= OVERLAP
    return Stat(
        old.key,
        flags,
        old.points + new.points,
        old.nans + new.nans,
        _least(old.minimum, new.minimum),
        -_least(-old.maximum, -new.maximum),
        old.total + new.total,
        *latest,
    )


def _least(a: float, b: float) -> float:
    return b if a != a else a if b != b else min(a, b)


def _order(point: tuple[int, int, float]) -> tuple[int, int, bool, float]:
    step, time, value = point
    return (step, time, value != value, 0.0 if value != value else value)


def add(state: State, stream: int, found: Mapping[int, tuple[Stat, int]]) -> None:
    """Adds a batch's statistics (by key, each with its lowest step) to a stream's, in ``apply``."""
    pages: dict[int, dict[int, Stat]] = {}
    for key, (stat, low) in found.items():
        number = key // PAGE
        page = pages.get(number)
        if page is None:
            page = pages[number] = unpack(state.get(STATS, stream, number) or b"")
        page[key] = merged(page.get(key), stat._replace(key=key), low)
    for number, page in pages.items():
        state.put(STATS, stream, number, pack(page.values()))


def of(view: View | State, stream: int) -> dict[int, Stat]:
    """A stream's statistics by key."""
    found: dict[int, Stat] = {}
    for _, page in view.scan(STATS, stream):
        found.update(unpack(page))
    return found
