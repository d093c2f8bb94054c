"""Names as people write them, and the rows they stand for.

``namespace/project/collection`` names a collection, with ``@alias`` or ``:v3`` behind it a version; ``:alias`` is read too.
With two parts the namespace is the principal's own. Where a version is needed, a collection's name stands for its ``@latest``: the
alias of that name if somebody made one, and else the highest live version.
"""

from __future__ import annotations

import re

import msgspec

from runstone.domain import policy
from runstone.domain.context import Context
from runstone.domain.policy import Action
from runstone.domain.store import Store
from runstone.errors import Gated, Gone, Invalid, Missing, Quarantined
from runstone.storage.index import View
from runstone.storage.tables import (
    ALIASES,
    COLLECTION_NAMES,
    COLLECTIONS,
    NAMESPACE_NAMES,
    NAMESPACES,
    PROJECT_NAMES,
    PROJECTS,
    VERSION_IDS,
    VERSIONS,
    Collection,
    Namespace,
    Project,
    Version,
)

_NUMBER = re.compile(r"v?([0-9]{1,9})\Z")
MAX_FULL_NAME = 1024
#: What a name without an alias or number means.
LATEST = "latest"


class Name(msgspec.Struct, frozen=True):
    """A parsed name; ``collection`` and ``version`` may be empty. ``version`` is an alias or a number as written."""

    namespace: str
    project: str
    collection: str = ""
    version: str = ""

    def __str__(self) -> str:
        path = "/".join(part for part in (self.namespace, self.project, self.collection) if part)
        return f"{path}@{self.version}" if self.version else path


def own_namespace(ctx: Context) -> str:
    """The namespace that a principal means when a name has none."""
    return ctx.principal.name


def parse(ctx: Context, text: str) -> Name:
    """A collection or version name; raises :class:`Invalid` for anything else."""
    if not isinstance(text, str) or not text or len(text) > MAX_FULL_NAME:
        raise Invalid(
            f"{text!r:.80} is not a name: use namespace/project/collection, with @alias or :v3 for a version"
        )
    path, separator, version = text.partition("@")
    if not separator:
        path, separator, version = text.partition(":")
    parts = path.split("/")
    if len(parts) == 2:
        parts.insert(0, own_namespace(ctx))
    if len(parts) != 3 or not all(parts) or (separator and not version):
        raise Invalid(
            f"{text!r} is not a name: use namespace/project/collection, with @alias or :v3 for a version"
        )
    return Name(parts[0], parts[1], parts[2], version)


def parse_project(ctx: Context, text: str) -> Name:
    """A project name: ``namespace/project``, or ``project`` in the principal's own namespace."""
    parts = text.split("/") if isinstance(text, str) else []
    if len(parts) == 1:
        parts.insert(0, own_namespace(ctx))
    if len(parts) != 2 or not all(parts):
        raise Invalid(f"{text!r} is not a project name: use namespace/project")
    return Name(*parts)


def find_namespace(store: Store, view: View, ctx: Context, name: str, action: Action = "read") -> Namespace:
    """The namespace of a name, if the principal may do ``action`` in it."""
    found = view.get(NAMESPACE_NAMES, name)
    namespace = view.get(NAMESPACES, found) if found is not None else None
    if namespace is None:
        raise Missing(f"namespace {name} does not exist, or {ctx.principal.name} may not see it")
    policy.require(store.policy, view, ctx, action, namespace)
    return namespace


def visible_namespace(store: Store, view: View, ctx: Context, name: str) -> Namespace:
    """The namespace of a name, for listing what in it is public to the principal; no right in it is asked."""
    found = view.get(NAMESPACE_NAMES, name)
    namespace = view.get(NAMESPACES, found) if found is not None else None
    if namespace is None:
        raise Missing(f"namespace {name} does not exist, or {ctx.principal.name} may not see it")
    return namespace


def find_project(
    store: Store, view: View, ctx: Context, name: Name, action: Action = "read"
) -> tuple[Namespace, Project]:
    """The project of a name, if the principal may do ``action`` in it."""
    found = view.get(NAMESPACE_NAMES, name.namespace)
    namespace = view.get(NAMESPACES, found) if found is not None else None
    held = view.get(PROJECT_NAMES, namespace.id, name.project) if namespace else None
    project = view.get(PROJECTS, held) if held is not None else None
    if namespace is None or project is None:
        raise Missing(
            f"project {name.namespace}/{name.project} does not exist, or {ctx.principal.name} may not see it"
        )
    policy.require(store.policy, view, ctx, action, namespace, project)
    return namespace, project


