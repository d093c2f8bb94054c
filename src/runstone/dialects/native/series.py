"""Series of runs, exact and in buckets. In JSON a value that is NaN or infinite is null; MessagePack has it as it is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from runstone.dialects.native.points import BATCH
from runstone.dialects.native.rowfiles import SHEETS, as_sheet, sheet
from runstone.dialects.native.runs import RUN, run_name
from runstone.dialects.native.wire import Listing, Request
from runstone.dialects.routing import Call, Raw, Route, Stream
from runstone.domain.queries import sheets
from runstone.domain.runs import exporting, series
from runstone.types import RowPage, SeriesPage, SeriesPicture

#: Where the page behind a file of one page begins.
NEXT = "X-Runstone-Next"
Bound = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Axis = Literal["step", "time"]


class SeriesRange(Request):
    """Which points of a key: ``low <= step < high`` (or time in microseconds), from behind a page's ``next``."""

    key: str
    low: Bound | None = None
    high: Bound | None = None
    by: Axis = "step"
    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=series.MAX_PAGE)] = 10_000


class RowRange(Request):
    """Which rows: ``low <= step < high``, of some keys or of all, behind the step ``after``."""

    keys: tuple[str, ...] = ()
    low: Bound | None = None
    high: Bound | None = None
    after: Bound | None = None
    limit: Annotated[int, Meta(ge=1, le=series.MAX_ROWS)] = 1000


class PictureRange(Request):
    """Which keys of which runs (``namespace/project/run``), and in how many buckets."""

    runs: tuple[str, ...]
    keys: tuple[str, ...]
    low: Bound | None = None
    high: Bound | None = None
    by: Axis = "step"
    buckets: Annotated[int, Meta(ge=1, le=series.MAX_BUCKETS)] = 1000


def read(call: Call) -> SeriesPage | Raw | Stream:
    """Answers ``GET …/series``: in columns for Arrow and batches of points, which have what JSON has not."""
    asked: SeriesRange = call.query
    bounds: dict[str, Any] = {"low": asked.low, "high": asked.high, "by": asked.by}
    bounds |= {"after": asked.after, "limit": asked.limit}
    form, place = sheet(call), (call.store, call.ctx, run_name(call), asked.key)
    if BATCH in call.headers.get("Accept", ""):
        content, following = series.batch(*place, **bounds)
        return Raw(content, BATCH, headers={NEXT: following} if following else {})
    if form == "arrow":
        table, following = series.arrow(*place, **bounds)
        return Stream(sheets.of_table(table, form), sheets.ARROW, {NEXT: following} if following else {})
    if form:
        return as_sheet(form, exporting.points(*place, **bounds), ("step", "time", "value"))
    return series.read(*place, **bounds)


def rows(call: Call) -> RowPage | Stream:
    """Answers ``POST …/rows/query``."""
    asked: RowRange = call.body
    if form := sheet(call):
        bounds = {"low": asked.low, "high": asked.high, "after": asked.after, "limit": asked.limit}
        found = exporting.steps(call.store, call.ctx, run_name(call), asked.keys, **bounds)
        return as_sheet(form, found, ("step", "time", *asked.keys) if asked.keys else ())
    return series.rows(
        call.store,
        call.ctx,
        run_name(call),
        asked.keys,
        low=asked.low,
        high=asked.high,
        after=asked.after,
        limit=asked.limit,
    )


def pictures(call: Call) -> Listing[SeriesPicture]:
    """Answers ``POST /series/query``."""
    asked: PictureRange = call.body
    drawn = series.picture(
        call.store,
        call.ctx,
        asked.runs,
        asked.keys,
        low=asked.low,
        high=asked.high,
        by=asked.by,
        buckets=asked.buckets,
    )
    return Listing(items=tuple(drawn))


ROUTES = (
    Route(
        "GET",
        RUN + "/series",
        read,
        "The exact points of a run's key.",
        query=SeriesRange,
        answer=SeriesPage,
        also_as=(*SHEETS, BATCH),
        blocking=True,
    ),
    Route(
        "POST",
        RUN + "/rows/query",
        rows,
        "What a run logged, step by step.",
        body=RowRange,
        answer=RowPage,
        also_as=SHEETS,
        blocking=True,
    ),
    Route(
        "POST",
        "/api/v1/series/query",
        pictures,
        "Keys of runs in buckets, for drawing.",
        body=PictureRange,
        answer=Listing[SeriesPicture],
        blocking=True,
    ),
)
