"""What the web application shows of runs: what happened last, rows of a table from any place on, and series in columns of numbers."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from runstone.dialects.native.queries import RUN_QUERIES, Filter
from runstone.dialects.native.series import Axis, Bound
from runstone.dialects.native.wire import Limit, NoQuery, Number, Request, project_name
from runstone.dialects.routing import BYTES, Call, Raw, Route
from runstone.domain.runs import drawing, overview, series, tablerows
from runstone.types import Overview, RunRows


class RowQuestion(Request):
    """Which runs, from which place of their order on, and which of their fields."""

    fields: tuple[str, ...] = ()
    filter: Filter = ""
    order: str = ""
    skip: Number = 0
    limit: Limit = 100
    total: bool = False


class DrawQuestion(Request):
    """Which keys of which runs (``namespace/project/run``), in how many buckets, and which columns of these; ``x`` is a key to draw over."""

    runs: tuple[str, ...]
    keys: tuple[str, ...]
    columns: tuple[str, ...] = ("start", "min", "max", "last")
    low: Bound | None = None
    high: Bound | None = None
    by: Axis = "step"
    x: str = ""
    buckets: Annotated[int, Meta(ge=1, le=series.MAX_BUCKETS)] = 1000


def rows(call: Call) -> RunRows:
    """Answers ``POST /run-queries/{ns}/{project}/rows``."""
    asked: RowQuestion = call.body
    return tablerows.rows(
        call.store,
        call.ctx,
        project_name(call),
        asked.fields,
        filter=asked.filter,
        order=asked.order,
        skip=asked.skip,
        limit=asked.limit,
        total=asked.total,
    )


def draw(call: Call) -> Raw:
    """Answers ``POST /series/draw``."""
    asked: DrawQuestion = call.body
    drawn = drawing.draw(
        call.store,
        call.ctx,
        asked.runs,
        asked.keys,
        columns=asked.columns,
        low=asked.low,
        high=asked.high,
        by=asked.by,
        x=asked.x,
        buckets=asked.buckets,
    )
    return Raw(drawing.encode(drawn, asked.columns, asked.x), BYTES)


def happened(call: Call) -> Overview:
    """Answers ``GET /overview``."""
    return overview.overview(call.store, call.ctx)


ROUTES = (
    Route(
        "GET",
        "/api/v1/overview",
        happened,
        "Projects and runs that changed last.",
        query=NoQuery,
        answer=Overview,
        blocking=True,
    ),
    Route(
        "POST",
        RUN_QUERIES + "/rows",
        rows,
        "Rows of a table of runs, from any place on.",
        body=RowQuestion,
        answer=RunRows,
        blocking=True,
        remembered=True,
    ),
    Route(
        "POST",
        "/api/v1/series/draw",
        draw,
        "Keys of runs in buckets, as columns of numbers.",
        body=DrawQuestion,
        media_type=BYTES,
        blocking=True,
        remembered=True,
    ),
)
