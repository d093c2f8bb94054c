"""Webhooks as mlflow's clients make them: mlflow's events, bodies and signatures over the webhooks of the workspace."""

from __future__ import annotations

import base64
import hmac
import re
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from runstone.dialects.mlflow import ids, models, wire
from runstone.dialects.mlflow.problem import invalid, missing
from runstone.dialects.mlflow.wire import ARRAY, INTEGER, REQUIRED, STRING
from runstone.dialects.routing import Call
from runstone.domain import described
from runstone.domain.context import Context
from runstone.domain.described import DescribedCollection, DescribedVersion
from runstone.domain.store import Store
from runstone.domain.webhooks import Event, Told, WebhookInfo, hooks, queue
from runstone.errors import Invalid, Missing, Unreachable

CHANNEL = "mlflow"
#: What can be told, by what it is about.
ACTIONS = {
    "registered_model": ("created",),
    "model_version": ("created",),
    "model_version_tag": ("set", "deleted"),
    "model_version_alias": ("created", "deleted"),
    "prompt": ("created",),
    "prompt_version": ("created",),
    "prompt_tag": ("set", "deleted"),
    "prompt_version_tag": ("set", "deleted"),
    "prompt_alias": ("created", "deleted"),
    "budget_policy": ("exceeded",),
}
_ENTITIES = tuple(ACTIONS)
_ACTIONS = ("created", "updated", "deleted", "set", "exceeded")
_STATUSES = ("ACTIVE", "DISABLED")
_NAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?\Z")
_PROMPT_TEXT, _PROMPT_TYPE = "mlflow.prompt.text", "_mlflow_prompt_type"
_EXAMPLES: dict[str, Any] = {
    "name": "example",
    "version": "1",
    "key": "example_key",
    "value": "example_value",
    "alias": "example_alias",
    "tags": {"example_key": "example_value"},
    "description": "An example",
    "source": "models:/123",
    "run_id": "abcd1234abcd5678",
    "template": "Hello {{name}}!",
}
_PARTS = {
    "registered_model": ("name", "tags", "description"),
    "prompt": ("name", "tags", "description"),
    "model_version": ("name", "version", "source", "run_id", "tags", "description"),
    "prompt_version": ("name", "version", "template", "tags", "description"),
    "prompt_tag": ("name", "key", "value"),
    "model_version_tag": ("name", "version", "key", "value"),
    "prompt_version_tag": ("name", "version", "key", "value"),
    "model_version_alias": ("name", "alias", "version"),
    "prompt_alias": ("name", "alias", "version"),
}


class Channel:
    """How mlflow's webhooks are told."""

    name = CHANNEL
    kinds = frozenset(
        {"collection.created", "version.created", "label.set", "label.deleted", "alias.set", "alias.deleted"}
    )

    def tell(self, store: Store, event: Event) -> Iterable[Told]:
        """See :meth:`runstone.domain.webhooks.Channel.tell`: what happens in registries, to models and prompts."""
        ctx = Context()
        model = described.collection_numbered(store, ctx, event.collection)
        if not _registered(store, model):
            return
        prompt = models.is_prompt(model.tags, model.info.type)
        version = None
        if event.kind == "version.created":
            version = described.version(store, ctx, f"{model.info.path}@v{event.version}")
        subject, action, data = _worded(event, model, version, prompt)
        if subject:
            yield Told(f"{subject}.{action}", _body(subject, action, event.time, data))

    def headers(self, delivery: str, secret: str, body: bytes, now: int) -> Mapping[str, str]:
        """See :meth:`runstone.domain.webhooks.Channel.headers`: the signature is over id, time and body."""
        found = {
            "Content-Type": "application/json",
            "X-MLflow-Delivery-Id": delivery,
            "X-MLflow-Timestamp": str(now),
        }
        if secret:
            digest = hmac.digest(secret.encode(), f"{delivery}.{now}.".encode() + body, "sha256")
            found["X-MLflow-Signature"] = f"v1,{base64.b64encode(digest).decode()}"
        return found


def _registered(store: Store, model: DescribedCollection) -> bool:
    registries = described.list_registries(store, Context(), model.info.namespace)
    known = model.info.project == ids.REGISTRY or model.info.project in registries
    return known and model.info.type in (models.MODEL, models.PROMPT)


