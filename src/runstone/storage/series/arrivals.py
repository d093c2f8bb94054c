"""Which log entries hold points of which stream: the only state that points leave behind when they are applied.

The points themselves stay in the entry's payload until a compaction writes them into blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstone._native import points
from runstone.errors import Malformed
from runstone.storage.tables import ARRIVALS, ARRIVED, Arrival

if TYPE_CHECKING:
    from runstone.storage.state import State


def note_arrival(state: State, stream: int, seq: int, batch: bytes) -> Arrival:
    """Notes that log entry ``seq`` holds a points batch of a stream; for ``apply`` functions.

    A batch without rows leaves no note. Raises :class:`Malformed` when the batch is not one.
    """
    try:
        arrival = Arrival(*points.count(batch))
    except ValueError as error:
        raise Malformed(str(error)) from None
    if arrival.rows:
        state.put(ARRIVALS, stream, seq, arrival)
        state.put(ARRIVED, seq, stream, arrival.rows)
    return arrival
