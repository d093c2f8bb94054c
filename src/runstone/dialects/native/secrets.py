"""Secrets of namespaces, and what webhooks were sent."""

from __future__ import annotations

from runstone.dialects.native.accounts import NAMESPACES
from runstone.dialects.native.wire import Answer, Limit, Number, Request
from runstone.dialects.routing import Call, Raw, Route
from runstone.domain import secrets
from runstone.domain.webhooks import hooks, queue
from runstone.domain.webhooks.hooks import WebhookInfo
from runstone.domain.webhooks.queue import DeliveryInfo

SECRETS = NAMESPACES + "/{ns}/secrets"
WEBHOOKS = NAMESPACES + "/{ns}/webhooks"
#: The channel of messages for people: what a chat program takes in.
NOTIFICATIONS = "wandb-notification"


class NewSecret(Request):
    """A secret's value."""

    value: str


class Names(Answer):
    """Names of secrets."""

    items: list[str]


class Hooks(Answer):
    """Webhooks."""

    items: list[WebhookInfo]


class NewNotification(Request):
    """An address that takes ``{"text": …}``, such as that of a chat program's incoming webhook. ``alerts``: of runs too."""

    name: str
    url: str
    alerts: bool = True


class DeliveryPage(Request):
    """Which messages: those before number ``before``, the newest first."""

    limit: Limit = 100
    before: Number = 0


class Deliveries(Answer):
    """Messages to a webhook."""

    items: list[DeliveryInfo]


def list_secrets(call: Call) -> Names:
    """Answers ``GET …/secrets``."""
    return Names(items=secrets.listed(call.store, call.ctx, call.path["ns"]))


def put_secret(call: Call) -> Raw:
    """Answers ``PUT …/secrets/{secret}``."""
    secrets.put(call.store, call.ctx, call.path["ns"], call.path["secret"], call.body.value)
    return Raw(status=204)


def delete_secret(call: Call) -> Raw:
    """Answers ``DELETE …/secrets/{secret}``."""
    secrets.delete(call.store, call.ctx, call.path["ns"], call.path["secret"])
    return Raw(status=204)


def list_hooks(call: Call) -> Hooks:
    """Answers ``GET …/webhooks``."""
    return Hooks(items=hooks.list_hooks(call.store, call.ctx, call.path["ns"]))


def add_notification(call: Call) -> WebhookInfo:
    """Answers ``POST …/webhooks``."""
    given: NewNotification = call.body
    return hooks.create(
        call.store,
        call.ctx,
        call.path["ns"],
        channel=NOTIFICATIONS,
        name=given.name,
        url=given.url,
        events=("alert",) if given.alerts else (),
    )


def delete_hook(call: Call) -> Raw:
    """Answers ``DELETE …/webhooks/{webhook}``."""
    hooks.delete(call.store, call.ctx, _number(call))
    return Raw(status=204)


def list_deliveries(call: Call) -> Deliveries:
    """Answers ``GET …/webhooks/{webhook}/deliveries``."""
    asked: DeliveryPage = call.query
    found = queue.listed(call.store, call.ctx, _number(call), before=asked.before, limit=asked.limit)
    return Deliveries(items=found)


def _number(call: Call) -> int:
    text = call.path["webhook"]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


ROUTES = (
    Route("GET", SECRETS, list_secrets, "The names of a namespace's secrets.", answer=Names, blocking=True),
    Route(
        "PUT", SECRETS + "/{secret}", put_secret, "Keeps a secret.", body=NewSecret, status=204, blocking=True
    ),
    Route("DELETE", SECRETS + "/{secret}", delete_secret, "Takes a secret away.", status=204, blocking=True),
    Route("GET", WEBHOOKS, list_hooks, "A namespace's webhooks.", answer=Hooks),
    Route(
        "POST",
        WEBHOOKS,
        add_notification,
        "Makes a webhook that takes notifications of automations, and alerts of runs.",
        body=NewNotification,
        answer=WebhookInfo,
        status=201,
        blocking=True,
    ),
    Route("DELETE", WEBHOOKS + "/{webhook}", delete_hook, "Takes a webhook away.", status=204, blocking=True),
    Route(
        "GET",
        WEBHOOKS + "/{webhook}/deliveries",
        list_deliveries,
        "What a webhook was sent, and how that ended.",
        query=DeliveryPage,
        answer=Deliveries,
    ),
)
