"""Read-only SQL over a project: rows as JSON, or as a file on request."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from runstone.dialects.native.projects import PROJECT
from runstone.dialects.native.rowfiles import SHEETS, sheet
from runstone.dialects.native.wire import Answer, Request, project_name
from runstone.dialects.routing import Call, Route, Stream
from runstone.domain.queries import sheets

MAX_SECONDS = 60.0


class Statement(Request):
    """A statement, how long it may take, and how many rows it may have."""

    sql: str
    seconds: Annotated[float, Meta(gt=0, le=MAX_SECONDS)] = 10.0
    max_rows: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000


class Selected(Answer):
    """What was selected: the names of the columns, and the rows."""

    columns: list[str]
    rows: list[list[Any]]


def select(call: Call) -> Selected | Stream:
    """Answers ``POST /sql/{ns}/{project}``."""
    from runstone.domain.queries import tables  # needs the extra, and loads it

    asked: Statement = call.body
    found = tables.select(
        call.store, call.ctx, project_name(call), asked.sql, seconds=asked.seconds, max_rows=asked.max_rows
    )
    if form := sheet(call):
        return Stream(sheets.of_table(found, form), sheets.FORMS[form])
    columns = [column.to_pylist() for column in found.columns]
    return Selected(columns=found.column_names, rows=[list(row) for row in zip(*columns, strict=True)])


ROUTES = (
    Route(
        "POST",
        PROJECT.replace("/projects/", "/sql/"),
        select,
        "Rows that a read-only SQL statement selects from a project.",
        body=Statement,
        answer=Selected,
        also_as=SHEETS,
        blocking=True,
    ),
)
