"""Aliases: names that point at a version and move by compare-and-set, with their whole history kept."""

from __future__ import annotations

from msgspec.structs import replace

from runstone.domain import collections, limits, names, versioning
from runstone.domain.context import Context
from runstone.domain.names import Place
from runstone.domain.store import Store
from runstone.errors import Invalid, Missing, Quarantined
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.state import State
from runstone.storage.tables import ALIAS_HISTORY, ALIASES, VERSIONS, Alias
from runstone.types import AliasInfo, AliasStep


class MoveAlias(Command, frozen=True, kw_only=True):
    """Points an alias at a version, if it points at ``expected`` now (0: at nothing; None: wherever it points)."""

    collection: int
    alias: str
    version: int
    expected: int | None = None
    fallback: bool | None = None


class DeleteAlias(Command, frozen=True, kw_only=True):
    """Takes an alias away, if it points at ``expected`` now."""

    collection: int
    alias: str
    expected: int | None = None


@applies(32, "move_alias", MoveAlias, int)
def _move_alias(state: State, at: Stamp, command: MoveAlias) -> int:
    collection = collections.require(state, command.collection)
    previous = state.get(ALIASES, command.collection, command.alias)
    versioning.require_pointing(command.alias, command.expected, previous)
    version = state.get(VERSIONS, command.collection, command.version)
    if version is None or version.state == "deleted":
        raise Missing(f"{collection.name} has no version {command.version} for {command.alias} to point at")
    if version.state == "quarantined":
        raise Quarantined(f"{collection.name}:v{command.version} is quarantined: {version.reason}")
    versioning.point(state, at, command.collection, command.alias, command.version, previous, command)
    if command.fallback is not None:
        row = state.get(ALIASES, command.collection, command.alias)
        assert row is not None
        state.put(ALIASES, command.collection, command.alias, replace(row, fallback=command.fallback))
    state.touch(command.collection, at.seq, 32)
    state.touch(version.id, at.seq, 32)
    return previous.version if previous else 0


@applies(33, "delete_alias", DeleteAlias, int)
def _delete_alias(state: State, at: Stamp, command: DeleteAlias) -> int:
    collections.require(state, command.collection)
    previous = state.get(ALIASES, command.collection, command.alias)
    if previous is None:
        raise Missing(f"there is no alias {command.alias}")
    versioning.require_pointing(command.alias, command.expected, previous)
    versioning.unpoint(state, at, command.collection, command.alias, previous, command)
    state.touch(command.collection, at.seq, 33)
    return previous.version


def move(
    store: Store,
    ctx: Context,
    name: str,
    alias: str,
    *,
    expected: int | None = None,
    fallback: bool | None = None,
) -> AliasInfo:
    """Points an alias at the version that ``name`` names (``collection@v3``, ``collection@staging``).

    ``expected`` makes it a compare-and-set: the version it must point at now, 0 for none; raises :class:`AliasMoved`.
    ``fallback`` says whether it may retreat by itself when its version is quarantined.
    """
    alias = limits.alias(alias)
    parsed = names.parse(ctx, name)
    if not parsed.version:
        raise Invalid(
            f"{name!r} names a collection; say which version {alias} shall point at, as in {name}@v1"
        )
    with store.index.read() as view:
        place, version = names.find_version(store, view, ctx, parsed, "write")
    command = MoveAlias(
        actor=ctx.principal.name,
        reason=limits.text(ctx.reason, "reason", limits.MAX_REASON),
        collection=place.collection.id,
        alias=alias,
        version=version.number,
        expected=expected,
        fallback=fallback,
    )
    store.submit(ctx, command)
    return get(store, ctx, str(place), alias)


def delete(store: Store, ctx: Context, name: str, alias: str, *, expected: int | None = None) -> None:
    """Takes an alias away; its history stays."""
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, names.parse(ctx, name), "write")
    command = DeleteAlias(
        actor=ctx.principal.name,
        reason=limits.text(ctx.reason, "reason", limits.MAX_REASON),
        collection=place.collection.id,
        alias=alias,
        expected=expected,
    )
    store.submit(ctx, command)


def give(store: Store, ctx: Context, name: str, alias: str) -> None:
    """Points an alias at a version; ``latest`` at the newest is what it means by itself, and then stands as no alias."""
    with store.index.read() as view:
        place, version = names.find_version(store, view, ctx, names.parse(ctx, name), "write")
        held = view.get(ALIASES, place.collection.id, alias)
        newest = names.latest_number(view, place.collection)
    if held is not None and held.version == version.number:
        return
    if alias == names.LATEST and version.number == newest:
        if held is not None:
            delete(store, ctx, str(place), alias)
        return
    move(store, ctx, name, alias)


def take(store: Store, ctx: Context, name: str, alias: str) -> None:
    """Takes an alias away from the version that it points at; one that points elsewhere stays."""
    with store.index.read() as view:
        place, version = names.find_version(store, view, ctx, names.parse(ctx, name), "write", any_state=True)
        held = view.get(ALIASES, place.collection.id, alias)
    if held is not None and held.version == version.number:
        delete(store, ctx, str(place), alias, expected=version.number)


def get(store: Store, ctx: Context, name: str, alias: str) -> AliasInfo:
    """Where an alias points now."""
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, names.parse(ctx, name))
        row = view.get(ALIASES, place.collection.id, alias)
    if row is None:
        raise Missing(f"{place} has no alias {alias!r}")
    return _info(place, alias, row)


def list_aliases(
    store: Store, ctx: Context, name: str, after: str = "", limit: int = 1000
) -> list[AliasInfo]:
    """A collection's aliases by name, from just past ``after``."""
    found: list[AliasInfo] = []
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, names.parse(ctx, name))
        start = (place.collection.id, after) if after else None
        for (_, alias), row in view.scan(ALIASES, place.collection.id, after=start):
            if len(found) == limit:
                break
            found.append(_info(place, alias, row))
    return found


def history(
    store: Store, ctx: Context, name: str, alias: str, *, after: int = -1, limit: int = 1000
) -> list[AliasStep]:
    """Every step of an alias from the first, from just past log entry ``after``."""
    found: list[AliasStep] = []
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, names.parse(ctx, name))
        start = (place.collection.id, alias, after) if after >= 0 else None
        for (_, _, seq), step in view.scan(ALIAS_HISTORY, place.collection.id, alias, after=start):
            if len(found) == limit:
                break
            found.append(
                AliasStep(
                    seq=seq,
                    time=step.time,
                    version=step.version,
                    previous=step.previous,
                    by=step.by,
                    reason=step.reason,
                )
            )
    if not found and after < 0:
        raise Missing(f"{place} never had an alias {alias!r}")
    return found


def at(
    store: Store, ctx: Context, name: str, alias: str, *, seq: int | None = None, time: int | None = None
) -> int:
    """The version that an alias pointed at after log entry ``seq``, or at a ``time`` in microseconds; 0 for none."""
    if (seq is None) == (time is None):
        raise Invalid("say as of when: either a log entry number or a time")
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, names.parse(ctx, name))
        for (_, _, step_seq), step in view.scan(ALIAS_HISTORY, place.collection.id, alias, reverse=True):
            if (seq is not None and step_seq <= seq) or (time is not None and step.time <= time):
                return step.version
    return 0


def _info(place: Place, alias: str, row: Alias) -> AliasInfo:
    return AliasInfo(
        alias=alias,
        collection=str(place),
        version=row.version,
        seq=row.seq,
        time=row.time,
        by=row.by,
        fallback=row.fallback,
    )
