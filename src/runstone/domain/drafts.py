"""Drafts: artifacts on their way to be versions. Nobody lists one, and it becomes a version whole, or not at all.

A draft is described first, then its bytes arrive, then manifests that name them by MD5; the commit checks that every byte is here and that
the manifest has the digest that was announced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from runstone.domain import collections, limits, lineage, names, versioning
from runstone.domain.context import Context
from runstone.domain.names import Place
from runstone.domain.runs import finding
from runstone.domain.store import Store
from runstone.domain.versioning import Committed, CommitVersion
from runstone.errors import Invalid, Missing
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.index import View
from runstone.storage.state import State
from runstone.storage.tables import (
    ARTIFACT_KEYS,
    ARTIFACTS,
    DRAFTS,
    ENTRY_EXTRAS,
    VERSION_IDS,
    VERSIONS,
    Artifact,
    Draft,
    DraftManifest,
    Entry,
)

Kind = Literal["full", "incremental", "patch"]
#: How many parts the manifest of one artifact may come in.
MAX_PARTS = 1000
#: So many entries' extras lie in one row.
EXTRAS_A_PAGE = 1000
CLIENT, DISTRIBUTED, DIGEST = "client", "distributed", "digest"


class CreateDraft(Command, frozen=True, kw_only=True):
    """Begins an artifact, or finds the one of the same ``distributed`` name. ``client`` is its name before it has an id."""

    collection: int
    digest: bytes
    metadata: bytes = b"\x80"
    description: str = ""
    tags: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    ttl: int = 0
    step: int | None = None
    run: int = 0
    distributed: str = ""
    client: str = ""


class PutDraftManifest(Command, frozen=True, kw_only=True):
    """Gives a draft a manifest; one of the same ``part`` is replaced."""

    draft: int
    part: str
    kind: Kind
    sha256: bytes
    base: int = 0


class CommitDraft(Command, frozen=True, kw_only=True):
    """Makes a version of a draft, with all that belongs to it. ``extras`` are of entries by page; ``digest`` is the manifest's MD5."""

    draft: int
    collection: int
    manifest: bytes
    entries: tuple[Entry, ...]
    digest: bytes
    extras: tuple[bytes, ...] = ()


@applies(100, "create_draft", CreateDraft, int)
def _create_draft(state: State, at: Stamp, command: CreateDraft) -> int:
    collections.require(state, command.collection)
    made = _distributed(state, command) or at.id
    if made == at.id:
        fields = msgspec.structs.asdict(command)
        for name in ("actor", "reason", "client"):
            del fields[name]
        state.put(DRAFTS, at.id, Draft(id=at.id, created=at.time, by=command.actor, **fields))
        if command.distributed:
            state.put(ARTIFACT_KEYS, command.collection, DISTRIBUTED, command.distributed, at.id)
        state.touch(at.id, at.seq, 100)
    if command.client:
        state.put(ARTIFACT_KEYS, 0, CLIENT, command.client, made)
    return made


def _distributed(state: State, command: CreateDraft) -> int:
    if not command.distributed:
        return 0
    held = state.get(ARTIFACT_KEYS, command.collection, DISTRIBUTED, command.distributed)
    draft = state.get(DRAFTS, held) if held else None
    return draft.id if draft and not draft.version else 0


@applies(101, "put_draft_manifest", PutDraftManifest)
def _put_draft_manifest(state: State, at: Stamp, command: PutDraftManifest) -> None:
    draft = _require_open(state, command.draft)
    others = tuple(each for each in draft.manifests if each.part != command.part)
    if len(others) >= MAX_PARTS:
        raise Invalid(f"an artifact's manifest may come in {MAX_PARTS} parts, and this is one more")
    part = DraftManifest(command.part, command.kind, command.sha256, command.base)
    state.put(DRAFTS, draft.id, replace(draft, manifests=(*others, part)))
    state.touch(draft.id, at.seq, 101)


@applies(102, "commit_draft", CommitDraft, Committed)
def _commit_draft(state: State, at: Stamp, command: CommitDraft) -> Committed:
    draft = _require_open(state, command.draft)
    latest = names.LATEST in draft.aliases
    newest = versioning.newest_live(state, draft.collection)
    made: Committed = versioning.commit_version(
        state,
        at,
        CommitVersion(
            actor=command.actor,
            reason=command.reason,
            collection=draft.collection,
            manifest=command.manifest,
            entries=command.entries,
            metadata=draft.metadata,
            description=draft.description,
            tags=draft.tags,
            aliases=tuple(alias for alias in draft.aliases if alias != names.LATEST),
            expires=at.time + draft.ttl * 1_000_000 if draft.ttl else 0,
            reuse=True,
        ),
    )
    if latest:
        newest = newest if made.reused else made.number
        versioning.settle_latest(state, at, draft.collection, made.number, newest, command)
    if not made.reused:
        state.put(ARTIFACTS, made.id, Artifact(command.digest, draft.step))
        for page, packed in enumerate(command.extras):
            state.put(ENTRY_EXTRAS, made.id, page, packed)
    state.put(ARTIFACT_KEYS, draft.collection, DIGEST, command.digest.hex(), made.id)
    if draft.run:
        lineage.join(state, at, command.actor, draft.run, "produced", made.id)
        state.touch(draft.run, at.seq, 102)
    state.put(DRAFTS, draft.id, Draft(draft.id, version=made.id))
    return made


