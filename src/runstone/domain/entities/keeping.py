"""Entities as dialects make, find, change and remove them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, get_args

import msgspec

from runstone.domain import limits, names, policy
from runstone.domain.context import Context
from runstone.domain.entities.commands import ChangeEntity, DeleteEntity, ItemChange, digest
from runstone.domain.policy import Action
from runstone.domain.store import Store
from runstone.errors import Conflict, Invalid, Missing, TooLarge
from runstone.storage.index import View
from runstone.storage.tables import (
    ENTITIES,
    ENTITY_ITEMS,
    ENTITY_NAMES,
    ENTITY_OWNERS,
    NAMESPACES,
    PROJECTS,
    Entity,
    Namespace,
    Project,
)

Kind = Literal["scorer", "dataset", "label-schema", "review-queue", "issue"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MAX_BODY = 4 << 20
MAX_ITEM = 4 << 20
MAX_ITEMS = 100_000
TRIES = 20
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode


class Kept(msgspec.Struct, frozen=True):
    """An entity: what it belongs to, its fields, and when it was made and changed (milliseconds)."""

    kind: str
    id: str
    name: str
    namespace: Namespace
    project: Project | None
    fields: dict[str, Any]
    created: int
    updated: int
    number: int
    revision: int


class Item(msgspec.Struct, frozen=True):
    """A part of an entity, and what it is ordered by: when it came first."""

    key: str
    fields: dict[str, Any]
    order: tuple[int, int]


def make(
    store: Store,
    ctx: Context,
    kind: Kind,
    entity: str,
    fields: Mapping[str, Any],
    *,
    project: str = "",
    namespace: str = "",
    name: str = "",
    unique: bool = False,
    items: Mapping[str, Any] | None = None,
) -> Kept:
    """Makes an entity of a project, or of a namespace, that the principal may write; :class:`Exists` if its ``unique`` name is taken."""
    with store.index.read() as view:
        if project:
            owner = names.find_project(store, view, ctx, names.parse_project(ctx, project), "write")[1].id
        else:
            owner = names.find_namespace(store, view, ctx, namespace, "write").id
    _submit(store, ctx, kind, entity, owner, 0, name, unique, fields, items or {})
    return get(store, ctx, kind, entity)


def add_items(
    store: Store, ctx: Context, kind: Kind, entity: str, project: str, items: Mapping[str, Any]
) -> None:
    """Adds parts to an entity of a project, after those that it has; raises :class:`Conflict` if it is changed meanwhile."""
    held = get(store, ctx, kind, entity, "write")
    with store.index.read() as view:
        owner = names.find_project(store, view, ctx, names.parse_project(ctx, project), "write")[1].id
    if held.project is None or held.project.id != owner:
        raise Missing(f"{project} has no {kind} {entity}")
    _submit(store, ctx, kind, entity, owner, held.revision, held.name, False, held.fields, items)


def check(kind: str, entity: str, name: str, fields: Any, items: Mapping[str, Any]) -> None:
    """Raises :class:`Invalid` for what cannot be an entity, or its parts."""
    if kind not in KINDS:
        raise Invalid(f"an entity is one of {', '.join(KINDS)}, not {kind!r:.80}")
    limits.required_text(entity, f"the id of a {kind}", 200)
    _text(name, f"the name of a {kind}")
    _packed(fields, kind, MAX_BODY)
    if len(items) > MAX_ITEMS:
        raise Invalid(f"{len(items)} parts of a {kind} are over the limit of {MAX_ITEMS} at once")
    for key, part in items.items():
        ENTITY_ITEMS.key.pack(0, key)  # which takes it only if it is not too long
        _packed(part, f"a part of a {kind}", MAX_ITEM)


def get(store: Store, ctx: Context, kind: Kind, entity: str, action: Action = "read") -> Kept:
    """An entity by its id."""
    with store.index.read() as view:
        return _find(store, view, ctx, kind, entity, action)


def named(store: Store, ctx: Context, kind: Kind, project: str, name: str) -> Kept | None:
    """The entity of a project that has a unique name; None when there is none."""
    with store.index.read() as view:
        _, held = names.find_project(store, view, ctx, names.parse_project(ctx, project))
        found = view.get(ENTITY_NAMES, held.id, kind, digest(name))
        return _find(store, view, ctx, kind, found, "read") if found else None


def of_project(store: Store, ctx: Context, kind: Kind, project: str) -> list[Kept]:
    """The entities of a project, oldest first."""
    with store.index.read() as view:
        namespace, held = names.find_project(store, view, ctx, names.parse_project(ctx, project))
        return _owned(view, kind, namespace, held)


def of_namespace(store: Store, ctx: Context, kind: Kind, namespace: str) -> list[Kept]:
    """The entities of a namespace, oldest first."""
    with store.index.read() as view:
        held = names.find_namespace(store, view, ctx, namespace)
        return _owned(view, kind, held, None)


def _owned(view: View, kind: Kind, namespace: Namespace, project: Project | None) -> list[Kept]:
    owner = project.id if project else namespace.id
    found = []
    for _, entity in view.scan(ENTITY_OWNERS, owner, kind):
        row = view.get(ENTITIES, kind, entity)
        if row is not None:
            found.append(_kept(kind, entity, namespace, project, row))
    return found


def change(
    store: Store,
    ctx: Context,
    kind: Kind,
    entity: str,
    changed: Callable[[Kept], tuple[Mapping[str, Any], Mapping[str, Any]]],
    *,
    name: str | None = None,
    unique: bool = False,
) -> Kept:
    """Changes an entity: ``changed`` is told what it is and answers its fields and the parts to put (None: to take away).

    It is asked again when another changed the entity in the meantime.
    """
    for _ in range(TRIES):
        held = get(store, ctx, kind, entity, "write")
        fields, items = changed(held)
        owner = held.project.id if held.project else held.namespace.id
        title = held.name if name is None else name
        try:
            _submit(store, ctx.without_id(), kind, entity, owner, held.revision, title, unique, fields, items)
        except Conflict as error:
            if type(error) is not Conflict:
                raise
            continue
        return get(store, ctx, kind, entity)
    raise Conflict(f"{kind} {entity} is changed by too many at once; try again")


def remove(store: Store, ctx: Context, kind: Kind, entity: str) -> None:
    """Removes an entity with its parts."""
    get(store, ctx, kind, entity, "write")
    store.submit(ctx, DeleteEntity(actor=ctx.principal.name, reason=ctx.reason, entity_kind=kind, id=entity))


def items(store: Store, held: Kept) -> list[Item]:
    """An entity's parts, oldest first."""
    with store.index.read() as view:
        found = [
            Item(key, _decode(row.body), (row.order, row.place))
            for (_, key), row in view.scan(ENTITY_ITEMS, held.number)
        ]
    return sorted(found, key=lambda item: item.order)


