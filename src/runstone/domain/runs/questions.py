"""Questions about the runs of a project: in whatever language, over the columnar copy of its runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from runstone import query as tree
from runstone.domain import fields
from runstone.domain.context import Context
from runstone.domain.queries import mongo, text
from runstone.domain.runs import ancestry, details, encoded, finding
from runstone.domain.runs.columns import tables
from runstone.domain.runs.details import Rendering
from runstone.domain.runs.encoded import EncodedPage
from runstone.domain.runs.finding import InProject
from runstone.domain.store import Store
from runstone.errors import Invalid
from runstone.query import Aggregate, And, Compare, Condition, Order, Query
from runstone.storage.index import View
from runstone.storage.tables import RUNS
from runstone.types import GroupInfo, GroupPage, RunInfo, RunPage

if TYPE_CHECKING:
    from runstone.storage.columns.engine import Answer

#: The most fields of a project that are looked through for a name.
MAX_FIELDS = 1_000_000
#: Runs that are written in one read of the index, which is to be short.
_AT_ONCE = 256
FUNCTIONS = ("count", "min", "max", "mean", "sum")
_NOT_DELETED = Compare("deleted", "=", False)


def ask(
    store: Store,
    ctx: Context,
    project: str,
    *,
    filter: Any = "",
    order: Any = "",
    limit: int = 100,
    after: str = "",
    total: bool = False,
    deleted: bool = False,
) -> RunPage:
    """Runs of a project that fit a filter, in an order: newest first where none is given.

    A filter is a text (``docs/queries.md``), a MongoDB-style document, or a condition of :mod:`runstone.query`; an order a text or some
    :class:`Order`. Deleted runs are asked for or left out. ``after`` is the ``next`` of the page before.
    """
    asked = question(filter, order, limit, after, total, deleted)
    _, _, answer = _answered(store, ctx, project, asked)
    with store.index.read() as view:
        found = [_shown(store, view, ctx, run_id) for run_id in answer.ids]
    return RunPage(
        items=tuple(run for run in found if run is not None), next=_next(answer, limit), total=answer.total
    )


def ask_encoded(
    store: Store,
    ctx: Context,
    project: str,
    packed: bool,
    *,
    filter: Any = "",
    order: Any = "",
    limit: int = 100,
    after: str = "",
    total: bool = False,
    deleted: bool = False,
) -> EncodedPage:
    """:func:`ask`, with each run encoded as JSON or, if ``packed``, as MessagePack."""
    asked = question(filter, order, limit, after, total, deleted)
    place, hidden, answer = _answered(store, ctx, project, asked)
    held = encoded.of(store)
    with store.index.read() as view:
        found = [held.of(view, ctx, place, hidden, run_id, packed) for run_id in answer.ids]
    return EncodedPage(
        items=tuple(run for run in found if run is not None), next=_next(answer, limit), total=answer.total
    )


def names(
    store: Store,
    ctx: Context,
    project: str,
    *,
    filter: Any = "",
    order: Any = "",
    limit: int = 1000,
    deleted: bool = False,
) -> list[str]:
    """The full names of the runs that :func:`ask` finds."""
    asked = question(filter, order, limit, "", False, deleted)
    place, _, answer = _answered(store, ctx, project, asked)
    prefix = f"{place.namespace.name}/{place.project.name}"
    with store.index.read() as view:
        found = [view.get(RUNS, run_id) for run_id in answer.ids]
    return [f"{prefix}/{run.name}" for run in found if run is not None]


def across(
    store: Store,
    ctx: Context,
    projects: Mapping[str, Rendering],
    kind: str,
    *,
    filter: Any = "",
    order: Any = "",
    limit: int = 100,
    after: str = "",
    deleted: bool = False,
) -> EncodedPage:
    """:func:`ask` about the runs of several projects together, in one order, each written as its project's runs are; the last page has no
    ``next``, be it full. ``kind`` names the writing.
    """
    from runstone.storage.columns.table import answer as answered

    asked = ancestry.resolved(store, ctx, question(filter, order, limit + 1, after, False, deleted))
    places = [
        details.Place(*place_of(store, ctx, project), rendering) for project, rendering in projects.items()
    ]
    parts = [(tables(store).of(place.within.project.id), visible(place.hidden)) for place in places]
    answer = answered(asked, parts)
    numbered, held = {place.within.project.id: place for place in places}, details.written(store)
    wanted, found = answer.ids[:limit], list[msgspec.Raw | None]()
    for start in range(0, len(wanted), _AT_ONCE):
        ctx.check_deadline()
        with store.index.read() as view:
            found += [held.of(view, numbered, kind, run_id) for run_id in wanted[start : start + _AT_ONCE]]
    following = answer.place(limit - 1) if len(answer.ids) > limit else ""
    return EncodedPage(items=tuple(run for run in found if run is not None), next=following)


def check(filter: Any, order: Any) -> tuple[Condition, tuple[Order, ...]]:
    """A filter and an order in any language as the tree; raises :class:`Invalid` before anything is answered."""
    return condition_of(filter), orders_of(order)


def ids(
    store: Store,
    ctx: Context,
    project: str,
    *,
    filter: Any = "",
    order: Any = "",
    limit: int = 1000,
    after: str = "",
    deleted: bool = False,
) -> tuple[list[int], str]:
    """The numbers of the runs that :func:`ask` finds, and the place of the page behind them."""
    asked = question(filter, order, limit, after, False, deleted)
    _, _, answer = _answered(store, ctx, project, asked)
    return answer.ids, _next(answer, limit)


def question(filter: Any, order: Any, limit: int, after: str, total: bool, deleted: bool) -> Query:
    """A question in any of the languages as the tree; deleted runs are left out unless they are asked for."""
    return Query(
        filter=_restricted(condition_of(filter), deleted),
        order=orders_of(order),
        limit=_limited(limit),
        after=after,
        total=total,
    )


def _answered(
    store: Store, ctx: Context, project: str, asked: Query
) -> tuple[InProject, tuple[str, ...], Answer]:
    """The project that was asked about, the fields of it that the reader may not see, and the answer."""
    resolved = ancestry.resolved(store, ctx, asked)
    place, hidden = place_of(store, ctx, project)
    return place, hidden, tables(store).of(place.project.id).execute(resolved, visible(hidden))


def _next(answer: Answer, limit: int) -> str:
    return answer.place(len(answer.ids) - 1) if answer.ids and len(answer.ids) == limit else ""


def group(
    store: Store,
    ctx: Context,
    project: str,
    by: Iterable[str],
    aggregates: Iterable[str] = ("count()",),
    *,
    filter: Any = "",
    order: Any = "",
    limit: int = 1000,
    deleted: bool = False,
) -> GroupPage:
    """Runs grouped by fields, with figures of each group: ``count()``, ``mean(summary.loss)``, ``min``, ``max``, ``sum``."""
    asked = Query(
        filter=_restricted(condition_of(filter), deleted),
        order=orders_of(order, known=None),
        group=tuple(by),
        aggregates=tuple(aggregate_of(written) for written in aggregates),
        limit=_limited(limit),
    )
    _, _, answer = _answered(store, ctx, project, asked)
    return GroupPage(
        by=asked.group,
        figures=tuple(aggregate.name for aggregate in asked.aggregates),
        items=tuple(
            GroupInfo(key=_plain(group.key), figures=tuple(group.figures)) for group in answer.groups
        ),
    )


def condition_of(filter: Any) -> Condition:
    """A condition in any of the languages as the tree."""
    if isinstance(filter, tree.Node):
        return filter  # type: ignore[return-value]
    if isinstance(filter, dict):
        return mongo.condition(filter)
    if isinstance(filter, str):
        return text.condition(filter, None) if filter.strip() else And(())
    raise Invalid(f"a filter is text or a document, not {type(filter).__name__}")


def orders_of(order: Any, known: Any = None) -> tuple[Order, ...]:
    """An order in any of the languages."""
    if isinstance(order, str):
        return text.orders(order, known) if order.strip() else ()
    return tuple(order)


def aggregate_of(written: str) -> Aggregate:
    """``mean(summary.loss)`` as an aggregate."""
    function, bracket, field = written.removesuffix(")").partition("(")
    if function not in FUNCTIONS or not bracket or not written.endswith(")"):
        raise Invalid(f"{written!r:.200} is not a figure: write count(), or min, max, mean or sum of a field")
    return Aggregate(function, field)  # type: ignore[arg-type]


def _limited(limit: int) -> int:
    if not 1 <= limit <= tree.MAX_LIMIT:
        raise Invalid(f"limit must be 1 to {tree.MAX_LIMIT}, not {limit}")
    return limit


def _restricted(condition: Condition, deleted: bool) -> Condition:
    return condition if deleted else And((condition, _NOT_DELETED))


def place_of(store: Store, ctx: Context, project: str) -> tuple[InProject, tuple[str, ...]]:
    """The project of a name, and the fields that its reader may not see."""
    with store.index.read() as view:
        place = finding.project(store, view, ctx, project)
        return place, fields.hidden_from(store, view, ctx, place)


def visible(hidden: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether a field may be seen, by its name."""
    return (lambda name: not fields.covers(hidden, name)) if hidden else (lambda name: True)


def _shown(store: Store, view: View, ctx: Context, run_id: int) -> RunInfo | None:
    found = finding.by_id(view, run_id)
    return finding.info(store, view, ctx, found) if found else None


def _plain(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(None if value == () else value for value in key)
