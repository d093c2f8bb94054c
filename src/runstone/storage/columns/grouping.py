"""Groups and their figures: codes for the rows of each part, sums by a kernel, then the parts' groups together."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from runstone._native import columns as kernels
from runstone.errors import Invalid, TooLarge
from runstone.query import MAX_LIMIT, Aggregate, Order, Query
from runstone.storage.columns import bitmaps, cursors, rows, scalars
from runstone.storage.columns.bitmaps import Array, Bits
from runstone.storage.columns.lanes import BoolLane, Column, Lane, NumberLane, TextLane
from runstone.storage.columns.parts import View

Codes = npt.NDArray[np.uint32]
Key = tuple[Any, ...]

#: One object, so that it is equal to itself as a part of a key.
NAN = math.nan
#: Booleans while groups are gathered: as keys, True and 1 are one.
_BOOLS = (b"false", b"true")


class Group:
    """A group: its values in the fields grouped by, and the figures asked for.

    A value is None where rows have none, an empty tuple where they have one that has no order; an integral number is an int.
    """

    __slots__ = ("figures", "key", "place")

    def __init__(self, key: Key, figures: tuple[int | float | None, ...], place: str) -> None:
        self.key, self.figures, self.place = key, figures, place

    def __repr__(self) -> str:
        return f"Group({self.key!r}, {self.figures!r})"


@dataclass
class Figures:
    """What is known of the numbers of a field in a group."""

    count: int = 0
    least: float = math.inf
    greatest: float = -math.inf
    sum: float = 0.0

    def add(self, more: Figures) -> None:
        """Takes in what is known of further numbers."""
        self.count += more.count
        self.least = min(self.least, more.least)
        self.greatest = max(self.greatest, more.greatest)
        self.sum += more.sum

    def of(self, function: str) -> int | float | None:
        """One of the functions; None if there is no number, but for the count."""
        if function == "count":
            return self.count
        if not self.count:
            return None
        if function == "mean":
            return self.sum / self.count
        return {"min": self.least, "max": self.greatest, "sum": self.sum}[function]


@dataclass
class Total:
    """A group while it is gathered."""

    rows: int = 0
    figures: dict[str, Figures] = field(default_factory=dict)


def check(query: Query) -> None:
    """Raises :class:`Invalid` when the order or an aggregate of a grouped query names nothing that there is."""
    for each in query.aggregates:
        if not each.field and each.function != "count":
            raise Invalid(f"{each.function} needs a field, as in {each.function}(summary.loss)")
    known = {*query.group, *(each.name for each in query.aggregates)}
    for order in query.order:
        if order.field not in known:
            raise Invalid(
                f"groups have no {order.field!r} to order by: name a field of the groups or an aggregate"
            )


def gather(view: View, mask: Bits, query: Query, column: Callable[[str], Column | None]) -> dict[Key, Total]:
    """The groups of the rows of a part's bitmap; :class:`TooLarge` when they are too many."""
    codes, size, keys = _codes(view.part.rows, mask, query.group, column)
    counts = np.zeros(size, np.int64)
    kernels.group_count(mask, codes, counts)
    there = np.flatnonzero(counts)
    if len(there) > MAX_LIMIT:
        raise _too_many()
    found: dict[Key, Total] = {}
    totals = {}
    for at, key, rows_of in zip(there.tolist(), keys(there), counts[there].tolist(), strict=True):
        totals[at] = total = found.setdefault(key, Total())
        total.rows += rows_of
    for name in {each.field for each in query.aggregates if each.field}:
        held = column(name)
        if held is not None and held.numbers is not None:
            _add_numbers(held.numbers, mask, codes, size, name, totals)
    return found


def add(into: dict[Key, Total], part: dict[Key, Total]) -> None:
    """Adds the groups of a part, which stay as they are; :class:`TooLarge` when they become too many."""
    for key, found in part.items():
        total = into.setdefault(key, Total())
        total.rows += found.rows
        for name, more in found.figures.items():
            total.figures.setdefault(name, Figures()).add(more)
    if len(into) > MAX_LIMIT:
        raise _too_many()


def _too_many() -> TooLarge:
    return TooLarge(f"there are more than {MAX_LIMIT} groups; filter, or group by fields with fewer values")


def _add_numbers(
    lane: NumberLane, mask: Bits, codes: Codes, groups: int, name: str, totals: dict[int, Total]
) -> None:
    if lane.positions is not None:
        inside = bitmaps.pack(bitmaps.unpack(mask, lane.rows)[lane.positions])
        codes = codes[lane.positions]
    else:
        inside = mask if lane.valid is None else mask & lane.valid
    counts = np.zeros(groups, np.int64)
    least, greatest, sums = np.zeros(groups), np.zeros(groups), np.zeros(groups)
    kernels.group_numbers(inside, codes, lane.numbers(), counts, least, greatest, sums)
    for at in np.flatnonzero(counts).tolist():
        more = Figures(int(counts[at]), float(least[at]), float(greatest[at]), float(sums[at]))
        totals[at].figures.setdefault(name, Figures()).add(more)


