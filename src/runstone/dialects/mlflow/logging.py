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
_NUMBERS_OF_POINTS = (float, int)


def log_param(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``runs/log-parameter``."""
    text = wire.text(fields, "run_id")
    key, value = validation.param(wire.text(fields, "key"), wire.text(fields, "value"))
    try:
        runs.change(call, ids.active_run(call, text), {key: value}, {})
    except Conflict as error:
        raise invalid(
            f"Changing param values is not allowed. Param with key='{key}' was already logged with "
            f"value='{error.details.get('held')}' for run ID='{text}'. Attempted logging new value '{value}'."
        ) from None
    return {}


def log_metric(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``runs/log-metric``."""
    point = _point(fields, "")
    found = ids.active_run(call, wire.text(fields, "run_id"))
    measured = modelmetrics.of_batch(call, [(fields, point)])
    points.log_rows(call.store, call.ctx, found.path, [point])
    modelmetrics.log(call, wire.text(fields, "run_id"), measured)
    return {}


def log_batch(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``runs/log-batch``: everything is checked before anything is written, and params are refused together."""
    text = wire.text(fields, "run_id")
    given = {name: fields.get(name) or [] for name in ("metrics", "params", "tags")}
    plain = [_is_plain(metric) for metric in given["metrics"]]
    for at, metric in enumerate(given["metrics"]):
        if not plain[at]:
            _require_whole(metric, f"metrics[{at}].")
    params, tags = wire.pairs(fields, "params"), wire.pairs(fields, "tags")
    found = ids.active_run(call, text)
    validation.batch(len(given["metrics"]), len(params), len(tags))
    logged = _points(given["metrics"], plain)
    checked = {
        "params": dict(validation.param(*pair, f"params[{at}].") for at, pair in enumerate(params)),
        "tags": dict(validation.run_tag(*pair, f"tags[{at}].") for at, pair in enumerate(tags)),
    }
    _require_distinct([key for key, _ in params])
    batch = points.encode(logged) if logged else b""
    measured = modelmetrics.of_batch(call, list(zip(given["metrics"], logged, strict=True)))
    if checked["params"] or checked["tags"]:
        try:
            runs.change(call, found, checked["params"], checked["tags"])
        except Conflict:
            changed = [
                {"key": key, "old_value": held, "new_value": value}
                for key, value in checked["params"].items()
                if (held := runs.param_of(found, key)) is not None and held != value
            ]
            raise invalid(
                f"Changing param values is not allowed. Params were already logged='{changed}' for run ID='{text}'."
            ) from None
    if batch:
        points.log(call.store, call.ctx.without_id(), found.path, batch)
    modelmetrics.log(call, text, measured)
    return {}


def _points(batch: list[dict[str, Any]], plain: list[bool]) -> list[tuple[int, int, dict[str, Any]]]:
    """The points of a batch. Most are plain numbers under a few keys, and there may be a thousand: a key is checked once."""
    known: set[str] = set()
    found = []
    for at, metric in enumerate(batch):
        if plain[at] and metric["key"] in known:
            value = {metric["key"]: float(metric["value"])}
            found.append((metric.get("step", 0), metric["timestamp"] * 1000, value))
        else:
            found.append(_point(metric, f"metrics[{at}]."))
            known.add(metric["key"])
    return found


def _is_plain(metric: Any) -> bool:
    """Whether a metric of a batch is of numbers as they are meant, in their ranges; its key is still to be checked."""
    if type(metric) is not dict:
        return False
    get = metric.get
    timestamp, step = get("timestamp"), get("step", 0)
    return (
        type(get("value")) in _NUMBERS_OF_POINTS
        and type(timestamp) is int
        and 0 <= timestamp <= MAX_TIMESTAMP
        and type(step) is int
        and -(1 << 63) <= step < 1 << 63
        and type(get("key")) is str
        and get("key") != ""
    )


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
