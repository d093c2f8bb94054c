"""Which streams have something to compact, as one process knows it from reading the arrivals in the order of the log."""

from __future__ import annotations

from dataclasses import dataclass

from runstone.storage.index import Txn, View
from runstone.storage.series.tail import arrivals, compacted
from runstone.storage.tables import ARRIVALS, ARRIVED, SERIES_SWEPT, Swept

#: Rows that make a stream worth a compaction: of each key so many points, and a block holds no more than twice as many.
LEAST_ROWS = 4096
#: Log entries that do so too: a reader opens each of them.
LEAST_ENTRIES = 256
#: A stream whose first pending entry lies so far back is compacted whatever it has.
OLDEST = 65_536
#: Arrivals that are taken note of in one read transaction.
_BATCH = 20_000


@dataclass(slots=True)
class _Waiting:
    first: int
    rows: int = 0
    entries: int = 0


class Pending:
    """Counts arrivals that no compaction has taken; not safe from threads."""

    def __init__(self) -> None:
        #: The last (log entry, stream) that has been taken note of.
        self._after: tuple[int, int] | None = None
        self._waiting: dict[int, _Waiting] = {}
        self._drops = 0

    def look(self, view: View) -> bool:
        """Takes note of new arrivals; whether there are more."""
        swept = view.get(SERIES_SWEPT, 0) or Swept()
        if swept.drops != self._drops:
            # A stream was dropped, here or by another process: what had been compacted of it waits again.
            self._after = None
            self._waiting.clear()
            self._drops = swept.drops
        if self._after is None and swept.seq:
            self._after = (swept.seq - 1, (1 << 64) - 1)
        for count, ((seq, stream), rows) in enumerate(view.scan(ARRIVED, after=self._after)):
            if count == _BATCH:
                return True
            waiting = self._waiting.setdefault(stream, _Waiting(seq))
            waiting.rows += rows
            waiting.entries += 1
            self._after = (seq, stream)
        return False

    def due(self, *, everything: bool) -> int | None:
        """A stream that is worth a step, or with ``everything`` any that has arrivals; the one that waits longest."""
        seen = 0 if self._after is None else self._after[0]
        found = [
            (waiting.first, stream)
            for stream, waiting in self._waiting.items()
            if everything
            or waiting.rows >= LEAST_ROWS
            or waiting.entries >= LEAST_ENTRIES
            or waiting.first + OLDEST < seen
        ]
        return min(found)[1] if found else None

    def recount(self, view: View, stream: int) -> None:
        """Counts a stream anew, after a step."""
        start = compacted(view, stream).seq
        self._waiting.pop(stream, None)
        for (_, seq), arrival in view.scan(ARRIVALS, stream, after=(stream, start - 1) if start else None):
            if self._after is None or (seq, stream) > self._after:
                break
            waiting = self._waiting.setdefault(stream, _Waiting(seq))
            waiting.rows += arrival.rows
            waiting.entries += 1

    def sweep(self, txn: Txn) -> None:
        """Moves the mark before which nothing waits, unless a drop that is not known here has taken it back."""
        stored = txn.get(SERIES_SWEPT, 0) or Swept()
        seen = self._after[0] if self._after else 0
        swept = min((waiting.first for waiting in self._waiting.values()), default=seen)
        if stored.drops == self._drops and stored.seq < swept:
            txn.put(SERIES_SWEPT, 0, Swept(swept, stored.drops))


def reopen(txn: Txn, stream: int) -> None:
    """Takes the mark before which nothing waits back to the first arrival of a stream, whose blocks are dropped."""
    stored = txn.get(SERIES_SWEPT, 0) or Swept()
    first = next(iter(arrivals(txn, stream, 0)), stored.seq)
    txn.put(SERIES_SWEPT, 0, Swept(min(first, stored.seq), stored.drops + 1))
