"""A plain Python model of a table: dicts, sorted lists, and the words of runstone/query.py; knows nothing of columns."""

import math
import re
from functools import cmp_to_key

import numpy as np
import re2

from runstone.query import And, Compare, Exists, Ids, IsNull, Match, Not, Or
from runstone.storage.columns import encode


class Rows:
    """A source of rows: what was put in last, with a sequence number a change."""

    def __init__(self):
        self.held, self.at, self.seq = {}, {}, 0
        self.calls = 0

    def put(self, row_id, row):
        self.seq += 1
        self.held[row_id], self.at[row_id] = row, self.seq

    def drop(self, row_id):
        if row_id in self.at:
            self.put(row_id, None)

    def live(self):
        return {row_id: row for row_id, row in self.held.items() if row is not None}

    def changes(self, after, limit):
        return sorted((seq, row_id) for row_id, seq in self.at.items() if seq > after)[:limit]

    def rows(self, ids):
        self.calls += 1
        return [self.held.get(row_id) for row_id in ids]

    def fields(self, ids):
        self.calls += 1
        kept = [row_id for row_id in ids if self.held.get(row_id) is not None]
        return np.array(kept, np.int64), encode.fields_of([self.held[row_id] for row_id in kept])


def kind(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return "text" if isinstance(value, str) else "other"


def number(value):
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def text(value):
    if kind(value) == "number":
        as_float = number(value)
        return str(int(as_float)) if isinstance(value, int) and math.isfinite(as_float) else repr(as_float)
    return str(value) if kind(value) in ("text", "bool") else None


def equal(a, b):
    if kind(a) != kind(b) or kind(a) in ("null", "other"):
        return False
    if kind(a) == "number":
        a, b = number(a), number(b)
        return a == b or (a != a and b != b)
    return a == b


def compare(value, op, wanted):
    if kind(value) != kind(wanted) or kind(value) in ("null", "other"):
        return False
    if op == "=":
        return equal(value, wanted)
    if op == "!=":
        return not equal(value, wanted)
    if kind(value) == "number":
        value, wanted = number(value), number(wanted)
    return {"<": value < wanted, "<=": value <= wanted, ">": value > wanted, ">=": value >= wanted}[op]


def like(pattern, value, fold):
    parts = {"%": "(?s:.*)", "_": "(?s:.)"}
    expression = "".join(parts.get(char) or re.escape(char) for char in pattern)
    return re.fullmatch(expression, value, re.IGNORECASE if fold else 0) is not None


def match(condition, value):
    if condition.text:
        value = text(value)
    if not isinstance(value, str):
        return False
    if condition.how == "contains":
        return condition.pattern in value
    if condition.how == "regex":
        return re2.search(condition.pattern, value) is not None
    return like(condition.pattern, value, condition.how == "ilike")


def matches(condition, row, row_id):
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
    if isinstance(condition, Match):
        return match(condition, value)
    if condition.text:
        value = text(value)
    values = [condition.value] if isinstance(condition, Compare) else condition.values
    op = condition.op if isinstance(condition, Compare) else "="
    return any(compare(value, op, text(each) if condition.text else each) for each in values)


def last(value):
    """Where a value stands that an order puts last in both directions; 0 for one that it puts in its place."""
    return {"null": 3, "other": 2}.get(kind(value), 1 if value != value else 0)


def sign(a, b):
    return (a > b) - (a < b)


def in_order(a, b, descending):
    """Negative when value `a` comes before `b`."""
    if last(a) or last(b):
        return sign(last(a), last(b))
    places = {"bool": 0, "number": 1, "text": 2}
    found = sign(places[kind(a)], places[kind(b)])
    if not found:
        found = sign(number(a), number(b)) if kind(a) == "number" else sign(a, b)
    return -found if descending else found


def ordered(rows, order):
    """The ids of rows (id -> row) as a query orders them."""

    def by(a, b):
        for each in order:
            found = in_order(rows[a].get(each.field), rows[b].get(each.field), each.descending)
            if found:
                return found
        return sign(b, a)

    return sorted(rows, key=cmp_to_key(by))


def answer(rows, query, visible=lambda field: True):
    """All ids that a query finds, in order."""
    seen = {row_id: {f: v for f, v in row.items() if visible(f)} for row_id, row in rows.items()}
    return ordered({i: row for i, row in seen.items() if matches(query.filter, row, i)}, query.order)


def group_value(value):
    if kind(value) == "other":
        return ()
    if kind(value) == "number":
        as_float = number(value)
        return "NaN" if as_float != as_float else ("number", as_float)
    return (kind(value), value)


def figure(aggregate, rows):
    if not aggregate.field:
        return len(rows)
    values = [row.get(aggregate.field) for row in rows]
    values = [number(value) for value in values if kind(value) == "number" and value == value]
    if aggregate.function == "count":
        return len(values)
    if not values:
        return None
    if aggregate.function in ("min", "max"):
        return {"min": min, "max": max}[aggregate.function](values)
    return sum(values) / (len(values) if aggregate.function == "mean" else 1)


def groups(rows, query, visible=lambda field: True):
    """The groups that a query finds: key -> figures."""
    found = {}
    for row_id in answer(rows, query, visible):
        row = {f: v for f, v in rows[row_id].items() if visible(f)}
        found.setdefault(tuple(group_value(row.get(field)) for field in query.group), []).append(row)
    return {key: tuple(figure(each, held) for each in query.aggregates) for key, held in found.items()}
