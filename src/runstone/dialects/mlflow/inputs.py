"""Datasets and models that runs read, and models that they make."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runstone.dialects.mlflow import artifacts, ids, validation, wire
from runstone.dialects.mlflow.problem import invalid, missing
from runstone.dialects.mlflow.wire import ARRAY, REQUIRED, STRING
from runstone.dialects.routing import Call
from runstone.domain.described import DescribedProject
from runstone.domain.queries import rows
from runstone.domain.runs import inputs, lifecycle
from runstone.domain.runs.inputs import Dataset, ModelUse, Used, Uses
from runstone.errors import Missing
from runstone.query import And, Compare, Condition, Ids, In, IsNull, Match, Not

CONTEXT = "mlflow.data.context"
LOGGED_TAG = "mlflow.log-model.history"
_MANDATORY = {"artifact_path", "flavors", "utc_time_created", "run_id"}
_SEARCHED = 20


def log_inputs(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``runs/log-inputs``."""
    text = wire.text(fields, "run_id")
    datasets = [_used(each) for each in _objects(fields, "datasets")]
    models = [_model(call, each, text, output=False) for each in _objects(fields, "models")]
    found = ids.active_run(call, text)
    if datasets or models:
        inputs.note(call.store, call.ctx, found.path, datasets, models)
    return {}


def log_outputs(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``runs/outputs``."""
    text = wire.text(fields, "run_id")
    models = [_model(call, each, text, output=True) for each in _objects(fields, "models")]
    found = ids.active_run(call, text)
    inputs.note(call.store, call.ctx, found.path, (), models)
    return {}


def log_model(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``runs/log-model``, by which old clients note a model in a tag of its run."""
    text = wire.text(fields, "model_json")
    try:
        model = json.loads(text)
    except ValueError:
        model = None
    if not isinstance(model, dict):
        raise invalid(f"Malformed model info. \n {text} \n is not a valid JSON.")
    if absent := _MANDATORY - set(model):
        raise invalid(f"Model json is missing mandatory fields: {absent}")
    run = ids.active_run(call, wire.text(fields, "run_id"))
    try:
        held = list(json.loads(run.tags.get(LOGGED_TAG) or "[]"))
    except (ValueError, TypeError):
        held = []
    key, value = validation.run_tag(LOGGED_TAG, json.dumps([*held, model]))
    lifecycle.update(call.store, call.ctx, run.path, tags={key: value})
    return {}


def search_datasets(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``experiments/search-datasets``, which mlflow's pages ask."""
    experiments = wire.strings(fields, "experiment_ids")
    if not experiments:
        raise invalid("SearchDatasets request must specify at least one experiment_id.")
    if len(experiments) > _SEARCHED:
        raise invalid(
            f"SearchDatasets request cannot specify more than {_SEARCHED} experiment_ids. Received "
            f"{len(experiments)} experiment_ids."
        )
    found = []
    for text in dict.fromkeys(experiments):
        try:
            project = ids.experiment(call, text)
        except Missing:
            continue
        for dataset, labels in inputs.used_in(call.store, call.ctx, project.info.path):
            summary = {"experiment_id": text, "name": dataset.name, "digest": dataset.digest}
            if context := labels.get(CONTEXT):
                summary["context"] = context
            if summary not in found:
                found.append(summary)
    return {"dataset_summaries": found} if found else {}


def shown(uses: Uses) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a run reads and makes, as mlflow writes it."""
    read: dict[str, Any] = {}
    if uses.datasets:
        read["dataset_inputs"] = [_shown(dataset, labels) for dataset, labels in uses.datasets]
    if models := [use for use in uses.models if not use.output]:
        read["model_inputs"] = [{"model_id": use.model} for use in models]
    made = [{"model_id": use.model, "step": use.step} for use in uses.models if use.output]
    return read, {"model_outputs": made} if made else {}


def question(call: Call, projects: Callable[[], Sequence[DescribedProject]]) -> Callable[..., Condition]:
    """What turns a clause on a dataset into the runs of some projects that read such a dataset."""

    def found(key: str, operator: str, value: str | tuple[str, ...]) -> Condition:
        condition = _condition(key, operator, value)

        def asked(dataset: Dataset, labels: Mapping[str, str]) -> bool:
            row = {"name": dataset.name, "digest": dataset.digest, "context": labels.get(CONTEXT)}
            return rows.matches(condition, {name: text for name, text in row.items() if text is not None})

        numbers = [
            number
            for project in projects()
            for number in inputs.readers(call.store, call.ctx, project.info.path, asked)
        ]
        return Ids(tuple(numbers))

    return found


def _condition(key: str, operator: str, value: str | tuple[str, ...]) -> Condition:
    if isinstance(value, tuple):
        among = In(key, value)
        return among if operator == "IN" else And((Not(IsNull(key)), Not(among)))
    if operator in ("LIKE", "ILIKE"):
        return Match(key, operator.lower(), value)  # type: ignore[arg-type]
    return Compare(key, operator, value)  # type: ignore[arg-type]


def _shown(dataset: Dataset, labels: Mapping[str, str]) -> dict[str, Any]:
    described = wire.without_empty(
        (name, getattr(dataset, name))
        for name in ("name", "digest", "source_type", "source", "schema", "profile")
    )
    answer: dict[str, Any] = {"dataset": described}
    if labels:
        answer["tags"] = wire.key_values(labels)
    return answer


def _objects(fields: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    value = fields.get(name) or []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise invalid(wire.invalid_value(name, value))
    return value


def _used(given: dict[str, Any]) -> Used:
    dataset = given.get("dataset") or {}
    if not isinstance(dataset, dict):
        raise invalid(wire.invalid_value("dataset", dataset))
    parts = {
        name: validation.dataset_part(name, wire.text(dataset, name))
        for name in ("name", "digest", "source_type", "source", "schema", "profile")
    }
    for name in ("name", "digest"):
        if not parts[name]:
            raise invalid(f"Dataset {name} cannot be None")
    labels = dict(validation.input_tag(*pair) for pair in wire.pairs(given, "tags"))
    return Used(**parts, labels=labels)


def _model(call: Call, given: dict[str, Any], run: str, *, output: bool) -> ModelUse:
    model = wire.text(given, "model_id")
    if not model:
        raise missing(f"Logged model with ID '{model}' not found.")
    artifacts.logged(call, model)
    return ModelUse(model, output, max(wire.whole(given, "step"), 0))


_RUN = {"run_id": (REQUIRED, STRING)}
ROUTES = (
    *wire.routes(
        "POST",
        "runs/log-inputs",
        log_inputs,
        "Names what a run reads.",
        {**_RUN, "datasets": (ARRAY,), "models": (ARRAY,)},
    ),
    *wire.routes(
        "POST",
        "runs/outputs",
        log_outputs,
        "Names the models that a run makes.",
        {**_RUN, "models": (REQUIRED, ARRAY)},
    ),
    *wire.routes(
        "POST",
        "runs/log-model",
        log_model,
        "Notes a model, as old clients do.",
        {**_RUN, "model_json": (STRING, REQUIRED)},
    ),
    *wire.routes("POST", "experiments/search-datasets", search_datasets, "Datasets that runs read."),
)
