"""Logged models: what ``log_model`` writes before anything is registered.

A logged model is a run of ours with a job type of its own, in the experiment's project: it has params, tags, metrics and files as a run has.
"""

from __future__ import annotations

import json
from typing import Any

from runstone.dialects.mlflow import artifacts, experiments, ids, modelmetrics, runs, validation, wire
from runstone.dialects.mlflow.problem import invalid
from runstone.dialects.mlflow.wire import ARRAY, INTEGER, REQUIRED, STRING
from runstone.dialects.routing import Call
from runstone.domain.described import DescribedProject
from runstone.domain.queries import mlflow
from runstone.domain.runs import browsing, lifecycle, points
from runstone.types import RunInfo

PENDING, READY, FAILED = "LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED"
MAX_RESULTS = 50_000
VERSIONS_TAG = "mlflow.modelVersions"
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
    return {"model": shown(call, project, made)}


def get(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET logged-models/{id}``."""
    return {"model": _shown(call, _found(call, deleted=wire.flag(fields, "allow_deleted")))}


def finalize(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``PATCH logged-models/{id}``."""
    status = str(fields.get("status"))
    status = _NUMBERS.get(status, status)
    if status not in (READY, FAILED):
        raise invalid(wire.invalid_value("status", fields.get("status")))
    found = lifecycle.set_state(call.store, call.ctx, _found(call).path, _STATES[status])
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
    answer: dict[str, Any] = {"root_uri": _uri(call, runs.project_of(call, found), found)}
    if listed:
        answer["files"] = listed
    return answer


def search(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST logged-models/search``."""
    limit = wire.whole(fields, "max_results", 100) or 100
    if not 0 < limit <= MAX_RESULTS:
        raise invalid(f"max_results must be between 1 and {MAX_RESULTS}, not {limit}")
    condition = mlflow.condition(wire.text(fields, "filter"), mlflow.LOGGED_MODELS)
    orders = mlflow.orders(fields.get("order_by") or [], mlflow.LOGGED_MODELS)
    offset = wire.page_offset(fields)
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

    def row(path: str, fields: dict[str, Any]) -> dict[str, Any] | None:
        if fields.get("job_type") != ids.LOGGED or fields["deleted"]:
            return None
        said = lifecycle.get(call.store, call.ctx, f"{path}/{fields['name']}").info
        if datasets:
            fields = modelmetrics.on_datasets(fields, said, datasets)
            if not any(name.startswith("summary.") for name in fields):
                return None
        return fields | {
            "id": f"m-{fields['name']}",
            "name": fields["display_name"],
            "status": _WORDS.get(fields["state"], PENDING).removeprefix("LOGGED_MODEL_"),
            "model_type": said.get("model_type", ""),
            "run_id": said.get("source_run_id", ""),
        }

    named, more = browsing.search(
        call.store, call.ctx, found, condition, orders, shown=row, offset=offset, limit=limit
    )
    models = [
        shown(call, found[name.rpartition("/")[0]], lifecycle.get(call.store, call.ctx, name))
        for name in named
    ]
    answer: dict[str, Any] = {"models": models} if models else {}
    if more:
        answer["next_page_token"] = wire.page_token(offset + limit)
    return answer


def note_version(call: Call, model: str, name: str, version: int) -> None:
    """Notes on a logged model that a version was registered of it, in the tag that mlflow's pages read."""
    found = artifacts.logged(call, model)
    try:
        noted = list(json.loads(found.tags.get(VERSIONS_TAG) or "[]"))
    except (ValueError, TypeError):  # clients may set the tag to anything
        noted = []
    noted.append({"name": name, "version": version})
    lifecycle.update(call.store, call.ctx.without_id(), found.path, tags={VERSIONS_TAG: json.dumps(noted)})


def shown(call: Call, project: DescribedProject, model: RunInfo) -> dict[str, Any]:
    """A logged model as mlflow writes it."""
    info: dict[str, Any] = {
        "model_id": f"m-{model.name}",
        "experiment_id": ids.experiment_id(call, project),
        "name": model.display_name,
        "creation_timestamp_ms": wire.milliseconds(model.created),
        "last_updated_timestamp_ms": wire.milliseconds(model.updated),
        "artifact_uri": _uri(call, project, model),
        "status": _WORDS.get(model.state, PENDING),
        "model_type": model.info.get("model_type", ""),
        "source_run_id": model.info.get("source_run_id", ""),
    }
    if model.tags:
        info["tags"] = wire.key_values(model.tags)
    data: dict[str, Any] = {}
    if params := runs.params_of(model):
        data["params"] = wire.key_values(params)
    if model.points:
        data["metrics"] = [
            {
                "key": stat.key,
                "value": wire.shown_number(stat.last),
                "timestamp": wire.milliseconds(stat.time),
                "step": stat.step,
                "model_id": f"m-{model.name}",
                **_measured(model, stat.key),
            }
            for stat in points.statistics(call.store, call.ctx, model.path, limit=1 << 30, deleted=True)
        ]
    return {"info": info, "data": data}


def _measured(model: RunInfo, key: str) -> dict[str, str]:
    run, name, digest = modelmetrics.measured_with(model.info, key)
    found = {"run_id": run or model.info.get("source_run_id", "")}
    return found | ({"dataset_name": name, "dataset_digest": digest} if name else {})


def _shown(call: Call, model: RunInfo) -> dict[str, Any]:
    return shown(call, runs.project_of(call, model), model)


def _uri(call: Call, project: DescribedProject, model: RunInfo) -> str:
    return f"{experiments.location(call, project)}/models/m-{model.name}/artifacts"


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