def _require_open(state: State, number: int) -> Draft:
    draft = state.get(DRAFTS, number)
    if draft is None or draft.version:
        raise Missing("the artifact is not being made any more: it was committed, or never begun")
    collections.require(state, draft.collection)
    return draft


def create(
    store: Store,
    ctx: Context,
    name: str,
    *,
    digest: bytes,
    metadata: Any = None,
    description: str = "",
    tags: tuple[str, ...] = (),
    aliases: tuple[str, ...] = (),
    ttl: int = 0,
    step: int | None = None,
    run: str = "",
    distributed: str = "",
    client: str = "",
) -> tuple[int, bool]:
    """Begins an artifact of a collection. Its id, and whether it is a version already: one of the same digest gets the aliases instead."""
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, names.parse(ctx, name), "write")
        made_by = finding.find(store, view, ctx, run, "write").run.id if run else 0
        same = 0 if distributed else _equal(view, place, digest)
    command = CreateDraft(
        actor=ctx.principal.name,
        reason=ctx.reason,
        collection=place.collection.id,
        digest=digest,
        metadata=limits.metadata({} if metadata is None else metadata),
        description=limits.text(description, "description"),
        tags=limits.tags(tags),
        aliases=tuple(sorted({limits.alias(alias) for alias in aliases})),
        ttl=_ttl(ttl),
        step=step,
        run=made_by,
        distributed=limits.text(distributed, "distributed id", 256),
        client=limits.text(client, "client id", 256),
    )
    if same:
        return same, True
    made: int = store.submit(ctx, command).result
    return made, False


def _ttl(seconds: int) -> int:
    if not 0 <= seconds <= 100 * 366 * 86_400:
        raise Invalid(f"a time to live of {seconds} seconds is not between 0 and a hundred years")
    return seconds


def _equal(view: View, place: Place, digest: bytes) -> int:
    """The id of the collection's live version whose manifest has a digest, or 0."""
    held = view.get(ARTIFACT_KEYS, place.collection.id, DIGEST, digest.hex())
    key = view.get(VERSION_IDS, held) if held else None
    version = view.get(VERSIONS, *key) if key else None
    return version.id if version and version.state == "live" else 0


def place_of(store: Store, ctx: Context, number: int) -> Place:
    """Where a draft lies that the principal may write; raises :class:`Missing`."""
    with store.index.read() as view:
        return find(store, view, ctx, number)[1]


def find(store: Store, view: View, ctx: Context, number: int) -> tuple[Draft, Place]:
    """A draft and where it lies, if the principal may write there."""
    draft = view.get(DRAFTS, number)
    collection = draft.collection if draft else 0
    if draft and draft.version:
        key = view.get(VERSION_IDS, draft.version)
        collection = key[0] if key else 0
    place = names.place_of(view, collection) if collection else None
    if draft is None or place is None:
        raise Missing(f"there is no artifact {number}, or {ctx.principal.name} may not see it")
    name = names.Name(place.namespace.name, place.project.name, place.collection.name)
    return draft, names.find_collection(store, view, ctx, name, "write")


def put_manifest(
    store: Store, ctx: Context, number: int, part: str, kind: Kind, sha256: str, base: int = 0
) -> None:
    """Gives a draft a manifest whose bytes are here."""
    with store.index.read() as view:
        draft, _ = find(store, view, ctx, number)
    command = PutDraftManifest(
        actor=ctx.principal.name,
        draft=draft.id,
        part=limits.required_text(part, "part", 128),
        kind=kind,
        sha256=limits.digest(sha256),
        base=base,
    )
    store.submit(ctx, command)


def resolved(store: Store, client: str) -> int | None:
    """The id that goes by the name that a client gave it, or None; only who made the name can know it."""
    with store.index.read() as view:
        return view.get(ARTIFACT_KEYS, 0, CLIENT, client) if client and len(client) <= 256 else None


def packed_extras(extras: Mapping[str, Any]) -> tuple[bytes, ...]:
    """Extras of entries by path, as rows of their table."""
    items = sorted(extras.items())
    pages = [dict(items[at : at + EXTRAS_A_PAGE]) for at in range(0, len(items), EXTRAS_A_PAGE)]
    return tuple(msgspec.msgpack.encode(page) for page in pages)
