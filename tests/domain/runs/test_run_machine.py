"""A state machine over runs: logged to, resumed, forked, rewound, undone, deleted, restored, finished, compacted, restarted; held to a model.

The model keeps streams as sets of points and a run's history as spans of streams, and works everything out by looking at all of it.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

import runstone
from runstone.domain import maintenance
from runstone.domain.runs import series
from runstone.errors import Conflict, Exists, Gone, Missing

#: A disk that takes no time to sync, if there is one: thousands of small commits are made here, and none is lost.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
EXAMPLES = int(os.environ.get("RUNSTONE_RUN_MACHINE") or 30)
STEPS = st.integers(-3, 12)
FROM_ZERO = st.integers(0, 12)
ROWS = st.lists(
    st.tuples(
        STEPS,
        st.integers(0, 5),
        st.dictionaries(
            st.sampled_from(["a", "b"]),
            st.sampled_from([0.5, 1.5, -2.0, 7, math.nan, math.inf]),
            min_size=1,
        ),
    ),
    min_size=1,
    max_size=6,
)


def rank(value):
    """The order of values of one kind: NaN is greatest."""
    return (isinstance(value, int), math.isnan(value), 0 if math.isnan(value) else value)


@dataclass
class Run:
    """A run as the model has it."""

    spans: list[tuple[int, int | None]]
    stream: int
    rewinds: list[tuple[int, list[tuple[int, int | None]]]] = field(default_factory=list)
    state: str = "running"
    deleted: bool = False
    config: dict[str, int] = field(default_factory=dict)


class Runs(RuleBasedStateMachine):
    """The library and the model beside it."""

    names = Bundle("names")

    @initialize()
    def open(self):
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY))
        self.library = runstone.open(self.folder / "data")
        self.runs: dict[str, Run] = {}
        self.streams: dict[int, set] = {}

    def teardown(self):
        if hasattr(self, "library"):
            self.library.close()
            shutil.rmtree(self.folder)

    def _stream(self):
        self.streams[len(self.streams)] = set()
        return len(self.streams) - 1

    def _history(self, name):
        """Every point of a run's history by (key, step, time, value as text)."""
        run = self.runs[name]
        return {
            point
            for stream, until in run.spans
            for point in self.streams[stream]
            if until is None or point[1] < until
        }

    @rule(target=names, number=st.integers(0, 30))
    def create(self, number):
        name = f"p/r{number}"
        if name in self.runs:
            with pytest.raises(Exists):
                self.library.create_run(name)
            return multiple()
        self.library.create_run(name)
        stream = self._stream()
        self.runs[name] = Run([(stream, None)], stream)
        return name

    @rule(target=names, parent=names, number=st.integers(31, 60), step=FROM_ZERO)
    def fork(self, parent, number, step):
        name = f"p/r{number}"
        run = self.runs[parent]
        if name in self.runs:
            return multiple()
        if run.deleted:
            with pytest.raises(Gone):
                self.library.create_run(name, fork=parent, step=step)
            return multiple()
        self.library.create_run(name, fork=parent, step=step)
        stream = self._stream()
        cut = [(each, step if until is None else min(until, step)) for each, until in run.spans]
        self.runs[name] = Run([*cut, (stream, None)], stream)
        return name

    @rule(name=names, rows=ROWS)
    def log(self, name, rows):
        run = self.runs[name]
        if run.deleted:
            with pytest.raises((Gone, Missing)):
                self.library.log_rows(name, rows)
            return
        self.library.log_rows(name, rows)
        points = {
            (key, step, time, repr(value)) for step, time, values in rows for key, value in values.items()
        }
        self.streams[run.stream] |= points

    @rule(name=names, step=FROM_ZERO)
    def rewind(self, name, step):
        run = self.runs[name]
        if run.deleted:
            return
        self.library.rewind_run(name, step)
        run.rewinds.append((run.stream, run.spans))
        run.stream = self._stream()
        cut = [(each, step if until is None else min(until, step)) for each, until in run.spans]
        run.spans = [*cut, (run.stream, None)]

    @rule(name=names)
    def undo(self, name):
        run = self.runs[name]
        if run.deleted:
            return
        if not run.rewinds:
            with pytest.raises(Conflict):
                self.library.undo_rewind(name)
            return
        self.library.undo_rewind(name)
        run.stream, run.spans = run.rewinds.pop()

    @rule(name=names)
    def delete(self, name):
        run = self.runs[name]
        if not run.deleted:
            self.library.delete_run(name)
            run.deleted = True

    @rule(name=names)
    def restore(self, name):
        run = self.runs[name]
        if run.deleted:
            self.library.restore_run(name)
            run.deleted = False

    @rule(name=consumes(names))
    def purge(self, name):
        run = self.runs[name]
        if not run.deleted:
            self.library.delete_run(name)
        self.library.purge_run(name)
        del self.runs[name]

    @rule(name=names, value=st.integers(0, 3))
    def change(self, name, value):
        run = self.runs[name]
        if not run.deleted:
            self.library.update_run(name, config={"c": value})
            run.config["c"] = value

    @rule(name=names)
    def resume(self, name):
        run = self.runs[name]
        if run.deleted:
            with pytest.raises((Gone, Exists, Missing, Conflict)):
                self.library.create_run(name, resume="must")
            return
        self.library.create_run(name, resume="must")
        run.state = "running"

    @rule(name=names, state=st.sampled_from(["finished", "failed", "crashed"]))
    def finish(self, name, state):
        run = self.runs[name]
        if not run.deleted:
            self.library.finish_run(name, state)
            run.state = state

    @rule(everything=st.booleans(), steps=st.integers(1, 4))
    def compact(self, everything, steps):
        series.compact(self.library.store, everything=everything, steps=steps)

    @precondition(lambda self: self.runs)
    @rule()
    def restart(self):
        self.library.close()
        self.library = runstone.open(self.folder / "data")

    @precondition(lambda self: self.runs)
    @rule()
    def rebuild(self):
        self.library.close()
        maintenance.rebuild(self.folder / "data")
        self.library = runstone.open(self.folder / "data")

    @rule(name=names)
    def read(self, name):
        if self.runs[name].deleted:
            with pytest.raises(Gone):
                self.library.rows(name)
            return
        history = self._history(name)
        for key in ("a", "b"):
            if key not in self.library.run_keys("p"):
                assert not any(point[0] == key for point in history)
                continue
            page = self.library.series(name, key)
            found = list(zip(page.steps, page.times, map(repr, page.values), strict=True))
            assert sorted(found) == sorted(point[1:] for point in history if point[0] == key)
            assert [each[:2] for each in found] == sorted(each[:2] for each in found)
        last: dict[tuple[int, str], tuple] = {}
        for key, step, time, text in history:
            place = (time, *rank(float(text) if "." in text or text in ("nan", "inf") else int(text)), text)
            floats_first = (place[0], place[1], place[2], place[3], place[4])
            last[step, key] = max(last.get((step, key), floats_first), floats_first)
        shown = {
            (step, key): repr(value)
            for step, _, values in self.library.rows(name).rows
            for key, value in values.items()
        }
        assert shown == {place: found[-1] for place, found in last.items()}

    @invariant()
    def runs_are_as_the_model_says(self):
        if not hasattr(self, "runs"):
            return
        listed = (
            {f"p/{run.name}": run for run in self.library.runs("p", limit=1000).items} if self.runs else {}
        )
        assert set(listed) == {name for name, run in self.runs.items() if not run.deleted}
        for name, found in listed.items():
            run = self.runs[name]
            # A run that was taken for crashed and reports again was only silent.
            assert found.state == run.state or (run.state == "crashed" and found.state == "running")
            assert (found.config, found.rewinds) == (run.config, len(run.rewinds))
            self._compare_short(name, found)

    def _compare_short(self, name, found):
        """What is said of a run in short is what its history says."""
        history = self._history(name)
        assert found.step == max((point[1] for point in history), default=-1)
        stats = {each.key: each for each in self.library.run_stats(name)}
        assert set(stats) == {point[0] for point in history}
        for key, stat in stats.items():
            ours = [(step, time, float(text)) for each, step, time, text in history if each == key]
            real = [value for _, _, value in ours if not math.isnan(value)]
            assert stat.points >= len(ours) and stat.nans >= len(ours) - len(real)
            step, time, value = max(ours, key=lambda point: (*point[:2], *rank(point[2])[1:]))
            assert (stat.step, stat.time, repr(float(stat.last))) == (step, time, repr(value))
            assert not real or (stat.min, stat.max) == (min(real), max(real))


def test_runs_over_time():
    run_state_machine_as_test(
        Runs, settings=settings(max_examples=EXAMPLES, stateful_step_count=40, deadline=None)
    )


def test_a_purged_run_leaves_its_points_to_its_forks(tmp_path):
    with runstone.open(tmp_path / "data") as library:
        library.create_run("p/parent")
        library.log_rows("p/parent", [(step, step, {"a": step / 2}) for step in range(6)])
        library.create_run("p/fork", fork="p/parent", step=4)
        library.delete_run("p/parent")
        library.purge_run("p/parent")
        assert series.compact(library.store, everything=True) > 0
        assert library.series("p/fork", "a").values == [0.0, 0.5, 1.0, 1.5]
