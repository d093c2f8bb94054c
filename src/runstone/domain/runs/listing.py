"""Runs of a project that a condition finds, in an order: asked of each run in turn."""

from __future__ import annotations

import functools
import operator
import re
from typing import Any

from runstone.domain import fields
from runstone.domain.context import Context
from runstone.domain.runs import finding, table
from runstone.domain.store import Store
from runstone.query import And, Condition, Exists, Ids, In, IsNull, Match, Not, Or, Order
from runstone.storage.tables import RUN_NAMES

#: Names that a condition may use for the fields of :func:`table.row`.
NAMES = {"id": "name", "name": "display_name", "heartbeat": "updated"}
_OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def find(
    store: Store, ctx: Context, project: str, condition: Condition, order: tuple[Order, ...] = ()
) -> list[str]:
    """The names of a project's runs (``namespace/project/run``) that a condition finds; ties come newest first."""
    found: list[tuple[dict[str, Any], str]] = []
    with store.index.read() as view:
        place = finding.project(store, view, ctx, project)
        hidden = fields.hidden_from(store, view, ctx, place)
        for (_, name), run_id in view.scan(RUN_NAMES, place.project.id):
            row = table.row(view, run_id)
            if row is None or row["deleted"]:
                continue
            seen = {field: value for field, value in row.items() if not fields.covers(hidden, field)}
            if _holds(condition, seen):
                found.append((seen, f"{place.namespace.name}/{place.project.name}/{name}"))
    found.sort(key=lambda each: -each[0]["id"])
    for each in reversed(order):
        found.sort(key=functools.partial(_rank, each))
    return [name for _, name in found]


def _value(row: dict[str, Any], field: str) -> Any:
    return row.get(NAMES.get(field, field))


def _rank(order: Order, found: tuple[dict[str, Any], str]) -> tuple[int, Any]:
    value = _value(found[0], order.field)
    sign = -1 if order.descending else 1
    if isinstance(value, int | float):
        if value != value:
            return 50, 0
        return (20 + sign * (5 if isinstance(value, bool) else 6), sign * value)
    if isinstance(value, str):
        return 20 + sign * 7, tuple(sign * ord(letter) for letter in value) + ((float("inf"),) * (sign < 0))
    return (80, 0) if value is None else (60, 0)


def _holds(condition: Condition, row: dict[str, Any]) -> bool:
    if isinstance(condition, And):
        return all(_holds(each, row) for each in condition.of)
    if isinstance(condition, Or):
        return any(_holds(each, row) for each in condition.of)
    if isinstance(condition, Not):
        return not _holds(condition.of, row)
    if isinstance(condition, Ids):
        return row["id"] in condition.ids
    value = _value(row, condition.field)
    if isinstance(condition, Exists):
        return NAMES.get(condition.field, condition.field) in row
    if isinstance(condition, IsNull):
        return value is None
    if isinstance(condition, In):
        return any(_compares("=", value, each, condition.text) for each in condition.values)
    if isinstance(condition, Match):
        return _matches(condition, value)
    return _compares(condition.op, value, condition.value, condition.text)


def _compares(op: str, value: Any, wanted: Any, text: bool) -> bool:
    if value is None or isinstance(value, dict | list):
        return False
    if text:
        value, wanted = str(value), str(wanted)
    if _kind(value) != _kind(wanted):
        return False
    both_nan = value != value and wanted != wanted
    if op in ("=", "!="):
        return bool(value == wanted or both_nan) == (op == "=")
    return bool(_OPERATORS[op](value, wanted))


def _kind(value: Any) -> str:
    return "text" if isinstance(value, str) else "truth" if isinstance(value, bool) else "number"


def _matches(condition: Match, value: Any) -> bool:
    if condition.text and isinstance(value, int | float):
        value = str(value)
    if not isinstance(value, str):
        return False
    if condition.how == "contains":
        return condition.pattern in value
    if condition.how == "regex":
        return re.search(condition.pattern, value) is not None
    return like(condition.pattern, value, condition.how == "ilike")


def like(pattern: str, value: str, any_case: bool = False) -> bool:
    """SQL's LIKE: ``%`` is any text and ``_`` any character."""
    parts = (".*" if each == "%" else "." if each == "_" else re.escape(each) for each in pattern)
    return re.fullmatch("".join(parts), value, re.DOTALL | (re.IGNORECASE if any_case else 0)) is not None
