"""Artifacts: versions together with what is known beside them, found by id as well as by name."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from runstone.domain import collections, content, digested, drafts, fields, limits, manifests, names, versions
from runstone.domain.content import StoredFile
from runstone.domain.context import Context
from runstone.domain.digested import DigestedFile
from runstone.domain.names import Place
from runstone.domain.policy import Action
from runstone.domain.store import Store
from runstone.errors import Conflict, Gone, Missing
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.index import View
from runstone.storage.state import State
from runstone.storage.tables import (
    ARTIFACTS,
    BLOB_VERSIONS,
    DOWNSTREAM,
    DRAFTS,
    UPSTREAM,
    VERSION_IDS,
    VERSION_LINKS,
    VERSIONS,
    Artifact,
    Entry,
    Version,
)
from runstone.types import FileEntry, VersionInfo

#: Digests of versions that clients of other dialects made, kept while the store is open.
_MAX_DIGESTS = 10_000


class AmendVersion(Command, frozen=True, kw_only=True):
    """Puts other metadata in the place of a version's for those who read artifacts; what was committed stays in the version.

    ``hidden`` are the fields that the actor may not read, and so leaves as they are.
    """

    version: int
    metadata: bytes
    hidden: tuple[str, ...] = ()


@applies(104, "amend_version", AmendVersion)
def _amend_version(state: State, at: Stamp, command: AmendVersion) -> None:
    key = state.get(VERSION_IDS, command.version)
    version = state.get(VERSIONS, *key) if key else None
    if version is None or version.state == "deleted":
        raise Missing("the version does not exist any more")
    held = state.get(ARTIFACTS, command.version) or Artifact()
    metadata = command.metadata
    if command.hidden:
        decode, encode = msgspec.msgpack.decode, msgspec.msgpack.encode
        stored = decode(held.metadata or version.metadata)
        metadata = encode(fields.merge(stored, decode(metadata), command.hidden))
    state.put(ARTIFACTS, command.version, replace(held, metadata=metadata))
    state.put(VERSIONS, version.collection, version.number, replace(version, updated=at.time))
    state.touch(version.id, at.seq, 104)


class ArtifactInfo(msgspec.Struct, frozen=True):
    """A version as an artifact: ``metadata`` is what holds now, ``latest`` says that it is its collection's latest.

    ``source`` is the version that it is a link to, or 0. ``tags`` are of the version.
    """

    version: VersionInfo
    updated: int
    metadata: Any
    step: int | None
    source: int
    latest: bool
    portfolio: bool

    @property
    def name(self) -> str:
        """The name by its number: ``namespace/project/collection@v3``."""
        return f"{self.version.collection}@v{self.version.number}"

    @property
    def aliases(self) -> tuple[str, ...]:
        """The aliases, with ``latest`` where it stands by itself."""
        held = self.version.aliases
        return (names.LATEST, *held) if self.latest and names.LATEST not in held else held


class DraftInfo(msgspec.Struct, frozen=True):
    """An artifact that is not committed."""

    id: int
    collection: str


def get(store: Store, ctx: Context, name: str) -> ArtifactInfo:
    """The artifact of a name, by alias or number; raises :class:`Missing` for a deleted one too."""
    with store.index.read() as view:
        place, version = names.find_version(store, view, ctx, names.parse(ctx, name), any_state=True)
        return info(store, view, ctx, place, version)


def by_id(store: Store, ctx: Context, number: int) -> ArtifactInfo | DraftInfo:
    """The artifact with an id, that of a draft or of a version."""
    with store.index.read() as view:
        draft = view.get(DRAFTS, number)
        if draft and not draft.version:
            _, place = drafts.find(store, view, ctx, number)
            return DraftInfo(number, str(place))
        place, version = require(store, view, ctx, number)
        return info(store, view, ctx, place, version)


def require(
    store: Store, view: View, ctx: Context, number: int, action: Action = "read"
) -> tuple[Place, Version]:
    """The version that the id of an artifact stands for, if the principal may do ``action`` to it."""
    found = digested.version_of(store, view, ctx, number)
    if found is None:
        raise Missing(f"there is no artifact {number}, or {ctx.principal.name} may not see it")
    if action != "read":
        names.find_collection(store, view, ctx, _named(found[0]), action)
    return found


def name_of(store: Store, ctx: Context, number: int, action: Action = "read") -> str:
    """The name of the version that the id of an artifact stands for, by its number."""
    with store.index.read() as view:
        place, version = require(store, view, ctx, number, action)
        return f"{place}@v{version.number}"


def _named(place: Place) -> names.Name:
    return names.Name(place.namespace.name, place.project.name, place.collection.name)


def info(store: Store, view: View, ctx: Context, place: Place, version: Version) -> ArtifactInfo:
    """A version as an artifact; raises :class:`Gone` for a deleted one."""
    if version.state == "deleted":
        raise Gone(f"{place}:v{version.number} was deleted")
    beside = view.get(ARTIFACTS, version.id) or Artifact()
    shown = versions.info(store, view, ctx, place, version)
    metadata = shown.metadata
    if beside.metadata:
        metadata = fields.mask(store, view, ctx, place, msgspec.msgpack.decode(beside.metadata))
    number, _ = names.number_of(view, place, names.LATEST)
    return ArtifactInfo(
        version=shown,
        updated=version.updated,
        metadata=metadata,
        step=beside.step,
        source=beside.source,
        latest=number == version.number,
        portfolio=collections.is_portfolio(view, place),
    )


def listed(store: Store, ctx: Context, name: str) -> list[ArtifactInfo]:
    """A collection's artifacts, newest first."""
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, names.parse(ctx, name))
        rows = [row for _, row in view.scan(VERSIONS, place.collection.id, reverse=True)]
        return [info(store, view, ctx, place, row) for row in rows if row.state != "deleted"]


