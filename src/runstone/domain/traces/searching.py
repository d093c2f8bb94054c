"""Searches for traces: by what they were linked to where a filter says so, else by time, latest first.

Rows are looked at some at a time, in short reads, and no more of them than it takes to fill a page; an order other than the usual one takes all
that fit.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.domain.traces import finding, rows, spans
from runstone.domain.traces.finding import Found, Place
from runstone.domain.traces.grammar import PROMPTS, RUN, Clause, TraceOrder
from runstone.domain.traces.matching import Candidate, Filter, judged, value_of
from runstone.storage.index import View
from runstone.storage.tables import TRACE_MARKS, TRACE_NAMES, TRACE_TIMES, TRACES, Assessment

#: Rows of one read.
PIECE = 500
_END = 1 << 63


class Search:
    """A question: which projects' traces fit a filter. It is asked as the index is now."""

    def __init__(
        self, store: Store, ctx: Context, projects: Iterable[int], clauses: Sequence[Clause] = ()
    ) -> None:
        """``projects`` that the principal may not read, or that are not there, hold nothing."""
        self._store, self._ctx = store, ctx
        with store.index.read() as view:
            places = [finding.placed(store, view, ctx, number) for number in dict.fromkeys(projects)]
        self._places = {place.project.id: place for place in places if place}
        self._clauses = clauses
        self._filter = Filter(clauses)
        self._covered: dict[Clause, set[str]] = {}

    def page(self, orders: Sequence[TraceOrder], offset: int, limit: int) -> list[Found]:
        """The traces that fit, from one on: by ``orders``, then latest first, then by name."""
        if not orders:
            return list(itertools.islice(self.latest(), offset, offset + limit))
        found = list(self.latest())
        for each in reversed(orders):
            found.sort(key=_sort_key(each), reverse=each.descending)
            found.sort(key=lambda trace, each=each: value_of(trace, each.kind, each.key) is None)  # type: ignore[misc]
        return found[offset : offset + limit]

    def latest(self) -> Iterator[Found]:
        """The traces that fit, latest first, those of one moment by name."""
        for candidates in self._candidates():
            self._ctx.check_deadline()
            for found in candidates:
                if self._filter.fits(self._candidate(found)):
                    yield found

    def count(self) -> int:
        """How many fit."""
        return sum(1 for _ in self.latest())

    def _candidates(self) -> Iterator[list[Found]]:
        marked = self._marked()
        if marked is None:
            streams = [self._by_time(place) for place in self._places.values()]
            merged = heapq.merge(*streams, key=_place_in_time)
            while piece := list(itertools.islice(merged, PIECE)):
                yield piece
        else:
            yield sorted(marked, key=_place_in_time)

    def _marked(self) -> list[Found] | None:
        """The only traces that can fit, by what a clause says they are linked to; None when no clause says so."""
        for clause in self._clauses:
            names = _names_asked(clause)
            if names is not None:
                with self._store.index.read() as view:
                    return [found for name in names for found in self._named(view, name)]
        for clause in self._clauses:
            kind = _mark_asked(clause)
            if kind:
                return self._marked_by(kind, rows.digest(str(clause.value)))
        return None

    def _named(self, view: View, name: str) -> Iterator[Found]:
        if not finding.fits(name):
            return
        for (_, project), number in view.scan(TRACE_NAMES, name):
            row = view.get(TRACES, number)
            if row and project in self._places:
                yield finding.at(self._places[project], row)

    def _marked_by(self, *mark: Any) -> list[Found]:
        found = []
        for place in self._places.values():
            after: tuple[Any, ...] | None = None
            while True:
                with self._store.index.read() as view:
                    keys = [
                        key
                        for key, _ in itertools.islice(
                            view.scan(TRACE_MARKS, place.project.id, *mark, after=after), PIECE
                        )
                    ]
                    read = [view.get(TRACES, key[-1]) for key in keys]
                found += [finding.at(place, row) for row in read if row]
                if len(keys) < PIECE:
                    break
                after = keys[-1]
        return found

    def _by_time(self, place: Place) -> Iterator[Found]:
        """A project's traces, latest first; those of one moment by name."""
        low, high = _bounds(self._clauses)
        number = place.project.id
        after: tuple[int, ...] = (number, min(high + 1, _END), 0)
        held: list[Found] = []
        while True:
            with self._store.index.read() as view:
                scan = view.scan(TRACE_TIMES, number, after=after, reverse=True)
                keys = [key for key, _ in itertools.islice(scan, PIECE)]
                read = [view.get(TRACES, key[-1]) for key in keys]
            for row in read:
                if row is None:
                    continue
                if held and rows.at(held[0].trace.time) != rows.at(row.time):
                    yield from sorted(held, key=_place_in_time)
                    held = []
                if rows.at(row.time) < low:
                    return
                held.append(finding.at(place, row))
            if len(keys) < PIECE:
                yield from sorted(held, key=_place_in_time)
                return
            after = keys[-1]

    def _candidate(self, found: Found) -> Candidate:
        return Candidate(
            found, lambda: self._assessments(found), lambda: spans.read(self._store, found), self._sessions
        )

    def _assessments(self, found: Found) -> list[Assessment]:
        with self._store.index.read() as view:
            return finding.assessments(view, found)

    def _sessions(self, clause: Clause) -> Collection[str]:
        """The sessions that an assessment of one of their traces judges as a whole, as a clause asks."""
        if clause not in self._covered:
            self._covered[clause] = {
                found.trace.session
                for found in self._marked_by(rows.SESSION_JUDGED, bytes(16))
                if found.trace.session is not None
                and judged(clause, self._assessments(found), of_session=True)
            }
        return self._covered[clause]


def with_assessments(store: Store, found: Iterable[Found]) -> list[tuple[Found, list[Assessment]]]:
    """Traces with what they were judged as."""
    with store.index.read() as view:
        return [(each, finding.assessments(view, each)) for each in found]


def _place_in_time(found: Found) -> tuple[int, str]:
    return -found.trace.time, found.trace.name


def _sort_key(order: TraceOrder) -> Callable[[Found], Any]:
    def key(found: Found) -> Any:
        value = value_of(found, order.kind, order.key)
        return (0, 0) if value is None else (1, value)

    return key


def _names_asked(clause: Clause) -> tuple[str, ...] | None:
    if (clause.kind, clause.key) != ("attribute", "request_id"):
        return None
    if clause.operator == "=":
        return (str(clause.value),)
    return tuple(dict.fromkeys(clause.value)) if clause.operator == "IN" else None  # type: ignore[arg-type]


def _mark_asked(clause: Clause) -> int:
    """The kind of mark that all traces have which fit a clause; 0 for none."""
    if clause.operator != "=" or not isinstance(clause.value, str) or not clause.value:
        return 0
    return {
        ("metadata", RUN): rows.RUN,
        ("metadata", rows.SESSION_KEY): rows.SESSION,
        ("attribute", "client_request_id"): rows.REQUEST,
        ("tag", PROMPTS): rows.PROMPT,
    }.get((clause.kind, clause.key), 0)


def _bounds(clauses: Sequence[Clause]) -> tuple[int, int]:
    """The first and the last millisecond that a trace can have begun in."""
    low, high = 0, _END - 1
    for clause in clauses:
        if (clause.kind, clause.key) == ("attribute", "timestamp_ms") and isinstance(clause.value, int):
            value = max(0, min(clause.value, _END - 1))
            if clause.operator in (">", ">=", "="):
                low = max(low, value)
            if clause.operator in ("<", "<=", "="):
                high = min(high, value)
    return low, high