class Place(msgspec.Struct, frozen=True):
    """A collection with what it lies in."""

    namespace: Namespace
    project: Project
    collection: Collection

    def __str__(self) -> str:
        return f"{self.namespace.name}/{self.project.name}/{self.collection.name}"


def find_collection(store: Store, view: View, ctx: Context, name: Name, action: Action = "read") -> Place:
    """The collection of a name, if the principal may do ``action`` to it."""
    namespace, project = find_project(store, view, ctx, name, action)
    held = view.get(COLLECTION_NAMES, project.id, name.collection)
    collection = view.get(COLLECTIONS, held) if held is not None else None
    if collection is None:
        raise Missing(f"collection {name.namespace}/{name.project}/{name.collection} does not exist")
    return Place(namespace, project, collection)


def find_version(
    store: Store, view: View, ctx: Context, name: Name, action: Action = "read", *, any_state: bool = False
) -> tuple[Place, Version]:
    """The version of a name: by alias, by number, or the latest. Not a deleted or quarantined one unless ``any_state``."""
    place = find_collection(store, view, ctx, name, action)
    number, alias = number_of(view, place, name.version)
    version = view.get(VERSIONS, place.collection.id, number) if number else None
    if version is None:
        raise Missing(
            f"{place} has no {'live version' if name.version in ('', LATEST) else f'version {name.version}'}"
        )
    if not any_state:
        require_usable(place, version, alias)
        require_admitted(store, view, ctx, place)
    return place, version


def require_admitted(store: Store, view: View, ctx: Context, place: Place) -> None:
    """Raises :class:`Gated` for a collection that gives its files only to those whom its owners let in."""
    if not policy.admits(store.policy, view, ctx, place.namespace, place.project, place.collection.id):
        raise Gated(f"{place} is gated: ask its owners to be let in before its files can be read")


def number_of(view: View, place: Place, version: str) -> tuple[int, str]:
    """The version number that a text stands for in a collection, and the alias that it went by; 0 for none."""
    collection = place.collection
    version = version or LATEST
    alias = view.get(ALIASES, collection.id, version)
    if alias is not None:
        return alias.version, version
    written = _NUMBER.match(version)
    if written:
        return int(written[1]), ""
    if version == LATEST:
        return latest_number(view, collection), version
    raise Missing(f"{place} has no alias {version!r}")


def latest_number(view: View, collection: Collection) -> int:
    """The highest live version, or 0."""
    for (_, number), version in view.scan(VERSIONS, collection.id, reverse=True):
        if version.state == "live":
            return int(number)
    return 0


def require_usable(place: Place, version: Version, alias: str = "") -> None:
    """Raises :class:`Gone` or :class:`Quarantined` for a version whose bytes are not served."""
    by = f" (alias {alias})" if alias else ""
    if version.state == "deleted":
        raise Gone(f"{place}:v{version.number}{by} was deleted: {version.reason or 'no reason was given'}")
    if version.state == "quarantined":
        raise Quarantined(
            f"{place}:v{version.number}{by} is quarantined: {version.reason}; use another version, or repair it and run 'runstone scrub'"
        )


def project_named(store: Store, project_id: int) -> str:
    """The name of a project by its id; empty when it is gone. No policy is asked."""
    with store.index.read() as view:
        project = view.get(PROJECTS, project_id)
    return project.name if project else ""


def place_of(view: View, collection_id: int) -> Place | None:
    """The place of a collection by its id; no policy is asked."""
    collection = view.get(COLLECTIONS, collection_id)
    project = view.get(PROJECTS, collection.project) if collection else None
    namespace = view.get(NAMESPACES, project.namespace) if project else None
    if collection is None or project is None or namespace is None:
        return None
    return Place(namespace, project, collection)


def version_by_id(view: View, version_id: int) -> tuple[Place, Version] | None:
    """The version with an id, with its place; no policy is asked."""
    key = view.get(VERSION_IDS, version_id)
    version = view.get(VERSIONS, *key) if key else None
    place = place_of(view, version.collection) if version else None
    return (place, version) if place and version else None
