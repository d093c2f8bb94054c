"""The exact points of one key, all of them, of any run that is there, deleted or not."""

from __future__ import annotations

from typing import Any

from runstone.domain import fields
from runstone.domain.context import Context
from runstone.domain.runs import finding, keys, series
from runstone.domain.store import Store

Point = tuple[int, int, Any]


def history(store: Store, ctx: Context, name: str, key: str) -> list[Point]:
    """The (step, time in microseconds, value) points of a key, by step, time and value, each once; none of a key the principal may not read."""
    with store.index.read() as view:
        found = finding.find(store, view, ctx, name, deleted=True)
        if fields.covers(fields.hidden_from(store, view, ctx, found), f"summary.{key}"):
            return []
        number = keys.find(view, found.project.id, [key]).get(key)
    if number is None:
        return []
    points: list[Point] = []
    held, spans = series.of(store), series.spans(found)
    page = held.points(spans, number)
    while len(page):
        points += page.rows()
        ctx.check_deadline()
        page = held.points(spans, number, after=page.last())
    return points
