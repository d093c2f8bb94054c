"""What changes versions: the commands, and the functions that apply them to the index."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from runstone.domain import collections, labels, manifests
from runstone.domain.names import LATEST
from runstone.errors import AliasMoved, Conflict, Missing
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.state import State
from runstone.storage.tables import (
    ALIAS_HISTORY,
    ALIASES,
    ARTIFACTS,
    BLOB_VERSIONS,
    COLLECTIONS,
    ENTRY_EXTRAS,
    EXPIRIES,
    MANIFEST_VERSIONS,
    QUARANTINES,
    VERSION_ALIASES,
    VERSION_IDS,
    VERSION_LINKS,
    VERSIONS,
    Alias,
    AliasMove,
    Collection,
    Entry,
    Version,
)


class CommitVersion(Command, frozen=True, kw_only=True):
    """Adds a version. With ``reuse``, an equal live version (files and metadata) is answered instead.

    ``entries`` are sorted by path and ``manifest`` is their digest; ``metadata`` is MessagePack. ``expected`` makes it a
    compare-and-set: the version that each alias must point at (0: nothing), and ``newest`` the highest number given so far.
    ``labels`` and ``properties`` are the first labels of a version that is made.
    """

    collection: int
    manifest: bytes
    entries: tuple[Entry, ...]
    metadata: bytes = b"\x80"
    description: str = ""
    tags: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    expires: int = 0
    reuse: bool = False
    expected: tuple[tuple[str, int], ...] = ()
    newest: int | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    properties: dict[str, str] = msgspec.field(default_factory=dict)


class UpdateVersion(Command, frozen=True, kw_only=True):
    """Changes what may change of a version; None leaves a field as it is. Files and metadata never change."""

    collection: int
    number: int
    description: str | None = None
    tags: tuple[str, ...] | None = None
    expires: int | None = None
    hold: str | None = None


class DeleteVersion(Command, frozen=True, kw_only=True):
    """Deletes a version; ``with_aliases`` takes the aliases that point at it away, else they forbid it."""

    collection: int
    number: int
    with_aliases: bool = False


class QuarantineVersion(Command, frozen=True, kw_only=True):
    """Withdraws a damaged version; aliases that may fall back move to their last good version."""

    collection: int
    number: int
    why: str
    cause: str = "damage"


class ReleaseVersion(Command, frozen=True, kw_only=True):
    """Ends a quarantine: the version's bytes verify again."""

    collection: int
    number: int


class Committed(msgspec.Struct, frozen=True):
    """What a commit answers: the version's number and id, and whether it was there before."""

    number: int
    id: int
    reused: bool


@applies(24, "commit_version", CommitVersion, Committed)
def commit_version(state: State, at: Stamp, command: CommitVersion) -> Committed:
    """Adds a version, in ``apply``; other commands that make one begin with this."""
    collection = collections.require(state, command.collection)
    _require_expected(state, collection, command)
    sharing = [version_id for (_, version_id), _ in state.scan(MANIFEST_VERSIONS, command.manifest)]
    if command.reuse:
        same = _equal_version(state, command, sharing)
        if same is not None:
            return reuse(state, at, command, same, command.aliases)
    number = collection.numbered + 1
    files, size = len(command.entries), sum(entry.size for entry in command.entries)
    version = Version(
        at.id,
        collection.id,
        number,
        command.manifest,
        files,
        size,
        at.time,
        command.actor,
        command.metadata,
        command.description,
        command.tags,
        command.expires,
        updated=at.time,
    )
    domain = collections.domain_of(state, collection.project)
    moves = [(alias, state.get(ALIASES, collection.id, alias)) for alias in command.aliases]
    if not sharing:
        manifests.store_pages(state, command.manifest, command.entries)
    state.put(VERSIONS, collection.id, number, version)
    state.put(VERSION_IDS, at.id, (collection.id, number))
    labels.begin(state, at.id, command.labels, command.properties)
    state.put(MANIFEST_VERSIONS, command.manifest, at.id, 1)
    for digest in manifests.held(command.entries):
        state.put(BLOB_VERSIONS, domain, digest, at.id, 1)
    if command.expires:
        state.put(EXPIRIES, command.expires, at.id, 1)
    state.put(
        COLLECTIONS,
        collection.id,
        replace(collection, numbered=number, live=collection.live + 1, updated=at.time),
    )
    for alias, previous in moves:
        point(state, at, collection.id, alias, number, previous, command)
    state.touch(collection.id, at.seq, 24)
    state.touch(at.id, at.seq, 24)
    return Committed(number, at.id, False)


