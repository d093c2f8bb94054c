"""Forks and rewinds while their run reports: what lands between the look at the past and the command is part of it."""

import math

import pytest
from msgspec.structs import replace

from runstone._native.points import encode_rows
from runstone.domain import maintenance
from runstone.domain.runs import lifecycle, points
from runstone.domain.runs.commands import CreateRun
from runstone.domain.runs.logging import LogPoints
from runstone.domain.runs.rewinding import RewindRun
from runstone.errors import Invalid
from runstone.storage.changelog import Submission

RUN = "local/vision/first"
FORK = "local/vision/second"
#: All below the step of the fork and the rewind, and some past it too: then the past is counted from the log.
BELOW = [(step, {"loss": float(step), "note": {"at": step}}) for step in range(4)]
PAST = [*BELOW, (9, {"loss": 9.0, "late": 1.0})]
STEP = 6


def batch(*rows):
    return encode_rows([(step, 1000 + step, values) for step, values in rows])


def log(store, ctx, *rows, run=RUN):
    points.log(store, ctx, run, batch(*rows))


def known(library, run):
    """All that is known of a run's history in short."""
    found = library.get_run(run)
    stats = {stat.key: stat for stat in library.run_stats(run)}
    return found.summary, found.step, stats


def _keeps(command):
    return isinstance(command, RewindRun) or (isinstance(command, CreateRun) and command.parent)


def between(monkeypatch, store, happens, *, times=1):
    """Has something happen after the past was looked at, and before the command is in the log."""
    real, calls = store.log.submit, []

    def submit(command, **given):
        if _keeps(command) and len(calls) < times:
            calls.append(1)
            happens()
        return real(command, **given)

    monkeypatch.setattr(store.log, "submit", submit)
    return calls


@pytest.mark.parametrize("before", [BELOW, PAST], ids=["all of it", "up to a step"])
@pytest.mark.parametrize("way", ["fork", "rewind"])
def test_points_that_land_in_between_count(library, store, ctx, monkeypatch, before, way):
    late = [
        (4, {"loss": -1.0, "new": 2.0}),
        (5, {"note": {"at": 5}}),
        (STEP, {"loss": 100.0}),
        (7, {"x": 1.0}),
    ]
    lifecycle.create(store, ctx, RUN)
    log(store, ctx, *before)
    calls = between(monkeypatch, store, lambda: log(store, ctx, *late))
    if way == "fork":
        lifecycle.create(store, ctx, FORK, fork=RUN, step=STEP)
    else:
        lifecycle.rewind(store, ctx, RUN, STEP)
    monkeypatch.undo()
    assert calls
    name = FORK if way == "fork" else RUN
    summary, step, stats = known(library, name)
    assert (summary["loss"], summary["new"], summary["note.at"], step) == (-1.0, 2.0, 5, 5)
    assert (stats["loss"].points, stats["loss"].min, stats["loss"].max) == (5, -1.0, 3.0)
    assert "x" not in stats and "late" not in stats
    # As it is when nothing comes in between.
    lifecycle.create(store, ctx, "local/vision/third")
    log(store, ctx, *before, run="local/vision/third")
    log(store, ctx, *late, run="local/vision/third")
    lifecycle.create(store, ctx, "local/vision/fourth", fork="local/vision/third", step=STEP)
    assert known(library, "local/vision/fourth") == (summary, step, stats)
    head = store.log.head()
    library.close()
    assert maintenance.rebuild(store.path) == head


def test_points_of_the_same_transaction_count(library, store, ctx, monkeypatch):
    lifecycle.create(store, ctx, RUN)
    log(store, ctx, *BELOW)
    run = library.get_run(RUN).id
    real = store.log.submit_many

    def together(submissions):
        first = [Submission(LogPoints(actor="me", run=run, batch=batch((5, {"loss": -1.0}))))]
        with_points = _keeps(submissions[0].command)
        real([*first, *submissions] if with_points else submissions)

    monkeypatch.setattr(store.log, "submit_many", together)
    lifecycle.create(store, ctx, FORK, fork=RUN, step=STEP)
    monkeypatch.undo()
    assert known(library, FORK)[:2] == ({"loss": -1.0, "note.at": 3}, 5)


def test_a_rewind_in_between_is_seen(library, store, ctx, monkeypatch):
    lifecycle.create(store, ctx, RUN)
    log(store, ctx, *BELOW)

    def rewound():
        lifecycle.rewind(store, ctx, RUN, 2)
        log(store, ctx, (2, {"loss": 50.0}))

    between(monkeypatch, store, rewound)
    lifecycle.create(store, ctx, FORK, fork=RUN, step=STEP)
    monkeypatch.undo()
    summary, step, stats = known(library, FORK)
    assert (summary, step, stats["loss"].max) == ({"loss": 50.0, "note.at": 1}, 2, 50.0)


def test_a_fork_that_is_delivered_again_is_the_same_although_more_was_logged(library, store, ctx):
    lifecycle.create(store, ctx, RUN)
    log(store, ctx, *BELOW)
    once = replace(ctx, command_id=b"f" * 16)
    made = lifecycle.create(store, once, FORK, fork=RUN, step=STEP)
    log(store, ctx, (5, {"loss": 7.0}))
    again = lifecycle.create(store, once, FORK, fork=RUN, step=STEP)
    assert again.id == made.id and again.summary["loss"] == 7.0
    with pytest.raises(Invalid, match="already used"):
        lifecycle.create(store, once, FORK, fork=RUN, step=STEP - 1)


def test_a_run_that_reports_all_the_time_is_forked_and_loses_nothing(library, store, ctx, monkeypatch):
    """Between every look and every command something comes."""
    lifecycle.create(store, ctx, RUN)
    log(store, ctx, *BELOW)
    steps = iter(range(4, 100))
    calls = between(monkeypatch, store, lambda: log(store, ctx, (next(steps), {"loss": math.pi})), times=99)
    for number in range(5):
        lifecycle.create(store, ctx, f"local/vision/f{number}", fork=RUN, step=1000)
    monkeypatch.undo()
    assert len(calls) == 5
    parent = known(library, RUN)
    assert all(known(library, f"local/vision/f{number}") == parent for number in range(5))


def test_a_point_that_a_fork_repeats_is_one(library):
    library.create_run("p/whole")
    library.log_rows("p/whole", [(-2, 4, {"a": 0.5}), (3, 4, {"a": 1.0})])
    library.create_run("p/part", fork="p/whole", step=0)
    library.log_rows("p/part", [(0, 0, {"a": 0.5}), (-2, 4, {"a": 0.5}), (-2, 4, {"a": 0.25})])
    page = library.series("p/part", "a")
    found = list(zip(page.steps, page.times, page.values, strict=True))
    assert found == [(-2, 4, 0.25), (-2, 4, 0.5), (0, 0, 0.5)]
