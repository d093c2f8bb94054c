"""Runs as rows of a table: the fields that are shown, from any place of an order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from runstone.domain import fields
from runstone.domain.context import Context
from runstone.domain.runs import ancestry, questions, table
from runstone.domain.runs.columns import tables
from runstone.domain.store import Store
from runstone.errors import Invalid
from runstone.query import MAX_LIMIT
from runstone.storage.tables import RUNS
from runstone.types import RunRow, RunRows

MAX_FIELDS = 1000
#: The longest text of a field that is shown in a row; the run has all of it.
MAX_TEXT = 2000


def rows(
    store: Store,
    ctx: Context,
    project: str,
    wanted: Iterable[str],
    *,
    filter: Any = "",
    order: Any = "",
    skip: int = 0,
    limit: int = 100,
    total: bool = False,
) -> RunRows:
    """The fields ``wanted`` of ``limit`` runs that fit a filter, from the one at place ``skip`` of an order on.

    A place is not stable while runs come and go: who reads everything takes :func:`questions.ask` and its cursors.
    """
    named = list(wanted)
    if len(named) > MAX_FIELDS:
        raise Invalid(f"{len(named)} fields are over the limit of {MAX_FIELDS}; ask for those that are shown")
    place, hidden = questions.place_of(store, ctx, project)
    visible = questions.visible(hidden)
    asked = questions.question(filter, order, min(limit, MAX_LIMIT), "", total, False)
    question = ancestry.resolved(store, ctx, asked)
    runs = tables(store).of(place.project.id)
    answer = runs.execute(replace(question, skip=skip), visible)
    found = []
    with store.index.read() as view:
        for run_id in answer.ids:
            run, row = view.get(RUNS, run_id), table.row(store, view, run_id)
            if run is not None and row is not None:
                readable = {name: value for name, value in row.items() if not fields.covers(hidden, name)}
                found.append(_shown(run.name, readable, named))
    return RunRows(fields=tuple(named), items=tuple(found), total=answer.total)


def _shown(name: str, row: dict[str, Any], wanted: list[str]) -> RunRow:
    return RunRow(
        run=name,
        name=row.get("name") or name,
        state=row["state"],
        started=row["started"],
        updated=row["updated"],
        notes=_cut(row.get("notes", "")),
        tags={field.removeprefix("tags."): text for field, text in row.items() if field.startswith("tags.")},
        values=tuple(_cut(row.get(field)) for field in wanted),
    )


def _cut(value: Any) -> Any:
    return value[:MAX_TEXT] + "…" if isinstance(value, str) and len(value) > MAX_TEXT else value
