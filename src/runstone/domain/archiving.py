"""Archiving: a project is put away with its runs, and taken out again."""

from __future__ import annotations

from msgspec.structs import replace

from runstone.domain import names
from runstone.domain.context import Context
from runstone.domain.runs.applying import mark
from runstone.domain.store import Store
from runstone.errors import Missing
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.state import State
from runstone.storage.tables import PROJECTS, RUN_NAMES, RUNNING, RUNS


class ArchiveProject(Command, frozen=True, kw_only=True):
    """Marks a project and all its runs as deleted, or with ``archived`` false takes that back for all of them."""

    project: int
    archived: bool = True


@applies(91, "archive_project", ArchiveProject)
def _archive_project(state: State, at: Stamp, command: ArchiveProject) -> None:
    project = state.get(PROJECTS, command.project)
    if project is None:
        raise Missing("the project does not exist any more")
    deleted = at.time if command.archived else 0
    state.put(PROJECTS, project.id, replace(project, deleted=deleted, updated=at.time))
    for run_id in [run_id for _, run_id in state.scan(RUN_NAMES, project.id)]:
        run = state.get(RUNS, run_id)
        if run is None or bool(run.deleted) == command.archived:
            continue
        state.put(RUNS, run_id, replace(run, deleted=deleted))
        if command.archived:
            state.delete(RUNNING, run_id)
        elif run.state == "running":
            state.put(RUNNING, run_id, 1)
        mark(state, at, run)
        state.touch(run_id, at.seq, 91)
    state.touch(project.id, at.seq, 91)


def archive(store: Store, ctx: Context, name: str) -> None:
    """Puts a project away: it takes no new runs, its runs are deleted, and its name stays taken until it is restored."""
    _submit(store, ctx, name, True)


def restore(store: Store, ctx: Context, name: str) -> None:
    """Takes a project out again, with every run in it."""
    _submit(store, ctx, name, False)


def _submit(store: Store, ctx: Context, name: str, archived: bool) -> None:
    with store.index.read() as view:
        _, project = names.find_project(store, view, ctx, names.parse_project(ctx, name), "write")
    command = ArchiveProject(
        actor=ctx.principal.name, reason=ctx.reason, project=project.id, archived=archived
    )
    store.submit(ctx, command)
