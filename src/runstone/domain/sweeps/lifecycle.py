"""Sweeps as a whole: made, found, listed, changed, given runs, and deleted."""

from __future__ import annotations

import secrets
import string
from typing import Any

import msgspec

from runstone.domain import limits, names, projects
from runstone.domain.context import Context
from runstone.domain.policy import Action
from runstone.domain.runs import checks, finding, lifecycle, questions
from runstone.domain.store import Store
from runstone.domain.sweeps import config as configs
from runstone.domain.sweeps import results
from runstone.domain.sweeps.commands import AssignRun, CreateSweep, DeleteSweep, UpdateSweep
from runstone.domain.sweeps.finding import Found, by_id, find
from runstone.errors import Conflict, Invalid, Missing
from runstone.storage.tables import SWEEP_NAMES, SWEEPS
from runstone.types import SweepInfo

MAX_PRIORS = 10_000
_LETTERS = string.ascii_lowercase + string.digits
_encode = msgspec.msgpack.Encoder().encode


def create(
    store: Store,
    ctx: Context,
    project: str,
    config: dict[str, Any],
    *,
    display_name: str = "",
    priors: Any = None,
) -> SweepInfo:
    """Makes a sweep in a project, which is made on first use. ``priors`` is a filter (see :mod:`runstone.domain.runs.questions`) of
    runs of the project that become the sweep's."""
    configs.plan(config)
    parsed = names.parse_project(ctx, project)
    projects.create(store, ctx.without_id(), str(parsed), exist_ok=True)
    with store.index.read() as view:
        _, held = names.find_project(store, view, ctx, parsed, "write")
    earlier = questions.names(store, ctx, str(parsed), filter=priors, limit=MAX_PRIORS) if priors else []
    command = CreateSweep(
        actor=ctx.principal.name,
        reason=ctx.reason,
        project=held.id,
        name="".join(secrets.choice(_LETTERS) for _ in range(8)),
        config=checks.document(config, "config"),
        display_name=limits.text(display_name, "display name", 1024),
        priors=tuple(name.rpartition("/")[2] for name in earlier),
    )
    store.submit(ctx, command)
    for name in earlier:
        lifecycle.update(store, ctx.without_id(), name, sweep=command.name)
    return get(store, ctx, f"{parsed}/{command.name}")


def get(store: Store, ctx: Context, name: str) -> SweepInfo:
    """A sweep by ``namespace/project/sweep``."""
    with store.index.read() as view:
        found = find(store, view, ctx, name)
    return info(store, ctx, found)


def named(store: Store, ctx: Context, sweep_id: int, action: Action = "read") -> str:
    """The name of the sweep with an id, if the principal may do ``action`` in its project."""
    with store.index.read() as view:
        found = by_id(view, sweep_id)
        if found is None or not store.policy.allows(view, ctx, action, found.namespace, found.project):
            raise Missing(
                f"there is no sweep with id {sweep_id}, or {ctx.principal.name} may not {action} it"
            )
        return str(found)


def listed(store: Store, ctx: Context, project: str) -> list[SweepInfo]:
    """The sweeps of a project, by when they were made."""
    with store.index.read() as view:
        place = finding.project(store, view, ctx, project)
        held = [view.get(SWEEPS, sweep_id) for _, sweep_id in view.scan(SWEEP_NAMES, place.project.id)]
    there = sorted((sweep for sweep in held if sweep is not None), key=lambda sweep: sweep.id)
    return [info(store, ctx, Found(place.namespace, place.project, sweep)) for sweep in there]


def update(
    store: Store,
    ctx: Context,
    name: str,
    *,
    state: str | None = None,
    config: dict[str, Any] | None = None,
    display_name: str | None = None,
) -> SweepInfo:
    """Changes a sweep. Paused, it gives out no runs until it is running again; finished, its runs end by themselves; canceled, they are ended."""
    if config is not None:
        configs.plan(config)
    with store.index.read() as view:
        found = find(store, view, ctx, name, "write")
    if state is not None and state not in ("running", "paused", "finished", "canceled"):
        raise Invalid(f"a sweep becomes running, paused, finished or canceled, not {state!r:.80}")
    command = UpdateSweep(
        actor=ctx.principal.name,
        reason=ctx.reason,
        sweep=found.sweep.id,
        state=state,
        config=None if config is None else checks.document(config, "config"),
        display_name=None if display_name is None else limits.text(display_name, "display name", 1024),
    )
    store.submit(ctx, command)
    return get(store, ctx, str(found))


def enqueue(store: Store, ctx: Context, name: str, params: dict[str, Any], *, display_name: str = "") -> str:
    """Gives a sweep a run with parameters that the caller chose; the first agent that asks gets it. The run's full name."""
    with store.index.read() as view:
        found = find(store, view, ctx, name, "write")
    run = new_run_name()
    path = f"{found.namespace.name}/{found.project.name}/{run}"
    lifecycle.create(
        store, ctx.without_id(), path, display_name=display_name, sweep=found.sweep.name, config=params
    )
    lifecycle.set_state(store, ctx.without_id(), path, "pending")
    while True:
        with store.index.read() as view:
            held = find(store, view, ctx, name, "write").sweep.assigned
        command = AssignRun(
            actor=ctx.principal.name, sweep=found.sweep.id, run=run, params=_encode(params), held=held
        )
        try:
            store.submit(ctx.without_id(), command)
            return path
        except Conflict as error:
            if "in between" not in error.message:
                raise


def delete(store: Store, ctx: Context, name: str) -> None:
    """Removes a sweep; its runs stay."""
    with store.index.read() as view:
        found = find(store, view, ctx, name, "write")
    store.submit(ctx, DeleteSweep(actor=ctx.principal.name, reason=ctx.reason, sweep=found.sweep.id))


def new_run_name() -> str:
    """A name for a run that a sweep gives out."""
    return "".join(secrets.choice(_LETTERS) for _ in range(8))


def info(store: Store, ctx: Context, found: Found) -> SweepInfo:
    """A sweep as it is shown."""
    sweep = found.sweep
    config: dict[str, Any] = msgspec.msgpack.decode(sweep.config)
    plan = configs.plan(config)
    return SweepInfo(
        id=sweep.id,
        namespace=found.namespace.name,
        project=found.project.name,
        name=sweep.name,
        display_name=sweep.display_name,
        state=sweep.state,
        method=plan.method,
        config=config,
        created=sweep.created,
        updated=sweep.updated,
        by=sweep.by,
        runs=sweep.assigned,
        expected=plan.expected(),
        best=results.best(store, ctx, found, plan.metric) if plan.metric else None,
    )
