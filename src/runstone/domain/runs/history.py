"""What a fork or rewind keeps: the statistics of a history up to a step, taken from the points as the log has them."""

from __future__ import annotations

from collections.abc import Iterator

from runstone.domain.runs import keys, stats, summarising
from runstone.domain.runs.commands import Past
from runstone.domain.runs.logging import LogPoints
from runstone.domain.runs.stats import Stat
from runstone.domain.store import Store
from runstone.storage.index import View
from runstone.storage.tables import ARRIVALS, LAST_OBJECTS, LastObject, Run

#: No step is lower, nor as high.
LOWEST, HIGHEST = -(1 << 63), 1 << 63


def past(store: Store, run: Run, step: int) -> Past:
    """The statistics and last objects of a run's history before ``step``."""
    with store.index.read() as view:
        numbers = stats.of(view, run.stream)
        objects = {key: last for (_, key), last in view.scan(LAST_OBJECTS, run.stream)}
        highest = [stat.step for stat in numbers.values()] + [last.step for last in objects.values()]
        if max(highest, default=-1) < step:
            return _named(store, view, run, numbers, objects)
    return _counted(store, run, step)


def _named(
    store: Store, view: View, run: Run, numbers: dict[int, Stat], objects: dict[int, LastObject]
) -> Past:
    names_of = keys.names(store).of
    return Past(
        tuple((names_of(view, run.project, key), stats.to_record(stat)) for key, stat in numbers.items()),
        tuple((names_of(view, run.project, key), last) for key, last in objects.items()),
    )


def _counted(store: Store, run: Run, step: int) -> Past:
    numbers: dict[str, Stat] = {}
    objects: dict[str, LastObject] = {}
    for batch in batches(store, run, step):
        found, lasts = summarising.summarised(batch)
        for name, (stat, low) in found.items():
            numbers[name] = stats.merged(numbers.get(name), stat, low)
        for name, last in lasts.items():
            if name not in objects or summarising.later(last, objects[name]):
                objects[name] = last
    return Past(
        tuple((name, stats.to_record(stat)) for name, stat in numbers.items()), tuple(objects.items())
    )


def batches(store: Store, run: Run, step: int, low: int = LOWEST) -> Iterator[bytes]:
    """The points of a history before a step, as they arrived; what lies wholly below ``low`` is left out."""
    for stream, until in run.spans:
        stop = step if until < 0 else min(step, until)
        with store.index.read() as view:
            arrivals = [
                (seq, arrival.max_step) for (_, seq), arrival in view.scan(ARRIVALS, stream)
                if arrival.min_step < stop and arrival.max_step >= low
            ]  # fmt: skip
        for seq, highest in arrivals:
            command = store.log.command(*store.log.entry(seq))
            if isinstance(command, LogPoints):  # or it was purged in between
                yield command.batch if highest < stop else summarising.before(command.batch, stop)
