"""Aliases, their history, and proofs of it."""

from __future__ import annotations

from typing import Any

from runstone.dialects.native.projects import COLLECTION
from runstone.dialects.native.wire import (
    Answer,
    Limit,
    Listing,
    NoQuery,
    Number,
    Page,
    Request,
    collection_name,
    page,
)
from runstone.dialects.routing import Call, Raw, Route
from runstone.domain import aliases, audit
from runstone.types import AliasInfo, AliasStep

ALIASES = COLLECTION + "/aliases"
ALIAS = ALIASES + "/{alias}"


class Move(Request):
    """Where an alias shall point (``v3``, ``3`` or another alias), and where it must point now (0: at nothing; null: anywhere)."""

    version: str
    expected: Number | None = None
    fallback: bool | None = None


class Removal(Request):
    """Where the alias must point now."""

    expected: Number | None = None


class HistoryPage(Request):
    """Which steps: those past log entry ``after``."""

    limit: Limit = 100
    after: int = -1


class AsOf(Request):
    """As of when: after a log entry, or at a time in microseconds."""

    seq: Number | None = None
    time: Number | None = None


class PointedAt(Answer):
    """The version that an alias pointed at, or 0."""

    version: int


def list_aliases(call: Call) -> Listing[AliasInfo]:
    """Answers ``GET …/aliases``."""
    asked: Page = call.query
    found = aliases.list_aliases(call.store, call.ctx, collection_name(call), asked.after, asked.limit + 1)
    return page(found, asked.limit, lambda alias: alias.alias)


def get_alias(call: Call) -> AliasInfo:
    """Answers ``GET …/aliases/{alias}``."""
    return aliases.get(call.store, call.ctx, collection_name(call), call.path["alias"])


def move_alias(call: Call) -> AliasInfo:
    """Answers ``PUT …/aliases/{alias}``."""
    move: Move = call.body
    target = f"{collection_name(call)}@{move.version}"
    return aliases.move(
        call.store, call.ctx, target, call.path["alias"], expected=move.expected, fallback=move.fallback
    )


def delete_alias(call: Call) -> Raw:
    """Answers ``DELETE …/aliases/{alias}``."""
    asked: Removal = call.query
    aliases.delete(call.store, call.ctx, collection_name(call), call.path["alias"], expected=asked.expected)
    return Raw(status=204)


def history(call: Call) -> Listing[AliasStep]:
    """Answers ``GET …/aliases/{alias}/history``."""
    asked: HistoryPage = call.query
    found = aliases.history(
        call.store,
        call.ctx,
        collection_name(call),
        call.path["alias"],
        after=asked.after,
        limit=asked.limit + 1,
    )
    return page(found, asked.limit, lambda step: step.seq)


def at(call: Call) -> PointedAt:
    """Answers ``GET …/aliases/{alias}/at``."""
    asked: AsOf = call.query
    found = aliases.at(
        call.store, call.ctx, collection_name(call), call.path["alias"], seq=asked.seq, time=asked.time
    )
    return PointedAt(version=found)


def prove(call: Call) -> dict[str, Any]:
    """Answers ``GET …/aliases/{alias}/proof``."""
    return audit.prove_alias(call.store, call.ctx, collection_name(call), call.path["alias"])


ROUTES = (
    Route("GET", ALIASES, list_aliases, "A collection's aliases.", query=Page, answer=Listing[AliasInfo]),
    Route("GET", ALIAS, get_alias, "Where an alias points.", query=NoQuery, answer=AliasInfo),
    Route(
        "PUT",
        ALIAS,
        move_alias,
        "Points an alias, by compare-and-set.",
        body=Move,
        answer=AliasInfo,
        blocking=True,
    ),
    Route(
        "DELETE",
        ALIAS,
        delete_alias,
        "Takes an alias away; its history stays.",
        query=Removal,
        status=204,
        blocking=True,
    ),
    Route(
        "GET",
        ALIAS + "/history",
        history,
        "Every step of an alias.",
        query=HistoryPage,
        answer=Listing[AliasStep],
    ),
    Route("GET", ALIAS + "/at", at, "Where an alias pointed then.", query=AsOf, answer=PointedAt),
    Route(
        "GET",
        ALIAS + "/proof",
        prove,
        "Proves every step of an alias.",
        query=NoQuery,
        answer=dict[str, Any],
        blocking=True,
    ),
)
