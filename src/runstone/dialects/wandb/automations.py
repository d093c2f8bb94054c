"""Automations and the integrations that they use, as GraphQL objects."""

from __future__ import annotations

from typing import Any

import msgspec

from runstone.dialects.routing import Call
from runstone.dialects.wandb import wire
from runstone.dialects.wandb.channel import NOTIFICATION, WEBHOOK, Secrets
from runstone.domain import names, secrets
from runstone.domain.automations import conditions, lifecycle
from runstone.domain.automations.lifecycle import MUTATIONS, AutomationInfo
from runstone.domain.webhooks import WebhookInfo, hooks
from runstone.errors import Invalid, Missing

_ACTIONS = {"NO_OP": "nothing", "GENERIC_WEBHOOK": "webhook", "NOTIFICATION": "notification"}
_LISTED = frozenset({"name", "description"})


class TriggerNode:
    """An automation."""

    def __init__(self, call: Call, info: AutomationInfo) -> None:
        self._call, self._info = call, info
        self.id, self.name, self.description = wire.make_id("Trigger", info.id), info.name, info.description
        self.enabled = info.enabled
        self.created_at, self.updated_at = wire.time_text(info.created), wire.time_text(info.updated)

    def scope(self) -> Any:
        """Where it looks."""
        return _scope(self._call, self._info)

    def triggering_condition(self) -> dict[str, Any]:
        """When it is set off. The SDK reads filters of collections and versions one level down, as text."""
        found: Any = self._info.filter
        if self._info.event in MUTATIONS:
            found = {"filter": wire.written(found)}
        return {"eventType": self._info.event, "filter": wire.written(found)}

    def triggered_action(self) -> dict[str, Any]:
        """What it does."""
        message = self._info.message
        if self._info.action == "nothing":
            return {"__typename": "NoOpTriggeredAction", "noOp": True}
        integration = _integration(self._call, self._info.webhook)
        if self._info.action == "notification":
            return {"__typename": "NotificationTriggeredAction", "integration": integration, **message}
        payload = message.get("payload")
        return {
            "__typename": "GenericWebhookTriggeredAction",
            "integration": integration,
            "requestPayload": None if payload is None else wire.written(payload),
        }


def _scope(call: Call, info: AutomationInfo) -> Any:
    from runstone.dialects.wandb.people import EntityNode
    from runstone.dialects.wandb.projects import project

    if info.scope == "namespace":
        return EntityNode(call, info.namespace)
    if info.scope == "project":
        return project(call, names.project_named(call.store, info.subject), info.namespace)
    with call.store.index.read() as view:
        place = names.place_of(view, info.subject)
    if place is None:
        raise Missing("the collection of this automation was deleted")
    kind = "ArtifactPortfolio" if place.project.kind == "registry" else "ArtifactSequence"
    return {
        "__typename": kind,
        "id": wire.make_id("ArtifactCollection", info.subject),
        "name": place.collection.name,
    }


def listed(
    call: Call, entity: str, filters: str | None, after: str | None, first: int | None
) -> dict[str, Any]:
    """The automations of an entity, by page."""
    asked = wire.document(filters, "filters") or {}
    conditions.check(asked, _LISTED)
    found = lifecycle.listed(call.store, call.ctx, entity)
    kept = [
        each
        for each in found
        if conditions.holds(asked, {"name": each.name, "description": each.description})
    ]
    return wire.page([TriggerNode(call, each) for each in kept], after, first)


def of_project(call: Call, entity: str, project: int) -> list[TriggerNode]:
    """The automations of a project."""
    found = lifecycle.listed(call.store, call.ctx, entity)
    return [TriggerNode(call, each) for each in found if (each.scope, each.subject) == ("project", project)]


