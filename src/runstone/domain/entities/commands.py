"""How entities change: one at a time, by compare-and-set over the revision that the caller saw."""

from __future__ import annotations

import hashlib

import msgspec

from runstone.errors import Conflict, Exists, Missing
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.state import State
from runstone.storage.tables import (
    ENTITIES,
    ENTITY_ITEMS,
    ENTITY_NAMES,
    ENTITY_OWNERS,
    NAMESPACES,
    PROJECTS,
    Entity,
    EntityItem,
)


class ItemChange(msgspec.Struct, frozen=True, array_like=True):
    """A part of an entity as it shall be (MessagePack), or None to take it away."""

    key: str
    body: bytes | None


class ChangeEntity(Command, frozen=True, kw_only=True):
    """Makes an entity (``expected`` 0), or changes one that stands at ``expected``. ``unique`` holds its name against others of its kind.

    ``body`` is MessagePack; None leaves it as it is. ``now`` is in milliseconds.
    """

    entity_kind: str
    id: str
    owner: int
    now: int
    expected: int = 0
    name: str = ""
    unique: bool = False
    body: bytes | None = None
    items: tuple[ItemChange, ...] = ()


class DeleteEntity(Command, frozen=True, kw_only=True):
    """Removes an entity with its parts."""

    entity_kind: str
    id: str


@applies(140, "change_entity", ChangeEntity, int)
def _change_entity(state: State, at: Stamp, command: ChangeEntity) -> int:
    kind = command.entity_kind
    held = state.get(ENTITIES, kind, command.id)
    if (held.revision if held else 0) != command.expected:
        raise Conflict(f"{kind} {command.id} was changed by another; look again what it is now")
    if held is None:
        if state.get(PROJECTS, command.owner) is None and state.get(NAMESPACES, command.owner) is None:
            raise Missing(f"what {kind} {command.id} belongs to does not exist any more")
        held = Entity(at.id, command.owner, "", b"\x80", command.now, command.now, 0)
        state.put(ENTITY_OWNERS, held.owner, kind, held.number, command.id)
    if command.unique and command.name != held.name:
        _take_name(state, kind, command.id, held, command.name)
    body = held.body if command.body is None else command.body
    new = Entity(held.number, held.owner, command.name, body, held.created, command.now, at.id)
    state.put(ENTITIES, kind, command.id, new)
    for place, item in enumerate(command.items):
        _put_item(state, at, held.number, item, place)
    return at.id


def _take_name(state: State, kind: str, entity: str, held: Entity, name: str) -> None:
    taken = state.get(ENTITY_NAMES, held.owner, kind, digest(name))
    if taken not in (None, entity):
        raise Exists(f"there is a {kind} {name} already")
    if held.name:
        state.delete(ENTITY_NAMES, held.owner, kind, digest(held.name))
    state.put(ENTITY_NAMES, held.owner, kind, digest(name), entity)


def _put_item(state: State, at: Stamp, number: int, item: ItemChange, place: int) -> None:
    if item.body is None:
        state.delete(ENTITY_ITEMS, number, item.key)
        return
    old = state.get(ENTITY_ITEMS, number, item.key)
    order, place = (old.order, old.place) if old else (at.seq, place)
    state.put(ENTITY_ITEMS, number, item.key, EntityItem(item.body, order, place))


@applies(141, "delete_entity", DeleteEntity)
def _delete_entity(state: State, at: Stamp, command: DeleteEntity) -> None:
    kind = command.entity_kind
    held = state.get(ENTITIES, kind, command.id)
    if held is None:
        raise Missing(f"there is no {kind} {command.id} any more")
    for (_, key), _ in list(state.scan(ENTITY_ITEMS, held.number)):
        state.delete(ENTITY_ITEMS, held.number, key)
    if held.name and state.get(ENTITY_NAMES, held.owner, kind, digest(held.name)) == command.id:
        state.delete(ENTITY_NAMES, held.owner, kind, digest(held.name))
    state.delete(ENTITY_OWNERS, held.owner, kind, held.number)
    state.delete(ENTITIES, kind, command.id)


def digest(name: str) -> bytes:
    """What stands for a name in a key."""
    return hashlib.sha256(name.encode()).digest()[:16]