def digest(store: Store, ctx: Context, number: int) -> str:
    """The MD5 of a version's manifest, in hexadecimal digits."""
    with store.index.read() as view:
        place, version = require(store, view, ctx, number)
        beside = view.get(ARTIFACTS, version.id)
    if beside and beside.digest:
        return beside.digest.hex()
    known: dict[bytes, str] = store.part("artifact digests", lambda _: {})
    if version.manifest not in known:
        if len(known) >= _MAX_DIGESTS:
            known.clear()
        known[version.manifest] = digested.digest_of(
            digested.of_version(store, place.namespace.domain, version)
        ).hex()
    return known[version.manifest]


def contents(store: Store, ctx: Context, number: int) -> list[DigestedFile]:
    """The files of the version that an id stands for; raises :class:`Quarantined` for one that may not be served."""
    with store.index.read() as view:
        place, version = require(store, view, ctx, number)
        names.require_usable(place, version)
    return digested.of_version(store, place.namespace.domain, version)


def files(
    store: Store, ctx: Context, number: int, *, paths: list[str] | None = None, after: str = "", limit: int
) -> list[FileEntry]:
    """Files of a version: those of some paths, or a page from just past ``after``."""
    with store.index.read() as view:
        place, version = require(store, view, ctx, number)
        names.require_usable(place, version)
        found: list[Entry] = []
        if paths is not None:
            for path in sorted(set(paths)):
                if path > after and len(found) < limit:
                    found += _at(view, version, path)
        else:
            for entry in manifests.entries(view, version.manifest, after=after):
                if len(found) == limit:
                    break
                found.append(entry)
    return [manifests.shown(entry) for entry in found]


def _at(view: View, version: Version, path: str) -> list[Entry]:
    try:
        return [manifests.find(view, version.manifest, path)]
    except Missing:
        return []


def md5(store: Store, ctx: Context, number: int, sha256: str) -> str:
    """The MD5 of bytes of a version, in base64."""
    with store.index.read() as view:
        place, _ = require(store, view, ctx, number)
    key = bytes.fromhex(sha256)
    return digested.written(store.blobs.md5s(place.namespace.domain, [key])[key])


def amend(store: Store, ctx: Context, number: int, metadata: Any) -> None:
    """Gives an artifact other metadata; the version keeps what it was committed with."""
    with store.index.read() as view:
        place, version = require(store, view, ctx, number, "write")
        hidden = fields.hidden_from(store, view, ctx, place)
        if metadata == info(store, view, ctx, place, version).metadata:
            return
    fields.require_settable(ctx, metadata, hidden)
    command = AmendVersion(
        actor=ctx.principal.name,
        reason=ctx.reason,
        version=version.id,
        metadata=limits.metadata(metadata),
        hidden=hidden,
    )
    store.submit(ctx, command)


def delete(store: Store, ctx: Context, number: int, *, with_aliases: bool = False) -> None:
    """Deletes an artifact; refused while an alias points at it (``latest`` too) unless ``with_aliases``."""
    with store.index.read() as view:
        place, version = require(store, view, ctx, number, "write")
        pointing = info(store, view, ctx, place, version).aliases
    if pointing and not with_aliases:
        raise Conflict(
            f"{place}:v{version.number} is what {', '.join(sorted(pointing))} points at; say that its aliases shall go with it"
        )
    versions.delete(store, ctx, f"{place}@v{version.number}", with_aliases=with_aliases)


