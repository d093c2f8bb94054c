"""The tail of a stream: what the log holds of it and no block does yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from runstone._native import points as batches
from runstone.errors import Corrupt
from runstone.storage.index import View
from runstone.storage.series.points import Points, none, of_columns
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

    columns: dict[int, Points]
    entries: int = 0

    def points(self, key: int) -> Points:
        """The points of a key in order, identical ones once."""
        found = self.columns.get(key)
        return none() if found is None else found.ordered()


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
    entries = arrivals(view, stream, start, stop)

    def resolve(name: str) -> int | None:
        found = key_ids(view, stream, (name,)).get(name)
        if found is None:
            raise Corrupt(f"stream {stream} has points of a key that is not in the dictionary: {name!r}")
        return found if wanted is None or found in wanted else None

    try:
        found = batches.gather(_batches(view, stream, entries, batch_of), resolve)
    except (ValueError, msgspec.DecodeError) as error:
        raise Corrupt(f"a log entry should hold points of stream {stream}: {error}") from error
    return Tail({key: of_columns(columns) for key, columns in found.items()}, len(entries))


def _batches(view: View, stream: int, entries: Sequence[int], batch_of: BatchOf) -> Iterator[bytes]:
    for seq in entries:
        stored = view.get(LOG_PAYLOADS, seq)
        if stored is not None and stored.payload is not None:
            yield batch_of(stored.payload, stream)


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
