"""Sweeps that were in another store: made under the name that their runs say, with the runs that they gave out there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runstone.domain import limits, names
from runstone.domain.context import Context
from runstone.domain.runs import checks
from runstone.domain.store import Store
from runstone.domain.sweeps import config as configs
from runstone.domain.sweeps.commands import MAX_RUNS, CreateSweep, GivenRun, PutSweepRuns
from runstone.domain.sweeps.finding import find
from runstone.errors import Invalid

#: Runs that are given to a sweep at once.
MAX_TOGETHER = 100


def create(
    store: Store, ctx: Context, project: str, name: str, config: dict[str, Any], display_name: str = ""
) -> None:
    """Makes a sweep of a name in a project that is there. Takes the right to administer it."""
    packed = checked(name, config, display_name)
    with store.index.read() as view:
        _, held = names.find_project(store, view, ctx, names.parse_project(ctx, project), "admin")
    command = CreateSweep(
        actor=ctx.principal.name,
        reason=ctx.reason,
        project=held.id,
        name=name,
        config=packed,
        display_name=display_name,
    )
    store.submit(ctx, command)


def checked(name: str, config: dict[str, Any], display_name: str) -> bytes:
    """A sweep's configuration, packed; raises :class:`Invalid` for a sweep that nobody can make."""
    checks.name(name)
    configs.plan(config)
    limits.text(display_name, "display name", 1024)
    return checks.document(config, "config")


def put_runs(
    store: Store, ctx: Context, sweep: str, runs: Sequence[GivenRun], *, held: int, drawn: int = 0
) -> None:
    """Gives a sweep that has ``held`` runs some more, ``drawn`` of which its method chose. Takes the right to administer the project."""
    checked_runs(runs, drawn)
    with store.index.read() as view:
        found = find(store, view, ctx, sweep, "admin")
    command = PutSweepRuns(
        actor=ctx.principal.name,
        reason=ctx.reason,
        sweep=found.sweep.id,
        runs=tuple(runs),
        held=held,
        drawn=drawn,
    )
    store.submit(ctx, command)


def checked_runs(runs: Sequence[GivenRun], drawn: int = 0) -> None:
    """Raises :class:`Invalid` for runs that no sweep gives out."""
    if len(runs) > MAX_TOGETHER or not 0 <= drawn <= MAX_RUNS:
        raise Invalid(f"a sweep is given at most {MAX_TOGETHER} runs at once, and chooses at most {MAX_RUNS}")
    for run in runs:
        checks.name(run.run)
        limits.moment(run.stopped, "stopped")
