"""Automations made, changed, listed and deleted, by those who administer the namespace."""

from __future__ import annotations

from typing import Any

import msgspec

from runstone.domain import limits, names, policy
from runstone.domain.automations import conditions, metrics
from runstone.domain.automations.commands import CreateAutomation, DeleteAutomation, UpdateAutomation
from runstone.domain.context import Context
from runstone.domain.policy import Action
from runstone.domain.store import Store
from runstone.domain.webhooks import hooks
from runstone.errors import Invalid, Missing
from runstone.storage.index import View
from runstone.storage.tables import AUTOMATIONS, NAMESPACES, PROJECTS, Automation, Namespace

SCOPES = ("namespace", "project", "collection")
ACTIONS = ("nothing", "webhook", "notification")
#: Events of collections and versions, and the fields that they can be chosen by.
MUTATIONS = {
    "CREATE_ARTIFACT": frozenset({"alias", "tag"}),
    "LINK_MODEL": frozenset({"alias", "tag"}),
    "UNLINK_ARTIFACT": frozenset({"tag"}),
    "ADD_ARTIFACT_ALIAS": frozenset({"alias"}),
    "UPDATE_ARTIFACT_ALIAS": frozenset({"alias"}),
    "ADD_ARTIFACT_TAG": frozenset({"tag"}),
    "REMOVE_ARTIFACT_TAG": frozenset({"tag"}),
    "ADD_COLLECTION_TAG": frozenset({"tag"}),
    "REMOVE_COLLECTION_TAG": frozenset({"tag"}),
}
METRICS = ("RUN_METRIC", "RUN_METRIC_CHANGE", "RUN_METRIC_ZSCORE")
STATES = ("PENDING", "RUNNING", "FINISHED", "FAILED", "CRASHED", "KILLED", "PREEMPTED", "PREEMPTING")
EVENTS = (*MUTATIONS, *METRICS, "RUN_STATE")
MAX_MESSAGE = 64 << 10


class AutomationInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An automation as it is shown. ``subject`` is the id of what ``scope`` names; ``filter`` and ``message`` are JSON."""

    id: int
    namespace: str
    scope: str
    subject: int
    name: str
    description: str
    enabled: bool
    event: str
    filter: dict[str, Any]
    action: str
    webhook: int
    message: dict[str, Any]
    created: int
    updated: int
    by: str


def create(
    store: Store,
    ctx: Context,
    scope: str,
    subject: int,
    *,
    name: str,
    event: str,
    filter: dict[str, Any],
    action: str = "nothing",
    webhook: int = 0,
    message: dict[str, Any] | None = None,
    description: str = "",
    enabled: bool = True,
) -> AutomationInfo:
    """Makes an automation of a namespace, project or collection (``scope``, with its id), whose owners may.

    ``webhook`` is what a webhook or notification goes to; it must be one of the same namespace.
    """
    with store.index.read() as view:
        namespace = _place(store, view, ctx, scope, subject)
    _check(scope, event, filter, action)
    _check_webhook(store, ctx, action, webhook, namespace.id)
    command = CreateAutomation(
        actor=ctx.principal.name,
        reason=ctx.reason,
        namespace=namespace.id,
        scope=scope,
        subject=subject,
        name=limits.required_text(name, "name", 255),
        event=event,
        filter=_packed(filter, "filter"),
        action=action,
        webhook=webhook,
        message=_packed(message or {}, "message"),
        description=limits.text(description, "description"),
        enabled=enabled,
    )
    return get(store, ctx, store.submit(ctx, command).result)


def update(store: Store, ctx: Context, automation: int, **changes: Any) -> AutomationInfo:
    """Changes an automation; what is not given stays."""
    with store.index.read() as view:
        held = _find(store, view, ctx, automation, "admin")
    given = {name: value for name, value in changes.items() if value is not None}
    info = msgspec.structs.asdict(get(store, ctx, automation)) | given
    with store.index.read() as view:
        if _place(store, view, ctx, info["scope"], info["subject"]).id != held.namespace:
            raise Invalid("an automation stays in its namespace; make another one there")
    _check(info["scope"], info["event"], info["filter"], info["action"])
    _check_webhook(store, ctx, info["action"], info["webhook"], held.namespace)
    for field in ("filter", "message"):
        if field in given:
            given[field] = _packed(given[field], field)
    if "name" in given:
        limits.required_text(given["name"], "name", 255)
    if "description" in given:
        limits.text(given["description"], "description")
    store.submit(
        ctx, UpdateAutomation(actor=ctx.principal.name, reason=ctx.reason, automation=automation, **given)
    )
    return get(store, ctx, automation)


def delete(store: Store, ctx: Context, automation: int) -> None:
    """Takes an automation away."""
    with store.index.read() as view:
        _find(store, view, ctx, automation, "admin")
    store.submit(ctx, DeleteAutomation(actor=ctx.principal.name, reason=ctx.reason, automation=automation))


def get(store: Store, ctx: Context, automation: int) -> AutomationInfo:
    """An automation by its id."""
    with store.index.read() as view:
        return _info(view, _find(store, view, ctx, automation, "read"))


def listed(store: Store, ctx: Context, namespace: str) -> list[AutomationInfo]:
    """The automations of a namespace and of what is in it, oldest first."""
    with store.index.read() as view:
        held = names.find_namespace(store, view, ctx, namespace)
        return [_info(view, each) for _, each in view.scan(AUTOMATIONS) if each.namespace == held.id]


def _find(store: Store, view: View, ctx: Context, automation: int, action: Action) -> Automation:
    held = view.get(AUTOMATIONS, automation)
    namespace = view.get(NAMESPACES, held.namespace) if held else None
    if held is None or namespace is None or not store.policy.allows(view, ctx, "read", namespace, None):
        raise Missing(f"there is no automation {automation}")
    policy.require(store.policy, view, ctx, action, namespace)
    return held


def _place(store: Store, view: View, ctx: Context, scope: str, subject: int) -> Namespace:
    """The namespace that a scope lies in, if the principal may administer it."""
    if scope not in SCOPES:
        raise Invalid(f"scope must be one of {', '.join(SCOPES)}, not {scope!r:.100}")
    project = None
    if scope == "namespace":
        namespace = view.get(NAMESPACES, subject)
    elif scope == "project":
        project = view.get(PROJECTS, subject)
        namespace = view.get(NAMESPACES, project.namespace) if project else None
    else:
        place = names.place_of(view, subject)
        namespace, project = (place.namespace, place.project) if place else (None, None)
    if namespace is None:
        raise Missing(f"there is no {scope} with id {subject}")
    policy.require(store.policy, view, ctx, "admin", namespace, project)
    return namespace


def _check(scope: str, event: str, filter: Any, action: str) -> None:
    if event not in EVENTS:
        raise Invalid(f"event {event!r:.100} is not supported; use one of {', '.join(EVENTS)}")
    if action not in ACTIONS:
        raise Invalid(f"action {action!r:.100} is not supported; use one of {', '.join(ACTIONS)}")
    if event in MUTATIONS:
        conditions.check(filter, MUTATIONS[event])
        return
    if scope == "collection":
        raise Invalid(f"{event} is of runs, and a collection has none; use a project or namespace")
    if not isinstance(filter, dict):
        raise Invalid("a filter must be an object")
    conditions.run_filter(filter.get("run_filter"))
    if event in METRICS:
        metrics.read(event, filter.get("run_metric_filter"))
        return
    states = (filter.get("run_state_filter") or {}).get("states")
    if not isinstance(states, list) or not states or not set(states) <= set(STATES):
        raise Invalid(f"run_state_filter must have a list of states out of {', '.join(STATES)}")


def _check_webhook(store: Store, ctx: Context, action: str, webhook: int, namespace: int) -> None:
    if action == "nothing":
        return
    with store.index.read() as view:
        if hooks.find(store, view, ctx, webhook).namespace != namespace:
            raise Missing(f"there is no webhook {webhook} in this namespace")


def _packed(value: dict[str, Any], what: str) -> bytes:
    limits.json_value(value, what)
    packed = msgspec.msgpack.encode(value)
    if len(packed) > MAX_MESSAGE:
        raise Invalid(f"{what} takes {len(packed)} bytes and the limit is {MAX_MESSAGE}")
    return packed


def _info(view: View, held: Automation) -> AutomationInfo:
    namespace = view.get(NAMESPACES, held.namespace)
    return AutomationInfo(
        id=held.id,
        namespace=namespace.name if namespace else "",
        scope=held.scope,
        subject=held.subject,
        name=held.name,
        description=held.description,
        enabled=held.enabled,
        event=held.event,
        filter=msgspec.msgpack.decode(held.filter),
        action=held.action,
        webhook=held.webhook,
        message=msgspec.msgpack.decode(held.message),
        created=held.created,
        updated=held.updated,
        by=held.by,
    )
