"""Names of fields over the parts of a table: looked through in pieces of bounded work, and those that most rows have."""

from __future__ import annotations

import bisect
import functools
import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter
from typing import NamedTuple

from runstone.storage.columns.parts import View
from runstone.storage.columns.segment import Segment

#: Names and pages of names that are looked at before a piece ends, be it found little or nothing.
MOST_LOOKED = 20_000
#: Fields of a part, beyond which their names are not remembered.
MAX_NAMES = 4096
#: How many of a part's fields are known as those that most of its rows have.
FREQUENT = 1000
#: So many more of them are counted exactly than are asked for.
SPARE = 32

#: A name, how many rows of a part have it, superseded ones included, and the part; no part where the number is that of live rows.
_Held = tuple[str, int, View | None]


class Piece(NamedTuple):
    """Names with how many live rows have each, and the name behind which the next piece begins; empty when there is none."""

    found: list[tuple[str, int]]
    next: str


def look(
    views: Sequence[View],
    prefix: str,
    after: str,
    limit: int,
    matches: Callable[[str], bool],
    having: bytes = b"",
    most: int = MOST_LOOKED,
) -> Piece:
    """Names that begin with ``prefix`` and match, ascending, from just past ``after``.

    What is known to be in each of them, as lower-case bytes, is ``having``: pages of names without it are passed over. A piece ends with
    ``limit`` names, or when ``most`` names and pages were looked at.
    """
    start = max(prefix, after)
    merged = heapq.merge(*(_names_of(view, start, having) for view in views if view.count), key=itemgetter(0))
    found: list[tuple[str, int]] = []
    looked, last = 0, after
    for name, held in groupby(merged, key=itemgetter(0)):
        if not name.startswith(prefix):
            if name > prefix:
                break
            continue  # of a page that was passed over
        if after and name <= after:
            continue
        parts = list(held)
        looked += 1 + sum(max(-rows, 0) for _, rows, _ in parts)
        if len(found) >= limit or looked > most:
            return Piece(found, last)
        last = name
        if matches(name) and (rows := sum(_live_rows(*each) for each in parts)):
            found.append((name, rows))
    return Piece(found, "")


def frequent(
    views: Sequence[View], prefix: str, matches: Callable[[str], bool], limit: int
) -> list[tuple[str, int]]:
    """The names with a prefix that most rows have, with how many live rows have each; equals by name.

    Those are looked for among the 1,000 that are foremost in each part, and among these by all rows, superseded ones included.
    """
    seen = [view for view in views if view.count]
    counts = [
        view.remembered.of(("frequent", prefix), functools.partial(_frequent, view, prefix)) for view in seen
    ]
    among = {name for held in counts for name, _ in held if matches(name)}
    gross = {name: sum(view.part.having(name) for view in seen) for name in among}
    first = sorted(among, key=lambda name: (-gross[name], name))[: limit + SPARE]
    live = [(name, sum(_live_rows(name, view.part.having(name), view) for view in seen)) for name in first]
    return sorted(((name, rows) for name, rows in live if rows), key=lambda each: (-each[1], each[0]))[:limit]


def _frequent(view: View, prefix: str) -> list[tuple[str, int]]:
    if isinstance(view.part, Segment):
        return view.part.frequent(prefix, FREQUENT)
    named = ((name, rows) for name, rows in view.part.names(prefix) if name.startswith(prefix))
    return heapq.nsmallest(FREQUENT, named, key=lambda each: (-each[1], each[0]))


def _names_of(view: View, start: str, having: bytes) -> Iterator[_Held]:
    """The names of a view's fields from one on; those of a view with few are remembered."""
    live = view.remembered.of("fields", lambda: _few_names(view))
    if live is None:
        return ((name, rows, view) for name, rows in view.part.names(start, having))
    return ((name, rows, None) for name, rows in live[bisect.bisect_left(live, (start, 0)) :])


def _few_names(view: View) -> list[tuple[str, int]] | None:
    names = list(islice(view.part.names(), MAX_NAMES + 1))
    return [(name, _live_rows(name, rows, view)) for name, rows in names] if len(names) <= MAX_NAMES else None


def _live_rows(name: str, rows: int, view: View | None) -> int:
    if rows <= 0:
        return 0  # a page that was passed over
    if view is None or view.count == view.part.rows:
        return rows
    column = view.part.column(name)
    return column.live(view.live) if column is not None else 0
