"""Questions about the runs of a project."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from runstone.dialects.native.projects import PROJECT
from runstone.dialects.native.rowfiles import SHEETS, as_sheet, sheet
from runstone.dialects.native.wire import (
    Limit,
    Listing,
    Page,
    Request,
    page,
    project_name,
)
from runstone.dialects.routing import LINES, Call, Route, Stream
from runstone.domain.runs import exporting, importance, questions
from runstone.domain.runs.encoded import EncodedPage
from runstone.types import FieldInfo, GroupPage, Importances, RunPage

RUN_QUERIES = PROJECT.replace("/projects/", "/run-queries/")
Filter = str | dict[str, Any]


class RunQuestion(Request):
    """Which runs: a filter as text (``summary.loss < 0.1``) or as a MongoDB-style document, and an order (``summary.loss, created desc``)."""

    filter: Filter = ""
    order: str = ""
    limit: Limit = 100
    after: str = ""
    total: bool = False
    deleted: bool = False


class Export(Request):
    """Which runs, all of them or ``limit``, and which of their fields: all but the statistics of keys, or those that are named."""

    filter: Filter = ""
    order: str = ""
    fields: tuple[str, ...] = ()
    limit: Annotated[int, Meta(ge=0)] = 0
    deleted: bool = False


class GroupQuestion(Request):
    """How runs are grouped, and what is asked of each group: ``count()``, ``mean(summary.loss)``, ``min``, ``max``, ``sum``."""

    by: tuple[str, ...]
    figures: tuple[str, ...] = ("count()",)
    filter: Filter = ""
    order: str = ""
    limit: Annotated[int, Meta(ge=1, le=100_000)] = 1000


class ImportanceQuestion(Request):
    """Which runs, and the metric that fields of their config are held against (``summary.loss``, ``summary.acc:max``)."""

    target: str
    filter: Filter = ""
    limit: Annotated[int, Meta(ge=1, le=importance.MAX_RUNS)] = importance.MAX_RUNS


class FieldPage(Page):
    """Which part of a listing of fields, those that begin with ``prefix``."""

    prefix: str = ""


def ask(call: Call) -> EncodedPage:
    """Answers ``POST /run-queries/{ns}/{project}/query``."""
    asked: RunQuestion = call.body
    return questions.ask_encoded(
        call.store,
        call.ctx,
        project_name(call),
        call.packed,
        filter=asked.filter,
        order=asked.order,
        limit=asked.limit,
        after=asked.after,
        total=asked.total,
        deleted=asked.deleted,
    )


def export(call: Call) -> Stream:
    """Answers ``POST /run-queries/{ns}/{project}/export``."""
    asked: Export = call.body
    rows = exporting.runs(
        call.store,
        call.ctx,
        project_name(call),
        filter=asked.filter,
        order=asked.order,
        fields=asked.fields,
        limit=asked.limit,
        deleted=asked.deleted,
    )
    return as_sheet(sheet(call) or "jsonl", rows, asked.fields)


def group(call: Call) -> GroupPage | Stream:
    """Answers ``POST /run-queries/{ns}/{project}/group``."""
    asked: GroupQuestion = call.body
    found = questions.group(
        call.store,
        call.ctx,
        project_name(call),
        asked.by,
        asked.figures,
        filter=asked.filter,
        order=asked.order,
        limit=asked.limit,
    )
    if form := sheet(call):
        names = (*found.by, *found.figures)
        rows = (dict(zip(names, (*each.key, *each.figures), strict=True)) for each in found.items)
        return as_sheet(form, rows, names)
    return found


def importances(call: Call) -> Importances:
    """Answers ``POST /run-queries/{ns}/{project}/importance``."""
    asked: ImportanceQuestion = call.body
    return importance.importance(
        call.store, call.ctx, project_name(call), asked.target, filter=asked.filter, limit=asked.limit
    )


def field_names(call: Call) -> Listing[FieldInfo]:
    """Answers ``GET /run-queries/{ns}/{project}/fields``."""
    asked: FieldPage = call.query
    found = questions.field_names(
        call.store,
        call.ctx,
        project_name(call),
        prefix=asked.prefix,
        after=asked.after,
        limit=asked.limit + 1,
    )
    return page(found, asked.limit, lambda each: each.field)


ROUTES = (
    Route(
        "POST",
        RUN_QUERIES + "/query",
        ask,
        "Runs that fit a filter, in an order.",
        body=RunQuestion,
        answer=RunPage,
        blocking=True,
        remembered=True,
    ),
    Route(
        "POST",
        RUN_QUERIES + "/export",
        export,
        "Runs that fit a filter, all of them, as JSON Lines, CSV, Parquet or Arrow.",
        body=Export,
        media_type=LINES,
        also_as=SHEETS,
        blocking=True,
    ),
    Route(
        "POST",
        RUN_QUERIES + "/group",
        group,
        "Runs grouped by fields, with figures of each group.",
        body=GroupQuestion,
        answer=GroupPage,
        also_as=SHEETS,
        blocking=True,
        remembered=True,
    ),
    Route(
        "POST",
        RUN_QUERIES + "/importance",
        importances,
        "How fields of the config go with a metric.",
        body=ImportanceQuestion,
        answer=Importances,
        blocking=True,
        remembered=True,
    ),
    Route(
        "GET",
        RUN_QUERIES + "/fields",
        field_names,
        "The fields that runs have, and how many have each.",
        query=FieldPage,
        answer=Listing[FieldInfo],
        blocking=True,
        remembered=True,
    ),
)
