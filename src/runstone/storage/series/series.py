"""The series of one store: exact points, rows, pictures, and the compaction that keeps them fast."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import TypeVar

from runstone.errors import Invalid
from runstone.storage.index import Index, MapGrown, View
from runstone.storage.series import directory, picture, reading
from runstone.storage.series.checking import Checked, check_stream
from runstone.storage.series.compaction import compact_step
from runstone.storage.series.pending import Pending, reopen
from runstone.storage.series.picture import Picture
from runstone.storage.series.points import Points, Position
from runstone.storage.series.reading import Range, Row, Span
from runstone.storage.series.tail import BatchOf, KeyIds, Tail, batch_field, compacted, read_tail
from runstone.storage.tables import SERIES_COMPACTED

T = TypeVar("T")

#: Points of a page unless asked otherwise: about 30 ms of decoding.
PAGE = 1_000_000
MAX_BUCKETS = 1 << 16
#: Groups that one step of dropping a stream deletes: at most 2,048 blocks.
_DROPPED = 64


class Series:
    """Reads and compacts the series of an index; safe from threads, and from several processes at once.

    A *span* is ``(stream, step)``: the points of a stream before that step, or all with None. A run's history is a list of spans.
    ``key_ids`` gives the ids of key names, which a store's dictionary must have for all it logged; ``batch_of`` the points batch
    in the payload of a log entry, as bytes.
    """

    def __init__(self, index: Index, key_ids: KeyIds, batch_of: BatchOf = batch_field) -> None:
        self._index = index
        self._key_ids = key_ids
        self._batch_of = batch_of
        self._pending = Pending()
        self._pending_lock = threading.Lock()

    def points(
        self,
        spans: Sequence[Span],
        key: int,
        *,
        low: int | None = None,
        high: int | None = None,
        by_time: bool = False,
        after: Position | None = None,
        limit: int = PAGE,
    ) -> Points:
        """The points of a history with ``low <= step < high`` (or time in microseconds), by step, time and value.

        At least ``limit`` of them if there are, up to the end of a position: ``after=page.last()`` goes on behind a page, and an
        empty page is the end. Identical points of one stream are one.
        """
        asked = Range(low, high, by_time, after)
        return self.columns(spans, [key], asked, limit=limit)[key]

    def columns(
        self, spans: Sequence[Span], keys: Sequence[int], asked: Range | None = None, *, limit: int = PAGE
    ) -> dict[int, Points]:
        """What :meth:`points` answers for several keys, as of one moment; ``limit`` is for each."""
        _at_least_one(limit, "limit")
        with self._index.read() as view:
            tails = self._tails(view, spans, keys)
            asked = Range() if asked is None else asked
            return {key: reading.read_points(view, spans, key, tails, asked, limit) for key in keys}

    def rows(
        self,
        spans: Sequence[Span],
        keys: Sequence[int] | None = None,
        *,
        low: int | None = None,
        high: int | None = None,
        after: int | None = None,
        limit: int = 10_000,
    ) -> list[Row]:
        """Rows ``(step, time, {key: value})`` with ``low <= step < high`` by step, of some keys or of all that have points.

        Steps after ``after``, the first ``limit`` of them. A key that has several points at a step has the last one's value, and
        the row the greatest time of its values.
        """
        _at_least_one(limit, "limit")
        low = after + 1 if after is not None and (low is None or low <= after) else low
        with self._index.read() as view:
            tails = self._tails(view, spans, keys)
            chosen = self._keys(view, spans, tails) if keys is None else list(keys)
            return reading.read_rows(view, spans, chosen, tails, Range(low, high), limit)

    def downsample(
        self,
        spans: Sequence[Span],
        key: int,
        *,
        low: int | None = None,
        high: int | None = None,
        by_time: bool = False,
        buckets: int = 1000,
    ) -> Picture:
        """The numbers of a history with ``low <= step < high`` (or time) in at most ``buckets`` buckets; see :mod:`picture`."""
        if not 1 <= buckets <= MAX_BUCKETS:
            raise Invalid(f"a picture has 1 to {MAX_BUCKETS} buckets, not {buckets}")
        with self._index.read() as view:
            tails = self._tails(view, spans, [key])
            return picture.draw(view, spans, key, tails, by_time, low, high, buckets)

    def keys(self, spans: Sequence[Span]) -> list[int]:
        """The keys that a history's streams have points of, also after the step at which a span ends."""
        with self._index.read() as view:
            return self._keys(view, spans, self._tails(view, spans, None))

    def compact(self, budget: int = 131_072, *, stream: int | None = None, everything: bool = False) -> int:
        """Takes one step of compaction, about ``budget`` points' worth; the work done, or 0 when nothing is due.

        Of ``stream``, or of the one that waits longest among those with enough arrivals, or with ``everything`` among all.
        """
        _at_least_one(budget, "budget")
        with self._pending_lock:
            if stream is not None:
                return self._step(stream, budget)
            while (chosen := self._choose(everything)) is not None:
                # Another process may have been there first.
                if work := self._step(chosen, budget):
                    return work
            return 0

    def drop(self, stream: int) -> None:
        """Deletes the blocks of a stream, in steps; what the log still holds of it is compacted anew when it is due.

        For a stream that was deleted, or whose payloads were erased: these go first, or their points come back.
        """
        dropped = _DROPPED
        while dropped == _DROPPED:
            try:
                with self._index.write() as txn:
                    # The mark goes in each step: a compaction between two of them may have set it again.
                    txn.delete(SERIES_COMPACTED, stream)
                    dropped = directory.drop_groups(txn, stream, _DROPPED)
                    reopen(txn, stream)
            except MapGrown:
                continue

    def check(self, stream: int) -> Checked:
        """Compares the blocks of a stream with the log and with their summaries; it takes the memory that the stream does."""
        return check_stream(self._index, stream, self._key_ids, self._batch_of)

    def _choose(self, everything: bool) -> int | None:
        more = True
        while more:
            with self._index.read() as view:
                more = self._pending.look(view)
        return self._pending.due(everything=everything)

    def _step(self, stream: int, budget: int) -> int:
        while True:
            try:
                with self._index.write() as txn:
                    work = compact_step(txn, stream, budget, self._key_ids, self._batch_of)
                    self._pending.recount(txn, stream)
                    self._pending.sweep(txn)
                    return work
            except MapGrown:
                continue

    def _tails(self, view: View, spans: Sequence[Span], keys: Iterable[int] | None) -> list[Tail]:
        wanted = None if keys is None else list(keys)
        return [
            read_tail(view, stream, compacted(view, stream).seq, None, self._key_ids, self._batch_of, wanted)
            for stream, _ in spans
        ]

    def _keys(self, view: View, spans: Sequence[Span], tails: Sequence[Tail]) -> list[int]:
        found = {key for tail in tails for key in tail.columns}
        for stream, _ in spans:
            found.update(directory.keys_of(view, stream))
        return sorted(found)


def _at_least_one(value: int, name: str) -> None:
    if value < 1:
        raise Invalid(f"{name} is at least 1, not {value}")
