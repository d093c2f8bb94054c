"""The runs of a project that fulfil a condition, in an order: the one place that lists runs for the library, HTTP and the command line.

Every run is looked at, row by row, so this is for thousands of runs; an engine that answers from columns takes the place of :func:`_found`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from runstone.domain import fields
from runstone.domain.context import Context
from runstone.domain.queries import text
from runstone.domain.runs import finding, table
from runstone.domain.store import Store
from runstone.errors import Gone, Invalid
from runstone.query import And, Compare, Condition, Exists, Ids, In, IsNull, Match, Not, Or, Order
from runstone.storage.tables import RUN_NAMES
from runstone.types import RunInfo

Row = dict[str, Any]
PIECE = 256


def listed(
    store: Store,
    ctx: Context,
    project: str,
    *,
    filter: str = "",
    order: str = "",
    after: str = "",
    limit: int = 100,
    deleted: bool = False,
) -> list[RunInfo]:
    """Runs by a filter text and an order text (:mod:`runstone.domain.queries.text`), newest first unless told otherwise.

    ``after`` is the name of the run that the page before ended with. Deleted runs are left out unless asked for. A field that the
    principal may not read is as if it were not there.
    """
    condition, orders = text.condition(filter, None), text.orders(order, None)
    names = _found(store, ctx, project, condition, orders, deleted)
    if after:
        try:
            names = names[names.index(after) + 1 :]
        except ValueError:
            raise Invalid(f"there is no run {after!r} in this listing any more; begin it again") from None
    return _shown(store, ctx, project, names[:limit])


def _shown(store: Store, ctx: Context, project: str, names: Sequence[str]) -> list[RunInfo]:
    shown: list[RunInfo] = []
    with store.index.read() as view:
        held = finding.project(store, view, ctx, project)
        for name in names:
            whole = f"{held.namespace.name}/{held.project.name}/{name}"
            try:
                found = finding.find(store, view, ctx, whole, deleted=True)
            except Gone:  # purged meanwhile
                continue
            shown.append(finding.info(store, view, ctx, found))
    return shown


def _found(
    store: Store, ctx: Context, project: str, condition: Condition, orders: Sequence[Order], deleted: bool
) -> list[str]:
    """The names of the runs that are found, in order."""
    with store.index.read() as view:
        held = finding.project(store, view, ctx, project)
        hidden = fields.hidden_from(store, view, ctx, held)
        ids = sorted((run_id for _, run_id in view.scan(RUN_NAMES, held.project.id)), reverse=True)
    found: list[tuple[str, Row]] = []
    for start in range(0, len(ids), PIECE):
        ctx.check_deadline()
        with store.index.read() as view:
            rows = [row for run_id in ids[start : start + PIECE] if (row := table.row(view, run_id))]
        for row in rows:
            seen = {name: value for name, value in row.items() if not fields.covers(hidden, name)}
            if (deleted or not row["deleted"]) and matches(condition, seen, row["id"]):
                found.append((row["name"], seen))
    for order in reversed(orders):
        found = _ordered(found, order)
    return [name for name, _ in found]


def matches(condition: Condition, row: Row, row_id: int) -> bool:
    """Whether a row fulfils a condition, as :mod:`runstone.query` defines it."""
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
    if value is None or not isinstance(value, bool | int | float | str):
        return False
    if condition.text:
        value = str(value)
    return _fulfils(condition, value)


def _fulfils(condition: Compare | In | Match, value: bool | int | float | str) -> bool:
    if isinstance(condition, Match):
        return (
            isinstance(value, str) and _pattern(condition.how, condition.pattern).fullmatch(value) is not None
        )
    if isinstance(condition, In):
        return any(_compares("=", value, _asked(each, condition.text)) for each in condition.values)
    return _compares(condition.op, value, _asked(condition.value, condition.text))


def _asked(value: Any, as_text: bool) -> Any:
    return str(value) if as_text and value is not None else value


def _compares(op: str, value: Any, other: Any) -> bool:
    if _kind(value) != _kind(other):
        return False
    if value != value or other != other:
        equal = value != value and other != other
        return equal if op == "=" else not equal if op == "!=" else False
    answers = {
        "=": value == other, "!=": value != other, "<": value < other, "<=": value <= other, ">": value > other
    }  # fmt: skip
    return bool(answers.get(op, value >= other))


def _kind(value: Any) -> int:
    return (
        0
        if isinstance(value, bool)
        else 1
        if isinstance(value, int | float)
        else 2
        if isinstance(value, str)
        else 3
    )


@lru_cache(64)
def _pattern(how: str, pattern: str) -> re.Pattern[str]:
    if how == "regex":
        # Python's own takes exponential time for some patterns, which nobody may ask of a server.
        raise Invalid("regular expressions are not answered here yet; use contains, like or ilike")
    if how == "contains":
        return re.compile(f".*{re.escape(pattern)}.*", re.DOTALL)
    # A run of % is one: two side by side would make the search try every way to share the text between them.
    pieces = re.sub("%+", "%", pattern)
    if pieces.count("%") > 4:
        raise Invalid(
            f"the pattern {pattern!r:.80} has more than 4 places where anything may stand; use less"
        )
    whole = "".join({"%": ".*", "_": "."}.get(each, re.escape(each)) for each in pieces)
    return re.compile(whole, re.DOTALL | (re.IGNORECASE if how == "ilike" else 0))


def _ordered(found: list[tuple[str, Row]], order: Order) -> list[tuple[str, Row]]:
    """Rows by a field: values first, then NaN, then what has no order, then nothing, in both directions."""
    ranked: list[tuple[int, Any, tuple[str, Row]]] = []
    rest: dict[int, list[tuple[str, Row]]] = {0: [], 1: [], 2: []}
    for row in found:
        value = row[1].get(order.field)
        if value is None:
            rest[2].append(row)
        elif _kind(value) == 3:
            rest[1].append(row)
        elif isinstance(value, float) and math.isnan(value):
            rest[0].append(row)
        else:
            ranked.append((_kind(value), value, row))
    ranked.sort(key=lambda each: each[:2], reverse=order.descending)
    return [row for _, _, row in ranked] + rest[0] + rest[1] + rest[2]
