"""Collections, their versions, and the aliases that point at them."""

from __future__ import annotations

from runstone.storage.tables.table import Record, local_table, state_table


class Collection(Record, frozen=True):
    """A list of immutable versions. ``numbered`` is the highest number ever given; numbers are never reused."""

    id: int
    project: int
    name: str
    type: str
    created: int
    by: str
    updated: int = 0
    description: str = ""
    tags: tuple[str, ...] = ()
    metadata: bytes = b"\x80"
    numbered: int = 0
    live: int = 0
    deleted: int = 0


class Version(Record, frozen=True):
    """One immutable version. ``metadata`` is MessagePack; ``state`` is live, quarantined or deleted."""

    id: int
    collection: int
    number: int
    manifest: bytes
    files: int
    size: int
    created: int
    by: str
    metadata: bytes = b"\x80"
    description: str = ""
    tags: tuple[str, ...] = ()
    expires: int = 0
    hold: str = ""
    state: str = "live"
    reason: str = ""
    updated: int = 0


class Alias(Record, frozen=True):
    """Where an alias points. ``fallback`` lets it move by itself when its version is quarantined."""

    version: int
    seq: int
    time: int
    by: str
    fallback: bool = True


class AliasMove(Record, frozen=True):
    """One step of an alias's history; version 0 is a removal, previous 0 a creation."""

    version: int
    previous: int
    time: int
    by: str
    reason: str = ""


class Described(Record, frozen=True):
    """What a digest stands for in a collection: a version's number, and which of the documents about it."""

    number: int
    what: str


COLLECTIONS = state_table(34, "collections", "id:u64", Collection)
COLLECTION_NAMES = state_table(35, "collection_names", "project:u64 name:text", int)
VERSIONS = state_table(36, "versions", "collection:u64 number:u32", Version)
VERSION_IDS = state_table(37, "version_ids", "id:u64", tuple[int, int])
ALIASES = state_table(42, "aliases", "collection:u64 alias:text", Alias)
VERSION_ALIASES = state_table(43, "version_aliases", "collection:u64 number:u32 alias:text", int)
ALIAS_HISTORY = state_table(44, "alias_history", "collection:u64 alias:text seq:u64", AliasMove)
EXPIRIES = state_table(45, "expiries", "expires:u64 version:u64", int)
QUARANTINES = state_table(47, "quarantines", "version:u64", str)
DESCRIBED = local_table(153, "described", "collection:u64 sha256:b32", Described)
