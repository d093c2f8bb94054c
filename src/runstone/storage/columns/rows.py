"""Conditions and orders of :mod:`runstone.query` over single rows, one by one: for small listings that have no columns.

This module says the same as the columns do, loads no numpy, and costs microseconds a row.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from runstone.query import And, Compare, Condition, Exists, Ids, IsNull, Match, Not, Operator, Or, Order
from runstone.storage.columns import patterns, scalars

R = TypeVar("R")
Row = Mapping[str, Any]

_COMPARE: dict[Operator, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def matches(condition: Condition, row: Row, row_id: int = -1) -> bool:
    """Whether a row fulfils a condition; ``row_id`` is what :class:`runstone.query.Ids` looks at."""
    if isinstance(condition, And):
        return all(matches(each, row, row_id) for each in condition.of)
    if isinstance(condition, Or):
        return any(matches(each, row, row_id) for each in condition.of)
    if isinstance(condition, Not):
        return not matches(condition.of, row, row_id)
    if isinstance(condition, Ids):
        return row_id in condition.ids
    if isinstance(condition, Exists):
        return condition.field in row
    value = row.get(condition.field)
    if isinstance(condition, IsNull):
        return value is None
    if condition.text:
        value = scalars.text_of(value)
    if value is None:
        return False
    if isinstance(condition, Match):
        search = patterns.compile_match(condition).search
        return isinstance(value, str) and bool(search(scalars.encode(value)))
    if isinstance(condition, Compare):
        return compares(value, condition.op, _wanted(condition.value, condition.text))
    return any(compares(value, "=", _wanted(each, condition.text)) for each in condition.values)


def _wanted(value: Any, text: bool) -> Any:
    return scalars.text_of(value) if text else value


def compares(value: Any, op: Operator, wanted: Any) -> bool:
    """A value against another; false when their types differ."""
    kinds = {scalars.BOOL: 0, scalars.NUMBER: 1, scalars.NAN: 1, scalars.TEXT: 2}
    kind = kinds.get(scalars.kind_of(value))
    if kind is None or kinds.get(scalars.kind_of(wanted)) != kind:
        return False
    if kind == 1:
        value, wanted = scalars.as_number(value), scalars.as_number(wanted)
        if wanted != wanted and op in ("=", "!="):
            return bool(value != value) == (op == "=")
    elif kind == 2:
        value, wanted = scalars.encode(value), scalars.encode(wanted)
    return _COMPARE[op](value, wanted)


@functools.total_ordering
class Descending:
    """A value whose order is turned over."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Descending) and bool(self.value == other.value)

    def __lt__(self, other: Descending) -> bool:
        return bool(other.value < self.value)

    def __hash__(self) -> int:
        return hash(self.value)


def value_key(value: Any, descending: bool = False) -> tuple[int, Any]:
    """A key that sorts values as an order does, smallest first."""
    kind = scalars.kind_of(value)
    if kind >= scalars.NAN:
        return kind, 0
    if kind == scalars.NUMBER:
        value = scalars.as_number(value)
    elif kind == scalars.TEXT:
        value = scalars.encode(value)
    return (-kind, Descending(value)) if descending else (kind, value)


def ordered(rows: Sequence[R], order: Sequence[Order], fields: Callable[[R], Row]) -> list[R]:
    """Rows in an order; those that tie stay as they came."""
    return sorted(
        rows,
        key=lambda row: [value_key(fields(row).get(each.field), each.descending) for each in order],
    )
