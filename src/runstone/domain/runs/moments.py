"""Moments of a run that its charts point out: alerts, versions that it produced, and where it was resumed, was rewound or ended badly."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from runstone._native import points
from runstone.domain import lineage
from runstone.domain.context import Context
from runstone.domain.runs import finding
from runstone.domain.runs.commands import CreateRun, SetRunState
from runstone.domain.runs.logging import LogPoints
from runstone.domain.runs.rewinding import RewindRun, UndoRewind
from runstone.domain.store import Store
from runstone.storage.commands import Command, kind_numbered
from runstone.storage.index import View
from runstone.storage.tables import ALERTS, ARRIVALS, DOWNSTREAM, HISTORY, Run
from runstone.types import MomentInfo

#: Of each kind the latest so many, and the latest changes of the run that are looked through.
MOST = 200
MOST_CHANGES = 2000
#: Clients send what they log a little later: so many entries behind a moment are looked at, and so many for one answer.
LATE = 4
MOST_DECODED = 32
_TURNS: dict[type[Command], str] = {
    CreateRun: "resumed",
    SetRunState: "",
    RewindRun: "rewound",
    UndoRewind: "a rewind was undone",
}


class _Moment(NamedTuple):
    seq: int
    time: int
    kind: str
    text: str
    severity: str = "info"


def of(store: Store, ctx: Context, name: str) -> list[MomentInfo]:
    """The moments of a run, oldest first. ``step`` is what the run had come to by then; -1: nothing yet."""
    with store.index.read() as view:
        run = finding.find(store, view, ctx, name).run
        found = [*_alerts(view, run), *_turns(store, view, run), *_checkpoints(store, view, ctx, run)]
        steps = _Steps(store, view, run)
        return [
            MomentInfo(
                kind=each.kind,
                text=each.text,
                severity=each.severity,
                time=each.time,
                step=steps.at(each.seq, each.time),
            )
            for each in sorted(found)
        ]


def _alerts(view: View, run: Run) -> Iterator[_Moment]:
    for (_, seq), alert in islice(view.scan(ALERTS, run.id, reverse=True), MOST):
        yield _Moment(seq, alert.time, "alert", alert.title, alert.severity)


def _turns(store: Store, view: View, run: Run) -> Iterator[_Moment]:
    """Where the run went another way than on."""
    first = next(view.scan(HISTORY, run.id))[0][1]
    changes = islice(view.scan(HISTORY, run.id, reverse=True), MOST_CHANGES)
    kinds = ((seq, kind_numbered(kind).command) for (_, seq), kind in changes if seq != first)
    for seq, kind in islice(((seq, kind) for seq, kind in kinds if kind in _TURNS), MOST):
        header, stored = store.log.entry_in(view, seq)
        text, command = _TURNS[kind], store.log.command(header, stored)
        if isinstance(command, SetRunState):
            text = "resumed" if command.state == "running" else command.state
        if text in ("", "finished"):
            continue
        bad = kind is SetRunState and text != "resumed"
        yield _Moment(seq, header.time, "state" if bad else "restart", text, "error" if bad else "info")


def _checkpoints(store: Store, view: View, ctx: Context, run: Run) -> Iterator[_Moment]:
    ends = lineage.Ends(store, view, ctx)
    for (_, _, end), edge in islice(view.scan(DOWNSTREAM, run.id, "produced", reverse=True), MOST):
        shown = ends.shown(end)
        made = next(view.scan(HISTORY, end), None)
        if shown is not None and made is not None:
            yield _Moment(made[0][1], edge.time, "checkpoint", shown.name)


class _Steps:
    """What step a run had come to."""

    def __init__(self, store: Store, view: View, run: Run) -> None:
        self._store, self._view, self._run = store, view, run
        self._decoded: dict[int, list[tuple[Any, Any, Any]]] = {}

    def at(self, seq: int, time: int) -> int:
        """The greatest step of what arrived last before a log entry, and of what arrived late: behind it, with points from before a time."""
        found = (-1, -1)
        for stream in self._run.streams:
            last = next(self._view.scan(ARRIVALS, stream, after=(stream, seq), reverse=True), None)
            if last is not None:
                found = max(found, (last[0][1], last[1].max_step))
        step = found[1]
        for (_, later), _ in islice(
            self._view.scan(ARRIVALS, self._run.stream, after=(self._run.stream, seq)), LATE
        ):
            before = self._greatest(later, time)
            if before < 0:
                break
            step = max(step, before)
        return step

    def _greatest(self, seq: int, time: int) -> int:
        """The greatest step of an entry's points from before a time; -1: none."""
        if seq not in self._decoded:
            if len(self._decoded) >= MOST_DECODED:
                return -1
            command = self._store.log.command(*self._store.log.entry_in(self._view, seq))
            self._decoded[seq] = points.decode(command.batch) if isinstance(command, LogPoints) else []
        frames = self._decoded[seq]
        return max((int(steps[times < time].max(initial=-1)) for steps, times, _ in frames), default=-1)
