"""What a run logged, row by row, for callers that choose keys by a rule; :func:`runstone.domain.runs.series.rows` has pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runstone.domain import fields
from runstone.domain.context import Context
from runstone.domain.runs import finding, keys, series
from runstone.domain.store import Store

#: No step is as high.
END = 1 << 62
#: Rows that are put together at a time.
_PAGE = 10_000


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

    The last value is the greatest (time, value). ``wanted`` says of which keys; what the principal may not read is left out, and so is a
    row without any key.
    """
    with store.index.read() as view:
        found = finding.find(store, view, ctx, name)
        hidden = fields.hidden_from(store, view, ctx, found)
    held, spans = series.of(store), series.spans(found)
    numbers = held.keys(spans)
    with store.index.read() as view:
        names = {number: keys.names(store).of(view, found.project.id, number) for number in numbers}
    names = {
        number: key
        for number, key in names.items()
        if (wanted is None or wanted(key)) and not fields.covers(hidden, f"summary.{key}")
    }
    answer: list[tuple[int, int, dict[str, Any]]] = []
    after: int | None = None
    while names:
        ctx.check_deadline()
        page = held.rows(spans, list(names), low=low, high=high, after=after, limit=_PAGE)
        answer += [
            (step, time, {names[number]: value for number, value in values.items()})
            for step, time, values in page
        ]
        if len(page) < _PAGE:
            break
        after = page[-1][0]
    return answer