def _worded(
    event: Event, model: DescribedCollection, version: DescribedVersion | None, prompt: bool
) -> tuple[str, str, dict[str, Any]]:
    """What an event is in mlflow's words: its subject (empty: it has none), the action, and the data."""
    named: dict[str, Any] = {"name": models.title(model)}
    numbered = named | ({"version": str(event.version)} if event.version else {})
    if event.kind == "collection.created":
        return "prompt" if prompt else "registered_model", "created", named | _first(event, prompt)
    if event.kind == "version.created":
        subject = "prompt_version" if prompt else "model_version"
        return subject, "created", numbered | _origin(event, version, prompt) | _first(event, prompt)
    if event.kind in ("label.set", "label.deleted"):
        subject = "prompt_version_tag" if prompt else "model_version_tag"
        if not event.version:  # mlflow tells nothing of the tags of a model
            subject = "prompt_tag" if prompt else ""
        return subject, event.kind.partition(".")[2], numbered | event.detail
    subject = "prompt_alias" if prompt else "model_version_alias"
    if event.kind == "alias.set":
        return subject, "created", numbered | {"alias": event.detail["alias"]}
    return subject, "deleted", named | {"alias": event.detail["alias"]}


def _first(event: Event, prompt: bool) -> dict[str, Any]:
    """What a thing was made with."""
    hidden = (models.PROMPT_TAG, _PROMPT_TYPE, _PROMPT_TEXT) if prompt else ()
    tags = {key: value for key, value in event.detail["labels"].items() if key not in hidden}
    return {"tags": tags, "description": event.detail["description"] or None}


def _origin(event: Event, version: DescribedVersion | None, prompt: bool) -> dict[str, Any]:
    if prompt:
        return {"template": event.detail["labels"].get(_PROMPT_TEXT)}
    given = models.origin(version) if version else {}
    stored = models.stored_uri(version) if version else ""
    return {"source": given.get("source") or stored, "run_id": given.get("run_id") or None}


def _body(subject: str, action: str, time: int, data: Mapping[str, Any]) -> bytes:
    moment = datetime.fromtimestamp(time / 1e6, UTC).isoformat()
    return msgspec.json.encode({"entity": subject, "action": action, "timestamp": moment, "data": data})


