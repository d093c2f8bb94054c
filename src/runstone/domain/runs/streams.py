"""Streams and spans: where the points of a run are appended, and what its history is read from."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from runstone.domain.runs import keys, stats
from runstone.storage.index import View
from runstone.storage.state import State
from runstone.storage.tables import LAST_OBJECTS, RUNS, STATS, STREAM_FORKS, STREAMS, LastObject, Run


class Past(msgspec.Struct, frozen=True, array_like=True):
    """What a fork or rewind keeps of the history before it: statistics and last objects up to its step, by key name."""

    stats: tuple[tuple[str, bytes], ...] = ()
    objects: tuple[tuple[str, LastObject], ...] = ()


def cut(spans: tuple[tuple[int, int], ...], step: int) -> tuple[tuple[int, int], ...]:
    """A history up to a step (exclusive)."""
    return tuple((stream, step if until < 0 else min(until, step)) for stream, until in spans)


def begin_stream(state: State, run: Run, stream: int, past: Past) -> None:
    """Begins a stream in ``apply`` with what is kept of the history before it."""
    numbers = keys.number(state, run.project, _names(past))
    pages: dict[int, list[stats.Stat]] = {}
    for name, record in past.stats:
        stat = stats.from_record(record)._replace(key=numbers[name])
        pages.setdefault(stat.key // stats.PAGE, []).append(stat)
    for page, found in pages.items():
        state.put(STATS, stream, page, stats.pack(found))
    for name, last in past.objects:
        state.put(LAST_OBJECTS, stream, numbers[name], last)


def _names(past: Past) -> Mapping[str, None]:
    return dict.fromkeys([name for name, _ in past.stats] + [name for name, _ in past.objects])


def ending_streams(state: State | View, run: Run) -> list[int]:
    """The streams whose points go when a run is purged: no other run's history needs them."""
    forked = [stream for stream in run.streams if next(state.scan(STREAM_FORKS, stream), None) is not None]
    ending = [stream for stream in run.streams if stream not in forked]
    return ending + [stream for stream in borrowed(run) if _only_user(state, stream, run.id)]


def borrowed(run: Run) -> list[int]:
    """The streams of other runs that a run's history is read from."""
    return [stream for stream, _ in run.spans if stream not in run.streams]


def _only_user(state: State | View, stream: int, run_id: int) -> bool:
    """Whether a purged run's stream is kept for the history of this fork alone."""
    owner = state.get(STREAMS, stream)
    users = {fork for (_, fork), _ in state.scan(STREAM_FORKS, stream)}
    return users == {run_id} and (owner is None or state.get(RUNS, owner) is None)
