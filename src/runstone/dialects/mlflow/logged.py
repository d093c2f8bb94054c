"""Logged models: what ``log_model`` writes before anything is registered.

A logged model is a run of ours with a job type of its own, in the experiment's project: it has params, tags, metrics and files as a run has.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from runstone.dialects.mlflow import (
    artifacts,
    experiments,
    ids,
    modelmetrics,
    modelsearching,
    runs,
    validation,
    wire,
)
from runstone.dialects.mlflow.modelmetrics import ModelMetric
from runstone.dialects.mlflow.problem import invalid
from runstone.dialects.mlflow.runs import Placed
from runstone.dialects.mlflow.wire import ARRAY, INTEGER, REQUIRED, STRING
from runstone.dialects.routing import Call
from runstone.domain.described import DescribedProject
from runstone.domain.queries import mlflow
from runstone.domain.runs import browsing, details, lifecycle, questions
from runstone.domain.runs.details import Rendering, RunDetails
from runstone.query import And, Compare, Condition, Order
from runstone.types import RunInfo

PENDING, READY, FAILED = "LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED"
MAX_RESULTS = 50_000
VERSIONS_TAG = "mlflow.modelVersions"
#: The logged models of a project among its runs.
_THERE = And((Compare("job_type", "=", ids.LOGGED), Compare("deleted", "=", False)))
_encode = msgspec.json.Encoder().encode
_NUMBERS = {"1": PENDING, "2": READY, "3": FAILED}
_STATES = {PENDING: "pending", READY: "finished", FAILED: "failed"}
_WORDS = {"finished": READY, "failed": FAILED, "crashed": FAILED, "killed": FAILED}


def create(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST logged-models``."""
    project = ids.active_experiment(call, wire.text(fields, "experiment_id"))
    given = wire.pairs(fields, "params")
    name = ids.new_run(project)
    made = lifecycle.create(
        call.store,
        call.ctx,
        f"{project.info.path}/{name}",
        display_name=wire.text(fields, "name") or f"model-{name[-8:]}",
        job_type=ids.LOGGED,
        tags=dict(validation.run_tag(*tag) for tag in wire.pairs(fields, "tags")),
        config=dict(validation.param(*pair) for pair in given),
        info={
            "heartbeats": False,
            "model_type": wire.text(fields, "model_type"),
            "source_run_id": wire.text(fields, "source_run_id"),
        },
    )
    return {"model": shown(runs.placed(call, project), details.get(call.store, call.ctx, made.path))}


