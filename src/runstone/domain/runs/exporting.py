"""The rows of an answer about runs, all of them: what is written as a file for other programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from runstone.domain import fields as classes
from runstone.domain.context import Context
from runstone.domain.queries import attributes
from runstone.domain.runs import finding, questions, series, table
from runstone.domain.store import Store
from runstone.errors import Invalid

PAGE = 1000
#: Left out unless they are asked for: five figures of each key would make most of a file.
_STATISTICS = tuple(f":{name}" for name in attributes.STATISTICS)
Row = dict[str, Any]


def runs(
    store: Store,
    ctx: Context,
    project: str,
    *,
    filter: Any = "",
    order: Any = "",
    fields: Iterable[str] = (),
    limit: int = 0,
    deleted: bool = False,
) -> Iterator[Row]:
    """The fields of the runs that :func:`runstone.domain.runs.questions.ask` finds, at most ``limit`` runs (0: all); only ``fields``, if any.

    A run that changes meanwhile is told once, as it is when its page comes.
    """
    wanted = tuple(fields)
    asked = questions.check(filter, order)
    with store.index.read() as view:
        place = finding.project(store, view, ctx, project)
        hidden = classes.hidden_from(store, view, ctx, place)
    return _pages(store, ctx, project, asked, hidden, wanted, limit, deleted)


def _pages(
    store: Store,
    ctx: Context,
    project: str,
    asked: tuple[Any, Any],
    hidden: tuple[str, ...],
    wanted: tuple[str, ...],
    limit: int,
    deleted: bool,
) -> Iterator[Row]:
    after, told = "", 0
    while not limit or told < limit:
        ctx.check_deadline()
        size = min(limit - told, PAGE) if limit else PAGE
        ids, after = questions.ids(
            store, ctx, project, filter=asked[0], order=asked[1], limit=size, after=after, deleted=deleted
        )
        with store.index.read() as view:
            found = [table.row(store, view, run_id) for run_id in ids]
        for row in found:
            if row is not None:
                yield _shown(row, hidden, wanted)
        told += len(ids)
        if not after:
            return


def _shown(row: Row, hidden: tuple[str, ...], wanted: tuple[str, ...]) -> Row:
    if wanted:
        return {name: None if classes.covers(hidden, name) else row.get(name) for name in wanted}
    return {
        name: value
        for name, value in row.items()
        if not name.endswith(_STATISTICS) and not classes.covers(hidden, name)
    }


def points(store: Store, ctx: Context, name: str, key: str, **asked: Any) -> Iterator[Row]:
    """The points of a run's key, as :func:`runstone.domain.runs.series.read` takes ``asked``, all pages of them."""
    page = series.read(store, ctx, name, key, **asked)

    def told() -> Iterator[Row]:
        found = page
        while True:
            for step, time, value in zip(found.steps, found.times, found.values, strict=True):
                yield {"step": step, "time": time, "value": value}
            if not found.next:
                return
            ctx.check_deadline()
            found = series.read(store, ctx, name, key, **asked | {"after": found.next})

    return told()


def steps(store: Store, ctx: Context, name: str, keys: Iterable[str] = (), **asked: Any) -> Iterator[Row]:
    """What a run logged, as :func:`runstone.domain.runs.series.rows` takes ``asked``, all pages of it."""
    wanted = tuple(keys)
    if {"step", "time"} & set(wanted):
        raise Invalid("a key named step or time cannot be a column beside the run's own steps and times")
    page = series.rows(store, ctx, name, wanted, **asked)

    def told() -> Iterator[Row]:
        found = page
        while True:
            for step, time, values in found.rows:
                yield {**values, "step": step, "time": time}
            if not found.next:
                return
            ctx.check_deadline()
            found = series.rows(store, ctx, name, wanted, **asked | {"after": int(found.next)})

    return told()
