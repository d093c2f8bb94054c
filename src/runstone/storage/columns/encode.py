"""From values to lanes: types apart, dictionaries sorted, and the layout that takes the least room."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from runstone.storage.columns import bitmaps, scalars
from runstone.storage.columns.bitmaps import Array, Positions
from runstone.storage.columns.lanes import BoolLane, Column, Floats, Lane, NumberLane, Pool, TextLane

#: Numbers get a table when they have at most so many distinct values, and a quarter of that in a sample does not say otherwise.
MAX_TABLE = 1 << 16
SAMPLE = 2048
#: From how many rows on that have the same fields it pays to turn them over together.
TOGETHER = 8


@dataclass
class FieldData:
    """The values of a field with the rows that have them, rows ascending within each type.

    Texts are codes into ``text_table``, which is sorted and distinct; ``integers`` says which numbers were ints.
    """

    number_rows: Positions | None = None
    numbers: Floats | None = None
    integers: npt.NDArray[np.bool_] | bool = False
    text_rows: Positions | None = None
    text_codes: Array | None = None
    text_table: Sequence[bytes] = ()
    bool_rows: Positions | None = None
    bools: npt.NDArray[np.bool_] | None = None
    null_rows: Positions | None = None
    other_rows: Positions | None = None


def column_of(data: FieldData, rows: int) -> Column | None:
    """The column of a field over so many rows; None if no row has it."""
    numbers = texts = bools = nulls = others = None
    if data.number_rows is not None and data.numbers is not None and len(data.number_rows):
        numbers = _number_lane(data.number_rows, data.numbers, data.integers, rows)
    if data.text_rows is not None and data.text_codes is not None and len(data.text_rows):
        texts = _text_lane(data.text_rows, data.text_codes, data.text_table, rows)
    if data.bool_rows is not None and data.bools is not None and len(data.bool_rows):
        lane = _layout(data.bool_rows, rows, 0)
        bools = BoolLane(**vars(lane), values=bitmaps.pack(_slots(lane, data.bool_rows, data.bools)))
    if data.null_rows is not None and len(data.null_rows):
        nulls = _layout(data.null_rows, rows, 0)
    if data.other_rows is not None and len(data.other_rows):
        others = _layout(data.other_rows, rows, 0)
    column = Column(rows, 0, numbers, texts, bools, nulls, others)
    count = sum(lane.count for lane in column.lanes())
    return Column(rows, count, numbers, texts, bools, nulls, others) if count else None


def _layout(places: Positions, rows: int, width: int) -> Lane:
    """The layout for a lane whose values take ``width`` bytes each: positions only where they take less than half the room."""
    if len(places) == rows:
        return Lane(rows, rows)
    if len(places) * (4 + width) * 2 < rows * width + rows // 8:
        return Lane(rows, len(places), positions=np.ascontiguousarray(places, np.uint32))
    return Lane(rows, len(places), valid=bitmaps.at(places, rows))


def _slots(lane: Lane, places: Positions, values: Array) -> Array:
    """Values one a slot."""
    if lane.slots == len(places):
        return np.ascontiguousarray(values)
    spread = np.zeros(lane.rows, values.dtype)
    spread[places] = values
    return spread


def _narrow(codes: Array, distinct: int) -> Array:
    width = np.uint8 if distinct <= 1 << 8 else np.uint16 if distinct <= 1 << 16 else np.uint32
    return codes.astype(width, copy=False)


def _number_lane(
    places: Positions, values: Floats, integers: npt.NDArray[np.bool_] | bool, rows: int
) -> NumberLane:
    coded = _table_of(values)
    held = values if coded is None else coded[0]
    lane = _layout(places, rows, held.itemsize)
    flags: Any = integers
    if not isinstance(flags, bool):
        flags = (
            bool(flags[0]) if flags.all() or not flags.any() else bitmaps.pack(_slots(lane, places, flags))
        )
    if coded is None:
        return NumberLane(**vars(lane), values=_slots(lane, places, values), integers=flags)
    return NumberLane(**vars(lane), codes=_slots(lane, places, coded[0]), table=coded[1], integers=flags)


def _table_of(values: Floats) -> tuple[Array, Floats] | None:
    """Codes and the table they point into, if numbers repeat enough for it to pay."""
    if len(values) > SAMPLE:
        sample = values[:: len(values) // SAMPLE + 1]
        if len(np.unique(sample)) > len(sample) // 2:
            return None
    # A table cannot tell -0.0 from 0.0.
    if bool(((values == 0) & np.signbit(values)).any()):
        return None
    table, codes = np.unique(values, return_inverse=True)
    if len(table) > MAX_TABLE:
        return None
    codes = _narrow(codes, len(table))
    if codes.nbytes + table.nbytes > values.nbytes * 3 // 4:
        return None
    return codes, table


def _text_lane(places: Positions, codes: Array, table: Sequence[bytes], rows: int) -> TextLane:
    held = _narrow(codes, len(table))
    lane = _layout(places, rows, held.itemsize)
    return TextLane(**vars(lane), codes=_slots(lane, places, held), pool=Pool.of(table))


def field_data(places: Sequence[int] | Positions, values: Sequence[Any]) -> FieldData:
    """The data of a field from its values, one for each row of ``places``."""
    rows = np.asarray(places, np.uint32)
    types = set(map(type, values))
    if len(types) == 1:
        only = types.pop()
        if only is float or only is int:
            return FieldData(number_rows=rows, numbers=_floats(values), integers=only is int)
        if only is str:
            return _texts(FieldData(), rows, values)
        if only is bool:
            return FieldData(bool_rows=rows, bools=np.array(values, np.bool_))
    kinds = np.fromiter(map(_lane_of, values), np.uint8, len(values))
    chosen = [np.flatnonzero(kinds == kind) for kind in range(5)]
    numbers, texts, bools = ([values[at] for at in where.tolist()] for where in chosen[:3])
    data = FieldData(
        number_rows=rows[chosen[0]],
        numbers=_floats(numbers),
        integers=np.fromiter((isinstance(value, int) for value in numbers), np.bool_, len(numbers)),
        bool_rows=rows[chosen[2]],
        bools=np.array(bools, np.bool_),
        null_rows=rows[chosen[3]],
        other_rows=rows[chosen[4]],
    )
    return _texts(data, rows[chosen[1]], texts)


def _lane_of(value: Any) -> int:
    kind = scalars.kind_of(value)
    if kind in (scalars.NUMBER, scalars.NAN):
        return 0
    return {scalars.TEXT: 1, scalars.BOOL: 2, scalars.MISSING: 3}.get(kind, 4)


def _floats(values: Sequence[Any]) -> Floats:
    try:
        found = np.array(values, np.float64)
    except (OverflowError, TypeError, ValueError):
        found = np.fromiter(map(scalars.as_number, values), np.float64, len(values))
    # One NaN, whatever bits it came with.
    found[np.isnan(found)] = np.nan
    return found


def _texts(data: FieldData, rows: Positions, values: Sequence[str]) -> FieldData:
    table = sorted(set(values))
    code = {text: at for at, text in enumerate(table)}
    data.text_rows = rows
    data.text_codes = np.fromiter(map(code.__getitem__, values), np.uint32, len(values))
    data.text_table = [scalars.encode(text) for text in table]
    return data


def shred(rows: Sequence[dict[str, Any]]) -> dict[str, tuple[Positions, list[Any]]]:
    """The values of each field of some rows, with the indices of the rows that have it, ascending."""
    shapes: dict[tuple[str, ...], list[int]] = {}
    for at, row in enumerate(rows):
        shapes.setdefault(tuple(row), []).append(at)
    found: dict[str, tuple[list[int], list[Any]]] = {}
    for names, places in shapes.items():
        # Rows with the same fields in one order are turned over together, which takes a quarter of the time.
        taken = [found.setdefault(name, ([], [])) for name in names]
        if len(places) < TOGETHER:
            for at in places:
                for held, value in zip(taken, rows[at].values(), strict=True):
                    held[0].append(at)
                    held[1].append(value)
        else:
            for held, values in zip(
                taken, zip(*(rows[at].values() for at in places), strict=True), strict=True
            ):
                held[0].extend(places)
                held[1].extend(values)
    return {name: _by_place(*found.pop(name)) for name in list(found)}


def _by_place(places: list[int], values: list[Any]) -> tuple[Positions, list[Any]]:
    found = np.array(places, np.uint32)
    order = np.argsort(found, kind="stable")
    if (np.diff(order) == 1).all():
        return found, values
    return found[order], [values[at] for at in order.tolist()]


def fields_of(rows: Sequence[dict[str, Any]]) -> dict[str, FieldData]:
    """Every field of some rows."""
    shredded = shred(rows)
    return {name: field_data(*shredded.pop(name)) for name in list(shredded)}


def columns_of(fields: dict[str, FieldData], rows: int) -> Iterable[tuple[bytes, Column]]:
    """Fields of so many rows as columns, by ascending name; takes them out of ``fields`` one by one, to have less in memory."""
    for name, key in sorted((scalars.encode(name), name) for name in fields):
        column = column_of(fields.pop(key), rows)
        if column is not None:
            yield name, column
