"""A run taken back to a step, and brought forward again."""

from __future__ import annotations

from msgspec.structs import replace

from runstone.domain.runs.applying import mark, require
from runstone.domain.runs.streams import Past, begin_stream, cut
from runstone.errors import Conflict
from runstone.storage.commands import Command, Remains, Stamp, applies
from runstone.storage.state import State
from runstone.storage.tables import RUNS, STREAMS, Rewind

MAX_REWINDS = 1000


class RewindRun(Command, frozen=True, kw_only=True):
    """Takes a run back to a step (exclusive); what came after stays stored, and :class:`UndoRewind` brings it back."""

    run: int
    step: int
    past: Past = Past()

    def asked(self) -> RewindRun:
        """The rewind without the past that was found."""
        return replace(self, past=Past())

    def erased(self, remains: Remains) -> RewindRun:
        """Where the run was rewound to."""
        return RewindRun(actor="", run=self.run, step=self.step)


class UndoRewind(Command, frozen=True, kw_only=True):
    """Brings the history from before the latest rewind back; what was logged since is set aside."""

    run: int


@applies(69, "rewind_run", RewindRun)
def _rewind_run(state: State, at: Stamp, command: RewindRun) -> None:
    run = require(state, command.run)
    if len(run.rewinds) >= MAX_REWINDS:
        raise Conflict(f"run {run.name} was rewound {MAX_REWINDS} times; fork it instead")
    rewind = Rewind(at.seq, command.step, run.stream, run.spans)
    spans = (*cut(run.spans, command.step), (at.id, -1))
    run = replace(
        run, stream=at.id, streams=(*run.streams, at.id), spans=spans, rewinds=(*run.rewinds, rewind)
    )
    state.put(RUNS, run.id, run)
    state.put(STREAMS, at.id, run.id)
    begin_stream(state, run, at.id, command.past)
    mark(state, at, run)
    state.touch(run.id, at.seq, 69)


@applies(70, "undo_rewind", UndoRewind)
def _undo_rewind(state: State, at: Stamp, command: UndoRewind) -> None:
    run = require(state, command.run)
    if not run.rewinds:
        raise Conflict(f"run {run.name} was not rewound")
    last = run.rewinds[-1]
    run = replace(run, stream=last.stream, spans=last.spans, rewinds=run.rewinds[:-1])
    state.put(RUNS, run.id, run)
    mark(state, at, run)
    state.touch(run.id, at.seq, 70)