def _codes(
    count: int, mask: Bits, group: tuple[str, ...], column: Callable[[str], Column | None]
) -> tuple[Codes, int, Callable[[Array], list[Key]]]:
    """A code for each row of a part, how many codes there are, and what makes keys of codes; right for the rows of ``mask``."""
    fields = [FieldCodes(column(name), count, mask) for name in group]
    if not fields:
        return np.zeros(count, np.uint32), 1, lambda codes: [()] * len(codes)
    if len(fields) == 1:
        return fields[0].codes, fields[0].size, lambda codes: [(value,) for value in fields[0].values(codes)]
    places = bitmaps.positions(mask)
    combined, parts = fields[0].codes[places], [fields[0].codes[places]]
    for each in fields[1:]:
        parts.append(each.codes[places])
        # Made dense again at each step, so that products stay below 2^64.
        wide = combined.astype(np.uint64) * np.uint64(each.size) + parts[-1]
        _, first, combined = np.unique(wide, return_index=True, return_inverse=True)
    codes = np.zeros(count, np.uint32)
    codes[places] = combined

    def keys(wanted: Array) -> list[Key]:
        columns = (each.values(part[first[wanted]]) for each, part in zip(fields, parts, strict=True))
        return list(zip(*columns, strict=True))

    return codes, max(1, len(first)), keys


class FieldCodes:
    """A code for each row of a part by its value in one field; code 0 is that of rows without one."""

    def __init__(self, column: Column | None, count: int, mask: Bits) -> None:
        self.size = 1
        self._decoders: list[tuple[int, Callable[[Array], list[Any]]]] = [
            (0, lambda codes: [None] * len(codes))
        ]
        self.codes: Codes = np.zeros(count, np.uint32)
        if column is not None:
            for lane in column.lanes():
                if lane is not column.nulls:
                    self._add(lane, mask)

    def _add(self, lane: Lane, mask: Bits) -> None:
        codes, size, decoder = _lane_codes(lane)
        if lane.positions is None and lane.valid is None:
            np.add(codes, self.size, out=self.codes, dtype=np.uint32, casting="unsafe")
        else:
            places, slots = lane.filled()
            self.codes[places] = codes[slots].astype(np.uint32) + np.uint32(self.size)
        self._decoders.append((self.size, decoder))
        self.size += size

    def values(self, codes: Array) -> list[Any]:
        """The value of each of some codes."""
        found: list[Any] = [None] * len(codes)
        bases = [base for base, _ in self._decoders]
        which = np.searchsorted(np.array(bases), codes, "right") - 1
        for index, (base, decoder) in enumerate(self._decoders):
            where = np.flatnonzero(which == index)
            if len(where):
                for at, value in zip(
                    where.tolist(), decoder(codes[where].astype(np.int64) - base), strict=True
                ):
                    found[at] = value
        return found


def _lane_codes(lane: Lane) -> tuple[Array, int, Callable[[Array], list[Any]]]:
    """Codes for the slots of a lane, how many there are, and what makes values of them."""
    if isinstance(lane, TextLane):
        pool = lane.pool
        return lane.codes, len(pool), lambda codes: [scalars.decode(text) for text in pool.take(codes)]
    if isinstance(lane, NumberLane):
        table, codes = lane.table, lane.codes
        if table is None or codes is None:
            table, codes = np.unique(lane.numbers() + 0.0, return_inverse=True)
        return codes, len(table), lambda codes: [_shown(value) for value in table[codes].tolist()]
    if isinstance(lane, BoolLane):
        return (
            bitmaps.unpack(lane.values, lane.slots).view(np.uint8),
            2,
            lambda codes: [_BOOLS[code] for code in codes],
        )
    return np.zeros(lane.slots, np.uint8), 1, lambda codes: [scalars.UNORDERED] * len(codes)


def _shown(value: float) -> int | float:
    if value != value:
        return NAN
    return int(value) if value.is_integer() and abs(value) <= 2**53 else value


def finish(totals: dict[Key, Total], query: Query) -> list[Group]:
    """The groups in order, from the place ``after`` on, as many as asked for."""
    made = []
    for held, total in totals.items():
        key = tuple(value == _BOOLS[1] if isinstance(value, bytes) else value for value in held)
        figures = tuple(_figure(total, each) for each in query.aggregates)
        named = dict(zip(query.group, key, strict=True))
        named.update(zip((each.name for each in query.aggregates), figures, strict=True))
        # Groups that tie are told apart by their keys, ascending.
        values = [*(named[each.field] for each in query.order), *key]
        made.append((values, key, figures))
    turns = [*(each.descending for each in query.order), *(False for _ in query.group)]
    order = grouped_order(query)

    def sort_key(values: list[Any]) -> list[Any]:
        return [rows.value_key(value, turn) for value, turn in zip(values, turns, strict=True)]

    sortable = [(sort_key(values), at) for at, (values, _, _) in enumerate(made)]
    if query.after:
        values, _ = cursors.decode(query.after, order, len(turns))
        start = [cursors.stored_key(value, turn) for value, turn in zip(values, turns, strict=True)]
        sortable = [each for each in sortable if each[0] > start]
    sortable.sort()
    return [
        Group(made[at][1], made[at][2], cursors.encode(order, made[at][0], 0))
        for _, at in sortable[: query.limit]
    ]


def grouped_order(query: Query) -> tuple[Order, ...]:
    """What a cursor over groups is for."""
    return (*query.order, *(Order(f"group {name}") for name in query.group))


def _figure(total: Total, aggregate: Aggregate) -> int | float | None:
    if not aggregate.field:
        return total.rows
    return total.figures.get(aggregate.field, Figures()).of(aggregate.function)
