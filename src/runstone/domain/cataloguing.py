"""Catalogues of collections and artifacts: filtered and ordered by what they say of themselves, and kept in order."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from runstone.domain import collections, limits, names, versions
from runstone.domain.artifacts import ArtifactInfo
from runstone.domain.context import Context
from runstone.domain.described import DescribedCollection, DescribedProject
from runstone.domain.queries import mongo, rows
from runstone.domain.store import Store
from runstone.errors import Conflict, Invalid
from runstone.query import Scalar
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.state import State
from runstone.storage.tables import COLLECTIONS, VERSIONS

T = TypeVar("T")
Row = dict[str, Any]


class SetCollectionType(Command, frozen=True, kw_only=True):
    """Gives a collection another type."""

    collection: int
    type: str


@applies(107, "set_collection_type", SetCollectionType)
def _set_collection_type(state: State, at: Stamp, command: SetCollectionType) -> None:
    collection = collections.require(state, command.collection)
    state.put(COLLECTIONS, collection.id, replace(collection, type=command.type, updated=at.time))
    state.touch(collection.id, at.seq, 107)


def set_type(store: Store, ctx: Context, name: str, type: str) -> None:
    """Gives a collection another type."""
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, names.parse(ctx, name), "write")
        collections.require_type(view, place.project, type)
    command = SetCollectionType(
        actor=ctx.principal.name,
        reason=ctx.reason,
        collection=place.collection.id,
        type=limits.collection_name(type, "collection type"),
    )
    store.submit(ctx, command)


def delete(store: Store, ctx: Context, name: str) -> None:
    """Deletes a collection with its versions and their aliases; refused while one of them is under legal hold."""
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, names.parse(ctx, name), "write")
        rows_ = [row for _, row in view.scan(VERSIONS, place.collection.id) if row.state != "deleted"]
    for row in rows_:
        if row.hold:
            raise Conflict(f"{place}:v{row.number} is under legal hold ({row.hold}); lift the hold first")
    for row in rows_:
        versions.delete(store, ctx.without_id(), f"{place}@v{row.number}", with_aliases=True)
    collections.delete(store, ctx.without_id(), str(place))


_TIMES = {"created_at": "created", "createdAt": "created", "updated_at": "updated", "updatedAt": "updated"}


def artifacts(found: Sequence[ArtifactInfo], filters: str | None, order: str | None) -> list[ArtifactInfo]:
    """The artifacts that a filter finds, in an order; without one they stay in theirs."""
    return _select(found, _artifact_row, _artifact_field, filters, order)


def _artifact_row(info: ArtifactInfo) -> Row:
    version = info.version
    row: Row = {
        "id": version.id,
        "version": version.number - 1,
        "state": "COMMITTED",
        "size": version.size,
        "created": version.created,
        "updated": info.updated,
        "linked": version.created,
        "description": version.description,
        "user": version.by,
    }
    row |= {f"tags.{tag}": "" for tag in version.tags}
    row |= {f"aliases.{alias}": "" for alias in (*info.aliases, f"v{version.number - 1}")}
    return row | dict(_flat("metadata", info.metadata))


_ARTIFACT = {
    "id": "id", "artifact_id": "id", "version": "version", "version_index": "version", "versionIndex": "version", "state": "state",
    "size": "size", "artifact_size": "size", "description": "description", "username": "user",
    "artifact_created_at": "created", "linked_at": "linked", "acm_created_at": "linked", **_TIMES,
}  # fmt: skip


def _artifact_field(name: str) -> mongo.Test:
    if name in ("tag", "tags", "alias", "aliases"):
        return mongo.member_test("tags" if name.startswith("tag") else "aliases")
    root, dot, rest = name.partition(".")
    if root in ("metadata", "artifact_metadata") and dot and rest:
        return mongo.field_test(f"metadata.{rest}", mongo.scalar)
    return _plain(name, _ARTIFACT, "an artifact")


def _flat(name: str, value: Any) -> Iterable[tuple[str, Any]]:
    """The fields of a JSON object by path, and lists as they are."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(f"{name}.{key}", item)
    else:
        yield name, value


