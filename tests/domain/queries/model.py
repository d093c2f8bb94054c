"""The meaning of the query tree in plain Python, one row at a time: what the languages and the engine are held to."""

import math
import operator
import re
from functools import cmp_to_key

from runstone.query import And, Compare, Exists, Ids, In, IsNull, Match, Not, Or

OPERATORS = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def execute(query, rows):
    """The ids of the rows that a query finds, in its order. ``rows`` are fields by id; neither groups nor pages are asked here."""
    found = [row_id for row_id, row in rows.items() if matches(query.filter, row_id, row)]
    found.sort(reverse=True)
    for order in reversed(query.order):
        found.sort(key=cmp_to_key(lambda a, b, order=order: _ordered(rows[a], rows[b], order)))
    return found[: query.limit]


def matches(condition, row_id, row):
    match condition:
        case And(of):
            return all(matches(each, row_id, row) for each in of)
        case Or(of):
            return any(matches(each, row_id, row) for each in of)
        case Not(of):
            return not matches(of, row_id, row)
        case Ids(ids):
            return row_id in ids
        case Exists(field):
            return field in row
        case IsNull(field):
            return row.get(field) is None
    held = row.get(condition.field)
    if kind(held) in ("null", "other"):
        return False
    if condition.text:
        held = str(held)
    match condition:
        case Compare(_, op, value, text):
            return _compares(op, held, str(value) if text and value is not None else value)
        case In(_, values, text):
            return any(
                _compares("=", held, str(value) if text and value is not None else value) for value in values
            )
        case Match(_, how, pattern):
            return kind(held) == "text" and _fits(how, held, pattern)
    raise AssertionError(condition)


def kind(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    return {int: "number", float: "number", str: "text"}.get(type(value), "other")


def _compares(op, held, value):
    if kind(held) != kind(value):
        return False
    if kind(held) == "number" and (math.isnan(held) or math.isnan(value)):
        both = math.isnan(held) and math.isnan(value)
        return both if op == "=" else not both if op == "!=" else False
    return OPERATORS[op](held, value)


def _fits(how, held, pattern):
    if how == "contains":
        return pattern in held
    if how == "regex":
        return re.search(pattern, held) is not None
    if how == "ilike":
        held, pattern = held.lower(), pattern.lower()
    parts = "".join({"%": ".*", "_": "."}.get(each, re.escape(each)) for each in pattern)
    return re.fullmatch(parts, held, re.DOTALL) is not None


def _place(value):
    found = kind(value)
    if found == "number" and math.isnan(value):
        return 3
    return {"bool": 0, "number": 1, "text": 2, "other": 4, "null": 5}[found]


def _ordered(one, other, order):
    a, b = one.get(order.field), other.get(order.field)
    if (places := (_place(a), _place(b))) != (0, 0) and places[0] != places[1]:
        upside = -1 if order.descending and max(places) < 3 else 1
        return upside * (places[0] - places[1])
    if places[0] > 2 or a == b:
        return 0
    return (1 if a > b else -1) * (-1 if order.descending else 1)
