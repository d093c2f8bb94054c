"""The query tree asked of rows one by one, for small tables: conditions, orders and pages as :mod:`runstone.query` defines them."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cmp_to_key, lru_cache
from typing import Any, TypeVar

from runstone.query import And, Compare, Condition, Exists, Ids, In, IsNull, Match, Not, Or, Order

R = TypeVar("R")
Row = Mapping[str, Any]
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NAN, _OTHER, _NULL = 3, 4, 5


def matches(condition: Condition, row: Row, row_id: int = 0) -> bool:
    """Whether a row fulfils a condition."""
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
    held = row.get(condition.field)
    if isinstance(condition, IsNull):
        return held is None
    return _holds(condition, held)


def ordered(rows: Sequence[R], orders: Sequence[Order], fields: Callable[[R], Row]) -> list[R]:
    """Rows in an order; those that tie stay as they came."""
    found = list(rows)
    for order in reversed(orders):
        found.sort(key=cmp_to_key(_comparer(order, fields)))
    return found


def _holds(condition: Compare | In | Match, held: Any) -> bool:
    if _place(held) >= _OTHER:
        return False
    if condition.text:
        held = str(held)
    if isinstance(condition, Match):
        return isinstance(held, str) and _pattern(condition.how, condition.pattern)(held)
    if isinstance(condition, In):
        return any(_compares("=", held, _as_asked(value, condition.text)) for value in condition.values)
    return _compares(condition.op, held, _as_asked(condition.value, condition.text))


def _as_asked(value: Any, text: bool) -> Any:
    return str(value) if text and value is not None else value


def _compares(op: str, held: Any, value: Any) -> bool:
    places = _place(held), _place(value)
    if _NAN in places and {*places} <= {1, _NAN}:
        return (places[0] == places[1]) if op == "=" else (places[0] != places[1]) if op == "!=" else False
    return places[0] == places[1] and _OPERATORS[op](held, value)


@lru_cache(256)
def _pattern(how: str, pattern: str) -> Callable[[str], bool]:
    if how == "contains":
        return lambda text: pattern in text
    if how == "regex":
        expression = re.compile(pattern)
        return lambda text: expression.search(text) is not None
    if how == "ilike":
        pattern = pattern.lower()
    parts = "".join({"%": ".*", "_": "."}.get(each, re.escape(each)) for each in pattern)
    whole = re.compile(parts, re.DOTALL)
    if how == "ilike":
        return lambda text: whole.fullmatch(text.lower()) is not None
    return lambda text: whole.fullmatch(text) is not None


def _place(value: Any) -> int:
    """Where values of a type stand in an order: false and true, numbers, text, NaN, what has no order, nothing."""
    if value is None:
        return _NULL
    if isinstance(value, bool):
        return 0
    if isinstance(value, int | float):
        return _NAN if math.isnan(value) else 1
    return 2 if isinstance(value, str) else _OTHER


def _comparer(order: Order, fields: Callable[[R], Row]) -> Callable[[R, R], int]:
    def compare(one: R, other: R) -> int:
        a: Any = fields(one).get(order.field)
        b: Any = fields(other).get(order.field)
        places = _place(a), _place(b)
        if max(places) >= _NAN:
            return places[0] - places[1] if max(places) > 2 and places[0] != places[1] else 0
        found = places[0] - places[1] or (a > b) - (a < b)
        return -found if order.descending else found

    return compare
