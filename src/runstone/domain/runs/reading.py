"""Points read back exactly as they were logged, from the log entries that hold them."""

from __future__ import annotations

import math
from typing import Any

from runstone._native import points
from runstone.domain import fields
from runstone.domain.context import Context
from runstone.domain.runs import finding
from runstone.domain.runs.history import HIGHEST, batches
from runstone.domain.store import Store

Point = tuple[int, int, Any]


def history(store: Store, ctx: Context, name: str, key: str) -> list[Point]:
    """The (step, time in microseconds, value) points of a key in order of arrival; none of a key the principal may not read."""
    with store.index.read() as view:
        found = finding.find(store, view, ctx, name, deleted=True)
        if fields.covers(fields.hidden_from(store, view, ctx, found), f"summary.{key}"):
            return []
    return [
        (step, time, values[key])
        for batch in batches(store, found.run, HIGHEST)
        for step, time, values in points.decode_rows(batch)
        if key in values
    ]


def distinct(found: list[Point]) -> list[Point]:
    """Points without those that were logged again just as they were; NaN is equal to NaN here."""
    kept = {
        (step, time, "nan" if isinstance(value, float) and math.isnan(value) else value): (step, time, value)
        for step, time, value in found
    }
    return list(kept.values())
