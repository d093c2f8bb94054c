"""Collections: a name, a type, and a list of immutable versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from runstone.domain import fields, labels, limits, names
from runstone.domain.context import Context
from runstone.domain.names import Place
from runstone.domain.store import Store
from runstone.errors import Conflict, Denied, Exists, Invalid, Missing
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.index import View
from runstone.storage.state import State
from runstone.storage.tables import COLLECTION_NAMES, COLLECTIONS, NAMESPACES, PROJECTS, Collection, Project
from runstone.types import CollectionInfo


class CreateCollection(Command, frozen=True, kw_only=True):
    """Makes a collection in a project. ``metadata`` is MessagePack; ``labels`` and ``properties`` are its first labels."""

    project: int
    name: str
    type: str
    description: str = ""
    tags: tuple[str, ...] = ()
    metadata: bytes = b"\x80"
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    properties: dict[str, str] = msgspec.field(default_factory=dict)


class UpdateCollection(Command, frozen=True, kw_only=True):
    """Changes a collection; None leaves a field as it is. ``project`` moves it.

    ``hidden`` are the fields of the metadata that the actor may not read, and so leaves as they are.
    """

    collection: int
    project: int | None = None
    name: str | None = None
    description: str | None = None
    tags: tuple[str, ...] | None = None
    metadata: bytes | None = None
    hidden: tuple[str, ...] = ()


class DeleteCollection(Command, frozen=True, kw_only=True):
    """Removes a collection that has no live or quarantined version."""

    collection: int


@applies(20, "create_collection", CreateCollection, int)
def _create_collection(state: State, at: Stamp, command: CreateCollection) -> int:
    if state.get(PROJECTS, command.project) is None:
        raise Missing("the project does not exist any more")
    if state.get(COLLECTION_NAMES, command.project, command.name) is not None:
        raise Exists(f"there is a collection {command.name} already")
    collection = Collection(
        at.id,
        command.project,
        command.name,
        command.type,
        at.time,
        command.actor,
        at.time,
        command.description,
        command.tags,
        command.metadata,
    )
    state.put(COLLECTIONS, at.id, collection)
    state.put(COLLECTION_NAMES, command.project, command.name, at.id)
    labels.begin(state, at.id, command.labels, command.properties)
    state.touch(at.id, at.seq, 20)
    return at.id


@applies(21, "update_collection", UpdateCollection)
def _update_collection(state: State, at: Stamp, command: UpdateCollection) -> None:
    collection = require(state, command.collection)
    project = collection.project if command.project is None else command.project
    name = collection.name if command.name is None else command.name
    if (project, name) != (collection.project, collection.name):
        if state.get(PROJECTS, project) is None:
            raise Missing("the project to move to does not exist any more")
        if domain_of(state, project) != domain_of(state, collection.project):
            raise Conflict(
                "a collection cannot move to another region: its bytes must stay where they are; put it there anew"
            )
        if state.get(COLLECTION_NAMES, project, name) is not None:
            raise Exists(f"there is a collection {name} already")
        state.delete(COLLECTION_NAMES, collection.project, collection.name)
        state.put(COLLECTION_NAMES, project, name, collection.id)
    changes: dict[str, Any] = {
        field: value for field in ("description", "tags") if (value := getattr(command, field)) is not None
    }
    if command.metadata is not None:
        changes["metadata"] = _merged(collection.metadata, command.metadata, command.hidden)
    state.put(
        COLLECTIONS,
        collection.id,
        replace(collection, project=project, name=name, updated=at.time, **changes),
    )
    state.touch(collection.id, at.seq, 21)


def _merged(stored: bytes, given: bytes, hidden: tuple[str, ...]) -> bytes:
    if not hidden:
        return given
    decode, encode = msgspec.msgpack.decode, msgspec.msgpack.encode
    return encode(fields.merge(decode(stored), decode(given), hidden))


@applies(22, "delete_collection", DeleteCollection)
def _delete_collection(state: State, at: Stamp, command: DeleteCollection) -> None:
    collection = require(state, command.collection)
    if collection.live:
        raise Conflict(
            f"collection {collection.name} still has {collection.live} versions; delete them first"
        )
    # The row stays, so that ids in lineage and history keep their meaning; only the name is free again.
    state.put(COLLECTIONS, collection.id, replace(collection, deleted=at.time))
    state.delete(COLLECTION_NAMES, collection.project, collection.name)
    state.touch(collection.id, at.seq, 22)


def domain_of(state: State, project_id: int) -> int:
    """The residency domain of a project's namespace, in ``apply``."""
    project = state.get(PROJECTS, project_id)
    namespace = state.get(NAMESPACES, project.namespace) if project else None
    return namespace.domain if namespace else 0


def require(state: State, collection_id: int) -> Collection:
    """The collection in ``apply``; raises :class:`Missing` when it was deleted."""
    collection = state.get(COLLECTIONS, collection_id)
    if collection is None or collection.deleted:
        raise Missing("the collection does not exist any more")
    return collection


