"""Runs as mlflow's clients see them: made, changed, deleted, restored and searched."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from runstone.dialects.mlflow import experiments, ids, inputs, searching, validation, wire
from runstone.dialects.mlflow.problem import invalid, missing
from runstone.dialects.mlflow.wire import ARRAY, INTEGER, REQUIRED, STRING
from runstone.dialects.routing import Call
from runstone.domain import described
from runstone.domain.described import DescribedProject
from runstone.domain.queries import mlflow
from runstone.domain.queries.mlflow_grammars import STATUSES
from runstone.domain.runs import browsing, details, lifecycle, questions, table
from runstone.domain.runs.browsing import RunHead
from runstone.domain.runs.details import Rendering, RunDetails
from runstone.errors import Missing
from runstone.query import Condition, Order
from runstone.types import RunInfo

NAME_TAG = "mlflow.runName"
MAX_RESULTS = 50_000
_ADJECTIVES = (
    "able",
    "bold",
    "calm",
    "deft",
    "fair",
    "glad",
    "keen",
    "kind",
    "lucid",
    "quick",
    "sunny",
    "wise",
)
_NOUNS = ("ant", "bee", "crane", "deer", "finch", "hare", "lynx", "mole", "otter", "robin", "seal", "wren")
_STATES = {
    "RUNNING": "running",
    "SCHEDULED": "pending",
    "FINISHED": "finished",
    "FAILED": "failed",
    "KILLED": "killed",
}
_WORDS = {state: word for word, states in STATUSES.items() for state in states}
_encode = msgspec.json.Encoder().encode
_NUMBERS = {"1": "RUNNING", "2": "SCHEDULED", "3": "FINISHED", "4": "FAILED", "5": "KILLED"}


def create(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``runs/create``."""
    project = ids.active_experiment(call, wire.text(fields, "experiment_id"))
    tags = dict(validation.run_tag(*tag) for tag in wire.pairs(fields, "tags"))
    name, tagged = wire.text(fields, "run_name"), tags.get(NAME_TAG, "")
    if name and tagged and name != tagged:
        raise invalid(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
            f"(run_name='{name}', mlflow.runName='{tagged}')."
        )
    name = name or tagged or _random_name()
    made = lifecycle.create(
        call.store,
        call.ctx,
        f"{project.info.path}/{ids.new_run(project)}",
        display_name=name,
        tags={**tags, NAME_TAG: name},
        # mlflow's clients send no heartbeats, so a silent run is not a crashed one.
        info={"heartbeats": False, "user_id": wire.text(fields, "user_id")},
        started=max(wire.whole(fields, "start_time"), 0) * 1000,
    )
    answer = shown(placed(call, project), details.get(call.store, call.ctx, made.path))
    del answer["outputs"]
    return {"run": answer}


