"""Runs as a whole: create, resume, fork, change, finish, rewind, delete, restore, purge, and read."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from runstone.domain import fields, limits, names, projects
from runstone.domain.context import Context
from runstone.domain.runs import checks, finding, history, series
from runstone.domain.runs.commands import (
    CreatedRun,
    CreateRun,
    DeleteRun,
    RestoreRun,
    SetRunState,
    UpdateRun,
)
from runstone.domain.runs.finding import Found
from runstone.domain.runs.purging import PurgeRun
from runstone.domain.runs.rewinding import RewindRun, UndoRewind
from runstone.domain.runs.streams import ending_streams
from runstone.domain.store import Store
from runstone.errors import Conflict, Invalid, Missing
from runstone.types import RunInfo

RESUMES = ("never", "allow", "must")


def create(
    store: Store,
    ctx: Context,
    name: str,
    *,
    resume: str = "never",
    display_name: str = "",
    group: str = "",
    job_type: str = "",
    sweep: str = "",
    notes: str = "",
    tags: Any = (),
    config: Any = None,
    goals: Any = None,
    info: Any = None,
    started: int = 0,
    fork: str = "",
    step: int = 0,
) -> RunInfo:
    """Makes a run (``namespace/project/run``), and its project on first use; or goes on with one, as ``resume`` says.

    ``resume`` is ``never`` (one of that name is an error), ``allow`` or ``must``. With ``fork`` (a run's name), the history up to ``step``
    (exclusive) is that run's, and nothing is copied. Takes the right to write in the project.
    """
    return create_or_resume(
        store, ctx, name, resume=resume, display_name=display_name, group=group, job_type=job_type, sweep=sweep,
        notes=notes, tags=tags, config=config, goals=goals, info=info, started=started, fork=fork, step=step,
    )[0]  # fmt: skip


def create_or_resume(
    store: Store, ctx: Context, name: str, *, resume: str, fork: str = "", step: int = 0, **given: Any
) -> tuple[RunInfo, bool]:
    """:func:`create`, which also says whether the run was there before."""
    parsed = finding.parse(ctx, name)
    if resume not in RESUMES:
        raise Invalid(f"resume {resume!r} must be one of {', '.join(RESUMES)}")
    if fork and resume != "never":
        raise Invalid("a run is either forked from another or resumed, not both")
    _make_project(store, ctx, parsed)
    parent = _parent(store, ctx, fork) if fork else None
    with store.index.read() as view:
        _, project = names.find_project(store, view, ctx, parsed, "write")
    if project.kind == "registry":
        raise Conflict(
            f"{parsed.namespace}/{parsed.project} is a registry and holds no runs; use another project"
        )
    if parent is not None and parent.run.project != project.id:
        raise Invalid(f"{parsed} must lie in the project of the run that it is forked from, {parent}")
    command = CreateRun(
        actor=ctx.principal.name,
        reason=ctx.reason,
        project=project.id,
        name=checks.name(parsed.collection),
        resume=resume,
        display_name=limits.text(given["display_name"], "display name", 1024),
        group=limits.text(given["group"], "group", 1024),
        job_type=limits.text(given["job_type"], "job type", 1024),
        sweep=limits.text(given["sweep"], "sweep", 1024),
        notes=checks.notes(given["notes"]),
        tags=checks.tags(given["tags"] or ()),
        config=checks.document(given["config"], "config"),
        goals=checks.goals(given["goals"] or {}),
        info=checks.document(given["info"], "info"),
        started=limits.moment(given["started"], "started"),
        parent=parent.run.id if parent else 0,
        step=checks.step(step) if parent else step,
    )
    if parent is None:
        receipt = store.submit(ctx, command)
    else:
        receipt = history.submit(
            store,
            ctx,
            lambda: _parent(store, ctx, fork).run,
            step,
            lambda run, past: replace(command, parent=run.id, past=past),
        )
    made: CreatedRun = receipt.result
    return get(store, ctx, str(parsed)), made.resumed


def _make_project(store: Store, ctx: Context, name: names.Name) -> None:
    project = f"{name.namespace}/{name.project}"
    try:
        projects.get(store, ctx, project)
    except Missing:
        projects.create(store, ctx.without_id(), project, exist_ok=True)


def _parent(store: Store, ctx: Context, name: str) -> Found:
    with store.index.read() as view:
        return finding.find(store, view, ctx, name)


def update(
    store: Store,
    ctx: Context,
    name: str,
    *,
    display_name: str | None = None,
    group: str | None = None,
    job_type: str | None = None,
    sweep: str | None = None,
    notes: str | None = None,
    tags: Any = None,
    config: Any = None,
    summary: Any = None,
    goals: Any = None,
    info: Any = None,
    started: int | None = None,
    once: Any = None,
    remove: tuple[str, ...] = (),
) -> RunInfo:
    """Changes a run. Maps are merged by their top-level names; ``remove`` names what is taken away (``config.lr``, ``tags.old``).
    ``once`` is config that is never changed again: raises :class:`Conflict` for a name in it that has another value already.

    A name that the principal may not read can neither be set nor removed.
    """

    def text(value: str | None, what: str, limit: int = 1024) -> str | None:
        return None if value is None else limits.text(value, what, limit)

    def document(value: Any, what: str) -> bytes | None:
        return None if value is None else checks.document(value, what)

    with store.index.read() as view:
        found = finding.find(store, view, ctx, name, "write")
        hidden = fields.hidden_from(store, view, ctx, found)
    documents = {"tags": tags, "config": {**(config or {}), **(once or {})}, "summary": summary, "info": info}
    fields.require_changeable(ctx, hidden, documents, remove)
    command = UpdateRun(
        actor=ctx.principal.name,
        reason=ctx.reason,
        run=found.run.id,
        display_name=text(display_name, "display name"),
        group=text(group, "group"),
        job_type=text(job_type, "job type"),
        sweep=text(sweep, "sweep"),
        notes=None if notes is None else checks.notes(notes),
        tags=None if tags is None else checks.tags(tags),
        config=document(config, "config"),
        once=document(once, "config"),
        summary=document(summary, "summary"),
        goals=None if goals is None else checks.goals(goals),
        info=document(info, "info"),
        started=None if started is None else limits.moment(started, "started"),
        remove=tuple(limits.required_text(each, "remove", checks.MAX_KEY + 16) for each in remove),
    )
    store.submit(ctx, command)
    return get(store, ctx, str(found))


def set_state(store: Store, ctx: Context, name: str, state: str, *, finished: int = 0) -> RunInfo:
    """Puts a run into a state; ``finished`` is when it ended, by default now."""
    found = _find(store, ctx, name)
    command = SetRunState(
        actor=ctx.principal.name,
        reason=ctx.reason,
        run=found.run.id,
        state=checks.state(state),
        finished=limits.moment(finished, "finished"),
    )
    store.submit(ctx, command)
    return get(store, ctx, str(found))


def rewind(store: Store, ctx: Context, name: str, step: int) -> RunInfo:
    """Takes a run back to a step (exclusive). Nothing is destroyed: :func:`undo_rewind` brings it back."""
    found = _find(store, ctx, name)
    history.submit(
        store,
        ctx,
        lambda: _find(store, ctx, name).run,
        checks.step(step),
        lambda run, past: RewindRun(
            actor=ctx.principal.name, reason=ctx.reason, run=run.id, step=step, past=past
        ),
    )
    return get(store, ctx, str(found))


def undo_rewind(store: Store, ctx: Context, name: str) -> RunInfo:
    """Brings back what the latest rewind set aside, and sets aside what was logged since."""
    found = _find(store, ctx, name)
    store.submit(ctx, UndoRewind(actor=ctx.principal.name, reason=ctx.reason, run=found.run.id))
    return get(store, ctx, str(found))


def delete(store: Store, ctx: Context, name: str) -> None:
    """Marks a run as deleted; :func:`restore` takes that back until it is purged."""
    found = _find(store, ctx, name)
    store.submit(ctx, DeleteRun(actor=ctx.principal.name, reason=ctx.reason, run=found.run.id))


def restore(store: Store, ctx: Context, name: str) -> RunInfo:
    """Takes a deletion back."""
    found = _find(store, ctx, name, deleted=True)
    store.submit(ctx, RestoreRun(actor=ctx.principal.name, reason=ctx.reason, run=found.run.id))
    return get(store, ctx, str(found))


def purge(store: Store, ctx: Context, name: str) -> None:
    """Removes a deleted run for good, also from the log. Takes the right to administer its project."""
    with store.index.read() as view:
        found = finding.find(store, view, ctx, name, "admin", deleted=True)
        ending = ending_streams(view, found.run) if found.run.deleted else []
    # Blocks are no part of the log. They go first, for nothing tells of them once the streams are gone; and again, if any were made since.
    series.drop(store, ending)
    store.submit(ctx, PurgeRun(actor=ctx.principal.name, reason=ctx.reason, run=found.run.id))
    series.drop(store, ending)


def get(store: Store, ctx: Context, name: str, *, deleted: bool = False) -> RunInfo:
    """A run by name; a deleted one only if asked for."""
    with store.index.read() as view:
        return finding.info(store, view, ctx, finding.find(store, view, ctx, name, deleted=deleted))


def _find(store: Store, ctx: Context, name: str, *, deleted: bool = False) -> Found:
    with store.index.read() as view:
        return finding.find(store, view, ctx, name, "write", deleted=deleted)