def create(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Makes an automation."""
    action, webhook, message = _action(given)
    scope, subject = _place(given)
    made = lifecycle.create(
        call.store,
        call.ctx,
        scope,
        subject,
        name=given["name"],
        description=given.get("description") or "",
        enabled=given["enabled"],
        event=given["triggeringEventType"],
        filter=_filter(given["triggeringEventType"], given["eventFilter"]),
        action=action,
        webhook=webhook,
        message=message,
    )
    return {"trigger": TriggerNode(call, made)}


def update(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Changes an automation; null leaves what it was."""
    number = wire.number_of("Trigger", given["id"])
    held = lifecycle.get(call.store, call.ctx, number)
    changes: dict[str, Any] = {name: given.get(name) for name in ("name", "description", "enabled")}
    changes["event"] = given.get("triggeringEventType")
    if given.get("eventFilter") is not None:
        changes["filter"] = _filter(changes["event"] or held.event, given["eventFilter"])
    if given.get("scopeID") is not None:
        changes["scope"], changes["subject"] = _place(given)
    if given.get("triggeredActionConfig") is not None:
        changes["action"], changes["webhook"], changes["message"] = _action(given)
    return {"trigger": TriggerNode(call, lifecycle.update(call.store, call.ctx, number, **changes))}


def delete(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Takes an automation away."""
    lifecycle.delete(call.store, call.ctx, wire.number_of("Trigger", given["triggerID"]))
    return {"success": True}


def _place(given: dict[str, Any]) -> tuple[str, int]:
    kinds = {"ENTITY": ("namespace", "Entity"), "PROJECT": ("project", "Project")}
    if given["scopeType"] in kinds:
        scope, kind = kinds[given["scopeType"]]
        return scope, wire.number_of(kind, given["scopeID"])
    return "collection", wire.any_number(given["scopeID"])


def _filter(event: str, text: str) -> dict[str, Any]:
    found = wire.document(text, "eventFilter") or {}
    run_filter = found.get("run_filter")
    if event not in MUTATIONS and isinstance(run_filter, str):
        return found | {"run_filter": wire.document(run_filter, "run_filter")}
    inner = found.get("filter")
    if event in MUTATIONS and inner is not None:
        return wire.document(inner, "filter") or {} if isinstance(inner, str) else inner
    return found


def _action(given: dict[str, Any]) -> tuple[str, int, dict[str, Any]]:
    kind, config = given["triggeredActionType"], given["triggeredActionConfig"]
    if kind not in _ACTIONS:
        raise Invalid(f"the action {kind} is not supported; use {', '.join(_ACTIONS)}")
    if kind == "NO_OP":
        return "nothing", 0, {}
    name = "notificationActionInput" if kind == "NOTIFICATION" else "genericWebhookActionInput"
    asked = config.get(name)
    if asked is None:
        raise Invalid(f"triggeredActionConfig must have {name} for the action {kind}")
    webhook = wire.number_of("Integration", asked["integrationID"])
    if kind == "NOTIFICATION":
        return "notification", webhook, {name: asked.get(name) for name in ("title", "message", "severity")}
    payload = asked.get("requestPayload")
    return (
        "webhook",
        webhook,
        {"payload": None if payload is None else wire.parsed(payload, "requestPayload")},
    )


def integrations(call: Call, entity: str, after: str | None, first: int | None) -> dict[str, Any]:
    """The integrations of an entity, by page."""
    found = hooks.list_hooks(call.store, call.ctx, entity)
    return wire.page(
        [_shown(each) for each in found if each.channel in (WEBHOOK, NOTIFICATION)], after, first
    )


def create_webhook(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Makes a webhook that automations may use; its token and key are secrets of the entity, by name."""
    store, ctx, entity = call.store, call.ctx, given["entityName"]
    named = {"token": given.get("accessTokenRef"), "secret": given.get("secretRef")}
    shown = Secrets(**{what: secrets.get(store, ctx, entity, name) for what, name in named.items() if name})
    made = hooks.create(
        store,
        ctx,
        entity,
        channel=WEBHOOK,
        name=given["name"],
        url=given["urlEndpoint"],
        secret=msgspec.json.encode(shown).decode() if shown.token or shown.secret else "",
    )
    return {"integration": _shown(made)}


def _integration(call: Call, webhook: int) -> dict[str, Any] | None:
    try:
        return _shown(hooks.get(call.store, call.ctx, webhook))
    except Missing:
        return None


def _shown(hook: WebhookInfo) -> dict[str, Any]:
    number = wire.make_id("Integration", hook.id)
    if hook.channel == NOTIFICATION:
        return {
            "__typename": "SlackIntegration",
            "id": number,
            "teamName": hook.namespace,
            "channelName": hook.name,
        }
    return {
        "__typename": "GenericWebhookIntegration",
        "id": number,
        "name": hook.name,
        "urlEndpoint": hook.url,
    }
