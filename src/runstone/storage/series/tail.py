"""The tail of a stream: what the log holds of it and no block does yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import msgspec

from runstone._native import points as batches
from runstone.errors import Corrupt
from runstone.storage.index import View
from runstone.storage.series.points import Points, joined, none, of_column
from runstone.storage.tables import ARRIVALS, LOG_PAYLOADS, SERIES_COMPACTED, Compacted

#: (view, stream, names) -> the ids of those names; a name without one may be left out.
KeyIds = Callable[[View, int, Iterable[str]], Mapping[str, int]]
#: (payload of a log entry, stream) -> the points batch in it.
BatchOf = Callable[[bytes, int], bytes]


class _Payload(msgspec.Struct):
    batch: bytes


_decode = msgspec.msgpack.Decoder(_Payload).decode


def batch_field(payload: bytes, stream: int) -> bytes:
    """The points batch of a command that has it in its field ``batch``."""
    return _decode(payload).batch


@dataclass(frozen=True, slots=True)
class Tail:
    """Points that arrived, by key id, in the order of the log; and how many log entries they came in."""

    columns: dict[int, list[Points]]
    entries: int = 0

    def points(self, key: int) -> Points:
        """The points of a key in order, identical ones once."""
        found = self.columns.get(key)
        return joined(found).ordered() if found else none()


def read_tail(
    view: View,
    stream: int,
    start: int,
    stop: int | None,
    key_ids: KeyIds,
    batch_of: BatchOf,
    keys: Iterable[int] | None,
) -> Tail:
    """What arrived for a stream in log entries ``start`` to ``stop`` (None: the end), of ``keys`` or of all.

    A payload that is no longer kept has no points. Raises :class:`Corrupt` for one that is not a points batch.
    """
    wanted = None if keys is None else frozenset(keys)
    columns: dict[int, list[Points]] = {}
    # What is asked for is mostly one key of many: the others are not even decoded once they are known.
    ids: dict[str, int] = {}
    skip: set[str] = set()
    entries = arrivals(view, stream, start, stop)
    for seq in entries:
        stored = view.get(LOG_PAYLOADS, seq)
        if stored is None or stored.payload is None:
            continue
        try:
            frames = batches.decode(batch_of(stored.payload, stream), skip)
        except (ValueError, msgspec.DecodeError) as error:
            raise Corrupt(f"log entry {seq} should hold points of stream {stream}: {error}") from error
        unknown = {name for _, _, found in frames for name, _, _ in found} - ids.keys()
        if unknown:
            ids.update(_look_up(view, stream, seq, unknown, key_ids))
            skip = {name for name, number in ids.items() if wanted is not None and number not in wanted}
        for steps, times, found in frames:
            for name, kind, values in found:
                if name not in skip:
                    columns.setdefault(ids[name], []).append(of_column(steps, times, kind, values))
    return Tail(columns, len(entries))


def _look_up(view: View, stream: int, seq: int, names: set[str], key_ids: KeyIds) -> dict[str, int]:
    found = key_ids(view, stream, names)
    for name in names:
        if name not in found:
            raise Corrupt(f"log entry {seq} holds points of a key that is not in the dictionary: {name!r}")
    return {name: found[name] for name in names}


def arrivals(view: View, stream: int, start: int, stop: int | None = None) -> list[int]:
    """The log entries from ``start`` on, and before ``stop``, that hold points of a stream."""
    # Just past the row of the entry before the first one.
    after = (stream, start - 1) if start else None
    found = []
    for (_, seq), _ in view.scan(ARRIVALS, stream, after=after):
        if stop is not None and seq >= stop:
            break
        found.append(seq)
    return found


def compacted(view: View, stream: int) -> Compacted:
    """How far a stream has been compacted."""
    return view.get(SERIES_COMPACTED, stream) or Compacted()
