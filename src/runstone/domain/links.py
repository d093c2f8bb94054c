"""Links: versions of a collection that are versions of another one, with the same files and without a copy."""

from __future__ import annotations

from msgspec.structs import replace

from runstone.domain import (
    artifacts,
    collections,
    labels,
    limits,
    lineage,
    manifests,
    names,
    versioning,
    versions,
)
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.domain.versioning import Committed, CommitVersion
from runstone.errors import Conflict, Exists, Invalid, Missing
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.index import View
from runstone.storage.state import State
from runstone.storage.tables import (
    ARTIFACTS,
    ENTRY_EXTRAS,
    VERSION_IDS,
    VERSION_LINKS,
    VERSIONS,
    Artifact,
    Version,
)


class LinkVersion(Command, frozen=True, kw_only=True):
    """Makes a version a member of another collection too, with aliases there; one that is a member already only gets the aliases.

    ``tags`` are those that it has, said for those who read the log.
    """

    collection: int
    source: int
    aliases: tuple[str, ...] = ()
    tags: tuple[str, ...] | None = None


@applies(103, "link_version", LinkVersion, Committed)
def _link_version(state: State, at: Stamp, command: LinkVersion) -> Committed:
    collection = collections.require(state, command.collection)
    key = state.get(VERSION_IDS, command.source)
    source = state.get(VERSIONS, *key) if key else None
    if source is None or source.state != "live":
        raise Missing("the version to link is gone, or withdrawn")
    if collection.type != (home := collections.require(state, source.collection)).type:
        raise Invalid(f"{collection.name} holds {collection.type}s, and {home.name} is a {home.type}")
    beside = state.get(ARTIFACTS, source.id) or Artifact()
    extras = list(state.scan(ENTRY_EXTRAS, source.id))
    newest = versioning.newest_live(state, collection.id)
    made = _member(state, at, command, source)
    if not made.reused:
        state.put(ARTIFACTS, made.id, replace(beside, source=source.id))
        state.put(VERSION_LINKS, source.id, made.id, 1)
        for (_, page), packed in extras:
            state.put(ENTRY_EXTRAS, made.id, page, packed)
        lineage.join(state, at, command.actor, source.id, "derived_to", made.id)
        newest = made.number
    versioning.settle_latest(state, at, collection.id, made.number, newest, command)
    return made


def _member(state: State, at: Stamp, command: LinkVersion, source: Version) -> Committed:
    aliases = tuple(alias for alias in command.aliases if alias != names.LATEST)
    for (_, target), _ in list(state.scan(VERSION_LINKS, source.id)):
        key = state.get(VERSION_IDS, target)
        held = state.get(VERSIONS, *key) if key else None
        if held and held.collection == command.collection and held.state == "live":
            return versioning.reuse(state, at, command, held, aliases)
    made: Committed = versioning.commit_version(
        state,
        at,
        CommitVersion(
            actor=command.actor,
            reason=command.reason,
            collection=command.collection,
            manifest=source.manifest,
            entries=tuple(manifests.entries(state, source.manifest)),
            metadata=source.metadata,
            description=source.description,
            tags=source.tags if command.tags is None else command.tags,
            aliases=aliases,
        ),
    )
    return made


def link(store: Store, ctx: Context, source: int, target: str, aliases: tuple[str, ...] = ()) -> int:
    """Links the artifact with an id into a collection, which is made if it is not there; the id of its version there."""
    with store.index.read() as view:
        place, version = _origin(store, view, ctx, source)
    _prepare(store, ctx, target, place.collection.type)
    with store.index.read() as view:
        into = names.find_collection(store, view, ctx, names.parse(ctx, target), "write")
        if into.namespace.domain != place.namespace.domain:
            raise Conflict(f"{place} lies in another region than {into}: its bytes must stay where they are")
        if not collections.is_portfolio(view, into):
            raise Conflict(f"{into} holds versions of its own, and no links; choose another name")
    command = LinkVersion(
        actor=ctx.principal.name,
        reason=ctx.reason,
        collection=into.collection.id,
        source=version.id,
        aliases=tuple(sorted({limits.alias(alias) for alias in aliases})),
        tags=version.tags,
    )
    made: Committed = store.submit(ctx, command).result
    return made.id


def _origin(store: Store, view: View, ctx: Context, number: int) -> tuple[names.Place, Version]:
    """The version that an id stands for, or the one that it is a link to."""
    place, version = artifacts.require(store, view, ctx, number)
    beside = view.get(ARTIFACTS, version.id)
    if beside and beside.source:
        try:
            return artifacts.require(store, view, ctx, beside.source)
        except Missing:
            pass
    return place, version


def _prepare(store: Store, ctx: Context, target: str, kind: str) -> None:
    """Makes the collection to link into, unless it is there."""
    try:
        collections.create(store, ctx, target, type=kind)
    except Exists:
        return
    with store.index.read() as view:
        registry = (
            names.find_collection(store, view, ctx, names.parse(ctx, target)).project.kind == "registry"
        )
    if not registry:
        labels.label_collection(store, ctx, target, {"holds": "links"}, kind="property")


def member(store: Store, ctx: Context, number: int, collection: str) -> str:
    """The name of the artifact's version in a collection: itself, or the link to it there."""
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, names.parse(ctx, collection))
        own, version = artifacts.require(store, view, ctx, number)
        if own.collection.id == place.collection.id:
            return f"{own}@v{version.number}"
        for (_, target), _ in view.scan(VERSION_LINKS, version.id):
            found = names.version_by_id(view, target)
            if found and found[0].collection.id == place.collection.id and found[1].state != "deleted":
                return f"{place}@v{found[1].number}"
    raise Missing(f"{collection} has no link to {own}:v{version.number}")


def in_project(store: Store, ctx: Context, number: int, project: str) -> str | None:
    """The name of a link to an artifact that lies in a project, if there is one."""
    for each in artifacts.links_of(store, ctx, number):
        if each.version.collection.startswith(f"{project}/"):
            return each.name
    return None


def unlink(store: Store, ctx: Context, number: int, collection: str) -> None:
    """Takes an artifact out of a collection that it is linked into, with the aliases that point at it there."""
    versions.delete(store, ctx, member(store, ctx, number, collection), with_aliases=True)
