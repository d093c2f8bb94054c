"""Previews of files: a part of a table, the tensors of a file, a stretch of text."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from runstone.dialects.native.runs import RUN, run_name
from runstone.dialects.native.versions import VERSION
from runstone.dialects.native.wire import Limit, Request, version_name
from runstone.dialects.routing import Call, Route
from runstone.domain import content, previews
from runstone.domain.content import StoredFile
from runstone.domain.runs import files
from runstone.types import FilePreview


class Part(Request):
    """Which part of a file: ``limit`` rows behind ``after``, the columns from number ``column`` on."""

    after: str = ""
    limit: Limit = 100
    column: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


def of_version(call: Call) -> FilePreview:
    """Answers ``GET …/versions/{version}/preview/{path}``."""
    return _preview(call, content.open_file(call.store, call.ctx, version_name(call), call.path["path"]))


def of_run(call: Call) -> FilePreview:
    """Answers ``GET /runs/…/preview/{path}``."""
    return _preview(call, files.open_file(call.store, call.ctx, run_name(call), call.path["path"]))


def _preview(call: Call, opened: StoredFile) -> FilePreview:
    asked: Part = call.query
    with opened as file:
        return previews.preview(file, after=asked.after, limit=asked.limit, column=asked.column)


ROUTES = (
    Route(
        "GET",
        VERSION + "/preview/{path...}",
        of_version,
        "A part of a file, as people look at it.",
        query=Part,
        answer=FilePreview,
        blocking=True,
    ),
    Route(
        "GET",
        RUN + "/preview/{path...}",
        of_run,
        "A part of a run's file, as people look at it.",
        query=Part,
        answer=FilePreview,
        blocking=True,
    ),
)