def create(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST webhooks``."""
    made = _refused_as_mlflow(
        lambda: hooks.create(
            call.store,
            call.ctx,
            ids.workspace(call),
            channel=CHANNEL,
            name=_name(fields),
            url=_url(call, fields),
            events=_events(fields),
            description=wire.text(fields, "description"),
            secret=wire.text(fields, "secret"),
            enabled=_enabled(fields) is not False,
        )
    )
    return {"webhook": _shown(made)}


def list_all(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET webhooks``: newest first."""
    limit, offset = wire.whole(fields, "max_results") or 100, wire.page_offset(fields)
    if not 1 <= limit <= 1000:
        raise invalid("max_results must be between 1 and 1000.")
    found = hooks.list_hooks(call.store, call.ctx, ids.workspace(call), channel=CHANNEL)[::-1]
    answer: dict[str, Any] = {}
    if page := found[offset : offset + limit]:
        answer["webhooks"] = [_shown(each) for each in page]
    if len(found) > offset + limit:
        answer["next_page_token"] = wire.page_token(offset + limit)
    return answer


def get(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET webhooks/{id}``."""
    return {"webhook": _shown(_found(call))}


def update(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``PATCH webhooks/{id}``."""
    found = _found(call)
    changed = _refused_as_mlflow(
        lambda: hooks.update(
            call.store,
            call.ctx,
            found.id,
            name=_name(fields) if fields.get("name") else None,
            url=_url(call, fields) if fields.get("url") else None,
            events=_events(fields) if fields.get("events") else None,
            description=wire.text(fields, "description") if "description" in fields else None,
            secret=wire.text(fields, "secret") if "secret" in fields else None,
            enabled=_enabled(fields),
        )
    )
    return {"webhook": _shown(changed)}


def delete(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``DELETE webhooks/{id}``."""
    hooks.delete(call.store, call.ctx, _found(call).id)
    return {}


def test(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST webhooks/{id}/test``: an example is sent at once."""
    found = _found(call)
    event = _event(fields["event"]) if fields.get("event") else found.events[0]
    subject, _, action = event.partition(".")
    parts = _PARTS.get(subject, ())
    if action == "deleted":
        parts = tuple(part for part in parts if part != "value" and (part != "version" or "key" in parts))
    body = _body(subject, action, call.store.blobs.clock(), {part: _EXAMPLES[part] for part in parts})
    try:
        answer = queue.test(call.store, call.ctx, found.id, Channel(), body)
    except (Invalid, Unreachable) as error:
        return {"result": {"success": False, "error_message": f"Failed to test webhook: {error.message}"}}
    return {
        "result": {
            "success": answer.status < 400,
            "response_status": answer.status,
            "response_body": answer.body,
        }
    }


def _found(call: Call) -> WebhookInfo:
    text = call.path["id"]
    try:
        found = hooks.get(call.store, call.ctx, uuid.UUID(text).int)
        if found.channel == CHANNEL and found.namespace == ids.workspace(call):
            return found
    except (Missing, ValueError):
        pass
    raise missing(f"Webhook with ID {text} not found.")


def _refused_as_mlflow(change: Any) -> Any:
    try:
        return change()
    except Invalid as error:
        if "error_code" in error.details:
            raise
        raise invalid(error.message) from None


def _name(fields: dict[str, Any]) -> str:
    name = wire.text(fields, "name")
    if not _NAME.match(name):
        raise invalid(
            f"Webhook name {name!r} is invalid. It must start and end with a letter or digit, be less than 63 characters "
            "long, and contain only letters, digits, dots (.), underscores (_), and hyphens (-)."
        )
    return name


def _url(call: Call, fields: dict[str, Any]) -> str:
    url = wire.text(fields, "url")
    if not url.strip():
        raise invalid(f"Webhook URL cannot be empty or just whitespace: {url!r}")
    schemes = ["https", "http"] if call.store.private_webhooks else ["https"]
    scheme, separator, rest = url.partition(":")
    if not separator or scheme not in schemes:
        raise invalid(
            f"Invalid webhook URL scheme: {scheme if separator else ''!r}. Allowed schemes are: {', '.join(schemes)}."
        )
    if not rest.removeprefix("//").partition("/")[0]:
        raise invalid(f"Webhook URL must include a hostname: {url!r}")
    return url


def _events(fields: dict[str, Any]) -> tuple[str, ...]:
    given = fields.get("events")
    if not isinstance(given, list) or not given:
        raise invalid(f"Webhook events must be a non-empty list of WebhookEvent objects: {given}.")
    return tuple(_event(each) for each in given)


def _event(given: Any) -> str:
    if not isinstance(given, dict):
        raise invalid(wire.invalid_value("events", given))
    subject = _word(given.get("entity"), _ENTITIES, "entity")
    action = _word(given.get("action"), _ACTIONS, "action")
    if action not in ACTIONS[subject]:
        raise invalid(
            f"Invalid action '{action}' for entity '{subject}'. Valid actions are: {sorted(ACTIONS[subject])}"
        )
    return f"{subject}.{action}"


def _word(given: Any, words: tuple[str, ...], what: str) -> str:
    """A word of an enumeration, by its name or (from 1) its number."""
    if isinstance(given, int) and 1 <= given <= len(words):
        return words[given - 1]
    if isinstance(given, str) and given.lower() in words:
        return given.lower()
    raise invalid(wire.invalid_value(what, given))


def _enabled(fields: dict[str, Any]) -> bool | None:
    if "status" not in fields or fields["status"] == "":
        return None
    return _word(fields["status"], tuple(each.lower() for each in _STATUSES), "status") == "active"


def _shown(hook: WebhookInfo) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "webhook_id": str(uuid.UUID(int=hook.id)),
        "name": hook.name,
        "url": hook.url,
        "events": [
            dict(zip(("entity", "action"), event.upper().split("."), strict=True)) for event in hook.events
        ],
        "status": "ACTIVE" if hook.enabled else "DISABLED",
        "creation_timestamp": wire.milliseconds(hook.created),
        "last_updated_timestamp": wire.milliseconds(hook.updated),
    }
    if hook.description:
        answer["description"] = hook.description
    return answer


_GIVEN = {
    "name": (STRING,),
    "url": (STRING,),
    "events": (ARRAY,),
    "description": (STRING,),
    "secret": (STRING,),
    "status": (STRING,),
}
_NEEDED = {name: (STRING if name != "events" else ARRAY, REQUIRED) for name in ("name", "url", "events")}
_ONE = "webhooks/{id}"
ROUTES = (
    *wire.routes("POST", "webhooks", create, "Makes a webhook.", {**_GIVEN, **_NEEDED}),
    *wire.routes(
        "GET", "webhooks", list_all, "Webhooks.", {"max_results": (INTEGER,), "page_token": (STRING,)}
    ),
    *wire.routes("GET", _ONE, get, "A webhook."),
    *wire.routes("PATCH", _ONE, update, "Changes a webhook.", _GIVEN),
    *wire.routes("DELETE", _ONE, delete, "Takes a webhook away."),
    *wire.routes("POST", _ONE + "/test", test, "Sends an example to a webhook."),
)
