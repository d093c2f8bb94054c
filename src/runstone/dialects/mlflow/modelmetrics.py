"""Metrics of logged models: points of a run that say which model, and perhaps which dataset, they are about.

They are kept as points of the model too, and with each metric the run and dataset that it was last measured with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from runstone.dialects.mlflow import artifacts, wire
from runstone.dialects.routing import Call
from runstone.domain.runs import lifecycle, points
from runstone.types import RunInfo

#: A metric's run and dataset are kept in the model's ``info`` under this and the metric's key.
PREFIX = "measured "
Point = tuple[int, int, dict[str, Any]]


class Measured(NamedTuple):
    """Points of one model, and of each metric the dataset (name and digest) that it was measured on."""

    model: RunInfo
    points: list[Point]
    datasets: dict[str, tuple[str, str]]


def of_batch(call: Call, batch: Sequence[tuple[Mapping[str, Any], Point]]) -> list[Measured]:
    """The points of a batch that are about models, by model; raises when there is no such model."""
    found: dict[str, Measured] = {}
    for metric, point in batch:
        if not metric.get("model_id"):
            continue
        model = wire.text(metric, "model_id")
        if model not in found:
            found[model] = Measured(artifacts.logged(call, model), [], {})
        found[model].points.append(point)
        dataset = wire.text(metric, "dataset_name"), wire.text(metric, "dataset_digest")
        found[model].datasets[next(iter(point[2]))] = dataset
    return list(found.values())


def log(call: Call, run: str, measured: Sequence[Measured]) -> None:
    """Writes points to their models."""
    for model, rows, datasets in measured:
        ctx = call.ctx.without_id()
        points.log_rows(call.store, ctx, model.path, rows)
        info = {f"{PREFIX}{key}": json.dumps([run, *dataset]) for key, dataset in datasets.items()}
        if any(model.info.get(name) != value for name, value in info.items()):
            lifecycle.update(call.store, ctx, model.path, info=info)


def measured_with(info: Mapping[str, Any], key: str) -> tuple[str, str, str]:
    """The run of a model's metric, and the name and digest of its dataset; empty where there is none."""
    try:
        run, name, digest = json.loads(info[f"{PREFIX}{key}"])
    except (KeyError, ValueError, TypeError):
        return "", "", ""
    return run, name, digest


def on_datasets(
    row: Mapping[str, Any], info: Mapping[str, Any], asked: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """A model's row without the metrics that were not measured on one of some datasets; an empty digest is any."""
    kept = {}
    for field, value in row.items():
        if field.startswith("summary."):
            _, name, digest = measured_with(info, field.removeprefix("summary."))
            if not any(name == each and wanted in ("", digest) for each, wanted in asked):
                continue
        kept[field] = value
    return kept