def _require_expected(state: State, collection: Collection, command: CommitVersion) -> None:
    for alias, expected in command.expected:
        require_pointing(alias, expected, state.get(ALIASES, collection.id, alias))
    if command.newest is not None and command.newest != collection.numbered:
        raise AliasMoved(
            f"{collection.name} has a version {collection.numbered} already; read it again and decide",
            current=collection.numbered,
            expected=command.newest,
        )


def require_pointing(alias: str, expected: int | None, row: Alias | None) -> None:
    """Raises :class:`AliasMoved` for an alias that points at another version than ``expected`` (0: at any; None: anything goes)."""
    now = row.version if row else 0
    if expected is not None and expected != now:
        stands = f"points at v{now}" if now else "points at nothing"
        wanted = f"v{expected}" if expected else "nothing"
        raise AliasMoved(
            f"alias {alias} {stands} and not at {wanted}; read it again and decide",
            current=now,
            expected=expected,
        )


def _equal_version(state: State, command: CommitVersion, sharing: list[int]) -> Version | None:
    for version_id in reversed(sharing):
        key = state.get(VERSION_IDS, version_id)
        version = state.get(VERSIONS, *key) if key and key[0] == command.collection else None
        if version and version.state == "live" and version.metadata == command.metadata:
            return version
    return None


def reuse(state: State, at: Stamp, command: Command, version: Version, aliases: tuple[str, ...]) -> Committed:
    """Answers a version that is there already in the place of a new one, in ``apply``; the aliases move to it."""
    for alias in aliases:
        previous = state.get(ALIASES, version.collection, alias)
        if previous is None or previous.version != version.number:
            point(state, at, version.collection, alias, version.number, previous, command)
    state.touch(version.id, at.seq, 24)
    return Committed(version.number, version.id, True)


def point(
    state: State,
    at: Stamp,
    collection: int,
    alias: str,
    number: int,
    previous: Alias | None,
    command: Command,
) -> None:
    """Moves an alias, in ``apply``: the alias, the reverse row, and a step of its history."""
    if previous is not None:
        state.delete(VERSION_ALIASES, collection, previous.version, alias)
    fallback = previous.fallback if previous is not None else True
    state.put(ALIASES, collection, alias, Alias(number, at.seq, at.time, command.actor, fallback))
    state.put(VERSION_ALIASES, collection, number, alias, 1)
    before = previous.version if previous is not None else 0
    step = AliasMove(number, before, at.time, command.actor, command.reason)
    state.put(ALIAS_HISTORY, collection, alias, at.seq, step)


def unpoint(state: State, at: Stamp, collection: int, alias: str, previous: Alias, command: Command) -> None:
    """Takes an alias away, in ``apply``; its history stays."""
    state.delete(ALIASES, collection, alias)
    state.delete(VERSION_ALIASES, collection, previous.version, alias)
    step = AliasMove(0, previous.version, at.time, command.actor, command.reason)
    state.put(ALIAS_HISTORY, collection, alias, at.seq, step)


@applies(25, "update_version", UpdateVersion)
def _update_version(state: State, at: Stamp, command: UpdateVersion) -> None:
    version = _require(state, command.collection, command.number)
    changes: dict[str, Any] = {
        field: value
        for field in ("description", "tags", "expires", "hold")
        if (value := getattr(command, field)) is not None
    }
    if command.expires is not None and command.expires != version.expires:
        if version.expires:
            state.delete(EXPIRIES, version.expires, version.id)
        if command.expires:
            state.put(EXPIRIES, command.expires, version.id, 1)
    state.put(VERSIONS, version.collection, version.number, replace(version, updated=at.time, **changes))
    state.touch(version.id, at.seq, 25)


