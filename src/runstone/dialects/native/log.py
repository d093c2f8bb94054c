"""The change log: history, checkpoints, tiles and proofs."""

from __future__ import annotations

import re
from typing import Any

from runstone.dialects.native.aliases import HistoryPage
from runstone.dialects.native.wire import Answer, Limit, Listing, NoQuery, Number, Request, page
from runstone.dialects.routing import BYTES, Call, Raw, Route
from runstone.domain import audit
from runstone.errors import Missing
from runstone.types import LogRecord

LOG = "/api/v1/log"
_TILE = re.compile(r"([0-9]{1,2})/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([0-9]{1,3}))?\Z", re.ASCII)
TILE_WIDTH = 256


class ObjectHistory(HistoryPage, kw_only=True):
    """Whose history."""

    name: str


class Object(Request):
    """Whose proof."""

    name: str


class LogPage(Request):
    """Which entries: from ``start`` on."""

    start: Number = 0
    limit: Limit = 100


class Sizes(Request):
    """Two sizes of the log."""

    old: Number
    new: Number


class VerifierKey(Answer):
    """The key that verifies this store's checkpoints, as C2SP signed notes write it."""

    vkey: str


class Consistency(Answer):
    """The hashes of a consistency proof, in hexadecimal."""

    hashes: tuple[str, ...]


def history(call: Call) -> Listing[LogRecord]:
    """Answers ``GET /history``."""
    asked: ObjectHistory = call.query
    found = audit.history(call.store, call.ctx, asked.name, after=asked.after, limit=asked.limit + 1)
    return page(found, asked.limit, lambda record: record.seq)


def prove(call: Call) -> dict[str, Any]:
    """Answers ``GET /proof``."""
    return audit.prove_object(call.store, call.ctx, call.query.name)


def entries(call: Call) -> Listing[LogRecord]:
    """Answers ``GET /log``. The cursor is the next ``start``."""
    asked: LogPage = call.query
    found = audit.log(call.store, call.ctx, start=asked.start, limit=asked.limit + 1)
    return page(found, asked.limit, lambda record: record.seq + 1)


def checkpoint(call: Call) -> Raw:
    """Answers ``GET /log/checkpoint``."""
    return Raw(audit.checkpoint(call.store, call.ctx), "text/plain; charset=utf-8")


def key(call: Call) -> VerifierKey:
    """Answers ``GET /log/key``."""
    return VerifierKey(vkey=audit.verifier_key(call.store, call.ctx))


def tile(call: Call) -> Raw:
    """Answers ``GET /log/tile/…``, in the layout of C2SP tlog-tiles (without the part ``tile/``)."""
    found = _TILE.match(call.path["tile"])
    if not found:
        raise Missing(f"there is no tile {call.path['tile']!r:.200}: use level/x001/234 or level/000.p/width")
    level, place, width = found.groups()
    number = int(place.replace("x", "").replace("/", ""))
    hashes = audit.tile(call.store, call.ctx, int(level), number, int(width or TILE_WIDTH))
    return Raw(hashes, BYTES)


def consistency(call: Call) -> Consistency:
    """Answers ``GET /log/consistency``."""
    asked: Sizes = call.query
    found = audit.consistency(call.store, call.ctx, asked.old, asked.new)
    return Consistency(hashes=tuple(hashed.hex() for hashed in found))


ROUTES = (
    Route(
        "GET",
        "/api/v1/history",
        history,
        "Every change of a version, collection or project.",
        query=ObjectHistory,
        answer=Listing[LogRecord],
        blocking=True,
    ),
    Route(
        "GET",
        "/api/v1/proof",
        prove,
        "Proves every change of an object.",
        query=Object,
        answer=dict[str, Any],
        blocking=True,
    ),
    Route("GET", LOG, entries, "The whole log.", query=LogPage, answer=Listing[LogRecord], blocking=True),
    Route(
        "GET",
        LOG + "/checkpoint",
        checkpoint,
        "The log as it stands, signed (a C2SP checkpoint).",
        query=NoQuery,
        media_type="text/plain",
        blocking=True,
    ),
    Route(
        "GET",
        LOG + "/key",
        key,
        "The key that verifies it.",
        query=NoQuery,
        answer=VerifierKey,
        blocking=True,
    ),
    Route(
        "GET", LOG + "/tile/{tile...}", tile, "A tile of the Merkle tree.", query=NoQuery, media_type=BYTES
    ),
    Route(
        "GET",
        LOG + "/consistency",
        consistency,
        "Proves that one log extends another.",
        query=Sizes,
        answer=Consistency,
    ),
)
