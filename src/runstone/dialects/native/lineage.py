"""Lineage, and what is known of damaged bytes."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from runstone.dialects.native.wire import Listing, NumberedPage, Request, page
from runstone.dialects.routing import Call, Raw, Route
from runstone.domain import integrity, lineage
from runstone.types import DamageInfo, LineageGraph

LINEAGE = "/api/v1/lineage"


class Around(Request):
    """Around which version or node, which way, how many edges far, and at most how many nodes."""

    name: str
    direction: Literal["upstream", "downstream", "both"] = "both"
    depth: Annotated[int, Meta(ge=0, le=10_000)] = 100
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 1000


class NewEdge(Request):
    """An edge. An end is a version's name, or ``run:``, ``consumer:`` or ``external:`` and ``namespace/name``."""

    source: str
    relation: Literal["used_by", "produced", "derived_to", "fetched_by", "invoked_by"]
    target: str


def closure(call: Call) -> LineageGraph:
    """Answers ``GET /lineage``."""
    asked: Around = call.query
    return lineage.closure(
        call.store, call.ctx, asked.name, direction=asked.direction, depth=asked.depth, limit=asked.limit
    )


def link(call: Call) -> Raw:
    """Answers ``POST /lineage``."""
    edge: NewEdge = call.body
    lineage.link(call.store, call.ctx, edge.source, edge.relation, edge.target)
    return Raw(status=204)


def damages(call: Call) -> Listing[DamageInfo]:
    """Answers ``GET /damages``. The cursor counts what was shown."""
    asked: NumberedPage = call.query
    start = asked.after or 0
    found = integrity.damages(call.store, call.ctx)[start : start + asked.limit + 1]
    return page(found, asked.limit, lambda _: start + asked.limit)


ROUTES = (
    Route(
        "GET",
        LINEAGE,
        closure,
        "What a version came from, and what came of it.",
        query=Around,
        answer=LineageGraph,
        blocking=True,
        remembered=True,
    ),
    Route("POST", LINEAGE, link, "Adds an edge.", body=NewEdge, status=204, blocking=True),
    Route(
        "GET",
        "/api/v1/damages",
        damages,
        "Damaged bytes, and what they touch.",
        query=NumberedPage,
        answer=Listing[DamageInfo],
        blocking=True,
    ),
)
