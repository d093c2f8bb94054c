"""Moments of a run that its charts point out: alerts, versions that it produced, and where it was resumed, was rewound or ended badly."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from runstone.domain import lineage
from runstone.domain.context import Context
from runstone.domain.runs import finding
from runstone.domain.runs.commands import CreateRun, SetRunState
from runstone.domain.runs.rewinding import RewindRun, UndoRewind
from runstone.domain.store import Store
from runstone.storage.commands import Command, kind_numbered
from runstone.storage.index import View
from runstone.storage.tables import ALERTS, ARRIVALS, DOWNSTREAM, HISTORY, Run
from runstone.types import MomentInfo

#: Of each kind the latest so many, and the latest changes of the run that are looked through.
MOST = 200
MOST_CHANGES = 2000
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
    """The moments of a run, oldest first. ``step`` is the greatest that had arrived by then of what arrived last; -1 when nothing had."""
    with store.index.read() as view:
        run = finding.find(store, view, ctx, name).run
        found = [*_alerts(view, run), *_turns(store, view, run), *_checkpoints(store, view, ctx, run)]
        return [
            MomentInfo(
                kind=each.kind,
                text=each.text,
                severity=each.severity,
                time=each.time,
                step=_step(view, run, each.seq),
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


def _step(view: View, run: Run, seq: int) -> int:
    before = (
        next(view.scan(ARRIVALS, stream, after=(stream, seq), reverse=True), None) for stream in run.streams
    )
    return max(((place[1], last.max_step) for place, last in filter(None, before)), default=(-1, -1))[1]
