"""Experiments: projects as mlflow's clients see them."""

from __future__ import annotations

from typing import Any

from runstone.dialects.mlflow import ids, validation, wire
from runstone.dialects.mlflow.problem import EXISTS, INVALID_STATE, invalid, missing, refusal
from runstone.dialects.mlflow.wire import ARRAY, INTEGER, REQUIRED, STRING
from runstone.dialects.routing import Call
from runstone.domain import archiving, described, labels, projects
from runstone.domain.described import DescribedProject
from runstone.domain.queries import mlflow, rows
from runstone.errors import Exists, Missing

LOCATION = "mlflow.artifact_location"
MAX_RESULTS = 50_000
_VIEWS = {"1": "ACTIVE_ONLY", "2": "DELETED_ONLY", "3": "ALL"}


def create(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``experiments/create``."""
    title = validation.experiment_name(wire.text(fields, "name"))
    tags = dict(validation.experiment_tag(*tag) for tag in wire.pairs(fields, "tags"))
    name = f"{ids.workspace(call)}/{ids.plain_name(title)}"
    ids.default(call)  # it is the first of a workspace
    try:
        projects.create(call.store, call.ctx, name)
    except Exists:
        raise refusal(EXISTS, f"Experiment(name={title}) already exists.") from None
    kept = {ids.TITLE: title} if ids.plain_name(title) != title else {}
    if location := wire.text(fields, "artifact_location"):
        kept[LOCATION] = location.rstrip("/")
    ctx = call.ctx.without_id()
    if kept:
        labels.label_project(call.store, ctx, name, kept, kind="property")
    if tags:
        labels.label_project(call.store, ctx, name, tags)
    return {"experiment_id": ids.experiment_id(call, described.project(call.store, call.ctx, name))}


def get(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``experiments/get``."""
    return {"experiment": shown(call, ids.experiment(call, wire.text(fields, "experiment_id")))}


def get_by_name(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``experiments/get-by-name``."""
    title = wire.text(fields, "experiment_name")
    if title == ids.DEFAULT:
        return {"experiment": shown(call, ids.default(call))}
    name = f"{ids.workspace(call)}/{ids.plain_name(title)}"
    try:
        found = described.project(call.store, call.ctx, name)
    except Missing:
        raise missing(f"Could not find experiment with name '{title}'") from None
    return {"experiment": shown(call, found)}


def search(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``experiments/search``."""
    limit = wire.whole(fields, "max_results")
    if limit <= 0:
        raise invalid(
            f"Invalid value {limit} for parameter 'max_results' supplied. It must be a positive integer"
        )
    if limit > MAX_RESULTS:
        raise invalid(
            f"Invalid value {limit} for parameter 'max_results' supplied. It must be at most {MAX_RESULTS}"
        )
    condition = mlflow.condition(wire.text(fields, "filter"), mlflow.EXPERIMENTS)
    orders = mlflow.orders(wire.strings(fields, "order_by"), mlflow.EXPERIMENTS)
    view, offset = view_type(fields), wire.page_offset(fields)
    ids.default(call)
    found = [
        (row, each)
        for each in described.list_projects(call.store, call.ctx, ids.workspace(call))
        if in_view(view, each.deleted) and rows.matches(condition, row := _row(call, each))
    ]
    found = rows.ordered(found, orders, lambda pair: pair[0])
    answer: dict[str, Any] = {
        "experiments": [shown(call, each) for _, each in found[offset : offset + limit]]
    }
    if len(found) > offset + limit:
        answer["next_page_token"] = wire.page_token(offset + limit)
    return answer


def update(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``experiments/update``."""
    found = ids.experiment(call, wire.text(fields, "experiment_id"))
    title = validation.experiment_name(wire.text(fields, "new_name"))
    if found.deleted:
        raise refusal(INVALID_STATE, "Cannot rename a non-active experiment.")
    name = ids.plain_name(title)
    if ids.experiment_id(call, found) == "0" and name != ids.DEFAULT:
        raise invalid("experiment 0 keeps the name Default here; make an experiment of another name instead")
    kept = {ids.TITLE: title} if name != title else {}
    if kept:
        labels.label_project(call.store, call.ctx.without_id(), found.info.path, kept, kind="property")
    if name != found.info.name:
        try:
            projects.update(call.store, call.ctx, found.info.path, new_name=name)
        except Exists:
            raise refusal(EXISTS, f"Experiment(name={title}) already exists.") from None
    return {}


def delete(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``experiments/delete``."""
    text = wire.text(fields, "experiment_id")
    found = ids.experiment(call, text)
    if found.deleted:
        raise missing(f"No Experiment with id={text} exists")
    archiving.archive(call.store, call.ctx, found.info.path)
    return {}


def restore(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``experiments/restore``."""
    text = wire.text(fields, "experiment_id")
    found = ids.experiment(call, text)
    if not found.deleted:
        raise missing(f"No Experiment with id={text} exists")
    archiving.restore(call.store, call.ctx, found.info.path)
    return {}


def set_tag(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``experiments/set-experiment-tag``."""
    key, value = validation.experiment_tag(wire.text(fields, "key"), wire.text(fields, "value"))
    found = ids.active_experiment(call, wire.text(fields, "experiment_id"))
    labels.label_project(call.store, call.ctx, found.info.path, {key: value})
    return {}


def delete_tag(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``experiments/delete-experiment-tag``."""
    text, key = wire.text(fields, "experiment_id"), wire.text(fields, "key")
    found = ids.active_experiment(call, text)
    if key not in found.tags:
        raise missing(f"No tag with name: {key} in experiment with id {text}")
    labels.label_project(call.store, call.ctx, found.info.path, remove=(key,))
    return {}


def shown(call: Call, project: DescribedProject) -> dict[str, Any]:
    """An experiment as mlflow writes it."""
    number = ids.experiment_id(call, project)
    found = {
        "experiment_id": number,
        "name": ids.title_of(project.info.name, project.properties),
        "artifact_location": location(call, project),
        "lifecycle_stage": stage(project.deleted),
        "last_update_time": wire.milliseconds(project.info.updated),
        "creation_time": wire.milliseconds(project.info.created),
        "workspace": call.headers.get("X-MLFLOW-WORKSPACE") or "default",
    }
    if project.tags:
        found["tags"] = wire.key_values(project.tags)
    return found


def location(call: Call, project: DescribedProject) -> str:
    """Where the artifacts of an experiment's runs are."""
    own = project.properties.get(LOCATION, "")
    return own or f"mlflow-artifacts:/{ids.experiment_id(call, project)}"


def stage(deleted: int) -> str:
    """mlflow's word for whether a thing was deleted."""
    return "deleted" if deleted else "active"


def view_type(fields: dict[str, Any], name: str = "view_type") -> str:
    """Which of the deleted and the others are asked for."""
    view = str(fields.get(name) or "ACTIVE_ONLY")
    view = _VIEWS.get(view, view)
    if view not in _VIEWS.values():
        raise invalid(wire.invalid_value(name, view))
    return view


def in_view(view: str, deleted: int) -> bool:
    """Whether a thing is of those asked for."""
    return view == "ALL" or (view == "DELETED_ONLY") == bool(deleted)


def _row(call: Call, project: DescribedProject) -> dict[str, Any]:
    return {
        "id": ids.experiment_id(call, project),
        "name": ids.title_of(project.info.name, project.properties),
        "created": project.info.created,
        "updated": project.info.updated,
        **{f"tags.{key}": value for key, value in project.tags.items()},
    }


_ID = {"experiment_id": (REQUIRED, STRING)}
_SEARCH = {
    "view_type": (),
    "max_results": (INTEGER,),
    "order_by": (),
    "filter": (STRING,),
    "page_token": (STRING,),
}
_TAG = {**_ID, "key": (REQUIRED, STRING)}
ROUTES = (
    *wire.routes(
        "POST",
        "experiments/create",
        create,
        "Makes an experiment.",
        {"name": (REQUIRED, STRING), "artifact_location": (STRING,), "tags": (ARRAY,)},
    ),
    *wire.routes("GET", "experiments/get", get, "An experiment by id.", _ID),
    *wire.routes(
        "GET",
        "experiments/get-by-name",
        get_by_name,
        "An experiment by name.",
        {"experiment_name": (REQUIRED, STRING)},
    ),
    *wire.routes("GET", "experiments/search", search, "Experiments that are asked for.", _SEARCH),
    *wire.routes("POST", "experiments/search", search, "Experiments that are asked for.", _SEARCH),
    *wire.routes(
        "POST",
        "experiments/update",
        update,
        "Renames an experiment.",
        {**_ID, "new_name": (STRING, REQUIRED)},
    ),
    *wire.routes("POST", "experiments/delete", delete, "Deletes an experiment and its runs.", _ID),
    *wire.routes("POST", "experiments/restore", restore, "Restores an experiment and its runs.", _ID),
    *wire.routes(
        "POST",
        "experiments/set-experiment-tag",
        set_tag,
        "Sets a tag of an experiment.",
        {**_TAG, "value": (STRING,)},
    ),
    *wire.routes(
        "POST", "experiments/delete-experiment-tag", delete_tag, "Takes a tag of an experiment away.", _TAG
    ),
)
