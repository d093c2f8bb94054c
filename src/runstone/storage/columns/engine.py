"""Answers a query over the parts of a table."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from runstone._native import columns as kernels
from runstone.errors import Invalid, TooLarge
from runstone.query import MAX_LIMIT, Order, Query
from runstone.storage.columns import cursors, filtering, grouping, ordering
from runstone.storage.columns.grouping import Group
from runstone.storage.columns.lanes import Column
from runstone.storage.columns.ordering import Ranked
from runstone.storage.columns.parts import View

#: Fields that an order or a grouping may have.
MAX_FIELDS = 16

Visible = Callable[[str], bool]


class Answer:
    """What a query found: rows or groups in order, and how many there are in all, if that was asked."""

    def __init__(
        self,
        order: tuple[Order, ...],
        ranked: Ranked | None = None,
        groups: Sequence[Group] = (),
        total: int | None = None,
    ) -> None:
        self._order, self._ranked = order, ranked
        self.ids: list[int] = ranked.ids.tolist() if ranked is not None else []
        self.groups = list(groups)
        self.total = total

    def place(self, index: int) -> str:
        """The cursor of a row or a group: what :attr:`runstone.query.Query.after` takes to go on behind it."""
        if self._ranked is None:
            return self.groups[index].place
        return cursors.encode(self._order, self._ranked.values(index), self.ids[index])


def check(query: Query) -> None:
    """Raises :class:`Invalid` when a query can never be answered."""
    if not 0 <= query.limit <= MAX_LIMIT:
        raise TooLarge(f"a page has at most {MAX_LIMIT} rows, not {query.limit}")
    for what, count in (
        ("order", len(query.order)),
        ("group", len(query.group)),
        ("aggregates", len(query.aggregates)),
    ):
        if count > MAX_FIELDS:
            raise TooLarge(f"{what} takes at most {MAX_FIELDS} fields, not {count}")
    if len(set(query.group)) != len(query.group):
        raise Invalid("a field is grouped by twice; name it once")
    filtering.check(query.filter)


def answer(query: Query, asked: Sequence[tuple[View, Visible]]) -> Answer:
    """The answer to a query over some views, no row of which is in two of them, each with what may be seen of it."""
    check(query)
    grouped = bool(query.group or query.aggregates)
    if grouped:
        grouping.check(query)
    after = (
        cursors.decode(query.after, query.order, len(query.order)) if query.after and not grouped else None
    )
    total = 0
    totals: dict[grouping.Key, grouping.Total] = {}
    found = []
    for view, visible in asked:
        if not view.count:
            continue
        column = _visible_columns(view, visible)
        mask = filtering.find(query.filter, view, column)
        if grouped:
            grouping.gather(view, mask, query, column, totals)
            continue
        if query.total:
            total += kernels.count(mask)
        if query.limit:
            part = ordering.order_of(view, query.order, column)
            bound = int(view.part.ids.searchsorted(after[1])) if after else 0
            found.append((view, part, part.top(mask, after[0] if after else None, bound, query.limit)))
    if grouped:
        count = len(totals) if query.total else None
        return Answer(query.order, groups=grouping.finish(totals, query), total=count)
    ranked = ordering.merge(found, query.order, query.limit)
    return Answer(query.order, ranked, total=total if query.total else None)


def _visible_columns(view: View, visible: Visible) -> Callable[[str], Column | None]:
    def column(field: str) -> Column | None:
        return view.part.column(field) if visible(field) else None

    return column


def fields(
    views: Sequence[View], prefix: str, after: str, limit: int, visible: Visible
) -> list[tuple[str, int]]:
    """Names of visible fields with a prefix that come behind ``after``, ascending, with how many live rows have each."""
    start = max(prefix, after)
    names = heapq.merge(*(_named(view, start) for view in views if view.count), key=lambda each: each[0])
    found: list[tuple[str, int]] = []
    for name, held in groupby(names, key=lambda each: each[0]):
        if len(found) >= limit or not name.startswith(prefix):
            break
        if (after and name <= after) or not visible(name):
            continue
        count = sum(_live_rows(view, name, rows) for _, view, rows in held)
        if count:
            found.append((name, count))
    return found


def _named(view: View, start: str) -> Iterator[tuple[str, View, int]]:
    return ((name, view, rows) for name, rows in view.part.names(start))


def _live_rows(view: View, name: str, rows: int) -> int:
    if view.count == view.part.rows:
        return rows
    column = view.part.column(name)
    return column.live(view.live) if column is not None else 0
