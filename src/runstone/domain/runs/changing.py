"""One change of many runs: of all that fit a filter, or of those that are named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from runstone.domain import fields
from runstone.domain.context import Context
from runstone.domain.runs import checks, finding, questions
from runstone.domain.runs.commands import DeleteRun, RestoreRun, UpdateRun
from runstone.domain.store import Store
from runstone.errors import Conflict, Gone, Invalid, Missing, TooLarge
from runstone.storage.changelog import Submission
from runstone.storage.commands import Command
from runstone.storage.tables import RUN_NAMES, RUNS, Run
from runstone.types import RunsChanged

#: More runs than this are not changed by one request.
MAX_RUNS = 10_000
#: Runs whose changes are durable together; between two batches the request may end at its deadline.
BATCH = 500
Act = Literal["tag", "delete", "restore"]


def change(
    store: Store,
    ctx: Context,
    project: str,
    act: Act,
    *,
    filter: Any = "",
    runs: Sequence[str] | None = None,
    expected: int | None = None,
    tags: Any = (),
    untag: Iterable[str] = (),
) -> RunsChanged:
    """Tags, deletes or restores the runs that fit ``filter``, or those of the names ``runs``; answers which of them it changed.

    A run that is already as it should be is left alone, so that the same request may come again, and its answer tells what to take
    back. With ``expected``, how many runs the asker saw, nothing is done when there are others: raises :class:`Conflict`. Takes the
    right to write in the project; raises :class:`Missing` for a name without a run and :class:`TooLarge` for over 10,000 runs, before
    anything is done. Batches of 500 are durable each; a deadline between two leaves the first ones done.
    """
    added, gone = checks.tags(tags), tuple(dict.fromkeys(untag))
    if (act == "tag") != bool(added or gone):
        raise Invalid("tags are what 'tag' adds (tags) and takes away (untag), and no other act has any")
    if act == "restore" and runs is None:
        raise Invalid("runs that are deleted are restored by their names")
    with store.index.read() as view:
        place = finding.project(store, view, ctx, project, "write")
        hidden = fields.hidden_from(store, view, ctx, place)
    fields.require_changeable(ctx, hidden, {"tags": added}, [f"tags.{tag}" for tag in gone])
    ids = _fitting(store, ctx, project, filter) if runs is None else _named(store, place.project.id, runs)
    if expected is not None and len(ids) != expected:
        raise Conflict(f"{len(ids)} runs fit now, and not {expected}: look again before you change them")
    make = _maker(ctx, act, added, gone)
    changed: list[str] = []
    for at in range(0, len(ids), BATCH):
        ctx.check_deadline()
        changed += _batch(store, ids[at : at + BATCH], make)
    return RunsChanged(matched=len(ids), runs=tuple(changed))


def _fitting(store: Store, ctx: Context, project: str, filter: Any) -> list[int]:
    ids, _ = questions.ids(store, ctx, project, filter=filter, limit=MAX_RUNS + 1)
    if len(ids) > MAX_RUNS:
        raise TooLarge(f"more than {MAX_RUNS} runs fit; narrow the filter, and change them part by part")
    return ids


def _named(store: Store, project: int, names: Sequence[str]) -> list[int]:
    if len(names) > MAX_RUNS:
        raise TooLarge(f"{len(names)} runs are over the limit of {MAX_RUNS}")
    with store.index.read() as view:
        found = {name: view.get(RUN_NAMES, project, name) for name in names}
    for name, held in found.items():
        if held is None:
            raise Missing(f"run {name!r} does not exist; nothing was changed")
    return [held for held in found.values() if held is not None]


def _maker(
    ctx: Context, act: Act, tags: dict[str, str], gone: tuple[str, ...]
) -> Callable[[Run], Command | None]:
    """What makes the command of a run, or None where there is nothing to do."""
    actor, reason = ctx.principal.name, ctx.reason

    def make(run: Run) -> Command | None:
        if act == "restore":
            return RestoreRun(actor=actor, reason=reason, run=run.id) if run.deleted else None
        if run.deleted:
            return None
        if act == "delete":
            return DeleteRun(actor=actor, reason=reason, run=run.id)
        new = {tag: text for tag, text in tags.items() if run.tags.get(tag) != text}
        old = tuple(f"tags.{tag}" for tag in gone if tag in run.tags and tag not in tags)
        return UpdateRun(actor=actor, reason=reason, run=run.id, tags=new, remove=old) if new or old else None

    return make


def _batch(store: Store, ids: list[int], make: Callable[[Run], Command | None]) -> list[str]:
    with store.index.read() as view:
        held = [run for run_id in ids if (run := view.get(RUNS, run_id)) is not None]
    sent = [(run, Submission(command)) for run in held if (command := make(run)) is not None]
    store.log.submit_many([submission for _, submission in sent])
    for _, submission in sent:
        # A run that somebody else deleted, restored or purged meanwhile is not for this request to change.
        if submission.error is not None and not isinstance(submission.error, Missing | Gone | Conflict):
            raise submission.error
    return [run.name for run, submission in sent if submission.error is None]
