"""Projects, collections and versions together with the labels on them: what a dialect shows of them."""

from __future__ import annotations

import msgspec

from runstone.domain import collections, labels, names, policy, projects, versions
from runstone.domain.context import Context
from runstone.domain.names import Place
from runstone.domain.store import Store
from runstone.errors import Missing
from runstone.storage.index import View
from runstone.storage.tables import (
    COLLECTION_NAMES,
    COLLECTIONS,
    NAMESPACES,
    PROJECT_NAMES,
    PROJECTS,
    VERSIONS,
    Namespace,
    Project,
    Version,
)
from runstone.types import CollectionInfo, ProjectInfo, VersionInfo


class DescribedProject(msgspec.Struct, frozen=True):
    """A project with its number in the store, when it was archived (or 0), and its labels."""

    id: int
    info: ProjectInfo
    deleted: int
    tags: dict[str, str]
    properties: dict[str, str]


class DescribedCollection(msgspec.Struct, frozen=True):
    """A collection with its labels, and whether it holds links (:func:`collections.is_portfolio`)."""

    info: CollectionInfo
    tags: dict[str, str]
    properties: dict[str, str]
    portfolio: bool


class DescribedVersion(msgspec.Struct, frozen=True):
    """A version with when it was changed last, and its labels."""

    info: VersionInfo
    updated: int
    tags: dict[str, str]
    properties: dict[str, str]


def project(store: Store, ctx: Context, name: str) -> DescribedProject:
    """A project by name."""
    with store.index.read() as view:
        return _project(view, *names.find_project(store, view, ctx, names.parse_project(ctx, name)))


def project_numbered(store: Store, ctx: Context, number: int) -> DescribedProject:
    """A project by its number in the store; Missing also when the principal may not read it."""
    with store.index.read() as view:
        held = view.get(PROJECTS, number) if 0 <= number < 1 << 63 else None
        namespace = view.get(NAMESPACES, held.namespace) if held else None
        if held is None or namespace is None:
            raise Missing(f"there is no project {number}")
        policy.require(store.policy, view, ctx, "read", namespace, held)
        return _project(view, namespace, held)


def namespace_number(store: Store, ctx: Context, name: str) -> int:
    """The number that a namespace has in the store."""
    with store.index.read() as view:
        return names.find_namespace(store, view, ctx, name).id


def namespace_numbered(store: Store, ctx: Context, number: int) -> str:
    """The name of the namespace with a number; Missing also when the principal may not see it."""
    with store.index.read() as view:
        held = view.get(NAMESPACES, number) if 0 <= number < 1 << 63 else None
        if held is None or not store.policy.allows(view, ctx, "read", held, None):
            raise Missing(f"there is no namespace {number}")
        return held.name


def list_registries(store: Store, ctx: Context, namespace: str) -> list[str]:
    """The names of a namespace's registries, as far as the principal may read them; none of a namespace that is not there."""
    with store.index.read() as view:
        try:
            held = names.visible_namespace(store, view, ctx, namespace)
        except Missing:
            return []
        rows = [view.get(PROJECTS, number) for _, number in view.scan(PROJECT_NAMES, held.id)]
        return [
            row.name
            for row in rows
            if row and row.kind == "registry" and store.policy.allows(view, ctx, "read", held, row)
        ]


def list_projects(store: Store, ctx: Context, namespace: str) -> list[DescribedProject]:
    """The projects of a namespace that hold runs, as far as the principal may read them."""
    with store.index.read() as view:
        held = names.visible_namespace(store, view, ctx, namespace)
        rows = [view.get(PROJECTS, number) for _, number in view.scan(PROJECT_NAMES, held.id)]
        return [
            _project(view, held, row)
            for row in rows
            if row and row.kind == "project" and store.policy.allows(view, ctx, "read", held, row)
        ]


def collection(store: Store, ctx: Context, name: str) -> DescribedCollection:
    """A collection by name."""
    with store.index.read() as view:
        return _collection(store, view, ctx, names.find_collection(store, view, ctx, names.parse(ctx, name)))


def collection_numbered(store: Store, ctx: Context, number: int) -> DescribedCollection:
    """A collection by its number in the store; Missing also when the principal may not read it, or it was deleted."""
    with store.index.read() as view:
        place = names.place_of(view, number) if 0 < number < 1 << 63 else None
        if (
            place is None
            or place.collection.deleted
            or not store.policy.allows(view, ctx, "read", place.namespace, place.project)
        ):
            raise Missing(f"there is no collection {number}")
        return _collection(store, view, ctx, place)


def version_numbered(store: Store, ctx: Context, number: int) -> DescribedVersion:
    """A version by its number in the store; Missing also when the principal may not read it, or it was deleted."""
    with store.index.read() as view:
        found = names.version_by_id(view, number) if 0 < number < 1 << 63 else None
        if found is None or found[1].state == "deleted" or found[0].collection.deleted:
            raise Missing(f"there is no version {number}")
        place, row = found
        if not store.policy.allows(view, ctx, "read", place.namespace, place.project):
            raise Missing(f"there is no version {number}")
        return _version(store, view, ctx, place, row)


def list_collections(store: Store, ctx: Context, project: str) -> list[DescribedCollection]:
    """The collections of a project by name; none of a project that is not there."""
    with store.index.read() as view:
        try:
            namespace, held = names.find_project(store, view, ctx, names.parse_project(ctx, project))
        except Missing:
            return []
        rows = [view.get(COLLECTIONS, number) for _, number in view.scan(COLLECTION_NAMES, held.id)]
        return [_collection(store, view, ctx, Place(namespace, held, row)) for row in rows if row]


def version(store: Store, ctx: Context, name: str) -> DescribedVersion:
    """A version that was not deleted, by alias or number."""
    with store.index.read() as view:
        place, found = names.find_version(store, view, ctx, names.parse(ctx, name), any_state=True)
        if found.state == "deleted":
            raise Missing(f"{place}:v{found.number} was deleted")
        return _version(store, view, ctx, place, found)


def list_versions(store: Store, ctx: Context, name: str) -> list[DescribedVersion]:
    """A collection's versions that were not deleted, oldest first."""
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, names.parse(ctx, name))
        rows = [row for _, row in view.scan(VERSIONS, place.collection.id) if row.state != "deleted"]
        return [_version(store, view, ctx, place, row) for row in rows]


def _project(view: View, namespace: Namespace, held: Project) -> DescribedProject:
    return DescribedProject(
        held.id,
        projects.info(namespace, held),
        held.deleted,
        labels.of(view, held.id),
        labels.of(view, held.id, "property"),
    )


def _collection(store: Store, view: View, ctx: Context, place: Place) -> DescribedCollection:
    number = place.collection.id
    return DescribedCollection(
        collections.info(store, view, ctx, place),
        labels.of(view, number),
        labels.of(view, number, "property"),
        collections.is_portfolio(view, place),
    )


def _version(store: Store, view: View, ctx: Context, place: Place, row: Version) -> DescribedVersion:
    info = versions.info(store, view, ctx, place, row)
    return DescribedVersion(info, row.updated, labels.of(view, row.id), labels.of(view, row.id, "property"))
