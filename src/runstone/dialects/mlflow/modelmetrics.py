"""Metrics of logged models: points of a run that say which model, and perhaps which dataset, they are about.

They are kept as points of the model too, and beside them, under a key of its own, what each was measured with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from runstone.dialects.mlflow import artifacts, wire
from runstone.dialects.routing import Call
from runstone.domain.runs import points, reading
from runstone.domain.runs.browsing import RunHead
from runstone.domain.runs.details import RunDetails

#: The key of a model under which there is a list for each of its points: key, value, run, and the name and digest of the dataset.
MEASURED = "mlflow.measured"
Point = tuple[int, int, dict[str, Any]]


class Measured(NamedTuple):
    """Points of one model, and what is told of them."""

    model: RunHead
    points: list[Point]


class ModelMetric(NamedTuple):
    """A value of a metric of a model, and what it was measured with."""

    key: str
    #: In microseconds.
    time: int
    step: int
    run: str
    value: float
    dataset: str
    digest: str


def of_batch(call: Call, run: str, batch: Sequence[tuple[Mapping[str, Any], Point]]) -> list[Measured]:
    """The points of a batch that are about models, by model; raises when there is no such model."""
    found: dict[str, Measured] = {}
    for metric, point in batch:
        if not metric.get("model_id"):
            continue
        model = wire.text(metric, "model_id")
        if model not in found:
            found[model] = Measured(artifacts.logged_head(call, model), [])
        [(key, value)] = point[2].items()
        told = [key, value, run, wire.text(metric, "dataset_name"), wire.text(metric, "dataset_digest")]
        found[model].points.extend([point, (*point[:2], {MEASURED: told})])
    return list(found.values())


def log(call: Call, measured: Sequence[Measured]) -> None:
    """Writes points to their models."""
    for model, rows in measured:
        points.log_rows(call.store, call.ctx.without_id(), model.path, rows)


def values(call: Call, model: RunDetails) -> list[ModelMetric]:
    """Every value of a model's metrics, by key, time, step and run: of those that came by other means the latest."""
    seen = {point.key for point in model.latest}
    found: dict[tuple[Any, ...], ModelMetric] = {}
    for step, time, told in reading.history(call.store, call.ctx, model.path, MEASURED) if seen else ():
        metric = _told(step, time, told)
        if metric is not None and metric.key in seen:
            found[metric[:4]] = metric
    kept = {metric.key for metric in found.values()}
    source = model.info.get("source_run_id", "")
    others = (
        ModelMetric(point.key, point.time, point.step, source, point.value, "", "")
        for point in model.latest
        if point.key not in kept
    )
    return sorted((*found.values(), *others), key=lambda metric: metric[:4])


def _told(step: int, time: int, told: Any) -> ModelMetric | None:
    """What was noted of a point; None of what anybody else put there."""
    if not isinstance(told, list) or len(told) != 5:
        return None
    key, value, run, dataset, digest = told
    if not isinstance(value, int | float) or not all(
        isinstance(each, str) for each in (key, run, dataset, digest)
    ):
        return None
    return ModelMetric(key, time, step, run, float(value), dataset, digest)


def on_datasets(
    row: Mapping[str, Any], found: Iterable[ModelMetric], asked: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """A model's row with the metrics alone that were measured on one of some datasets; an empty digest is any."""
    kept = {field: value for field, value in row.items() if not field.startswith("summary.")}
    latest: dict[str, ModelMetric] = {}
    for metric in found:
        if not any(metric.dataset == name and wanted in ("", metric.digest) for name, wanted in asked):
            continue
        held = latest.get(metric.key)
        if held is None or (held.step, held.time) <= (metric.step, metric.time):
            latest[metric.key] = metric
        field = f"summary.{metric.key}"
        kept[f"{field}:min"] = min(metric.value, kept.get(f"{field}:min", metric.value))
        kept[f"{field}:max"] = max(metric.value, kept.get(f"{field}:max", metric.value))
    return kept | {f"summary.{key}": metric.value for key, metric in latest.items()}
