"""Webhooks: made, changed, listed and taken away by those who administer what they belong to."""

from __future__ import annotations

import os
from typing import Any

import msgspec
from msgspec.structs import replace

from runstone.domain import limits, names, policy
from runstone.domain.context import Context
from runstone.domain.policy import Action
from runstone.domain.store import Store
from runstone.domain.webhooks import addresses
from runstone.errors import Invalid, Missing, TooLarge
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.index import View
from runstone.storage.state import State
from runstone.storage.tables import NAMESPACES, PROJECTS, WEBHOOKS, Webhook

MAX_HOOKS = 1000
MAX_EVENTS = 64
MAX_EVENT = 128
MAX_SECRET = 4096
_NONCE = 12


class WebhookInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook as those who administer it see it: never with its secret, but with whether it has one."""

    id: int
    namespace: str
    project: str
    channel: str
    name: str
    url: str
    events: tuple[str, ...]
    description: str
    enabled: bool
    signed: bool
    created: int
    updated: int
    by: str


class CreateWebhook(Command, frozen=True, kw_only=True):
    """Makes a webhook of a namespace (0: of the store), or of one project in it (0: of all)."""

    namespace: int
    project: int
    channel: str
    name: str
    url: str
    events: tuple[str, ...]
    description: str = ""
    secret: bytes = b""
    enabled: bool = True


class UpdateWebhook(Command, frozen=True, kw_only=True):
    """Changes a webhook; None leaves a field as it is."""

    webhook: int
    name: str | None = None
    url: str | None = None
    events: tuple[str, ...] | None = None
    description: str | None = None
    secret: bytes | None = None
    enabled: bool | None = None


class DeleteWebhook(Command, frozen=True, kw_only=True):
    """Takes a webhook away."""

    webhook: int


@applies(150, "create_webhook", CreateWebhook, int)
def _create(state: State, at: Stamp, command: CreateWebhook) -> int:
    if command.namespace and state.get(NAMESPACES, command.namespace) is None:
        raise Missing("the namespace does not exist any more")
    if command.project and state.get(PROJECTS, command.project) is None:
        raise Missing("the project does not exist any more")
    held = sum(1 for _, hook in state.scan(WEBHOOKS) if hook.namespace == command.namespace)
    if held >= MAX_HOOKS:
        raise TooLarge(f"more than {MAX_HOOKS} webhooks in one namespace are over the limit; delete some")
    hook = Webhook(
        at.id,
        command.namespace,
        command.project,
        command.channel,
        command.name,
        command.url,
        command.events,
        at.time,
        command.actor,
        at.time,
        command.description,
        command.secret,
        command.enabled,
    )
    state.put(WEBHOOKS, at.id, hook)
    state.touch(at.id, at.seq, 150)
    return at.id


@applies(151, "update_webhook", UpdateWebhook)
def _update(state: State, at: Stamp, command: UpdateWebhook) -> None:
    hook = _required(state, command.webhook)
    given = ("name", "url", "events", "description", "secret", "enabled")
    changes: dict[str, Any] = {
        field: value for field in given if (value := getattr(command, field)) is not None
    }
    state.put(WEBHOOKS, hook.id, replace(hook, updated=at.time, **changes))
    state.touch(hook.id, at.seq, 151)


@applies(152, "delete_webhook", DeleteWebhook)
def _delete(state: State, at: Stamp, command: DeleteWebhook) -> None:
    state.delete(WEBHOOKS, _required(state, command.webhook).id)
    state.touch(command.webhook, at.seq, 152)


def _required(state: State, webhook: int) -> Webhook:
    hook = state.get(WEBHOOKS, webhook)
    if hook is None:
        raise Missing("the webhook does not exist any more")
    return hook


def create(
    store: Store,
    ctx: Context,
    place: str,
    *,
    channel: str,
    name: str,
    url: str,
    events: tuple[str, ...] = (),
    description: str = "",
    secret: str = "",
    enabled: bool = True,
) -> WebhookInfo:
    """Makes a webhook of ``namespace``, of ``namespace/project``, or (empty) of the store; its owners may.

    ``events`` are names of the channel. The secret is kept encrypted and never told again.
    """
    with store.index.read() as view:
        namespace, project = _scope(store, view, ctx, place)
    command = CreateWebhook(
        actor=ctx.principal.name,
        reason=ctx.reason,
        namespace=namespace,
        project=project,
        channel=channel,
        name=limits.required_text(name, "webhook name", limits.MAX_NAME),
        url=addresses.checked(store, url),
        events=_events(events),
        description=limits.text(description, "description"),
        secret=seal(store, secret),
        enabled=enabled,
    )
    return get(store, ctx, store.submit(ctx, command).result)


def update(
    store: Store,
    ctx: Context,
    webhook: int,
    *,
    name: str | None = None,
    url: str | None = None,
    events: tuple[str, ...] | None = None,
    description: str | None = None,
    secret: str | None = None,
    enabled: bool | None = None,
) -> WebhookInfo:
    """Changes a webhook; an empty secret takes the secret away."""
    with store.index.read() as view:
        find(store, view, ctx, webhook)
    command = UpdateWebhook(
        actor=ctx.principal.name,
        reason=ctx.reason,
        webhook=webhook,
        name=None if name is None else limits.required_text(name, "webhook name", limits.MAX_NAME),
        url=None if url is None else addresses.checked(store, url),
        events=None if events is None else _events(events),
        description=None if description is None else limits.text(description, "description"),
        secret=None if secret is None else seal(store, secret),
        enabled=enabled,
    )
    store.submit(ctx, command)
    return get(store, ctx, webhook)


def delete(store: Store, ctx: Context, webhook: int) -> None:
    """Takes a webhook away, and what waits to be sent to it."""
    with store.index.read() as view:
        find(store, view, ctx, webhook)
    store.submit(ctx, DeleteWebhook(actor=ctx.principal.name, reason=ctx.reason, webhook=webhook))


def get(store: Store, ctx: Context, webhook: int) -> WebhookInfo:
    """A webhook by its id."""
    with store.index.read() as view:
        return _info(view, find(store, view, ctx, webhook))


def list_hooks(store: Store, ctx: Context, place: str, *, channel: str = "") -> list[WebhookInfo]:
    """The webhooks of exactly a namespace, project or the store, of one channel if asked, oldest first."""
    with store.index.read() as view:
        scope = _scope(store, view, ctx, place)
        return [
            _info(view, hook)
            for _, hook in view.scan(WEBHOOKS)
            if (hook.namespace, hook.project) == scope and channel in ("", hook.channel)
        ]


def find(store: Store, view: View, ctx: Context, webhook: int, action: Action = "admin") -> Webhook:
    """The row of a webhook, if the principal may administer what it belongs to; Missing if it may not."""
    hook = view.get(WEBHOOKS, webhook) if 0 < webhook < 1 << 63 else None
    if hook is None:
        raise Missing(f"there is no webhook {webhook}")
    namespace = view.get(NAMESPACES, hook.namespace) if hook.namespace else None
    if namespace is None:
        policy.require_admin(ctx, "administer webhooks of the store")
    elif not store.policy.allows(view, ctx, action, namespace, view.get(PROJECTS, hook.project)):
        raise Missing(f"there is no webhook {webhook}")
    return hook


def covers(hook: Webhook, namespace: int, project: int) -> bool:
    """Whether what happens in a project is told to a webhook."""
    return hook.namespace in (0, namespace) and hook.project in (0, project)


def seal(store: Store, secret: str) -> bytes:
    """A secret as the index and the log may hold it: encrypted (AES-256-GCM) with a key of this store."""
    if not secret:
        return b""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    plain = limits.required_text(secret, "secret", MAX_SECRET).encode()
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(_key(store)).encrypt(nonce, plain, None)


def unseal(store: Store, sealed: bytes) -> str:
    """A secret in the clear; raises :class:`Invalid` when the store's key is not the one it was sealed with."""
    if not sealed:
        return ""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(_key(store)).decrypt(sealed[:_NONCE], sealed[_NONCE:], None).decode()
    except InvalidTag:
        raise Invalid("the secret was kept with another key of this store; set it again") from None


