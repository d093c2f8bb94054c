"""What clients log to a run: params, points and batches of both with tags."""

from __future__ import annotations

from typing import Any

from runstone.dialects.mlflow import ids, modelmetrics, runs, validation, wire
from runstone.dialects.mlflow.problem import invalid
from runstone.dialects.mlflow.wire import ARRAY, INTEGER, REQUIRED, STRING
from runstone.dialects.routing import Call
from runstone.domain.runs import points
from runstone.errors import Conflict

MAX_TIMESTAMP = 1 << 50
_METRIC = ("key", "value", "timestamp", "step", "model_id")


def log_param(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``runs/log-parameter``."""
    text = wire.text(fields, "run_id")
    key, value = validation.param(wire.text(fields, "key"), wire.text(fields, "value"))
    try:
        runs.change(call, ids.active_head(call, text).path, {key: value}, {})
    except Conflict as error:
        raise invalid(
            f"Changing param values is not allowed. Param with key='{key}' was already logged with "
            f"value='{error.details.get('held')}' for run ID='{text}'. Attempted logging new value '{value}'."
        ) from None
    return {}


def log_metric(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``runs/log-metric``."""
    point = _point(fields, "")
    found = ids.active_head(call, wire.text(fields, "run_id"))
    measured = modelmetrics.of_batch(call, wire.text(fields, "run_id"), [(fields, point)])
    points.log_rows(call.store, call.ctx, found.path, [point])
    modelmetrics.log(call, measured)
    return {}


def log_batch(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``runs/log-batch``: everything is checked before anything is written, and params are refused together."""
    text = wire.text(fields, "run_id")
    metrics = fields.get("metrics") or []
    encoded = _plain_points(metrics)
    if encoded is None:
        for at, metric in enumerate(metrics):
            _require_whole(metric, f"metrics[{at}].")
    given, tags = wire.pairs(fields, "params"), wire.pairs(fields, "tags")
    found = ids.active_head(call, text)
    validation.batch(len(metrics), len(given), len(tags))
    logged = (
        [_point(metric, f"metrics[{at}].") for at, metric in enumerate(metrics)] if encoded is None else []
    )
    checked = {
        "params": dict(validation.param(*pair, f"params[{at}].") for at, pair in enumerate(given)),
        "tags": dict(validation.run_tag(*pair, f"tags[{at}].") for at, pair in enumerate(tags)),
    }
    _require_distinct([key for key, _ in given])
    batch = encoded if encoded is not None else points.encode(logged) if logged else b""
    measured = modelmetrics.of_batch(call, text, list(zip(metrics, logged, strict=True))) if logged else []
    if checked["params"] or checked["tags"]:
        try:
            runs.change(call, found.path, checked["params"], checked["tags"])
        except Conflict:
            held = runs.params_of(ids.run(call, text))
            changed = [
                {"key": key, "old_value": held[key], "new_value": value}
                for key, value in checked["params"].items()
                if key in held and held[key] != value
            ]
            raise invalid(
                f"Changing param values is not allowed. Params were already logged='{changed}' for run ID='{text}'."
            ) from None
    if batch:
        points.log(call.store, call.ctx.without_id(), found.path, batch)
    modelmetrics.log(call, measured)
    return {}


def _plain_points(metrics: list[Any]) -> bytes | None:
    """The batch of metrics that are numbers as they are meant, of no model, under keys that may be: nearly always all of a request."""
    found = points.encode_entries(metrics, _METRIC, MAX_TIMESTAMP, 1000) if metrics else None
    if found is None or not all(map(validation.is_key, found[1])):
        return None
    return found[0]


def _require_whole(metric: Any, path: str) -> None:
    for part in ("key", "value", "timestamp"):
        if not isinstance(metric, dict) or metric.get(part) in (None, ""):
            raise invalid(
                f"Missing value for required parameter '{path}{part}'."
                " See the API docs for more information about request parameters."
            )


def _point(metric: dict[str, Any], path: str) -> tuple[int, int, dict[str, Any]]:
    name = wire.text(metric, "key")
    validation.key(name, f"{path}name", "Metric name")
    value = wire.real(f"{path}value", metric.get("value"))
    timestamp, step = wire.whole(metric, "timestamp"), wire.whole(metric, "step")
    if timestamp < 0:
        raise invalid(
            wire.invalid_value(
                f"{path}timestamp",
                timestamp,
                f"metric '{name}' (value={value}). Timestamp must be a nonnegative long (64-bit integer) ",
            )
        )
    if timestamp > MAX_TIMESTAMP:
        raise invalid(wire.invalid_value(f"{path}timestamp", timestamp, "it lies too far in the future"))
    return step, timestamp * 1000, {name: value}


def _require_distinct(keys: list[str]) -> None:
    twice = [key for at, key in enumerate(keys) if key in keys[:at]]
    if twice:
        raise invalid(
            f"Duplicate parameter keys have been submitted: {twice}. Please ensure "
            "the request contains only one param value per param key."
        )


_ID = {"run_id": (REQUIRED, STRING)}
_KEY = {**_ID, "key": (REQUIRED, STRING)}
ROUTES = (
    *wire.routes(
        "POST", "runs/log-parameter", log_param, "Sets a param of a run, once.", {**_KEY, "value": (STRING,)}
    ),
    *wire.routes(
        "POST",
        "runs/log-metric",
        log_metric,
        "Logs a point.",
        {
            **_KEY,
            "value": (REQUIRED, wire.FLOAT),
            "timestamp": (INTEGER, REQUIRED),
            "step": (INTEGER,),
        },
    ),
    *wire.routes(
        "POST",
        "runs/log-batch",
        log_batch,
        "Logs points, params and tags.",
        {**_ID, "metrics": (ARRAY,), "params": (ARRAY,), "tags": (ARRAY,)},
    ),
)
