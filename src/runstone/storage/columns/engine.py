"""Answers a query over the parts of a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np

from runstone._native import columns as kernels
from runstone.errors import Invalid, TooLarge
from runstone.query import MAX_LIMIT, Order, Query, fields_of
from runstone.storage.columns import bitmaps, cursors, filtering, grouping, ordering
from runstone.storage.columns.bitmaps import Bits, Positions
from runstone.storage.columns.grouping import Group
from runstone.storage.columns.lanes import Column
from runstone.storage.columns.ordering import PartOrder, Ranked
from runstone.storage.columns.parts import View

#: Fields that an order or a grouping may have.
MAX_FIELDS = 16
#: Bytes of a question, and rows of a page, beyond which an answer is not remembered.
MAX_REMEMBERED = 4096
#: A page behind so many rows is looked for by its place, and not by going through them in order.
FAR = 4096

T = TypeVar("T")
Visible = Callable[[str], bool]
_pack = msgspec.msgpack.Encoder().encode


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
    if query.skip < 0:
        raise Invalid(f"{query.skip} rows cannot be passed over")
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
    key = _key(query)
    totals: dict[grouping.Key, grouping.Total] = {}
    works = []
    total = 0
    for view, visible in asked:
        if not view.count:
            continue
        work = _Work(query, view, visible, after, key)
        if grouped:
            grouping.add(totals, work.groups())
            continue
        if query.total:
            total += work.total()
        if query.limit:
            works.append(work)
    if grouped:
        count = len(totals) if query.total else None
        return Answer(query.order, groups=grouping.finish(totals, query), total=count)
    far = query.skip > FAR and after is None
    found, passed = _far(works, query) if far else ([(work.view, *work.first()) for work in works], 0)
    ranked = ordering.merge(found, query.order, query.skip - passed, query.limit)
    return Answer(query.order, ranked, total=total if query.total else None)


def _far(works: list[_Work], query: Query) -> tuple[list[tuple[View, PartOrder, Positions]], int]:
    """The rows that may be at a far place, as the first field of the order alone says, and how many come before all of them."""
    ordered = [(work.view, work.order(), work.places()) for work in works]
    if any(order.pools and order.pools[0] is not None for _, order, _ in ordered):
        return ordered, 0  # keys of texts are of one part each
    keys = [ordering.leading(view, order, places) for view, order, places in ordered]
    every = np.concatenate(keys) if keys else np.empty(0, np.uint64)
    if query.skip >= len(every):
        return [], query.skip
    ends = [query.skip, min(query.skip + query.limit, len(every)) - 1]
    least, most = np.partition(every, ends)[ends]
    near = [places[(key >= least) & (key <= most)] for key, (_, _, places) in zip(keys, ordered, strict=True)]
    return [(view, order, kept) for kept, (view, order, _) in zip(near, ordered, strict=True)], int(
        np.count_nonzero(every < least)
    )


def _key(query: Query) -> bytes:
    """Bytes that differ for different questions (equality does not: 1 and true are equal); empty for one that is not remembered."""
    try:
        packed = _pack(query)
    except (UnicodeEncodeError, OverflowError):
        return b""
    return packed if len(packed) <= MAX_REMEMBERED and query.skip + query.limit <= MAX_REMEMBERED else b""


class _Work:
    """A question over one view. What was worked out of it is remembered, for the same is asked again and again while little changes."""

    def __init__(
        self, query: Query, view: View, visible: Visible, after: tuple[list[Any], int] | None, key: bytes
    ) -> None:
        self._query, self.view, self._visible, self._after = query, view, visible, after
        named = fields_of(query.filter) | {each.field for each in query.order} | set(query.group)
        named |= {each.field for each in query.aggregates}
        self._key = (key, tuple(sorted(name for name in named if not visible(name)))) if key else None

    def _remembered(self, what: str, make: Callable[[], T]) -> T:
        return self.view.remembered.of((what, self._key), make) if self._key else make()

    def _column(self, name: str) -> Column | None:
        return self.view.part.column(name) if self._visible(name) else None

    def _mask(self) -> Bits:
        return filtering.find(self._query.filter, self.view, self._column)

    def groups(self) -> dict[grouping.Key, grouping.Total]:
        """The groups of the view."""
        return self._remembered(
            "groups", lambda: grouping.gather(self.view, self._mask(), self._query, self._column)
        )

    def total(self) -> int:
        """How many rows fulfil the condition."""
        return self._remembered("total", lambda: kernels.count(self._mask()))

    def first(self) -> tuple[PartOrder, Positions]:
        """The order of the view's rows, and the places of the first."""
        return self._remembered("first", self._first)

    def order(self) -> PartOrder:
        """The order of the view's rows."""
        return ordering.order_of(self.view, self._query.order, self._column)

    def places(self) -> Positions:
        """The places of all rows that fulfil the condition."""
        return bitmaps.positions(self._mask())

    def _first(self) -> tuple[PartOrder, Positions]:
        order = self.order()
        after = self._after
        bound = int(self.view.part.ids.searchsorted(after[1])) if after else 0
        return order, order.top(
            self._mask(), after[0] if after else None, bound, self._query.skip + self._query.limit
        )
