"""The history of metrics."""

from __future__ import annotations

import math
from typing import Any

from runstone.dialects.mlflow import ids, wire
from runstone.dialects.mlflow.problem import invalid
from runstone.dialects.mlflow.wire import REQUIRED, STRING
from runstone.dialects.routing import Call
from runstone.domain.runs import reading

MAX_RUNS = 100
MAX_BULK = 25_000
MAX_INTERVAL = 2500


def history(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``metrics/get-history``: points by (time, step, value), each once."""
    limit = None
    if "max_results" in fields:
        limit = wire.whole(fields, "max_results")
        if limit <= 0:
            raise invalid(
                f"Invalid value {limit} for parameter 'max_results' supplied. It must be a positive integer."
            )
    found = _points(call, wire.text(fields, "run_id"), wire.text(fields, "metric_key"))
    offset = wire.page_offset(fields)
    page = found[offset:] if limit is None else found[offset : offset + limit]
    answer: dict[str, Any] = {"metrics": page} if page else {}
    if limit is not None and len(found) > offset + limit:
        answer["next_page_token"] = wire.page_token(offset + limit)
    return answer


def bulk(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``metrics/get-history-bulk``: the points of a metric of several runs."""
    runs = wire.strings(fields, "run_id")
    if not runs:
        raise invalid("GetMetricHistoryBulk request must specify at least one run_id.")
    _few(runs)
    limit = min(wire.whole(fields, "max_results", MAX_BULK), MAX_BULK)
    key = wire.text(fields, "metric_key")
    found = [point | {"run_id": run} for run in runs for point in _points(call, run, key)]
    return {"metrics": found[:limit]}


def interval(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``metrics/get-history-bulk-interval``: up to ``max_results`` points of each run, first and last among them."""
    runs = wire.strings(fields, "run_ids")
    if not runs:
        raise invalid("Missing value for required parameter 'run_ids'.")
    _few(runs)
    limit = wire.whole(fields, "max_results", MAX_INTERVAL)
    if not 1 <= limit <= MAX_INTERVAL:
        raise invalid(f"max_results must be between 1 and {MAX_INTERVAL}, not {limit}")
    start, end = (wire.whole(fields, name) if name in fields else None for name in ("start_step", "end_step"))
    key = wire.text(fields, "metric_key")
    answer: list[dict[str, Any]] = []
    for run in runs:
        found = [
            point
            for point in _points(call, run, key)
            if (start is None or point["step"] >= start) and (end is None or point["step"] <= end)
        ]
        found.sort(key=lambda point: (point["step"], point["timestamp"]))
        answer += [point | {"run_id": run} for point in sampled(found, limit)]
    return {"metrics": answer} if answer else {}


def sampled(found: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """At most ``limit`` of some points, evenly spread, the first and the last among them."""
    if len(found) <= limit:
        return found
    if limit == 1:
        return found[-1:]
    return [found[round(at * (len(found) - 1) / (limit - 1))] for at in range(limit)]


def _few(runs: list[str]) -> None:
    if len(runs) > MAX_RUNS:
        raise invalid(f"at most {MAX_RUNS} runs can be asked about at once, not {len(runs)}")


def _points(call: Call, run: str, key: str) -> list[dict[str, Any]]:
    found = ids.run(call, run)
    points = [
        point
        for point in reading.history(call.store, call.ctx, found.path, key)
        if isinstance(point[2], int | float)
    ]
    points.sort(key=lambda point: (point[1], point[0], 0.0 if math.isnan(point[2]) else point[2]))
    return [
        {
            "key": key,
            "value": wire.shown_number(value),
            "timestamp": wire.milliseconds(time),
            "step": step,
        }
        for step, time, value in points
    ]


_KEY = {"metric_key": (STRING, REQUIRED)}
ROUTES = (
    *wire.routes(
        "GET",
        "metrics/get-history",
        history,
        "The points of a metric.",
        {"run_id": (STRING, REQUIRED), **_KEY, "page_token": (STRING,)},
    ),
    *wire.routes("GET", "metrics/get-history-bulk", bulk, "The points of a metric of several runs.", _KEY),
    *wire.routes(
        "GET", "metrics/get-history-bulk-interval", interval, "Some points of a metric of several runs.", _KEY
    ),
)
