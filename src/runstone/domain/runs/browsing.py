"""Runs of several projects looked at row by row: for questions about fields that a caller works out of each row.

:mod:`runstone.domain.runs.questions` asks the columns of one project, and is the one to use where the fields are the runs' own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from runstone.domain import fields
from runstone.domain.context import Context
from runstone.domain.queries import rows
from runstone.domain.runs import finding, questions, table
from runstone.domain.store import Store
from runstone.query import MAX_LIMIT, Condition, Order
from runstone.storage.tables import RUN_NAMES

Fields = dict[str, Any]


class RunHead(msgspec.Struct, frozen=True):
    """Where a run is and what decides what may be done with it: what is known without its config and statistics."""

    id: int
    namespace: str
    project: str
    #: The number of the project.
    within: int
    name: str
    job_type: str
    deleted: int

    @property
    def path(self) -> str:
        """``namespace/project/name``."""
        return f"{self.namespace}/{self.project}/{self.name}"


def head(store: Store, ctx: Context, name: str) -> RunHead:
    """The head of a run by name, also of a deleted one."""
    with store.index.read() as view:
        found = finding.find(store, view, ctx, name, deleted=True)
    run = found.run
    return RunHead(
        id=run.id,
        namespace=found.namespace.name,
        project=found.project.name,
        within=found.project.id,
        name=run.name,
        job_type=run.job_type,
        deleted=run.deleted,
    )


def search(
    store: Store,
    ctx: Context,
    projects: Iterable[str],
    condition: Condition,
    orders: Sequence[Order],
    *,
    shown: Callable[[str, Fields], Fields | None],
    among: Condition | None = None,
    offset: int = 0,
    limit: int = 1000,
) -> tuple[list[str], bool]:
    """The names of runs that are found, from the ``offset``-th on, and whether there are more.

    ``shown`` gets a project and a run's fields, and answers those that the question is about, or None to leave the run out. Fields that
    the principal may not read are taken away before. Only runs are looked at of which ``among`` is true, which the columns are asked first.
    """
    found: list[tuple[str, Fields]] = []
    for project in projects:
        for row in _rows(store, ctx, project, among):
            answered = shown(project, row)
            if answered is not None and rows.matches(condition, answered, row["id"]):
                found.append((f"{project}/{row['name']}", answered))
    found = rows.ordered(found, orders, lambda pair: pair[1])
    return [name for name, _ in found[offset : offset + limit]], len(found) > offset + limit


def by_number(store: Store, ctx: Context, number: int) -> str:
    """The full name of the run with a number; empty when there is none, or the principal may not read it."""
    with store.index.read() as view:
        found = finding.by_id(view, number)
        if found is None or not store.policy.allows(view, ctx, "read", found.namespace, found.project):
            return ""
        return str(found)


def _rows(store: Store, ctx: Context, project: str, among: Condition | None) -> list[Fields]:
    with store.index.read() as view:
        held = finding.project(store, view, ctx, project)
        hidden = fields.hidden_from(store, view, ctx, held)
        ids = [run_id for _, run_id in view.scan(RUN_NAMES, held.project.id)] if among is None else []
    if among is not None:
        ids = _among(store, ctx, project, among)
    found: list[Fields] = []
    for start in range(0, len(ids), 256):
        ctx.check_deadline()
        with store.index.read() as view:
            found += [
                _named(run_id, row)
                for run_id in ids[start : start + 256]
                if (row := table.row(store, view, run_id))
            ]
    if hidden:
        found = [
            {name: value for name, value in row.items() if not fields.covers(hidden, name)} for row in found
        ]
    return found


def _among(store: Store, ctx: Context, project: str, condition: Condition) -> list[int]:
    found: list[int] = []
    after = ""
    while True:
        page, after = questions.ids(
            store, ctx, project, filter=condition, limit=MAX_LIMIT, after=after, deleted=True
        )
        found += page
        if not after:
            return found


def _named(run_id: int, row: Fields) -> Fields:
    """A row with the names that :class:`runstone.types.RunInfo` has for the attributes."""
    named = row | {"id": run_id, "name": row["id"], "display_name": row["name"]}
    if "ended" in row:
        named["finished"] = row["ended"]
    return named
