"""Small objects that a dialect keeps beside projects."""

from __future__ import annotations

from runstone.storage.tables.table import Record, state_table


class Entity(Record, frozen=True):
    """A small object that a dialect keeps beside projects: a scorer, a set of evaluation records, a label schema, a queue of reviews, an issue.

    ``owner`` is the id of the project, or of the namespace, whose members may see it. ``body`` is MessagePack; ``revision`` the log entry of
    its last change. Times are milliseconds.
    """

    number: int
    owner: int
    name: str
    body: bytes
    created: int
    updated: int
    revision: int


class EntityItem(Record, frozen=True):
    """A part of an entity, of which there may be many: MessagePack, and the log entry and place in it that brought it first."""

    body: bytes
    order: int
    place: int


ENTITIES = state_table(127, "entities", "kind:text id:text", Entity)
ENTITY_OWNERS = state_table(128, "entity_owners", "owner:u64 kind:text number:u64", str)
ENTITY_NAMES = state_table(129, "entity_names", "owner:u64 kind:text name:b16", str)
ENTITY_ITEMS = state_table(130, "entity_items", "entity:u64 key:text", EntityItem)
