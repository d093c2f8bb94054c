"""Numbers and booleans by their text, as Python prints them: for conditions with ``text``. Texts themselves are not looked at here."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from runstone.query import Operator
from runstone.storage.columns import bitmaps, scalars
from runstone.storage.columns.bitmaps import Bits, Positions
from runstone.storage.columns.lanes import BoolLane, Column, Lane, NumberLane, TextLane


def scalars_present(column: Column) -> Bits:
    """The rows that have a number or a boolean."""
    found = bitmaps.none(column.rows)
    for lane in (column.numbers, column.bools):
        if lane is not None:
            found |= lane.present()
    return found


def equal(column: Column, texts: Iterable[str]) -> Bits:
    """The numbers and booleans that are printed as one of some texts."""
    wanted = set(texts)
    found = _bools(column, lambda text: text.decode() in wanted)
    if column.numbers is None:
        return found
    floats, ints = [], []
    for text in wanted:
        value = _parsed(text)
        if value is not None:
            floats += [value] if scalars.number_text(value, False) == text else []
            ints += [value] if scalars.number_text(value, True) == text else []
    return found | _numbers(column.numbers, floats, ints)


def _parsed(text: str) -> float | None:
    # What int() takes is not what is printed, but number_text is asked after this; long digits would take it quadratic time.
    if len(text) > 400:
        return None
    try:
        return scalars.as_number(int(text)) if text.lstrip("-").isdigit() else float(text)
    except ValueError:
        return None


def _numbers(lane: NumberLane, floats: list[float], ints: list[float]) -> Bits:
    """The rows whose number is one of some, bit for bit, as a float and as an int."""
    flags = np.zeros(lane.slots, np.bool_)
    integers = lane.integer_flags()
    numbers = lane.numbers()
    # 0 that was an int is never -0.0; bits tell floats apart.
    bits = numbers.view(np.int64)
    for wanted, among in ((floats, ~integers), (ints, integers)):
        if wanted:
            flags |= np.isin(bits, np.array(wanted, np.float64).view(np.int64)) & among
    return lane.spread(bitmaps.pack(flags))


def _bools(column: Column, accept: Callable[[bytes], bool]) -> Bits:
    found = bitmaps.none(column.rows)
    lane = column.bools
    if lane is not None:
        if accept(b"True"):
            found |= lane.spread(lane.values.copy())
        if accept(b"False"):
            found |= lane.spread(~lane.values & bitmaps.every(lane.slots))
    return found


def matching(column: Column, accept: Callable[[bytes], bool], among: Bits) -> Bits:
    """The numbers and booleans whose text is accepted, of the rows that are still candidates; each distinct one is asked once."""
    found = _bools(column, accept)
    lane = column.numbers
    if lane is None:
        return found
    rows, slots = lane.filled()
    wanted = bitmaps.unpack(among, column.rows)[rows]
    rows = rows[wanted]
    bits = lane.numbers()[slots][wanted].view(np.int64)
    integers = lane.integer_flags()[slots][wanted]
    hits = np.zeros(column.rows, np.bool_)
    for integer in (False, True):
        chosen = np.flatnonzero(integers == integer)
        distinct, code = np.unique(bits[chosen], return_inverse=True)
        texts = (scalars.number_text(value, integer) for value in distinct.view(np.float64).tolist())
        accepted = np.fromiter((accept(text.encode()) for text in texts), np.bool_, len(distinct))
        hits[rows[chosen[accepted[code]]]] = True
    return found | bitmaps.pack(hits)


def ordered(column: Column, op: Operator, wanted: bytes, among: Bits) -> Bits:
    """The numbers and booleans whose text stands in an order to another text."""
    accept: dict[str, Callable[[bytes], bool]] = {
        "<": lambda text: text < wanted,
        "<=": lambda text: text <= wanted,
        ">": lambda text: text > wanted,
        ">=": lambda text: text >= wanted,
    }
    return matching(column, accept[op], among)


def texts_of(lane: Lane) -> tuple[Positions, list[str]]:
    """The rows of a lane and the text of each."""
    rows, slots = lane.filled()
    if isinstance(lane, NumberLane):
        numbers, integers = lane.numbers()[slots].tolist(), lane.integer_flags()[slots].tolist()
        return rows, [scalars.number_text(value, flag) for value, flag in zip(numbers, integers, strict=True)]
    if isinstance(lane, BoolLane):
        return rows, [str(value) for value in bitmaps.unpack(lane.values, lane.slots)[slots].tolist()]
    assert isinstance(lane, TextLane)
    return rows, [scalars.decode(text) for text in lane.pool.take(lane.codes[slots].astype("int64"))]
