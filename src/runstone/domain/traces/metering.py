"""Figures over many traces, their spans or their assessments: counts, sums, means, extremes and percentiles, by time and by what they are."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.domain.traces import searching, spans
from runstone.domain.traces.grammar import Clause
from runstone.domain.traces.searching import Search
from runstone.storage.tables import Assessment

View = Literal["TRACES", "SPANS", "ASSESSMENTS"]


class Question(NamedTuple):
    """What is asked: a figure of a view's rows, by ``dimensions`` and intervals of time, over the rows that fit ``traces`` and ``parts``.

    Times are milliseconds and inclusive. ``parts`` are tests of a span or assessment.
    """

    view: View
    figure: str
    dimensions: Sequence[str] = ()
    traces: Sequence[Clause] = ()
    parts: Sequence[tuple[str, str]] = ()
    interval: int = 0
    start: int | None = None
    end: int | None = None


class Row(NamedTuple):
    """One thing that is counted: its time in milliseconds, its figure, and what it is by the names of dimensions."""

    time: float
    figure: Any
    dimensions: dict[str, Any]


#: What a group is told by: its interval's start, if there are intervals, and its dimensions.
Key = tuple[Any, ...]


def groups(
    store: Store, ctx: Context, projects: Sequence[int], asked: Question
) -> list[tuple[Key, list[Any]]]:
    """The figures of each group, in order. Rows without the figure, or without one of the dimensions, count nowhere."""
    found: defaultdict[Key, list[Any]] = defaultdict(list)
    if not asked.interval and not asked.dimensions:
        found[()] = []
    for row in _rows(store, ctx, projects, asked):
        if row.figure is None:
            continue
        key: Key = tuple(row.dimensions[name] for name in asked.dimensions)
        if any(part is None for part in key):
            continue
        if asked.interval:
            width = asked.interval * 1000
            key = (math.floor(row.time / width) * width, *key)
        found[key].append(row.figure)
    if asked.figure == "session_count":
        found = defaultdict(list, {key: list(set(sessions)) for key, sessions in found.items()})
    return sorted(found.items(), key=lambda each: each[0])


def _rows(store: Store, ctx: Context, projects: Sequence[int], asked: Question) -> Iterator[Row]:
    by_span = asked.view == "SPANS" and asked.figure in spans.COSTS
    clauses = [*asked.traces, *([] if by_span else _within(asked))]
    for found in Search(store, ctx, projects, clauses).latest():
        trace = found.trace
        if asked.view == "TRACES":
            yield Row(
                trace.time,
                _trace_figure(trace, asked.figure),
                {"trace_name": trace.title, "trace_status": trace.state},
            )
        elif asked.view == "SPANS":
            for span in spans.read(store, found):
                millis = span.start / 1_000_000
                if all(getattr(span, name) == value for name, value in asked.parts) and not (
                    by_span and _outside(asked, millis)
                ):
                    yield Row(millis, _span_figure(span, asked.figure), _span_dimensions(span))
        else:
            for held in searching.with_assessments(store, [found])[0][1]:
                if held.valid and all(getattr(held, name) == value for name, value in asked.parts):
                    figure = held.id if asked.figure == "assessment_count" else _judged(held)
                    yield Row(
                        trace.time, figure, {"assessment_name": held.name, "assessment_value": held.value}
                    )


def _within(asked: Question) -> Iterator[Clause]:
    for operator, value in ((">=", asked.start), ("<=", asked.end)):
        if value is not None:
            yield Clause("attribute", "timestamp_ms", operator, value)


def _outside(asked: Question, millis: float) -> bool:
    early = asked.start is not None and millis < asked.start
    return early or (asked.end is not None and millis >= asked.end + 1)


def _trace_figure(trace: Any, figure: str) -> Any:
    return {"trace_count": trace.name, "session_count": trace.session, "latency": trace.duration}.get(
        figure, trace.usage.get(figure)
    )


def _span_figure(span: spans.Span, figure: str) -> Any:
    if figure == "span_count":
        return span.id
    if figure == "latency":
        return (span.end - span.start) // 1_000_000
    value = (span.cost or {}).get(figure)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _span_dimensions(span: spans.Span) -> dict[str, Any]:
    return {
        "span_name": span.name,
        "span_type": span.type,
        "span_status": span.status,
        "span_model_name": span.model,
        "span_model_provider": span.provider,
    }


def _judged(held: Assessment) -> float | None:
    """An assessment as a number: yes and no are 1 and 0, as true and false are."""
    value = json.loads(held.value)
    if isinstance(value, str):
        return {"yes": 1.0, "no": 0.0}.get(value.strip().lower())
    if not isinstance(value, bool | int | float) or not math.isfinite(value):
        return None
    return float(value)


def percentile(values: Sequence[float], percent: float) -> float:
    """A percentile, interpolated between the two values next to it (Hyndman and Fan's seventh definition)."""
    ordered = sorted(values)
    place = percent / 100 * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


#: What a group's figures come to, by the kind of aggregation; nothing of none but for a count.
AGGREGATIONS: dict[str, Callable[[Sequence[Any]], float]] = {
    "COUNT": lambda values: float(len(values)),
    "SUM": lambda values: float(sum(values)),
    "AVG": lambda values: sum(values) / len(values),
    "MIN": lambda values: float(min(values)),
    "MAX": lambda values: float(max(values)),
}
