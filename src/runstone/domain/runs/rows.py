"""What a run logged, row by row: exact, from the points as the log has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runstone._native import points
from runstone.domain import fields
from runstone.domain.context import Context
from runstone.domain.runs import finding, history
from runstone.domain.store import Store

#: No step is as high.
END = 1 << 62


def read(
    store: Store,
    ctx: Context,
    name: str,
    *,
    low: int = 0,
    high: int = END,
    wanted: Callable[[str], bool] | None = None,
) -> list[tuple[int, int, dict[str, Any]]]:
    """Rows of (step, time in microseconds, values by key) with ``low <= step < high``, by step: of each key the last value of the step.

    ``wanted`` says of which keys; what the principal may not read is left out, and so is a row without any key.
    """
    with store.index.read() as view:
        found = finding.find(store, view, ctx, name)
        hidden = fields.hidden_from(store, view, ctx, found)
    shown: dict[str, bool] = {}
    merged: dict[int, tuple[int, dict[str, Any]]] = {}
    for batch in history.batches(store, found.run, high, low):
        ctx.check_deadline()
        for step, time, values in points.decode_rows(batch):
            if not low <= step < high:
                continue
            for key in values.keys() - shown.keys():
                shown[key] = (wanted is None or wanted(key)) and not fields.covers(hidden, f"summary.{key}")
            kept = {key: value for key, value in values.items() if shown[key]}
            if kept:
                before = merged.get(step)
                merged[step] = (time, {**before[1], **kept} if before else kept)
    return [(step, *merged[step]) for step in sorted(merged)]