def get(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET logged-models/{id}``."""
    return {"model": _shown(call, _found(call, deleted=wire.flag(fields, "allow_deleted")))}


def finalize(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``PATCH logged-models/{id}``."""
    status = str(fields.get("status"))
    status = _NUMBERS.get(status, status)
    if status not in (READY, FAILED):
        raise invalid(wire.invalid_value("status", fields.get("status")))
    found = _found(call)
    lifecycle.set_state(call.store, call.ctx, found.path, _STATES[status])
    return {"model": _shown(call, found)}


def delete(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``DELETE logged-models/{id}``."""
    lifecycle.delete(call.store, call.ctx, _found(call).path)
    return {}


def log_params(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST logged-models/{id}/params``."""
    given = dict(validation.param(*pair) for pair in wire.pairs(fields, "params"))
    lifecycle.update(call.store, call.ctx, _found(call).path, config=given)
    return {}


def set_tags(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``PATCH logged-models/{id}/tags``."""
    tags = dict(validation.run_tag(*tag) for tag in wire.pairs(fields, "tags"))
    lifecycle.update(call.store, call.ctx, _found(call).path, tags=tags)
    return {}


def delete_tag(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``DELETE logged-models/{id}/tags/{key}``."""
    lifecycle.update(call.store, call.ctx, _found(call).path, remove=(f"tags.{call.path['key']}",))
    return {}


def list_files(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET logged-models/{id}/artifacts/directories``."""
    found = _found(call)
    folder = wire.text(fields, "artifact_directory_path").strip("/")
    listed = artifacts.children(call, found, folder)
    answer: dict[str, Any] = {
        "root_uri": _uri(experiments.location(call, runs.project_of(call, found)), found.name)
    }
    if listed:
        answer["files"] = listed
    return answer


def search(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST logged-models/search``."""
    limit = wire.whole(fields, "max_results", 100) or 100
    if not 0 < limit <= MAX_RESULTS:
        raise invalid(f"max_results must be between 1 and {MAX_RESULTS}, not {limit}")
    condition = modelsearching.of_any_value(
        mlflow.condition(wire.text(fields, "filter"), mlflow.LOGGED_MODELS)
    )
    orders = mlflow.orders(fields.get("order_by") or [], mlflow.LOGGED_MODELS)
    found: dict[str, DescribedProject] = {}
    for text in dict.fromkeys(wire.strings(fields, "experiment_ids")):
        project = runs.readable(call, text)
        if project is not None:
            found[project.info.path] = project
    datasets = [
        (wire.text(each, "dataset_name"), wire.text(each, "dataset_digest"))
        for each in fields.get("datasets") or []
        if isinstance(each, dict)
    ]
    asked = None if datasets else modelsearching.condition_of(call, condition, orders)
    models: Sequence[Any]
    if asked is None:
        offset = wire.page_offset(fields)
        models, more = _by_rows(call, found, condition, orders, datasets, offset, limit)
        token = wire.page_token(offset + limit) if more else ""
    else:
        models, token = _by_columns(call, found, asked, orders, wire.page_place(fields), limit)
    answer: dict[str, Any] = {"models": models} if models else {}
    if token:
        answer["next_page_token"] = token
    return answer


def _by_columns(
    call: Call,
    found: dict[str, DescribedProject],
    condition: Condition,
    orders: Sequence[Order],
    after: str,
    limit: int,
) -> tuple[Sequence[Any], str]:
    if not found:
        return (), ""
    page = questions.across(
        call.store,
        call.ctx,
        {path: _rendering(call, project) for path, project in found.items()},
        "mlflow model",
        filter=And((_THERE, condition)),
        order=orders,
        limit=limit,
        after=after,
        deleted=True,
    )
    return page.items, wire.place_token(page.next) if page.next else ""


def _rendering(call: Call, project: DescribedProject) -> Rendering:
    where = runs.placed(call, project)
    return Rendering(where, lambda model: _encode(shown(where, model, modelmetrics.values(call, model))))


def _by_rows(
    call: Call,
    found: dict[str, DescribedProject],
    condition: Condition,
    orders: Sequence[Order],
    datasets: Sequence[tuple[str, str]],
    offset: int,
    limit: int,
) -> tuple[Sequence[Any], bool]:
    """What the columns cannot answer: each model is looked at."""

    def row(path: str, fields: dict[str, Any]) -> dict[str, Any] | None:
        model = details.get(call.store, call.ctx, f"{path}/{fields['name']}")
        if datasets:
            fields = modelmetrics.on_datasets(fields, modelmetrics.values(call, model), datasets)
            if not any(name.startswith("summary.") for name in fields):
                return None
        return fields | {
            "id": f"m-{fields['name']}",
            "name": fields["display_name"],
            "status": _WORDS.get(fields["state"], PENDING).removeprefix("LOGGED_MODEL_"),
            "model_type": model.info.get("model_type", ""),
            "run_id": model.info.get("source_run_id", ""),
        }

    named, more = browsing.search(
        call.store, call.ctx, found, condition, orders, shown=row, among=_THERE, offset=offset, limit=limit
    )
    models = [_shown(call, details.get(call.store, call.ctx, name)) for name in named]
    return models, more


def note_version(call: Call, model: str, name: str, version: int) -> None:
    """Notes on a logged model that a version was registered of it, in the tag that mlflow's pages read."""
    found = artifacts.logged(call, model)
    try:
        noted = list(json.loads(found.tags.get(VERSIONS_TAG) or "[]"))
    except (ValueError, TypeError):  # clients may set the tag to anything
        noted = []
    noted.append({"name": name, "version": version})
    lifecycle.update(call.store, call.ctx.without_id(), found.path, tags={VERSIONS_TAG: json.dumps(noted)})


def shown(where: Placed, model: RunDetails, measured: Sequence[ModelMetric] = ()) -> dict[str, Any]:
    """A logged model as mlflow writes it, with the values of its metrics."""
    info: dict[str, Any] = {
        "model_id": f"m-{model.name}",
        "experiment_id": where.experiment_id,
        "name": model.display_name,
        "creation_timestamp_ms": wire.milliseconds(model.created),
        "last_updated_timestamp_ms": wire.milliseconds(model.updated),
        "artifact_uri": _uri(where.location, model.name),
        "status": _WORDS.get(model.state, PENDING),
        "model_type": model.info.get("model_type", ""),
        "source_run_id": model.info.get("source_run_id", ""),
    }
    if model.tags:
        info["tags"] = wire.key_values(model.tags)
    data: dict[str, Any] = {}
    if params := runs.params_of(model):
        data["params"] = wire.key_values(params)
    if measured:
        data["metrics"] = [_measured(model.name, metric) for metric in measured]
    return {"info": info, "data": data}


def _measured(model: str, metric: ModelMetric) -> dict[str, Any]:
    found: dict[str, Any] = {
        "key": metric.key,
        "value": wire.shown_number(metric.value),
        "timestamp": wire.milliseconds(metric.time),
        "step": metric.step,
        "model_id": f"m-{model}",
        "run_id": metric.run,
    }
    return found | (
        {"dataset_name": metric.dataset, "dataset_digest": metric.digest} if metric.dataset else {}
    )


def _shown(call: Call, model: RunInfo | RunDetails) -> dict[str, Any]:
    found = details.get(call.store, call.ctx, model.path)
    return shown(runs.placed(call, runs.project_of(call, found)), found, modelmetrics.values(call, found))


def _uri(location: str, name: str) -> str:
    return f"{location}/models/m-{name}/artifacts"


def _found(call: Call, *, deleted: bool = False) -> RunInfo:
    found = artifacts.logged(call, call.path["id"])
    if found.deleted and not deleted:
        raise artifacts.no_model(call.path["id"])
    return found


_ONE = "logged-models/{id}"
ROUTES = (
    *wire.routes(
        "POST",
        "logged-models",
        create,
        "Makes a logged model.",
        {
            "experiment_id": (STRING, REQUIRED),
            "name": (STRING,),
            "model_type": (STRING,),
            "source_run_id": (STRING,),
            "params": (ARRAY,),
            "tags": (ARRAY,),
        },
    ),
    *wire.routes(
        "POST",
        "logged-models/search",
        search,
        "Logged models that are asked for.",
        {
            "experiment_ids": (ARRAY, REQUIRED),
            "filter": (STRING,),
            "max_results": (INTEGER,),
            "order_by": (ARRAY,),
        },
    ),
    *wire.routes("GET", _ONE, get, "A logged model."),
    *wire.routes("PATCH", _ONE, finalize, "Says that a logged model is there.", {"status": (REQUIRED,)}),
    *wire.routes("DELETE", _ONE, delete, "Deletes a logged model."),
    *wire.routes("POST", _ONE + "/params", log_params, "Sets params.", {"params": (ARRAY,)}),
    *wire.routes("PATCH", _ONE + "/tags", set_tags, "Sets tags.", {"tags": (ARRAY,)}),
    *wire.routes("DELETE", _ONE + "/tags/{key}", delete_tag, "Takes a tag away."),
    *wire.routes("GET", _ONE + "/artifacts/directories", list_files, "The files of a logged model."),
)