def some_items(store: Store, held: Kept, keys: Iterable[str]) -> dict[str, Item]:
    """Those parts of an entity that have some keys, by key."""
    found = {}
    with store.index.read() as view:
        for key in keys:
            row = view.get(ENTITY_ITEMS, held.number, key)
            if row is not None:
                found[key] = Item(key, _decode(row.body), (row.order, row.place))
    return found


def _find(store: Store, view: View, ctx: Context, kind: Kind, entity: str, action: Action) -> Kept:
    row = view.get(ENTITIES, kind, entity) if _fits(entity) else None
    project = view.get(PROJECTS, row.owner) if row else None
    owner = project.namespace if project else row.owner if row else 0
    namespace = view.get(NAMESPACES, owner) if row else None
    if row is None or namespace is None or not store.policy.allows(view, ctx, "read", namespace, project):
        raise Missing(f"{kind} {entity!r:.300} does not exist, or {ctx.principal.name} may not see it")
    policy.require(store.policy, view, ctx, action, namespace, project)
    return _kept(kind, entity, namespace, project, row)


def _kept(kind: Kind, entity: str, namespace: Namespace, project: Project | None, row: Entity) -> Kept:
    return Kept(
        kind,
        entity,
        row.name,
        namespace,
        project,
        _decode(row.body),
        row.created,
        row.updated,
        row.number,
        row.revision,
    )


def _submit(
    store: Store,
    ctx: Context,
    kind: Kind,
    entity: str,
    owner: int,
    expected: int,
    name: str,
    unique: bool,
    fields: Mapping[str, Any],
    parts: Mapping[str, Any],
) -> None:
    if len(parts) > MAX_ITEMS:
        raise TooLarge(f"{len(parts)} parts of a {kind} are over the limit of {MAX_ITEMS} at once")
    command = ChangeEntity(
        actor=ctx.principal.name,
        reason=ctx.reason,
        entity_kind=kind,
        id=limits.required_text(entity, f"the id of a {kind}", 200),
        owner=owner,
        now=time.time_ns() // 1_000_000,
        expected=expected,
        name=_text(name, f"the name of a {kind}"),
        unique=unique,
        body=_packed(dict(fields), kind, MAX_BODY),
        items=tuple(
            ItemChange(key, None if part is None else _packed(part, f"a part of a {kind}", MAX_ITEM))
            for key, part in parts.items()
        ),
    )
    store.submit(ctx, command)


def _packed(value: Any, what: str, limit: int) -> bytes:
    limits.json_value(value, what, finite=False)
    try:
        packed = _encode(value)
    except (OverflowError, TypeError, ValueError, UnicodeEncodeError) as error:
        raise Invalid(f"{what} cannot be stored: {error}") from None
    if len(packed) > limit:
        raise TooLarge(f"{what} takes {len(packed)} bytes and the limit is {limit}")
    return packed


def _text(text: str, what: str) -> str:
    try:
        if len(text.encode()) > 4096:
            raise TooLarge(f"{what} takes over 4096 bytes, the limit")
    except UnicodeEncodeError:
        raise Invalid(f"{what} is not valid Unicode: it holds a lone surrogate") from None
    return text


def _fits(entity: str) -> bool:
    return 0 < len(entity.encode("utf-8", "replace")) <= 200 and "\0" not in entity
