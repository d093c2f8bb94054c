"""What is known of a version beside its row, said again for one that was brought from another store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from runstone.domain import digested, drafts, limits, names
from runstone.domain.context import Context
from runstone.domain.digested import MAX_EXTRA
from runstone.domain.names import Place
from runstone.domain.store import Store
from runstone.errors import Invalid, Missing
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.state import State
from runstone.storage.tables import (
    ARTIFACT_KEYS,
    ARTIFACTS,
    ENTRY_EXTRAS,
    VERSION_IDS,
    VERSION_LINKS,
    VERSIONS,
    Artifact,
    Version,
)

#: The highest page of extras that a version may have.
MAX_PAGE = 1_000_000


class PutArtifact(Command, frozen=True, kw_only=True):
    """Says what is known of a version as an artifact. Clients find it by its ``digest`` if it is ``found`` to be that of its files."""

    version: int
    artifact: Artifact
    found: bool = False


class PutExtras(Command, frozen=True, kw_only=True):
    """Says what is kept beside entries of a version: one page of it, as MessagePack."""

    version: int
    page: int
    extras: bytes


@applies(108, "put_artifact", PutArtifact)
def _put_artifact(state: State, at: Stamp, command: PutArtifact) -> None:
    version = _require(state, command.version)
    source = command.artifact.source
    if source and (source == version.id or state.get(VERSION_IDS, source) is None):
        raise Missing("the version that this one is to be a link to does not exist")
    held = state.get(ARTIFACTS, version.id)
    if held and held.source:
        state.delete(VERSION_LINKS, held.source, version.id)
    state.put(ARTIFACTS, version.id, command.artifact)
    if source:
        state.put(VERSION_LINKS, source, version.id, 1)
    if command.found:
        key = command.artifact.digest.hex()
        state.put(ARTIFACT_KEYS, version.collection, drafts.DIGEST, key, version.id)
    state.put(VERSIONS, version.collection, version.number, replace(version, updated=at.time))
    state.touch(version.id, at.seq, 108)


@applies(109, "put_extras", PutExtras)
def _put_extras(state: State, at: Stamp, command: PutExtras) -> None:
    version = _require(state, command.version)
    state.put(ENTRY_EXTRAS, version.id, command.page, command.extras)
    state.touch(version.id, at.seq, 109)


def _require(state: State, number: int) -> Version:
    key = state.get(VERSION_IDS, number)
    version = state.get(VERSIONS, *key) if key else None
    if version is None or version.state == "deleted":
        raise Missing("the version does not exist any more")
    return version


def put_artifact(
    store: Store,
    ctx: Context,
    name: str,
    *,
    digest: bytes = b"",
    step: int | None = None,
    source: str = "",
    metadata: Any = None,
    amended: bool = False,
) -> None:
    """Says what a version is as an artifact: ``metadata`` counts if it was ``amended``. Takes the right to administer both projects."""
    place, version = _administered(store, ctx, name)
    origin = _administered(store, ctx, source)[1].id if source else 0
    if len(digest) not in (0, 16):
        raise Invalid(f"the digest of an artifact has 16 bytes, not {len(digest)}")
    artifact = Artifact(digest, step, origin, limits.metadata(metadata) if amended else b"")
    files = digested.of_version(store, place.namespace.domain, version) if digest else []
    command = PutArtifact(
        actor=ctx.principal.name,
        reason=ctx.reason,
        version=version.id,
        artifact=artifact,
        found=bool(digest) and digested.digest_of(files) == digest,
    )
    store.submit(ctx, command)


def put_extras(store: Store, ctx: Context, name: str, page: int, extras: Mapping[str, Any]) -> None:
    """Says what is kept beside a version's entries, by path. Takes the right to administer the project."""
    _, version = _administered(store, ctx, name)
    command = PutExtras(
        actor=ctx.principal.name,
        reason=ctx.reason,
        version=version.id,
        page=page,
        extras=checked_extras(page, extras),
    )
    store.submit(ctx, command)


def checked_extras(page: int, extras: Mapping[str, Any]) -> bytes:
    """A page of extras, packed; raises :class:`Invalid` for what nobody could have put there."""
    if not 0 <= page <= MAX_PAGE or not 0 < len(extras) <= drafts.EXTRAS_A_PAGE:
        raise Invalid(f"page {page} of extras has {len(extras)} entries, which cannot be")
    for path, beside in extras.items():
        limits.path(path)
        if not isinstance(beside, dict) or not beside or not beside.keys() <= {"ref", "extra"}:
            raise Invalid(f"what is kept beside {path!r:.200} is no reference and nothing extra")
        limits.text(beside.get("ref", ""), "reference", limits.MAX_URL)
        extra = beside.get("extra", {})
        if not isinstance(extra, dict) or len(limits.metadata(extra)) > MAX_EXTRA:
            raise Invalid(f"what is extra of {path!r:.200} must be a map of at most {MAX_EXTRA} bytes")
    return drafts.packed_extras(extras)[0]


def _administered(store: Store, ctx: Context, name: str) -> tuple[Place, Version]:
    with store.index.read() as view:
        return names.find_version(store, view, ctx, names.parse(ctx, name), "admin")
