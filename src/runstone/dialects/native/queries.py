"""Questions about the runs of a project."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from runstone.dialects.native.projects import PROJECT
from runstone.dialects.native.wire import Limit, Listing, Page, Request, page, project_name
from runstone.dialects.routing import Call, Route
from runstone.domain.runs import questions
from runstone.domain.runs.encoded import EncodedPage
from runstone.types import FieldInfo, GroupPage, RunPage

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


class GroupQuestion(Request):
    """How runs are grouped, and what is asked of each group: ``count()``, ``mean(summary.loss)``, ``min``, ``max``, ``sum``."""

    by: tuple[str, ...]
    figures: tuple[str, ...] = ("count()",)
    filter: Filter = ""
    order: str = ""
    limit: Annotated[int, Meta(ge=1, le=100_000)] = 1000


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


def group(call: Call) -> GroupPage:
    """Answers ``POST /run-queries/{ns}/{project}/group``."""
    asked: GroupQuestion = call.body
    return questions.group(
        call.store,
        call.ctx,
        project_name(call),
        asked.by,
        asked.figures,
        filter=asked.filter,
        order=asked.order,
        limit=asked.limit,
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
    ),
    Route(
        "POST",
        RUN_QUERIES + "/group",
        group,
        "Runs grouped by fields, with figures of each group.",
        body=GroupQuestion,
        answer=GroupPage,
        blocking=True,
    ),
    Route(
        "GET",
        RUN_QUERIES + "/fields",
        field_names,
        "The fields that runs have, and how many have each.",
        query=FieldPage,
        answer=Listing[FieldInfo],
        blocking=True,
    ),
)