def _key(store: Store) -> bytes:
    return store.secret("webhooks", lambda: os.urandom(32))


def _events(events: tuple[str, ...]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(limits.required_text(event, "event", MAX_EVENT) for event in events))
    if len(found) > MAX_EVENTS:
        raise TooLarge(f"{len(found)} events are over the limit of {MAX_EVENTS}")
    return found


def _scope(store: Store, view: View, ctx: Context, place: str) -> tuple[int, int]:
    """The ids of the namespace and project of a place that the principal may administer."""
    if not place:
        policy.require_admin(ctx, "administer webhooks of the store")
        return 0, 0
    if "/" not in place:
        return names.find_namespace(store, view, ctx, place, "admin").id, 0
    namespace, project = names.find_project(store, view, ctx, names.parse_project(ctx, place), "admin")
    return namespace.id, project.id


def _info(view: View, hook: Webhook) -> WebhookInfo:
    namespace = view.get(NAMESPACES, hook.namespace) if hook.namespace else None
    project = view.get(PROJECTS, hook.project) if hook.project else None
    return WebhookInfo(
        id=hook.id,
        namespace=namespace.name if namespace else "",
        project=project.name if project else "",
        channel=hook.channel,
        name=hook.name,
        url=hook.url,
        events=hook.events,
        description=hook.description,
        enabled=hook.enabled,
        signed=bool(hook.secret),
        created=hook.created,
        updated=hook.updated,
        by=hook.by,
    )
