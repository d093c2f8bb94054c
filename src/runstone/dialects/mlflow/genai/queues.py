"""Review queues: traces that people shall look at, who they are, and how far they have come."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

from runstone.dialects.mlflow import ids, wire
from runstone.dialects.mlflow.genai import paging
from runstone.dialects.mlflow.genai.scorers import experiment_id
from runstone.dialects.mlflow.problem import EXISTS, invalid, missing, refusal
from runstone.dialects.mlflow.wire import REQUIRED, STRING
from runstone.dialects.routing import Call
from runstone.domain.described import DescribedProject
from runstone.domain.entities import keeping
from runstone.domain.entities.keeping import Item, Kept
from runstone.domain.traces import recording
from runstone.errors import Exists, Missing

_TYPES = ("REVIEW_QUEUE_TYPE_UNSPECIFIED", "USER", "CUSTOM")
_STATUSES = ("REVIEW_STATUS_UNSPECIFIED", "PENDING", "COMPLETE", "DECLINED")
MAX_TEXT, MAX_SCHEMA, MAX_ITEM, MAX_USERS, MAX_ITEMS = 250, 36, 50, 10, 10_000


def create(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST review-queues/create``."""
    kind = _one_of(fields.get("queue_type", 0), _TYPES)
    if kind == 0:
        raise invalid("`queue_type` must be one of USER or CUSTOM; got proto enum value 0.")
    users, schemas = _users(fields), _schemas(fields)
    name = wire.text(fields, "name")
    if kind == 1:
        name = _required(name.strip().lower(), "name", MAX_TEXT)
        users = users or [name]
        if users != [name]:
            raise invalid(
                "A user queue must have exactly one assigned user equal to its name; "
                f"got name={name!r} and users={users!r}."
            )
        if schemas:
            raise invalid(
                "A user queue cannot have explicitly-attached schemas; it resolves to all of the experiment's label schemas."
            )
    else:
        name = _custom_name(name)
    project = paging.experiment(call, wire.text(fields, "experiment_id"))
    return {
        "review_queue": _shown(call, _make(call, project, name, _TYPES[kind], users, schemas, _caller(call)))
    }


def _make(
    call: Call,
    project: DescribedProject,
    name: str,
    kind: str,
    users: list[str],
    schemas: list[str],
    owner: str | None,
) -> Kept:
    _require_schemas(call, project, schemas)
    held = {"name": name, "type": kind, "users": users, "schemas": schemas, "created_by": owner}
    try:
        return keeping.make(
            call.store,
            call.ctx.without_id(),
            "review-queue",
            f"rq-{secrets.token_hex(16)}",
            held,
            project=project.info.path,
            name=name.lower(),
            unique=True,
        )
    except Exists:
        raise _taken(name) from None


def _taken(name: str) -> Exception:
    return refusal(EXISTS, f"Review queue with name '{name}' already exists (names are case-insensitive).")


