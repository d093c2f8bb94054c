"""Points of runs: taken in, and what is known of them."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from runstone.dialects.native.projects import PROJECT
from runstone.dialects.native.runs import RUN, run_name
from runstone.dialects.native.wire import Answer, Listing, Page, Request, page, project_name
from runstone.dialects.routing import Call, Route
from runstone.domain.runs import points
from runstone.errors import Malformed, TooLarge
from runstone.types import KeyStats

BATCH = "application/vnd.runstone.points"
KEYS = PROJECT.replace("/projects/", "/keys/")


class Row(Request):
    """What was logged at a step: values by key. ``time`` is in microseconds since 1970."""

    step: Annotated[int, Meta(ge=-(1 << 53), le=1 << 53)]
    time: Annotated[int, Meta(ge=0, le=1 << 53)]
    values: dict[str, Any]


class Rows(Request):
    """Points as rows."""

    rows: tuple[Row, ...]


class Taken(Answer):
    """How many points were taken in, and their highest step."""

    points: int
    step: int


class KeyPage(Page):
    """Which part of a listing of keys, those that begin with ``prefix``."""

    prefix: str = ""


def log_rows(call: Call) -> Taken:
    """Answers ``POST …/rows``."""
    rows: Rows = call.body
    logged = points.log_rows(
        call.store, call.ctx, run_name(call), [(row.step, row.time, row.values) for row in rows.rows]
    )
    return Taken(points=logged.points, step=logged.step)


async def log_batch(call: Call) -> Taken:
    """Answers ``POST …/points``."""
    kind = call.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != BATCH:
        raise Malformed(f"the body must come with 'Content-Type: {BATCH}', not {kind!r:.200}")
    assert call.content is not None
    body = bytearray()
    async for piece in call.content:
        body += piece
        if len(body) > points.MAX_BATCH:
            raise TooLarge(f"a batch is over the limit of {points.MAX_BATCH} bytes; send it in parts")
    logged = await call.services.in_thread(points.log, call.store, call.ctx, run_name(call), bytes(body))
    return Taken(points=logged.points, step=logged.step)


def statistics(call: Call) -> Listing[KeyStats]:
    """Answers ``GET …/stats``."""
    asked: KeyPage = call.query
    found = points.statistics(
        call.store,
        call.ctx,
        run_name(call),
        prefix=asked.prefix,
        after=asked.after,
        limit=asked.limit + 1,
    )
    return page(found, asked.limit, lambda each: each.key)


def key_names(call: Call) -> Listing[str]:
    """Answers ``GET /keys/{ns}/{project}``."""
    asked: KeyPage = call.query
    found = points.key_names(
        call.store,
        call.ctx,
        project_name(call),
        prefix=asked.prefix,
        after=asked.after,
        limit=asked.limit + 1,
    )
    return page(found, asked.limit, lambda name: name)


ROUTES = (
    Route(
        "POST",
        RUN + "/rows",
        log_rows,
        "Adds points to a run, as rows.",
        body=Rows,
        answer=Taken,
        blocking=True,
    ),
    Route(
        "POST",
        RUN + "/points",
        log_batch,
        "Adds points to a run, as a binary batch of columns (application/vnd.runstone.points).",
        answer=Taken,
        streams=True,
        needs={"Content-Type": BATCH},
    ),
    Route(
        "GET",
        RUN + "/stats",
        statistics,
        "The statistics of a run's keys.",
        query=KeyPage,
        answer=Listing[KeyStats],
        blocking=True,
    ),
    Route(
        "GET",
        KEYS,
        key_names,
        "The keys that a project's runs have logged.",
        query=KeyPage,
        answer=Listing[str],
        blocking=True,
    ),
)
