"""Conditions over the columns of one part, as bitmaps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from runstone._native import columns as kernels
from runstone.errors import TooLarge
from runstone.query import (
    MAX_CONDITIONS,
    MAX_DEPTH,
    And,
    Compare,
    Condition,
    Exists,
    Ids,
    In,
    IsNull,
    Match,
    Not,
    Operator,
    Or,
)
from runstone.storage.columns import bitmaps, patterns, scalars, textual
from runstone.storage.columns.bitmaps import Bits
from runstone.storage.columns.lanes import BoolLane, Column, NumberLane, Pool, TextLane
from runstone.storage.columns.parts import Part, View

OPERATORS: dict[Operator, int] = {"=": 0, "!=": 1, "<": 2, "<=": 3, ">": 4, ">=": 5}
#: So few values are compared one by one, and so few texts are matched without asking who uses them.
FEW = 8
#: More candidates than this are worth another scan before RE2 is asked, which takes about a microsecond each.
MANY = 1000
#: How many texts are matched between two looks at the clock, and how long one column of one part may take.
BATCH = 1 << 14
SECONDS = 5.0
#: How many needles a pool remembers: a bit for each of its texts.
KEPT_NEEDLES = 8

Columns = Callable[[str], Column | None]


def check(condition: Condition) -> None:
    """Raises when a condition is nested too deeply, has too many parts, or has a pattern that cannot be used."""
    count, level = 0, [condition]
    for _ in range(MAX_DEPTH):
        below: list[Condition] = []
        for each in level:
            count += 1
            if isinstance(each, (And, Or)):
                below += each.of
            elif isinstance(each, Not):
                below.append(each.of)
            elif isinstance(each, Match):
                patterns.compile_match(each)
        if count > MAX_CONDITIONS:
            raise TooLarge(f"a filter has at most {MAX_CONDITIONS} conditions; ask with fewer")
        if not below:
            return
        level = below
    raise TooLarge(f"conditions are nested at most {MAX_DEPTH} deep; ask with fewer levels")


def find(condition: Condition, view: View, column: Columns) -> Bits:
    """The live rows of a view that fulfil a condition, which :func:`check` has let pass."""
    return Filter(view.part, column).of(condition, view.live) & view.live


class Filter:
    """Evaluates conditions over one part. What is found outside of the candidates of a step means nothing."""

    def __init__(self, part: Part, column: Columns) -> None:
        self.part, self.column = part, column
        self.rows = part.rows

    def of(self, condition: Condition, among: Bits) -> Bits:
        """The rows that fulfil a condition; right where ``among`` has a row."""
        if isinstance(condition, And):
            for each in sorted(condition.of, key=cost):
                among = among & self.of(each, among)
            return among
        if isinstance(condition, Or):
            found = bitmaps.none(self.rows)
            for each in sorted(condition.of, key=cost):
                found |= self.of(each, among & ~found) & among
            return found
        if isinstance(condition, Not):
            return among & ~self.of(condition.of, among)
        if isinstance(condition, Ids):
            return self._ids(condition)
        column = self.column(condition.field)
        if isinstance(condition, IsNull):
            return bitmaps.every(self.rows) if column is None else ~column.present(nulls=False)
        if column is None:
            return bitmaps.none(self.rows)
        if isinstance(condition, Exists):
            return column.present()
        if isinstance(condition, Match):
            return self._match(condition, column, among)
        if condition.text:
            return self._by_text(condition, column, among)
        if isinstance(condition, Compare):
            return self._compare(column, condition.op, condition.value)
        return self._any(column, condition.values)

    def _ids(self, condition: Ids) -> Bits:
        wanted = [each for each in condition.ids if -(2**63) <= each < 2**63]
        places = View(self.part, bitmaps.none(0), 0).places(np.array(sorted(set(wanted)), np.int64))  # type: ignore[arg-type]
        return bitmaps.at(places, self.rows)

    def _compare(self, column: Column, op: Operator, value: Any) -> Bits:
        kind = scalars.kind_of(value)
        if kind == scalars.TEXT and column.texts is not None:
            return compare_texts(column.texts, op, scalars.encode(value))
        if kind in (scalars.NUMBER, scalars.NAN) and column.numbers is not None:
            return compare_numbers(column.numbers, op, scalars.as_number(value))
        if kind == scalars.BOOL and column.bools is not None:
            return compare_bools(column.bools, op, value)
        return bitmaps.none(self.rows)

    def _any(self, column: Column, values: tuple[Any, ...]) -> Bits:
        found = bitmaps.none(self.rows)
        texts = {scalars.encode(value) for value in values if isinstance(value, str)}
        if texts and column.texts is not None:
            found |= texts_among(column.texts, texts)
        numbers = {
            scalars.as_number(value)
            for value in values
            if scalars.kind_of(value) in (scalars.NUMBER, scalars.NAN)
        }
        if numbers and column.numbers is not None:
            found |= numbers_among(column.numbers, numbers)
        for value in (False, True):
            if column.bools is not None and any(each is value for each in values):
                found |= compare_bools(column.bools, "=", value)
        return found

    def _match(self, condition: Match, column: Column, among: Bits) -> Bits:
        pattern = patterns.compile_match(condition)
        found = bitmaps.none(self.rows)
        if column.texts is not None:
            found |= match_texts(column.texts, pattern, among)
        if condition.text:
            found |= textual.matching(column, pattern.search, among)
        return found

    def _by_text(self, condition: Compare | In, column: Column, among: Bits) -> Bits:
        if isinstance(condition, Compare):
            wanted = {scalars.text_of(condition.value)}
            op = condition.op
        else:
            wanted, op = {scalars.text_of(value) for value in condition.values}, "="
        texts = [each for each in wanted if each is not None]
        found = bitmaps.none(self.rows)
        if not texts:
            return found
        if column.texts is not None:
            if op == "=":
                found |= texts_among(column.texts, set(map(scalars.encode, texts)))
            else:
                found |= compare_texts(column.texts, op, scalars.encode(texts[0]))
        if op == "=":
            return found | textual.equal(column, texts)
        if op == "!=":
            return found | (textual.scalars_present(column) & ~textual.equal(column, texts))
        return found | textual.ordered(column, op, scalars.encode(texts[0]), among)


def cost(condition: Condition) -> int:
    """How dear a condition is, roughly: dear ones come last, when few rows are left."""
    if isinstance(condition, (And, Or)):
        return max((cost(each) for each in condition.of), default=0)
    if isinstance(condition, Not):
        return cost(condition.of)
    if isinstance(condition, Match):
        return 4 if condition.text else 2 if condition.how == "contains" else 3
    return 1 if isinstance(condition, (Compare, In)) else 0


def in_range(lane: NumberLane | TextLane, low: int, high: int) -> Bits:
    """The rows of a lane whose codes lie in a range."""
    out = bitmaps.blank(lane.slots)
    kernels.in_range(lane.codes, low, max(low, high), out)
    return lane.spread(out)


def in_set(lane: NumberLane | TextLane, accepted: Bits) -> Bits:
    """The rows of a lane whose codes are in a set."""
    out = bitmaps.blank(lane.slots)
    kernels.in_set(lane.codes, accepted, out)
    return lane.spread(out)


def compare_bools(lane: BoolLane, op: Operator, value: bool) -> Bits:
    """Booleans against one: false is less than true."""
    accepts = [each for each in (False, True) if _ORDERED[op](each, value)]
    if len(accepts) == 2:
        return lane.present()
    if not accepts:
        return bitmaps.none(lane.rows)
    return lane.spread(lane.values.copy() if accepts[0] else ~lane.values & bitmaps.every(lane.slots))


_ORDERED: dict[Operator, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def compare_numbers(lane: NumberLane, op: Operator, value: float) -> Bits:
    """Numbers against one; only = and != find anything by or of NaN."""
    if lane.table is not None:
        return _compare_table(lane, lane.table, op, value)
    assert lane.values is not None
    out = bitmaps.blank(lane.slots)
    if value != value:
        if op not in ("=", "!="):
            return bitmaps.none(lane.rows)
        # A number that is not itself is NaN.
        out = bitmaps.pack(np.isnan(lane.values) == (op == "="))
    else:
        kernels.compare(lane.values, OPERATORS[op], value, out)
    return lane.spread(out)


def _compare_table(lane: NumberLane, table: Any, op: Operator, value: float) -> Bits:
    size = len(table)
    ordered = size - 1 if math.isnan(table[-1]) else size
    if value != value:
        low, high = (ordered, size) if op in ("=", "!=") else (0, 0)
    else:
        low, high = (int(np.searchsorted(table[:ordered], value, side)) for side in ("left", "right"))
    if op in ("=", "!="):
        found = in_range(lane, low, high)
        return found if op == "=" else lane.present() & ~found
    ranges = {"<": (0, low), "<=": (0, high), ">": (high, ordered), ">=": (low, ordered)}
    return bitmaps.none(lane.rows) if value != value else in_range(lane, *ranges[op])


def numbers_among(lane: NumberLane, values: set[float]) -> Bits:
    """Numbers that equal one of some."""
    wanted = np.array(sorted(values, key=lambda value: (value != value, value)), np.float64)
    if lane.table is not None:
        accepted = np.isin(lane.table, wanted)
        if np.isnan(wanted).any():
            accepted |= np.isnan(lane.table)
        return in_set(lane, bitmaps.pack(accepted))
    assert lane.values is not None
    if len(wanted) <= FEW:
        found = bitmaps.none(lane.rows)
        for value in wanted.tolist():
            found |= compare_numbers(lane, "=", value)
        return found
    flags = np.isin(lane.values, wanted)
    if np.isnan(wanted).any():
        flags |= np.isnan(lane.values)
    return lane.spread(bitmaps.pack(flags))


def compare_texts(lane: TextLane, op: Operator, value: bytes) -> Bits:
    """Texts against one, by code point."""
    pool = lane.pool
    low = pool.lower_bound(value)
    high = low + (low < len(pool) and pool.get(low) == value)
    if op == "!=":
        return lane.present() & ~in_range(lane, low, high)
    ranges = {
        "=": (low, high),
        "<": (0, low),
        "<=": (0, high),
        ">": (high, len(pool)),
        ">=": (low, len(pool)),
    }
    return in_range(lane, *ranges[op])


def texts_among(lane: TextLane, values: set[bytes]) -> Bits:
    """Texts that equal one of some."""
    pool = lane.pool
    found = []
    for value in values:
        at = pool.lower_bound(value)
        if at < len(pool) and pool.get(at) == value:
            found.append(at)
    if len(found) < 2:
        return in_range(lane, found[0], found[0] + 1) if found else bitmaps.none(lane.rows)
    return in_set(lane, bitmaps.at(np.array(found), len(pool)))


def match_texts(lane: TextLane, pattern: patterns.Pattern, among: Bits) -> Bits:
    """Texts that match a pattern, of the rows that are still candidates."""
    low, high = 0, len(lane.pool)
    if pattern.prefix:
        low = lane.pool.lower_bound(pattern.prefix)
        high = lane.pool.after_prefix(pattern.prefix, low)
        if pattern.whole or low == high:
            return in_range(lane, low, high)
    elif pattern.whole:
        return lane.present()
    return in_set(lane, entries_matching(lane, pattern, low, high, among))


def entries_matching(lane: TextLane, pattern: patterns.Pattern, low: int, high: int, among: Bits) -> Bits:
    """The codes from ``low`` to ``high`` whose texts match; right for those that candidates have."""
    pool = lane.pool
    accepted = bitmaps.none(len(pool))
    codes = np.arange(low, high, dtype=np.uint32)
    if pattern.needles:
        sure = _containing(pool, pattern.needles[0], pattern.fold, accepted) and pattern.exact
        if sure:
            for extra in pattern.beyond:
                also = bitmaps.blank(len(pool))
                _containing(pool, extra, False, also)
                accepted |= _searched(pool, bitmaps.positions(also & ~accepted), pattern)
            return accepted
        for needle in pattern.needles[1:]:
            if kernels.count(accepted) > MANY:
                also = bitmaps.blank(len(pool))
                _containing(pool, needle, pattern.fold, also)
                accepted &= also
        codes = bitmaps.positions(accepted)
        codes = codes[(codes >= low) & (codes < high)]
    if len(codes) > FEW:
        codes = codes[bitmaps.unpack(_used(lane, among), len(pool))[codes]]
    return _searched(pool, codes, pattern)


def _containing(pool: Pool, needle: bytes, fold: bool, out: Bits) -> bool:
    """Writes the codes whose texts have a needle in them; whether exactly those. The pool keeps its last answers: pages ask again."""
    held = pool.found.get((needle, fold))
    if held is None:
        exact = kernels.find(pool.data, pool.offsets, np.frombuffer(needle, np.uint8), fold, out)
        while len(pool.found) >= KEPT_NEEDLES:
            pool.found.pop(list(pool.found)[0], None)  # noqa: RUF015 - an iterator would break when another thread adds
        pool.found[needle, fold] = held = (out.copy(), exact)
    np.copyto(out, held[0])
    return held[1]


def _used(lane: TextLane, among: Bits) -> Bits:
    """The codes that candidates have."""
    flags = np.zeros(len(lane.pool), np.bool_)
    if lane.positions is not None:
        flags[lane.codes[bitmaps.unpack(among, lane.rows)[lane.positions]]] = True
    else:
        present = among if lane.valid is None else among & lane.valid
        flags[lane.codes[bitmaps.positions(present)]] = True
    return bitmaps.pack(flags)


def _searched(pool: Pool, codes: bitmaps.Positions, pattern: patterns.Pattern) -> Bits:
    """Those of some codes whose texts match: many are handed to RE2 at once where Arrow is installed, which has one too."""
    if len(codes) > BATCH and pattern.expression and (arrow := _arrow()) is not None:
        found: Bits = arrow.matching(pool, codes, pattern.expression)
        return found
    until, hits = time.monotonic() + SECONDS, []
    for first in range(0, len(codes), BATCH):
        some = codes[first : first + BATCH]
        hits += [
            code for code, text in zip(some.tolist(), pool.take(some), strict=True) if pattern.search(text)
        ]
        if time.monotonic() > until:
            raise TooLarge(
                f"the pattern was matched for {SECONDS:g} s and there are texts left: let it have some letters in it that every match has"
            )
    return bitmaps.at(np.array(hits, np.int64), len(pool))


def _arrow() -> ModuleType | None:
    """The module that works with Arrow; None where Arrow is not installed."""
    try:
        from runstone.storage.columns import arrow
    except ImportError:
        return None
    return arrow
