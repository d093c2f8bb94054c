"""Statistics of series, kept as points arrive: what a summary needs without reading a point.

A row of the table ``stats`` is a page: what is known of up to 32 keys with neighbouring numbers, in columns, since keys that are logged
together are numbered together. See ``docs/format/runs.md``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from runstone.storage.index import View
from runstone.storage.state import State
from runstone.storage.tables import STATS

PAGE = 32
_RECORD = struct.Struct("<IIQQdddqqd")
HEAD = struct.Struct("<IIIIIB")
_FOUR = struct.Struct("<dddd")
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


def to_record(stat: Stat) -> bytes:
    """One key's numbers by themselves."""
    return _RECORD.pack(*stat)


def from_record(record: bytes) -> Stat:
    """What :func:`to_record` made bytes of."""
    return Stat(*_RECORD.unpack(record))


def pack(found: Iterable[Stat]) -> bytes:
    """A page."""
    held = sorted(found)
    several = [stat for stat in held if not _is_one(stat)]
    nans = [stat for stat in several if stat.nans]
    places = {place: at for at, place in enumerate(dict.fromkeys((stat.step, stat.time) for stat in held))}
    whole = _bits(stat for stat in held if stat.flags & INTEGER)
    overlap = _bits(stat for stat in held if stat.flags & OVERLAP)
    head = HEAD.pack(_bits(held), whole, overlap, _bits(several), _bits(nans), len(places))
    floats = [stat.value for stat in held]
    for column in (4, 5, 6):
        floats += [stat[column] for stat in several]
    wholes = [stat.points for stat in several] + [stat.nans for stat in nans]
    steps = [part for place in places for part in place]
    body = struct.pack(f"<{len(floats)}d{len(wholes)}Q{len(steps)}q", *floats, *wholes, *steps)
    return head + body + (bytes([places[stat.step, stat.time] for stat in held]) if len(places) > 1 else b"")


def unpack(number: int, page: bytes) -> dict[int, Stat]:
    """What a page says, by key; ``number`` is the page's."""
    if not page:
        return {}
    present, whole, overlap, more, unreal, places = HEAD.unpack_from(page)
    count, several, nans = present.bit_count(), more.bit_count(), unreal.bit_count()
    form = f"<{count + 3 * several}d{several + nans}Q{2 * places}q"
    numbers = struct.unpack_from(form, page, HEAD.size)
    where: Sequence[int] = page[HEAD.size + struct.calcsize(form) :] or bytes(count)
    minima, points = count, count + 3 * several
    amiss, steps = points + several, points + several + nans
    found, place = {}, 0
    for bit in range(PAGE):
        if not present >> bit & 1:
            continue
        key, value = number * PAGE + bit, numbers[place]
        flags = (whole >> bit & 1) * INTEGER | (overlap >> bit & 1) * OVERLAP
        step, time = numbers[steps + 2 * where[place]], numbers[steps + 2 * where[place] + 1]
        if more >> bit & 1:
            low, high, total = (
                numbers[minima], numbers[minima + several], numbers[minima + 2 * several]
            )  # fmt: skip
            unknown = unreal >> bit & 1
            lacking = numbers[amiss] if unknown else 0
            found[key] = Stat(key, flags, numbers[points], lacking, low, high, total, step, time, value)
            minima, points, amiss = minima + 1, points + 1, amiss + unknown
        else:
            found[key] = Stat(key, flags, 1, 0, value, value, value, step, time, value)
        place += 1
    return found


def _is_one(stat: Stat) -> bool:
    """Whether all that is known is one point."""
    return (
        stat.points == 1
        and not stat.nans
        and _FOUR.pack(*stat[4:7], stat.value) == _FOUR.pack(*[stat.value] * 4)
    )


def _bits(found: Iterable[Stat]) -> int:
    return sum(1 << stat.key % PAGE for stat in found)


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
            page = pages[number] = unpack(number, state.get(STATS, stream, number) or b"")
        page[key] = merged(page.get(key), stat._replace(key=key), low)
    for number, page in pages.items():
        state.put(STATS, stream, number, pack(page.values()))


def of(view: View | State, stream: int) -> dict[int, Stat]:
    """A stream's statistics by key."""
    found: dict[int, Stat] = {}
    for (_, number), page in view.scan(STATS, stream):
        found.update(unpack(number, page))
    return found


def latest(view: View, stream: int) -> list[tuple[int, float, int, int]]:
    """The latest point of each key of a stream: (key, value, time, step)."""
    found: list[tuple[int, float, int, int]] = []
    for (_, number), page in view.scan(STATS, stream):
        if not page:
            continue
        present, _, _, more, unreal, places = HEAD.unpack_from(page)
        count = present.bit_count()
        several, nans = more.bit_count(), unreal.bit_count()
        values = struct.unpack_from(f"<{count}d", page, HEAD.size)
        after = HEAD.size + 8 * (count + 4 * several + nans)
        steps = struct.unpack_from(f"<{2 * places}q", page, after)
        where: Sequence[int] = page[after + 16 * places :] or bytes(count)
        kept = [number * PAGE + bit for bit in range(PAGE) if present >> bit & 1]
        found += [
            (key, value, steps[2 * at + 1], steps[2 * at])
            for key, value, at in zip(kept, values, where, strict=True)
        ]
    return found