def get(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``runs/get``."""
    found = details.get(call.store, call.ctx, ids.head(call, wire.text(fields, "run_id")).path)
    return {"run": shown(placed(call, project_of(call, found)), found)}


def update(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``runs/update``."""
    found = ids.active_run(call, wire.text(fields, "run_id"))
    status = str(fields.get("status") or "")
    status = _NUMBERS.get(status, status)
    if status and status not in _STATES:
        raise invalid(wire.invalid_value("status", status))
    if name := wire.text(fields, "run_name"):
        found = lifecycle.update(
            call.store, call.ctx.without_id(), found.path, display_name=name, tags={NAME_TAG: name}
        )
    if status or "end_time" in fields:
        ended = wire.whole(fields, "end_time") * 1000 if "end_time" in fields else 0
        state = _STATES.get(status, found.state)
        found = lifecycle.set_state(call.store, call.ctx, found.path, state, finished=max(ended, 0))
    return {"run_info": info(placed(call, project_of(call, found)), found)}


def delete(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``runs/delete``."""
    found = ids.head(call, wire.text(fields, "run_id"))
    if not found.deleted:
        lifecycle.delete(call.store, call.ctx, found.path)
    return {}


def restore(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``runs/restore``."""
    found = ids.head(call, wire.text(fields, "run_id"))
    if found.deleted:
        lifecycle.restore(call.store, call.ctx, found.path)
    return {}


def set_tag(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``runs/set-tag``."""
    key, value = validation.run_tag(wire.text(fields, "key"), wire.text(fields, "value"))
    change(call, ids.active_head(call, wire.text(fields, "run_id")).path, {}, {key: value})
    return {}


def delete_tag(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``runs/delete-tag``."""
    text, key = wire.text(fields, "run_id"), wire.text(fields, "key")
    found = ids.active_run(call, text)
    if key not in found.tags:
        raise missing(f"No tag with name: {key} in run with id {text}")
    lifecycle.update(call.store, call.ctx, found.path, remove=(f"tags.{key}",))
    return {}


def search(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``runs/search``."""
    limit = wire.whole(fields, "max_results", 1000)
    wire.at_most(fields, "max_results", MAX_RESULTS)
    found: dict[str, DescribedProject] = {}
    read = inputs.question(call, lambda: list(found.values()))
    for text in dict.fromkeys(wire.strings(fields, "experiment_ids")):
        project = readable(call, text)
        if project is not None:
            found[project.info.path] = project
    condition = mlflow.condition(wire.text(fields, "filter"), mlflow.RUNS, datasets=read)
    orders = mlflow.orders(wire.strings(fields, "order_by"), mlflow.RUNS)
    view = experiments.view_type(fields, "run_view_type")
    look = _by_columns if searching.by_columns(condition, orders) else _by_rows
    runs, token = look(call, fields, found, condition, orders, view, max(limit, 0))
    answer: dict[str, Any] = {}
    if runs:
        answer["runs"] = runs
    if token:
        answer["next_page_token"] = token
    return answer


_Found = tuple[Sequence[Any], str]


def _by_columns(
    call: Call,
    fields: dict[str, Any],
    found: dict[str, DescribedProject],
    condition: Condition,
    orders: Sequence[Order],
    view: str,
    limit: int,
) -> _Found:
    if not found or not limit:
        return (), ""
    page = questions.across(
        call.store,
        call.ctx,
        {path: _rendering(call, project) for path, project in found.items()},
        "mlflow run",
        filter=searching.condition_of(call, condition, view),
        order=searching.orders_of(orders),
        limit=limit,
        after=wire.page_place(fields),
        deleted=True,
    )
    return page.items, wire.place_token(page.next) if page.next else ""


def _rendering(call: Call, project: DescribedProject) -> Rendering:
    where = placed(call, project)
    return Rendering(where, lambda run: _encode(_searched(where, run)))


def _searched(where: Placed, run: RunDetails) -> dict[str, Any]:
    """A run in an answer to a search, which tells of the datasets that are read and, as in mlflow, not of the models."""
    answer = shown(where, run)
    answer["inputs"].pop("model_inputs", None)
    return answer


def _by_rows(
    call: Call,
    fields: dict[str, Any],
    found: dict[str, DescribedProject],
    condition: Condition,
    orders: Sequence[Order],
    view: str,
    limit: int,
) -> _Found:
    def row(path: str, fields: dict[str, Any]) -> dict[str, Any] | None:
        if fields.get("job_type") == ids.LOGGED or not experiments.in_view(view, fields["deleted"]):
            return None
        return _row(call, found[path], fields)

    offset = wire.page_offset(fields)
    named, more = browsing.search(
        call.store, call.ctx, found, condition, orders, shown=row, offset=offset, limit=limit
    )
    runs = [
        _searched(placed(call, found[name.rpartition("/")[0]]), details.get(call.store, call.ctx, name))
        for name in named
    ]
    return runs, wire.page_token(offset + limit) if more else ""


class Placed(NamedTuple):
    """What mlflow says of the project of a run: its number, the id of the experiment, and where artifacts are."""

    project: int
    experiment_id: str
    location: str


def placed(call: Call, project: DescribedProject) -> Placed:
    """The place of a project's runs."""
    return Placed(project.id, ids.experiment_id(call, project), experiments.location(call, project))


def shown(where: Placed, run: RunDetails) -> dict[str, Any]:
    """A run as mlflow writes it."""
    data: dict[str, Any] = {}
    if run.latest:
        data["metrics"] = [
            {
                "key": point.key,
                "value": wire.shown_number(point.value),
                "timestamp": wire.milliseconds(point.time),
                "step": point.step,
            }
            for point in run.latest
        ]
    if params := params_of(run):
        data["params"] = wire.key_values(params)
    data["tags"] = wire.key_values({**run.tags, NAME_TAG: run.display_name or run.name})
    read, made = inputs.shown(run.uses)
    return {"info": info(where, run), "data": data, "inputs": read, "outputs": made}


def info(where: Placed, run: RunInfo | RunDetails) -> dict[str, Any]:
    """A run's attributes as mlflow writes them."""
    number = ids.run_id(where.project, run.id, run.name)
    found = {
        "run_uuid": number,
        "run_id": number,
        "experiment_id": where.experiment_id,
        "run_name": run.display_name or run.name,
        "user_id": run.info.get("user_id", run.by),
        "status": _WORDS.get(run.state, "FAILED"),
        "start_time": wire.milliseconds(run.started),
        "artifact_uri": f"{where.location}/{number}/artifacts",
        "lifecycle_stage": experiments.stage(run.deleted),
    }
    if run.finished:
        found["end_time"] = wire.milliseconds(run.finished)
    return found


def artifact_uri(call: Call, project: DescribedProject, number: str) -> str:
    """Where the artifacts of a run are."""
    return f"{experiments.location(call, project)}/{number}/artifacts"


def project_of(call: Call, run: RunInfo | RunDetails | RunHead) -> DescribedProject:
    """The project that a run lies in."""
    return described.project(call.store, call.ctx, f"{run.namespace}/{run.project}")


def params_of(run: RunInfo | RunDetails) -> dict[str, str]:
    """A run's config as mlflow's params: nested names with dots, values as text."""
    if all(type(value) is str for value in run.config.values()):  # as mlflow's own are
        return dict(run.config)
    flat: dict[str, Any] = {}
    table.flatten(flat, "", run.config)
    return {
        key.removeprefix("."): value if isinstance(value, str) else str(value) for key, value in flat.items()
    }


def change(call: Call, run: str, params: dict[str, str], tags: dict[str, str]) -> None:
    """Sets params, which never change again, and tags of a run; raises :class:`Conflict` for a param that has another value."""
    name = tags.get(NAME_TAG)
    lifecycle.update(
        call.store, call.ctx, run, once=params or None, tags=tags or None, display_name=name or None
    )


def readable(call: Call, text: str) -> DescribedProject | None:
    """The project of an experiment; None when it is not there, where mlflow finds nothing."""
    try:
        return ids.experiment(call, text)
    except Missing:
        return None


def _row(call: Call, project: DescribedProject, fields: dict[str, Any]) -> dict[str, Any]:
    number = ids.run_id(project.id, fields["id"], fields["name"])
    row = {
        **fields,
        "id": number,
        "name": fields["display_name"],
        "user": fields["user_id"],
        "created": fields["started"],
        "artifact_uri": artifact_uri(call, project, number),
        f"tags.{NAME_TAG}": fields["display_name"],
    }
    if "finished" in fields:
        row["ended"] = fields["finished"]
    return row


def _random_name() -> str:
    return f"{secrets.choice(_ADJECTIVES)}-{secrets.choice(_NOUNS)}-{secrets.randbelow(1000)}"


_ID = {"run_id": (REQUIRED, STRING)}
_KEY = {**_ID, "key": (REQUIRED, STRING)}
ROUTES = (
    *wire.routes(
        "POST",
        "runs/create",
        create,
        "Makes a run.",
        {"experiment_id": (STRING,), "start_time": (INTEGER,), "run_name": (STRING,)},
    ),
    *wire.routes("GET", "runs/get", get, "A run by id.", _ID, hot=True),
    *wire.routes(
        "POST",
        "runs/update",
        update,
        "Changes the status, end or name of a run.",
        {**_ID, "end_time": (INTEGER,), "run_name": (STRING,)},
    ),
    *wire.routes("POST", "runs/delete", delete, "Deletes a run.", _ID),
    *wire.routes("POST", "runs/restore", restore, "Restores a run.", _ID),
    *wire.routes("POST", "runs/set-tag", set_tag, "Sets a tag of a run.", {**_KEY, "value": (STRING,)}),
    *wire.routes("POST", "runs/delete-tag", delete_tag, "Takes a tag of a run away.", _KEY),
    *wire.routes(
        "POST",
        "runs/search",
        search,
        "Runs that are asked for.",
        {"experiment_ids": (ARRAY,), "filter": (STRING,), "max_results": (INTEGER,), "order_by": (ARRAY,)},
    ),
)
