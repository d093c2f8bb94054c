"""What automations do: webhooks with the payload that their maker wrote, and notifications for people."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any

import msgspec

from runstone.domain.automations import firing
from runstone.domain.automations.firing import Fired
from runstone.domain.runs import finding
from runstone.domain.store import Store
from runstone.domain.webhooks import Event, Told

WEBHOOK = "wandb"
NOTIFICATION = "wandb-notification"
_VARIABLE = re.compile(r"\$\{([a-z_]{1,64})\}")
_HEADERS = {"Content-Type": "application/json"}


class Secrets(msgspec.Struct):
    """What a webhook of an automation shows: a token, and the key that its messages are signed with."""

    token: str = ""
    secret: str = ""


class Webhooks:
    """Posts the payload of an automation, its variables put in."""

    name = WEBHOOK
    kinds = firing.KINDS

    def tell(self, store: Store, event: Event) -> Iterator[Told]:
        """See :meth:`Channel.tell`."""
        for fired in firing.fired(store, event):
            if fired.automation.action == "webhook":
                yield Told("automation", _payload(fired), to=(fired.automation.webhook,))

    def headers(self, delivery: str, secret: str, body: bytes, now: int) -> Mapping[str, str]:
        """See :meth:`Channel.headers`: a bearer token, and the HMAC-SHA256 of the body as W&B has it."""
        own = msgspec.json.decode(secret, type=Secrets) if secret else Secrets()
        found = _HEADERS | {"X-Wandb-Delivery": delivery}
        if own.token:
            found["Authorization"] = f"Bearer {own.token}"
        if own.secret:
            found["X-Wandb-Signature"] = hmac.new(own.secret.encode(), body, sha256).hexdigest()
        return found


class Notifications:
    """Posts a text for people, as the incoming webhooks of chat programs take it."""

    name = NOTIFICATION
    kinds = firing.KINDS | {"run.alert"}

    def tell(self, store: Store, event: Event) -> Iterator[Told]:
        """See :meth:`Channel.tell`."""
        if event.kind == "run.alert":
            yield Told("alert", _alert(store, event))
            return
        for fired in firing.fired(store, event):
            if fired.automation.action == "notification":
                yield Told("automation", _notification(fired), to=(fired.automation.webhook,))

    def headers(self, delivery: str, secret: str, body: bytes, now: int) -> Mapping[str, str]:
        """See :meth:`Channel.headers`."""
        return _HEADERS


CHANNELS = (Webhooks(), Notifications())


def _payload(fired: Fired) -> bytes:
    template = msgspec.msgpack.decode(fired.automation.message).get("payload")
    return msgspec.json.encode(fired.variables if template is None else _filled(template, fired.variables))


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    """A template with its variables put in, within the texts of its JSON, so that no value can change its shape."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: variables.get(found[1], found[0]), value)
    if isinstance(value, dict):
        return {key: _filled(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, variables) for each in value]
    return value


def _notification(fired: Fired) -> bytes:
    message = msgspec.msgpack.decode(fired.automation.message)
    title = _filled(message.get("title") or fired.automation.name, fired.variables)
    text = _filled(message.get("message") or "", fired.variables)
    about = ", ".join(
        f"{name} {value}" for name, value in sorted(fired.variables.items()) if name != "automation_name"
    )
    return _said(message.get("severity") or "INFO", title, [text, about])


def _alert(store: Store, event: Event) -> bytes:
    with store.index.read() as view:
        run = finding.by_id(view, event.run)
    return _said(
        event.detail["severity"].upper(), event.detail["title"], [event.detail["text"], f"run {run}"]
    )


def _said(severity: str, title: str, lines: Iterable[str]) -> bytes:
    return msgspec.json.encode(
        {"text": "\n".join([f"[{severity}] {title}", *(line for line in lines if line)])}
    )
