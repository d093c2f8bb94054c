"""Sweeps: searches over parameters, their agents and their runs."""

from __future__ import annotations

from runstone.storage.tables.table import Record, local_table, state_table


class Sweep(Record, frozen=True):
    """A search over parameters. ``config`` is a MessagePack map; ``state`` is pending, running, paused, finished or canceled.

    ``assigned`` counts the runs that it gave out, ``drawn`` those of them whose parameters its method chose.
    """

    id: int
    project: int
    name: str
    created: int
    by: str
    updated: int
    config: bytes
    state: str = "pending"
    display_name: str = ""
    assigned: int = 0
    drawn: int = 0


class SweepAgent(Record, frozen=True):
    """A process that asks a sweep for runs."""

    id: int
    sweep: int
    host: str
    created: int
    by: str


class SweepRun(Record, frozen=True):
    """A run that a sweep chose parameters for (a MessagePack map). ``agent`` is 0 while it waits for one.

    ``stopped`` is when it was found to be worse than the others, or 0; ``prior`` says that it was there before the sweep.
    """

    run: str
    agent: int
    params: bytes
    time: int
    stopped: int = 0
    prior: bool = False


SWEEPS = state_table(110, "sweeps", "id:u64", Sweep)
SWEEP_NAMES = state_table(111, "sweep_names", "project:u64 name:text", int)
SWEEP_AGENTS = state_table(112, "sweep_agents", "sweep:u64 agent:u64", SweepAgent)
AGENT_SWEEPS = state_table(113, "agent_sweeps", "agent:u64", int)
SWEEP_RUNS = state_table(114, "sweep_runs", "sweep:u64 number:u32", SweepRun)
SWEEP_RUN_NAMES = state_table(115, "sweep_run_names", "sweep:u64 run:text", int)
SWEEP_WAITING = state_table(116, "sweep_waiting", "sweep:u64 number:u32", int)
AGENT_HEARTBEATS = local_table(117, "agent_heartbeats", "agent:u64", int)
