"""The parts of a table: sealed segments, and rows in memory that have not been sealed yet, each with the rows that count."""

from __future__ import annotations

import bisect
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np

from runstone._native import columns as kernels
from runstone.storage.columns import bitmaps, encode
from runstone.storage.columns.bitmaps import Array, Bits
from runstone.storage.columns.lanes import Column
from runstone.storage.columns.segment import Ids, Segment

T = TypeVar("T")


class Part(Protocol):
    """Rows by ascending id, in columns."""

    @property
    def rows(self) -> int:
        """How many rows there are."""
        ...

    @property
    def ids(self) -> Ids:
        """Their ids."""
        ...

    def column(self, name: str) -> Column | None:
        """A field; None if no row has it."""
        ...

    def names(self, start: str = "", having: bytes = b"") -> Iterator[tuple[str, int]]:
        """Names of fields from ``start`` on, ascending, with how many rows have each; see :meth:`Segment.names`."""
        ...

    def having(self, field: str) -> int:
        """How many rows have a field, superseded ones included."""
        ...


class MemoryPart:
    """Rows in memory, each at the sequence number of its change; a row of None is one that is gone.

    Columns are made of the fields that somebody asks for. Rows are held as they were given, and are not to be changed.
    """

    def __init__(self, ids: Array, seqs: Array, held: Sequence[dict[str, Any] | None]) -> None:
        order = np.argsort(ids, kind="stable")
        self.ids: Ids = np.asarray(ids, np.int64)[order]
        self.seqs = np.asarray(seqs, np.int64)[order]
        self.held = [held[at] for at in order.tolist()]
        self.rows = len(self.held)
        self.live = bitmaps.pack(np.fromiter((row is not None for row in self.held), np.bool_, self.rows))
        self._columns: dict[str, Column | None] = {}
        self._counts: dict[str, int] | None = None
        self._sorted: list[str] = []
        self._lock = threading.Lock()

    def column(self, name: str) -> Column | None:
        """A field's column, made when it is first asked for."""
        with self._lock:
            if name not in self._columns:
                found = [
                    (at, row[name]) for at, row in enumerate(self.held) if row is not None and name in row
                ]
                data = encode.field_data([at for at, _ in found], [value for _, value in found])
                self._columns[name] = encode.column_of(data, self.rows)
            return self._columns[name]

    def names(self, start: str = "", having: bytes = b"") -> Iterator[tuple[str, int]]:
        """Names of fields with how many rows have each, superseded ones included."""
        counts, names = self._counted()
        return ((name, counts[name]) for name in names[_first(names, start) :])

    def having(self, field: str) -> int:
        """How many rows have a field, superseded ones included."""
        return self._counted()[0].get(field, 0)

    def _counted(self) -> tuple[dict[str, int], list[str]]:
        with self._lock:
            if self._counts is None:
                self._counts = count_fields(self.held)
                self._sorted = sorted(self._counts)
            return self._counts, self._sorted


def _first(names: Sequence[str], start: str) -> int:
    return bisect.bisect_left(names, start)


def count_fields(rows: Sequence[dict[str, Any] | None]) -> dict[str, int]:
    """How many of some rows have each field."""
    return Counter(itertools.chain.from_iterable(row for row in rows if row is not None))


class Remembered:
    """What was worked out of a view, the last of it: a view never changes, so it stays right. Safe for threads."""

    def __init__(self, most: int = 64) -> None:
        self._held: dict[Any, Any] = {}
        self._most = most
        self._lock = threading.Lock()

    def of(self, key: Any, make: Callable[[], T]) -> T:
        """What is remembered under a key, or is made now; not to be changed afterwards."""
        with self._lock:
            if key in self._held:
                found: T = self._held.pop(key)
                self._held[key] = found
                return found
        made = make()
        with self._lock:
            self._held[key] = made
            if len(self._held) > self._most:
                del self._held[next(iter(self._held))]
        return made


@dataclass(frozen=True)
class View:
    """A part and those of its rows that no other part supersedes."""

    part: Segment | MemoryPart
    live: Bits
    count: int
    remembered: Remembered = field(default_factory=Remembered, compare=False, repr=False)

    @classmethod
    def of(cls, part: Segment | MemoryPart, live: Bits) -> View:
        """The view of some rows of a part."""
        return cls(part, live, kernels.count(live))

    def places(self, ids: Array) -> Array:
        """The places of those of some ids that the part has, live or not."""
        held = self.part.ids
        if not len(held) or not len(ids):
            return np.empty(0, np.int64)
        found: Array = np.searchsorted(held, ids)
        found[found == len(held)] = 0
        same: Array = found[held[found] == ids]
        return same

    def without(self, ids: Array) -> View:
        """This view with some rows superseded; itself if it has none of them."""
        places = self.places(ids)
        if not len(places):
            return self
        gone = bitmaps.at(places, self.part.rows)
        # Whoever changes again and again was taken out before: what is remembered of the view stays good.
        return View.of(self.part, self.live & ~gone) if kernels.count(self.live & gone) else self