@applies(26, "delete_version", DeleteVersion)
def _delete_version(state: State, at: Stamp, command: DeleteVersion) -> None:
    version = _require(state, command.collection, command.number)
    collection = collections.require(state, command.collection)
    if version.hold:
        raise Conflict(
            f"{collection.name}:v{version.number} is under legal hold ({version.hold}); lift the hold first"
        )
    pointing = _aliases_of(state, version)
    if pointing and not command.with_aliases:
        raise Conflict(
            f"{collection.name}:v{version.number} is what {', '.join(sorted(pointing))} points at; move the alias first"
        )
    alone = len(list(state.scan(MANIFEST_VERSIONS, version.manifest))) == 1
    blobs = manifests.held(manifests.entries(state, version.manifest))
    domain = collections.domain_of(state, collection.project)
    extras = [page for (_, page), _ in state.scan(ENTRY_EXTRAS, version.id)]
    about = state.get(ARTIFACTS, version.id)
    for alias, row in pointing.items():
        unpoint(state, at, version.collection, alias, row, command)
    for digest in blobs:
        state.delete(BLOB_VERSIONS, domain, digest, version.id)
    state.delete(MANIFEST_VERSIONS, version.manifest, version.id)
    if alone:
        manifests.drop_pages(state, version.manifest)
    if version.expires:
        state.delete(EXPIRIES, version.expires, version.id)
    state.delete(QUARANTINES, version.id)
    for page in extras:
        state.delete(ENTRY_EXTRAS, version.id, page)
    if about and about.source:
        state.delete(VERSION_LINKS, about.source, version.id)
    deleted = replace(version, state="deleted", reason=command.reason, updated=at.time, metadata=b"\x80")
    state.put(VERSIONS, version.collection, version.number, deleted)
    live = collection.live - 1
    state.put(COLLECTIONS, collection.id, replace(collection, live=live, updated=at.time))
    state.touch(version.id, at.seq, 26)
    state.touch(collection.id, at.seq, 26)


@applies(27, "quarantine_version", QuarantineVersion, list[str])
def _quarantine_version(state: State, at: Stamp, command: QuarantineVersion) -> list[str]:
    version = _require(state, command.collection, command.number)
    pointing = _aliases_of(state, version)
    retreats = {alias: _last_good(state, version, alias) for alias, row in pointing.items() if row.fallback}
    quarantined = replace(version, state="quarantined", reason=command.why, updated=at.time)
    state.put(VERSIONS, version.collection, version.number, quarantined)
    moved = []
    for alias, number in sorted(retreats.items()):
        if number:
            point(state, at, version.collection, alias, number, pointing[alias], command)
            moved.append(alias)
    state.put(QUARANTINES, version.id, command.cause)
    state.touch(version.id, at.seq, 27)
    state.touch(version.collection, at.seq, 27)
    return moved


@applies(28, "release_version", ReleaseVersion)
def _release_version(state: State, at: Stamp, command: ReleaseVersion) -> None:
    version = _require(state, command.collection, command.number)
    if version.state == "quarantined":
        released = replace(version, state="live", reason="", updated=at.time)
        state.put(VERSIONS, version.collection, version.number, released)
        state.delete(QUARANTINES, version.id)
        state.touch(version.id, at.seq, 28)


def _require(state: State, collection: int, number: int) -> Version:
    version = state.get(VERSIONS, collection, number)
    if version is None or version.state == "deleted":
        raise Missing(f"version {number} does not exist any more")
    return version


def _aliases_of(state: State, version: Version) -> dict[str, Alias]:
    held = [alias for (_, _, alias), _ in state.scan(VERSION_ALIASES, version.collection, version.number)]
    return {
        alias: row for alias in held if (row := state.get(ALIASES, version.collection, alias)) is not None
    }


def _last_good(state: State, version: Version, alias: str) -> int:
    """The version that an alias pointed at last and that is live, other than this one; 0 for none."""
    for _, step in state.scan(ALIAS_HISTORY, version.collection, alias, reverse=True):
        candidate = state.get(VERSIONS, version.collection, step.version) if step.version else None
        if candidate and candidate.state == "live" and candidate.number != version.number:
            return candidate.number
    return 0


def settle_latest(
    state: State, at: Stamp, collection: int, number: int, newest: int, command: Command
) -> None:
    """Makes a version the collection's latest, in ``apply``: the newest is so by itself, any other by an alias of that name."""
    previous = state.get(ALIASES, collection, LATEST)
    if number != newest:
        if previous is None or previous.version != number:
            point(state, at, collection, LATEST, number, previous, command)
    elif previous is not None:
        unpoint(state, at, collection, LATEST, previous, command)


def newest_live(state: State, collection: int) -> int:
    """The highest live number of a collection, in ``apply``, or 0."""
    for (_, number), version in state.scan(VERSIONS, collection, reverse=True):
        if version.state == "live":
            return int(number)
    return 0
