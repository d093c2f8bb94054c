"""What a fork or rewind keeps: the statistics of a history up to a step, taken from the points as the log has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from runstone.domain.context import Context
from runstone.domain.runs import keys, stats, summarising
from runstone.domain.runs.logging import LogPoints
from runstone.domain.runs.stats import Stat
from runstone.domain.runs.streams import Past
from runstone.domain.store import Store
from runstone.storage.changelog import CommandAt, Completion, Receipt
from runstone.storage.commands import Command
from runstone.storage.index import View
from runstone.storage.state import State
from runstone.storage.tables import ARRIVALS, HEAD, LAST_OBJECTS, RUNS, Head, LastObject, Run

_EVER = 1 << 63


class Kept:
    """What a fork or rewind is to keep of a history before a step, up to the moment when its command is applied.

    What is long is read beforehand: :attr:`past`, of the log as it was when this was made. What has been logged since is added in the
    transaction of the command (:meth:`completing`), where nothing more can come in between.
    """

    def __init__(self, store: Store, run: Run, step: int) -> None:
        self._store, self._run, self._step = store, run, step
        with store.index.read() as view:
            self._seen = (view.get(HEAD, 0) or Head()).size
            found = self._whole(view)
        self._numbers, self._objects = found if found is not None else self._counted()

    @property
    def past(self) -> Past:
        """As far as it is known."""
        numbers = ((name, stats.to_record(stat)) for name, stat in self._numbers.items())
        return Past(tuple(numbers), tuple(self._objects.items()))

    def _whole(self, view: View) -> tuple[dict[str, Stat], dict[str, LastObject]] | None:
        """All of the history, if none of it lies past the step."""
        numbers = stats.of(view, self._run.stream)
        objects = {key: last for (_, key), last in view.scan(LAST_OBJECTS, self._run.stream)}
        highest = [stat.step for stat in numbers.values()] + [last.step for last in objects.values()]
        if max(highest, default=-1) >= self._step:
            return None
        names_of, project = keys.names(self._store).of, self._run.project
        return (
            {names_of(view, project, key): stat for key, stat in numbers.items()},
            {names_of(view, project, key): last for key, last in objects.items()},
        )

    def _counted(self) -> tuple[dict[str, Stat], dict[str, LastObject]]:
        numbers: dict[str, Stat] = {}
        objects: dict[str, LastObject] = {}
        for batch in batches(self._store, self._run, self._step, before=self._seen):
            _add(numbers, objects, batch)
        return numbers, objects

    def completing(self, make: Callable[[Past], Command]) -> Completion:
        """What completes a command that ``make`` makes of a past. It raises :class:`Moved` when the run was rewound in between."""

        def complete(state: State, command_at: CommandAt) -> Command:
            run = state.get(RUNS, self._run.id)
            if run is not None and run.spans != self._run.spans:
                raise Moved
            numbers, objects = dict(self._numbers), dict(self._objects)
            for stream, until in self._run.spans:
                stop = self._step if until < 0 else min(self._step, until)
                for (_, seq), arrival in state.scan(ARRIVALS, stream, after=(stream, self._seen - 1)):
                    if arrival.min_step < stop and isinstance(command := command_at(seq), LogPoints):
                        late = arrival.max_step >= stop
                        _add(
                            numbers,
                            objects,
                            summarising.before(command.batch, stop) if late else command.batch,
                        )
            records = tuple((name, stats.to_record(stat)) for name, stat in numbers.items())
            return make(Past(records, tuple(objects.items())))

        return complete


class Moved(Exception):
    """The run has another history now."""


def submit(
    store: Store, ctx: Context, find: Callable[[], Run], step: int, make: Callable[[Run, Past], Command]
) -> Receipt:
    """Submits the command that ``make`` makes of a run and of what it keeps of its history before ``step``."""
    while True:
        run = find()
        kept = Kept(store, run, step)
        try:
            return store.submit(ctx, make(run, Past()), complete=kept.completing(partial(make, run)))
        except Moved:
            continue


def _add(numbers: dict[str, Stat], objects: dict[str, LastObject], batch: bytes) -> None:
    found, lasts = summarising.summarised(batch)
    for name, (stat, low) in found.items():
        numbers[name] = stats.merged(numbers.get(name), stat, low)
    for name, last in lasts.items():
        if name not in objects or summarising.later(last, objects[name]):
            objects[name] = last


def batches(store: Store, run: Run, step: int, before: int = _EVER) -> Iterator[bytes]:
    """The points of a history before a step, as they arrived in log entries before ``before``."""
    for stream, until in run.spans:
        stop = step if until < 0 else min(step, until)
        with store.index.read() as view:
            arrivals = [
                (seq, arrival.max_step) for (_, seq), arrival in view.scan(ARRIVALS, stream)
                if arrival.min_step < stop and seq < before
            ]  # fmt: skip
        for seq, highest in arrivals:
            command = store.log.command(*store.log.entry(seq))
            if isinstance(command, LogPoints):  # or it was purged in between
                yield command.batch if highest < stop else summarising.before(command.batch, stop)
