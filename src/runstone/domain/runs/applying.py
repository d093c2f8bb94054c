"""What applying a command about a run begins and ends with: the run is found, and it is noted that it changed."""

from __future__ import annotations

from msgspec.structs import replace

from runstone.errors import Missing
from runstone.storage.commands import Stamp
from runstone.storage.state import State
from runstone.storage.tables import RUN_CHANGES, RUN_MARKS, RUNS, Run, RunMark


def require(state: State, run_id: int, *, deleted: bool = False) -> Run:
    """The run in ``apply``; raises :class:`Missing` when it was purged, and unless ``deleted`` when it was deleted."""
    run = state.get(RUNS, run_id)
    if run is None:
        raise Missing("the run does not exist any more")
    if run.deleted and not deleted:
        raise Missing(f"run {run.name} was deleted; restore it first")
    return run


def mark(state: State, at: Stamp, run: Run, points: int = 0, lines: int = 0) -> None:
    """Notes in ``apply`` that a run changed: ``points`` more, and ``lines`` in all if that is more than before."""
    held = state.get(RUN_MARKS, run.id) or RunMark(0, 0)
    _note(state, at, run, RunMark(at.seq, at.time, held.points + points, max(held.lines, lines)), held)


def mark_affected(state: State, at: Stamp, run: Run) -> None:
    """Notes in ``apply`` that what is known of a run changed although nothing was heard of it."""
    held = state.get(RUN_MARKS, run.id) or RunMark(0, 0)
    _note(state, at, run, replace(held, changed=at.seq), held)


def _note(state: State, at: Stamp, run: Run, new: RunMark, held: RunMark) -> None:
    if held.changed:
        state.delete(RUN_CHANGES, run.project, held.changed, run.id)
    state.put(RUN_CHANGES, run.project, at.seq, run.id, 1)
    state.put(RUN_MARKS, run.id, new)