def delete_made(store: Store, ctx: Context, run: int) -> None:
    """Deletes the versions that a run made and no other run did, with their aliases. What it used stays, and so do links to what goes.

    Nothing is deleted when the principal may not write where one of them is.
    """
    with store.index.read() as view:
        ends = [target for (_, _, target), _ in view.scan(DOWNSTREAM, run, "produced")]
        own = [
            end for end in ends if [made for (_, _, made), _ in view.scan(UPSTREAM, end, "produced")] == [run]
        ]
        found = [names.version_by_id(view, end) for end in own]
        live = [each for each in found if each and each[1].state != "deleted"]
        for _, version in live:
            require(store, view, ctx, version.id, "write")
    for place, version in live:
        versions.delete(store, ctx.without_id(), f"{place}@v{version.number}", with_aliases=True)


def links_of(store: Store, ctx: Context, number: int) -> list[ArtifactInfo]:
    """The links to a version, as far as the principal may read them."""
    with store.index.read() as view:
        _, version = require(store, view, ctx, number)
        found = [names.version_by_id(view, target) for (_, target), _ in view.scan(VERSION_LINKS, version.id)]
        return [
            info(store, view, ctx, place, row)
            for place, row in (each for each in found if each)
            if row.state != "deleted"
            and store.policy.allows(view, ctx, "read", place.namespace, place.project)
        ]


def used_by(store: Store, ctx: Context, number: int) -> list[int]:
    """The ids of the runs that used a version, or a link to it."""
    with store.index.read() as view:
        _, version = require(store, view, ctx, number)
        ends = [version.id, *(target for (_, target), _ in view.scan(VERSION_LINKS, version.id))]
        return sorted({run for end in ends for (_, _, run), _ in view.scan(DOWNSTREAM, end, "used_by")})


def produced_by(store: Store, ctx: Context, number: int) -> int:
    """The id of the run that made a version first, or 0."""
    with store.index.read() as view:
        _, version = require(store, view, ctx, number)
        runs = [source for (_, _, source), _ in view.scan(UPSTREAM, version.id, "produced")]
        edges = [(view.get(DOWNSTREAM, run, "produced", version.id), run) for run in runs]
    return min(((edge.seq, run) for edge, run in edges if edge), default=(0, 0))[1]


def of_run(store: Store, ctx: Context, run: int, *, used: bool) -> list[ArtifactInfo]:
    """The artifacts that a run made, or those that it used, as far as the principal may read them."""
    with store.index.read() as view:
        if used:
            ends = [source for (_, _, source), _ in view.scan(UPSTREAM, run, "used_by")]
        else:
            ends = [target for (_, _, target), _ in view.scan(DOWNSTREAM, run, "produced")]
        found = [digested.version_of(store, view, ctx, end) for end in sorted(ends)]
        return [info(store, view, ctx, *each) for each in found if each]


def open_by_digest(
    store: Store, ctx: Context, md5: bytes, name: str, *, number: int = 0, inside: str = ""
) -> StoredFile:
    """Bytes with an MD5, of an artifact or of any version ``inside`` a namespace or collection that the principal may read."""
    with store.index.read() as view:
        if number:
            domain = require(store, view, ctx, number)[0].namespace.domain
        else:
            domain = names.visible_namespace(store, view, ctx, inside.partition("/")[0]).domain
        for sha256 in store.blobs.with_md5(view, domain, md5):
            for (_, _, holder), _ in view.scan(BLOB_VERSIONS, domain, sha256):
                found = digested.version_of(store, view, ctx, holder)
                if found and found[1].state == "live" and _is_of(view, found, number, inside):
                    place, version = found
                    size = store.blobs.stat(domain, sha256).size
                    owner = f"{place}:v{version.number}"
                    entry = Entry(name, size, sha256)
                    return content.open_entry(store, domain, entry, owner, version.id, version.created)
    raise Missing(f"there is no file with the MD5 {md5.hex()} there, or {ctx.principal.name} may not see it")


def _is_of(view: View, found: tuple[Place, Version], number: int, inside: str) -> bool:
    place, version = found
    draft = view.get(DRAFTS, number) if number else None
    if number:
        return version.id == (draft.version if draft else number)
    return f"{place}/".startswith(f"{inside}/")