def create(
    store: Store,
    ctx: Context,
    name: str,
    *,
    type: str = "model",
    description: str = "",
    tags: tuple[str, ...] = (),
    metadata: Any = None,
    label: Mapping[str, str] | None = None,
    properties: Mapping[str, str] | None = None,
    exist_ok: bool = False,
) -> CollectionInfo:
    """Makes a collection (``namespace/project/collection``) in a project that the principal may write, with its first labels."""
    parsed = names.parse(ctx, name)
    with store.index.read() as view:
        _, project = names.find_project(store, view, ctx, parsed, "write")
        require_type(view, project, type)
    command = CreateCollection(
        actor=ctx.principal.name,
        reason=ctx.reason,
        project=project.id,
        name=limits.collection_name(parsed.collection),
        type=limits.collection_name(type, "collection type"),
        description=limits.text(description, "description"),
        tags=limits.tags(tags),
        metadata=limits.metadata({} if metadata is None else metadata),
        labels=labels.checked(label or {}),
        properties=labels.checked(properties or {}),
    )
    try:
        store.submit(ctx, command)
    except Exists:
        if not exist_ok:
            raise
    return get(store, ctx, name)


def require_type(view: View, project: Project, type: str) -> None:
    """Raises :class:`Invalid` for a type that a registry does not take; see :func:`registries.set_types`."""
    allowed = labels.of(view, project.id, "property").get("artifact_types")
    if project.kind == "registry" and allowed and type not in allowed.split("\n"):
        raise Invalid(
            f"registry {project.name} takes {', '.join(allowed.splitlines())}, and no {type}; let it take that type first"
        )


def update(
    store: Store,
    ctx: Context,
    name: str,
    *,
    new_name: str | None = None,
    project: str | None = None,
    description: str | None = None,
    tags: tuple[str, ...] | None = None,
    metadata: Any = None,
) -> CollectionInfo:
    """Changes a collection, renames it, or moves it to another project (with the right to write in both).

    ``metadata`` replaces what the principal may read of it. Raises :class:`Denied` when it names a field that the principal may not, and
    for a move out of a project some of whose fields the principal may not read: their classes are the project's.
    """
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, names.parse(ctx, name), "write")
        hidden = fields.hidden_from(store, view, ctx, place)
        target = None
        if project is not None:
            target = names.find_project(store, view, ctx, names.parse_project(ctx, project), "write")[1]
    if target is not None and target.id != place.project.id and hidden:
        raise Denied(
            f"{ctx.principal.name} may not read all fields of {place.project.name}, and so not move what may hold them elsewhere"
        )
    if metadata is not None:
        fields.require_settable(ctx, metadata, hidden)
    command = UpdateCollection(
        actor=ctx.principal.name,
        reason=ctx.reason,
        collection=place.collection.id,
        project=None if target is None else target.id,
        name=None if new_name is None else limits.collection_name(new_name),
        description=None if description is None else limits.text(description, "description"),
        tags=None if tags is None else limits.tags(tags),
        metadata=None if metadata is None else limits.metadata(metadata),
        hidden=() if metadata is None else hidden,
    )
    store.submit(ctx, command)
    with store.index.read() as view:
        moved = names.place_of(view, place.collection.id)
        assert moved is not None
        return info(store, view, ctx, moved)


def delete(store: Store, ctx: Context, name: str) -> None:
    """Removes a collection whose versions have all been deleted."""
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, names.parse(ctx, name), "write")
    store.submit(
        ctx, DeleteCollection(actor=ctx.principal.name, reason=ctx.reason, collection=place.collection.id)
    )


def named(store: Store, ctx: Context, number: int) -> str:
    """The name of the collection with an id, if the principal may read it."""
    with store.index.read() as view:
        place = names.place_of(view, number)
        gone = place is None or place.collection.deleted
        if (
            place is None
            or gone
            or not store.policy.allows(view, ctx, "read", place.namespace, place.project)
        ):
            raise Missing(f"there is no collection {number}, or {ctx.principal.name} may not see it")
        return str(place)


def is_portfolio(view: View, place: Place) -> bool:
    """Whether a collection holds links to versions of others: those of registries do, and those that a link made."""
    if place.project.kind == "registry":
        return True
    return labels.of(view, place.collection.id, "property").get("holds") == "links"


def get(store: Store, ctx: Context, name: str) -> CollectionInfo:
    """A collection by name."""
    with store.index.read() as view:
        return info(store, view, ctx, names.find_collection(store, view, ctx, names.parse(ctx, name)))


def list_collections(
    store: Store, ctx: Context, project: str, *, type: str = "", after: str = "", limit: int = 100
) -> list[CollectionInfo]:
    """The collections of a project by name, from just past ``after``, of one type if asked."""
    found: list[CollectionInfo] = []
    with store.index.read() as view:
        namespace, held = names.find_project(store, view, ctx, names.parse_project(ctx, project))
        start = (held.id, after) if after else None
        for _, collection_id in view.scan(COLLECTION_NAMES, held.id, after=start):
            collection = view.get(COLLECTIONS, collection_id)
            if len(found) == limit:
                break
            if collection is not None and type in ("", collection.type):
                found.append(info(store, view, ctx, Place(namespace, held, collection)))
    return found


def info(store: Store, view: View, ctx: Context, place: Place) -> CollectionInfo:
    """A collection as the principal may see it."""
    collection = place.collection
    metadata = msgspec.msgpack.decode(collection.metadata)
    return CollectionInfo(
        id=collection.id,
        namespace=place.namespace.name,
        project=place.project.name,
        name=collection.name,
        type=collection.type,
        description=collection.description,
        tags=collection.tags,
        metadata=fields.mask(store, view, ctx, place, metadata),
        versions=collection.live,
        latest=names.latest_number(view, collection),
        created=collection.created,
        updated=collection.updated,
        by=collection.by,
    )