def user_queue(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST review-queues/get-or-create-user``."""
    project = paging.experiment(call, wire.text(fields, "experiment_id"))
    name = _required(wire.text(fields, "user").strip().lower(), "name", MAX_TEXT)
    held = keeping.named(call.store, call.ctx, "review-queue", project.info.path, name)
    if held is None:
        try:
            return {"review_queue": _shown(call, _make(call, project, name, "USER", [name], [], name))}
        except Exists:
            held = keeping.named(call.store, call.ctx, "review-queue", project.info.path, name)
    if held is None or held.fields["type"] != "USER":
        raise refusal(
            EXISTS,
            f"A non-user queue named '{name}' already exists; cannot get-or-create a user queue with that name.",
        )
    return {"review_queue": _shown(call, held)}


def get(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET review-queues/get``."""
    return {"review_queue": _shown(call, _find(call, fields))}


def by_name(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET review-queues/get-by-name``."""
    number, name = wire.text(fields, "experiment_id"), wire.text(fields, "name")
    project = paging.experiment(call, number)
    held = keeping.named(call.store, call.ctx, "review-queue", project.info.path, name.lower())
    if held is None:
        raise missing(f"Review queue with name '{name}' not found for experiment '{number}'.")
    return {"review_queue": _shown(call, held)}


def list_queues(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET review-queues/list``, latest first."""
    size = paging.limit(fields, 1000)
    project = paging.experiment(call, wire.text(fields, "experiment_id"))
    held = keeping.of_project(call.store, call.ctx, "review-queue", project.info.path)
    if "user" in fields:
        user = wire.text(fields, "user").strip().lower()
        held = [each for each in held if user in each.fields["users"]]
    if "item_id" in fields:
        item = wire.text(fields, "item_id")
        held = [each for each in held if keeping.some_items(call.store, each, [item])]
    held.sort(key=lambda each: (-each.created, each.id))
    return paging.page("review_queues", [_shown(call, each) for each in held], fields, size)


def update(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST review-queues/update``."""
    held = _find(call, fields)
    if held.fields["type"] == "USER":
        raise invalid(
            "A user queue's name, assigned user, schemas, and owner are fixed and cannot be updated."
        )
    told: dict[str, Any] = {}
    if "new_owner" in fields:
        told["created_by"] = _required(wire.text(fields, "new_owner").strip(), "new_owner", MAX_TEXT)
    if "name" in fields:
        told["name"] = _custom_name(wire.text(fields, "name"))
    if wire.flag(fields, "update_users"):
        told["users"] = _users(fields)
    if wire.flag(fields, "update_schema_ids"):
        if _items(call, held):
            raise invalid(
                "A review queue's questions are locked once items are assigned to it. Remove the items before changing its questions."
            )
        told["schemas"] = _schemas(fields)
        assert held.project is not None
        project = ids.experiment(call, str(held.project.id))
        _require_schemas(call, project, told["schemas"])
    if not told:
        return {"review_queue": _shown(call, held)}
    name = told.get("name", held.fields["name"])
    try:
        changed = keeping.change(
            call.store,
            call.ctx,
            "review-queue",
            held.id,
            lambda now: (now.fields | told, {}),
            name=name.lower(),
            unique=True,
        )
    except Exists:
        raise _taken(name) from None
    return {"review_queue": _shown(call, changed)}


def delete(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST review-queues/delete``; one that is not there is no error."""
    try:
        keeping.remove(call.store, call.ctx, "review-queue", wire.text(fields, "queue_id"))
    except Missing:
        return {}
    return {}


def add_items(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST review-queues/items/add``: traces of the queue's experiment; those that are there already stay as they are."""
    kind = fields.get("item_type", 1)
    if kind not in (0, 1, "TRACE", "REVIEW_ITEM_TYPE_UNSPECIFIED"):
        raise invalid(f"`item_type` must be TRACE; got proto enum value {kind}.")
    names = _item_ids(fields)
    queue = _find(call, fields)
    assert queue.project is not None
    there = {found.trace.name for found in recording.several(call.store, call.ctx, names, [queue.project.id])}
    if lacking := [name for name in names if name not in there]:
        raise missing(
            f"Cannot attach trace(s) {lacking} to review queue '{queue.id}': they do not exist in experiment "
            f"'{experiment_id(call, queue)}'."
        )

    def changed(held: Kept) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        known = keeping.some_items(call.store, held, names)
        now = _now()
        new = {
            name: {"status": "PENDING", "created": now, "updated": now} for name in names if name not in known
        }
        if len(new) + len(keeping.items(call.store, held)) > MAX_ITEMS:
            raise invalid(f"a review queue holds at most {MAX_ITEMS} items; make another")
        return held.fields, new

    queue = keeping.change(call.store, call.ctx, "review-queue", queue.id, changed)
    items = keeping.some_items(call.store, queue, names)
    return {"items": [_shown_item(queue, items[name]) for name in names]}


def remove_items(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST review-queues/items/remove``; those that are not there are passed over."""
    names = _item_ids(fields)
    queue = _find(call, fields)
    gone: dict[str, Any] = dict.fromkeys(names)
    keeping.change(call.store, call.ctx, "review-queue", queue.id, lambda held: (held.fields, gone))
    return {}


def list_items(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET review-queues/items/list``, latest first."""
    size = paging.limit(fields, 1000)
    status = _one_of(fields.get("status", 0), _STATUSES)
    queue = _find(call, fields)
    held = _items(call, queue)
    if status:
        held = [item for item in held if item.fields["status"] == _STATUSES[status]]
    held.sort(key=lambda item: (-item.fields["created"], item.key))
    return paging.page("items", [_shown_item(queue, item) for item in held], fields, size)


def _items(call: Call, queue: Kept) -> list[Item]:
    """A queue's items whose traces are still there."""
    assert queue.project is not None
    held = keeping.items(call.store, queue)
    names = [item.key for item in held]
    there = {found.trace.name for found in recording.several(call.store, call.ctx, names, [queue.project.id])}
    return [item for item in held if item.key in there]


def set_status(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST review-queues/items/set-status``. Who is known by a key is told as who did it."""
    status = _STATUSES[_one_of(fields.get("status", 0), _STATUSES)]
    if status == _STATUSES[0]:
        raise invalid("`status` must be one of PENDING, COMPLETE, or DECLINED; got proto enum value 0.")
    name = wire.text(fields, "item_id").strip()
    by = wire.text(fields, "completed_by").strip().lower() or None
    if caller := _caller(call):
        by = None if status == "PENDING" else caller.lower()
    if status == "PENDING" and by is not None:
        raise invalid("`completed_by` must not be set when reopening an item to `pending`.")
    if status != "PENDING" and not by:
        raise invalid(f"`completed_by` is required when setting status to `{status.lower()}`.")
    if by is not None and len(by) > MAX_TEXT:
        raise invalid(f"`completed_by` must be at most {MAX_TEXT} characters; got {len(by)}.")
    queue = _find(call, fields)

    def changed(held: Kept) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        item = keeping.some_items(call.store, held, [name]).get(name)
        if item is None:
            raise missing(f"Item '{name}' is not attached to review queue '{queue.id}'.")
        if item.fields["status"] == status:
            return held.fields, {}
        now = _now()
        told = item.fields | {"status": status, "updated": now, "completed_by": by}
        return held.fields, {name: told | {"completed": None if status == "PENDING" else now}}

    queue = keeping.change(call.store, call.ctx, "review-queue", queue.id, changed)
    return {"item": _shown_item(queue, keeping.some_items(call.store, queue, [name])[name])}


def _caller(call: Call) -> str | None:
    """The principal, if it gave a key; where nobody needs one, a client's word is taken."""
    return call.ctx.principal.name if "Authorization" in call.headers else None


def _find(call: Call, fields: dict[str, Any]) -> Kept:
    queue = wire.text(fields, "queue_id")
    try:
        return keeping.get(call.store, call.ctx, "review-queue", queue)
    except Missing:
        raise missing(f"Review queue with id '{queue}' not found.") from None


def _shown(call: Call, held: Kept) -> dict[str, Any]:
    answer = {
        "queue_id": held.id,
        "experiment_id": experiment_id(call, held),
        "name": held.fields["name"],
        "queue_type": held.fields["type"],
        "creation_time_ms": held.created,
        "last_update_time_ms": held.updated,
    }
    told = (
        ("created_by", held.fields["created_by"]),
        ("users", sorted(held.fields["users"])),
        ("schema_ids", sorted(held.fields["schemas"])),
    )
    return answer | {name: value for name, value in told if value}


def _shown_item(queue: Kept, item: Item) -> dict[str, Any]:
    held = item.fields
    answer = {"queue_id": queue.id, "item_type": "TRACE", "item_id": item.key, "status": held["status"]}
    if held.get("completed_by"):
        answer["completed_by"] = held["completed_by"]
    if held.get("completed"):
        answer["completed_time_ms"] = held["completed"]
    return answer | {"creation_time_ms": held["created"], "last_update_time_ms": held["updated"]}


def _require_schemas(call: Call, project: DescribedProject, schemas: list[str]) -> None:
    known = {each.id for each in keeping.of_project(call.store, call.ctx, "label-schema", project.info.path)}
    if lacking := [schema for schema in schemas if schema not in known]:
        raise invalid(
            f"Label schema id(s) {lacking} not found for experiment '{ids.experiment_id(call, project)}'."
        )


def _users(fields: dict[str, Any]) -> list[str]:
    users = [_required(user.strip().lower(), "user", MAX_TEXT) for user in wire.strings(fields, "users")]
    users = list(dict.fromkeys(users))
    if len(users) > MAX_USERS:
        raise invalid(f"A review queue can have at most {MAX_USERS} assigned users; got {len(users)}.")
    return users


def _schemas(fields: dict[str, Any]) -> list[str]:
    found = [_required(each.strip(), "schema_id", MAX_SCHEMA) for each in wire.strings(fields, "schema_ids")]
    return list(dict.fromkeys(found))


def _item_ids(fields: dict[str, Any]) -> list[str]:
    given = wire.strings(fields, "item_ids")
    if not given:
        raise invalid(f"`item_ids` must be a non-empty list; got {given!r}.")
    return list(dict.fromkeys(_required(each.strip(), "item_id", MAX_ITEM) for each in given))


def _custom_name(name: str) -> str:
    name = _required(name.strip(), "name", MAX_TEXT)
    if name.lower() == "default":
        raise invalid(f"`{name}` is a reserved queue name and cannot be used for a custom queue.")
    return name


def _required(text: str, field: str, limit: int) -> str:
    if not text:
        raise invalid(f"`{field}` must be a non-empty string; got {text!r}.")
    if len(text) > limit:
        raise invalid(f"`{field}` must be at most {limit} characters; got {len(text)}.")
    return text


def _one_of(value: Any, names: tuple[str, ...]) -> int:
    """The number of an enumeration's member, by its name or number."""
    if isinstance(value, str) and value in names:
        return names.index(value)
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = -1
    if not 0 <= number < len(names):
        raise invalid(wire.invalid_value("type" if "TYPE" in names[0] else "status", value))
    return number


def _now() -> int:
    return time.time_ns() // 1_000_000


_ONE = {"queue_id": (REQUIRED, STRING)}
_OF = {"experiment_id": (REQUIRED, STRING)}
_ROUTES: tuple[tuple[Any, ...], ...] = (
    ("POST", "create", create, "Makes a review queue.", {**_OF, "name": (REQUIRED, STRING)}),
    (
        "POST",
        "get-or-create-user",
        user_queue,
        "A person's review queue.",
        {**_OF, "user": (REQUIRED, STRING)},
    ),
    ("GET", "get", get, "A review queue.", _ONE),
    ("GET", "get-by-name", by_name, "A review queue.", {**_OF, "name": (REQUIRED, STRING)}),
    ("GET", "list", list_queues, "An experiment's review queues.", _OF),
    ("POST", "update", update, "Changes a review queue.", _ONE),
    ("POST", "delete", delete, "Deletes a review queue.", _ONE),
    ("POST", "items/add", add_items, "Adds traces to a review queue.", _ONE),
    ("POST", "items/remove", remove_items, "Takes traces from a review queue.", _ONE),
    ("GET", "items/list", list_items, "What is in a review queue.", _ONE),
    (
        "POST",
        "items/set-status",
        set_status,
        "Tells how far a review is.",
        {**_ONE, "item_id": (REQUIRED, STRING)},
    ),
)
ROUTES = tuple(
    route
    for method, path, *rest in _ROUTES
    for route in wire.routes(method, f"review-queues/{path}", *rest, version="3.0")
)
