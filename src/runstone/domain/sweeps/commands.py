"""What happens to a sweep: made, changed, deleted, joined by agents, and given runs with the parameters that were chosen for them."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from runstone.errors import Conflict, Exists, Missing
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.state import State
from runstone.storage.tables import (
    AGENT_SWEEPS,
    PROJECTS,
    SWEEP_AGENTS,
    SWEEP_NAMES,
    SWEEP_RUN_NAMES,
    SWEEP_RUNS,
    SWEEP_WAITING,
    SWEEPS,
    Sweep,
    SweepAgent,
    SweepRun,
    Table,
)

#: States of a sweep, and those it may go to from each.
STATES: dict[str, tuple[str, ...]] = {
    "pending": ("running", "paused", "finished", "canceled"),
    "running": ("paused", "finished", "canceled"),
    "paused": ("running", "finished", "canceled"),
    "finished": ("running",),
    "canceled": (),
}
MAX_RUNS = 1_000_000


class CreateSweep(Command, frozen=True, kw_only=True):
    """Makes a sweep; ``priors`` are runs that were there before."""

    project: int
    name: str
    config: bytes
    display_name: str = ""
    priors: tuple[str, ...] = ()


class UpdateSweep(Command, frozen=True, kw_only=True):
    """Changes a sweep; None leaves a field as it is."""

    sweep: int
    state: str | None = None
    config: bytes | None = None
    display_name: str | None = None


class JoinSweep(Command, frozen=True, kw_only=True):
    """An agent on ``host`` begins to ask a sweep for runs."""

    sweep: int
    host: str


class AssignRun(Command, frozen=True, kw_only=True):
    """Gives a run with chosen parameters to an agent (0: to the first that asks), if the sweep stands where it did when they were chosen."""

    sweep: int
    run: str
    params: bytes
    held: int
    agent: int = 0
    drawn: bool = False


class GivenRun(msgspec.Struct, frozen=True, array_like=True):
    """A run that a sweep had in another store. ``waiting`` says that no agent has it yet."""

    run: str
    params: bytes
    stopped: int = 0
    prior: bool = False
    waiting: bool = False


class PutSweepRuns(Command, frozen=True, kw_only=True):
    """Gives a sweep of ``held`` runs those that it had in another store; its method chose ``drawn`` more than it is said of so far."""

    sweep: int
    runs: tuple[GivenRun, ...]
    held: int
    drawn: int = 0


class TakeRun(Command, frozen=True, kw_only=True):
    """Gives a run that waits to an agent."""

    sweep: int
    number: int
    agent: int


class StopSweepRun(Command, frozen=True, kw_only=True):
    """Notes that a run fell behind the others and is to end."""

    sweep: int
    run: str


class DeleteSweep(Command, frozen=True, kw_only=True):
    """Removes a sweep; its runs stay."""

    sweep: int


@applies(110, "create_sweep", CreateSweep, int)
def _create_sweep(state: State, at: Stamp, command: CreateSweep) -> int:
    if state.get(PROJECTS, command.project) is None:
        raise Missing("the project does not exist any more")
    if state.get(SWEEP_NAMES, command.project, command.name) is not None:
        raise Exists(f"there is a sweep {command.name} already")
    sweep = Sweep(
        at.id,
        command.project,
        command.name,
        at.time,
        command.actor,
        at.time,
        command.config,
        display_name=command.display_name,
        assigned=len(command.priors),
    )
    state.put(SWEEPS, at.id, sweep)
    state.put(SWEEP_NAMES, command.project, command.name, at.id)
    for number, run in enumerate(command.priors):
        state.put(SWEEP_RUNS, at.id, number, SweepRun(run, 0, b"\x80", at.time, prior=True))
        state.put(SWEEP_RUN_NAMES, at.id, run, number)
    state.touch(at.id, at.seq, 110)
    return at.id


@applies(111, "update_sweep", UpdateSweep)
def _update_sweep(state: State, at: Stamp, command: UpdateSweep) -> None:
    sweep = require(state, command.sweep)
    changes: dict[str, Any] = {
        field: value
        for field in ("state", "config", "display_name")
        if (value := getattr(command, field)) is not None
    }
    if command.state not in (None, sweep.state) and command.state not in STATES[sweep.state]:
        raise Conflict(f"sweep {sweep.name} is {sweep.state} and cannot become {command.state}")
    state.put(SWEEPS, sweep.id, replace(sweep, **changes, updated=at.time))
    state.touch(sweep.id, at.seq, 111)


@applies(112, "join_sweep", JoinSweep, int)
def _join_sweep(state: State, at: Stamp, command: JoinSweep) -> int:
    sweep = require(state, command.sweep)
    state.put(
        SWEEP_AGENTS, sweep.id, at.id, SweepAgent(at.id, sweep.id, command.host, at.time, command.actor)
    )
    state.put(AGENT_SWEEPS, at.id, sweep.id)
    state.touch(sweep.id, at.seq, 112)
    return at.id


@applies(113, "assign_run", AssignRun, int)
def _assign_run(state: State, at: Stamp, command: AssignRun) -> int:
    sweep = require(state, command.sweep)
    if sweep.assigned != command.held:
        raise Conflict(f"sweep {sweep.name} gave out another run in between")
    if sweep.assigned >= MAX_RUNS:
        raise Conflict(f"sweep {sweep.name} has {MAX_RUNS} runs, the limit")
    if command.agent and sweep.state not in ("pending", "running"):
        raise Conflict(f"sweep {sweep.name} is {sweep.state} and gives out no runs")
    if state.get(SWEEP_RUN_NAMES, sweep.id, command.run) is not None:
        raise Exists(f"sweep {sweep.name} has a run {command.run} already")
    number = sweep.assigned
    state.put(SWEEP_RUNS, sweep.id, number, SweepRun(command.run, command.agent, command.params, at.time))
    state.put(SWEEP_RUN_NAMES, sweep.id, command.run, number)
    if not command.agent:
        state.put(SWEEP_WAITING, sweep.id, number, 1)
    changed = replace(
        sweep,
        assigned=number + 1,
        drawn=sweep.drawn + command.drawn,
        state="running" if command.agent else sweep.state,
        updated=at.time,
    )
    state.put(SWEEPS, sweep.id, changed)
    state.touch(sweep.id, at.seq, 113)
    return number


@applies(121, "put_sweep_runs", PutSweepRuns)
def _put_sweep_runs(state: State, at: Stamp, command: PutSweepRuns) -> None:
    sweep = require(state, command.sweep)
    names = {given.run for given in command.runs}
    if sweep.assigned != command.held:
        raise Conflict(f"sweep {sweep.name} was given another run in between")
    if sweep.assigned + len(command.runs) > MAX_RUNS:
        raise Conflict(f"sweep {sweep.name} would have more than {MAX_RUNS} runs, the limit")
    if len(names) < len(command.runs) or any(
        state.get(SWEEP_RUN_NAMES, sweep.id, run) is not None for run in names
    ):
        raise Exists(f"sweep {sweep.name} would have a run twice")
    for number, given in enumerate(command.runs, sweep.assigned):
        row = SweepRun(given.run, 0, given.params, at.time, given.stopped, given.prior)
        state.put(SWEEP_RUNS, sweep.id, number, row)
        state.put(SWEEP_RUN_NAMES, sweep.id, given.run, number)
        if given.waiting:
            state.put(SWEEP_WAITING, sweep.id, number, 1)
    assigned, drawn = sweep.assigned + len(command.runs), sweep.drawn + command.drawn
    state.put(SWEEPS, sweep.id, replace(sweep, assigned=assigned, drawn=drawn, updated=at.time))
    state.touch(sweep.id, at.seq, 121)


@applies(114, "take_run", TakeRun)
def _take_run(state: State, at: Stamp, command: TakeRun) -> None:
    sweep = require(state, command.sweep)
    run = state.get(SWEEP_RUNS, sweep.id, command.number)
    if run is None or state.get(SWEEP_WAITING, sweep.id, command.number) is None:
        raise Conflict(f"the run was taken by another agent of sweep {sweep.name}")
    if sweep.state not in ("pending", "running"):
        raise Conflict(f"sweep {sweep.name} is {sweep.state} and gives out no runs")
    state.put(SWEEP_RUNS, sweep.id, command.number, replace(run, agent=command.agent))
    state.delete(SWEEP_WAITING, sweep.id, command.number)
    state.put(SWEEPS, sweep.id, replace(sweep, state="running", updated=at.time))
    state.touch(sweep.id, at.seq, 114)


@applies(115, "stop_sweep_run", StopSweepRun)
def _stop_sweep_run(state: State, at: Stamp, command: StopSweepRun) -> None:
    sweep = require(state, command.sweep)
    number = state.get(SWEEP_RUN_NAMES, sweep.id, command.run)
    run = state.get(SWEEP_RUNS, sweep.id, number) if number is not None else None
    if number is None or run is None:
        raise Missing(f"sweep {sweep.name} has no run {command.run}")
    if not run.stopped:
        state.put(SWEEP_RUNS, sweep.id, number, replace(run, stopped=at.time))
        state.touch(sweep.id, at.seq, 115)


@applies(116, "delete_sweep", DeleteSweep)
def _delete_sweep(state: State, at: Stamp, command: DeleteSweep) -> None:
    sweep = require(state, command.sweep)
    tables: tuple[Table[Any], ...] = (SWEEP_RUNS, SWEEP_RUN_NAMES, SWEEP_WAITING, SWEEP_AGENTS)
    doomed = [(table, key) for table in tables for key, _ in state.scan(table, sweep.id)]
    for table, key in doomed:
        state.delete(table, *key)
        if table is SWEEP_AGENTS:
            state.delete(AGENT_SWEEPS, key[1])
    state.delete(SWEEP_NAMES, sweep.project, sweep.name)
    state.delete(SWEEPS, sweep.id)
    state.touch(sweep.id, at.seq, 116)


def require(state: State, sweep_id: int) -> Sweep:
    """The sweep in ``apply``; raises :class:`Missing` when it was deleted."""
    sweep = state.get(SWEEPS, sweep_id)
    if sweep is None:
        raise Missing("the sweep does not exist any more")
    return sweep


def params_of(run: SweepRun) -> dict[str, Any]:
    """The parameters that were chosen for a run."""
    found: dict[str, Any] = msgspec.msgpack.decode(run.params)
    return found