def collections_of(
    found: Sequence[DescribedCollection], filters: str | None, order: str | None
) -> list[DescribedCollection]:
    """The collections that a filter finds, in an order; without one the newest first."""
    newest = sorted(found, key=lambda each: each.info.id, reverse=True)
    return _select(newest, _collection_row, _collection_field, filters, order)


def _collection_row(found: DescribedCollection) -> Row:
    info = found.info
    row: Row = {
        "id": info.id,
        "name": info.name,
        "description": info.description,
        "type": info.type,
        "created": info.created,
        "updated": info.updated,
    }
    return row | {f"tags.{tag}": "" for tag in info.tags}


_COLLECTION = {
    "id": "id", "collection_id": "id", "artifact_collection_id": "id", "name": "name", "collection_name": "name",
    "artifact_collection_name": "name", "description": "description", "type": "type", **_TIMES,
}  # fmt: skip


def _collection_field(name: str) -> mongo.Test:
    if name in ("tag", "tags"):
        return mongo.member_test("tags")
    return _plain(name, _COLLECTION, "a collection")


def registries(
    found: Sequence[DescribedProject],
    filters: str | None,
    order: str | None,
    shown: Callable[[str], str],
    entity: int,
) -> list[DescribedProject]:
    """The registries that a filter finds, in an order; ``shown`` is how the asker names them."""

    def row(each: DescribedProject) -> Row:
        return {
            "id": each.id,
            "name": shown(each.info.name),
            "entity": entity,
            "description": each.info.description,
            "created": each.info.created,
            "updated": each.info.updated,
        }

    return _select(found, row, _registry_field, filters, order)


_REGISTRY = {
    "id": "id", "project_id": "id", "name": "name", "entity_id": "entity", "description": "description", **_TIMES
}  # fmt: skip


def _registry_field(name: str) -> mongo.Test:
    return _plain(name, _REGISTRY, "a registry")


def _plain(name: str, known: dict[str, str], what: str) -> mongo.Test:
    field = known.get(name)
    if field is None:
        raise Invalid(f"{name!r:.80} is not a field of {what}; use one of {', '.join(sorted(known))}")
    read: Callable[[str, Any], Scalar] = mongo.scalar
    if field in ("created", "updated", "linked"):
        read = mongo.time
    elif field == "version":
        read = _version
    return mongo.field_test(field, read)


def _version(name: str, value: Any) -> Scalar:
    """A version by its number or as ``v3``."""
    if isinstance(value, str) and value[:1] == "v" and value[1:].isdigit() and len(value) < 10:
        return int(value[1:])
    return mongo.scalar(name, value)


def _select(
    found: Sequence[T],
    row: Callable[[T], Row],
    field: Callable[[str], mongo.Test],
    filters: str | None,
    order: str | None,
) -> list[T]:
    condition = mongo.condition(filters or None, field)
    paired = [(each, row(each)) for each in found]
    kept = [(each, made) for each, made in paired if rows.matches(condition, made, made["id"])]
    return [each for each, _ in (_ordered(kept, order) if order else kept)]


_ORDERS = {**_TIMES, "name": "name", "id": "id", "size": "size", "artifact_size": "size", "version": "version",
           "versionIndex": "version", "version_index": "version", "artifact_created_at": "created", "linked_at": "linked",
           "acm_created_at": "linked"}  # fmt: skip


def _ordered(kept: list[tuple[T, Row]], order: str) -> list[tuple[T, Row]]:
    for part in reversed(limits.text(order, "order", 1024).split(",")):
        name = part.strip()
        descending = name.startswith("-")
        field = _ORDERS.get(name.lstrip("+-"))
        if field is None:
            raise Invalid(f"{name!r:.80} is no order; use one of {', '.join(sorted(_ORDERS))}")
        kept = sorted(kept, key=functools.partial(_key, field), reverse=descending)
    return kept


def _key(field: str, paired: tuple[Any, Row]) -> tuple[int, Any]:
    value = paired[1].get(field)
    return (0, value) if isinstance(value, int) else (1, str(value or ""))
