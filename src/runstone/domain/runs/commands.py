"""What happens to a run as a whole: made, resumed, forked, changed, finished, deleted and restored."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from runstone.domain.runs.applying import mark, require
from runstone.domain.runs.streams import Past, begin_stream, cut
from runstone.errors import Conflict, Exists, Invalid, Missing
from runstone.storage.commands import Command, Remains, Stamp, applies
from runstone.storage.state import State
from runstone.storage.tables import (
    PROJECTS,
    RUN_MARKS,
    RUN_NAMES,
    RUNNING,
    RUNS,
    STREAM_FORKS,
    STREAMS,
    Run,
)

#: States that a run may be in; it reports while it is ``running``, and may go on reporting after any other.
STATES = ("running", "finished", "failed", "crashed", "killed", "pending", "preempting", "preempted")
EMPTY_MAP = b"\x80"
MAX_CONFIG = 4 << 20
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode
_encode = msgspec.msgpack.Encoder().encode


class CreateRun(Command, frozen=True, kw_only=True):
    """Makes a run. ``resume`` says what if there is one of that name: ``never`` refuses, ``allow`` goes on with it, ``must`` wants it there.

    ``config``, ``summary`` and ``info`` are MessagePack maps. With ``parent``, history up to ``step`` (exclusive) is the parent's.
    """

    project: int
    name: str
    resume: str = "never"
    display_name: str = ""
    group: str = ""
    job_type: str = ""
    sweep: str = ""
    notes: str = ""
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    config: bytes = EMPTY_MAP
    goals: dict[str, str] = msgspec.field(default_factory=dict)
    info: bytes = EMPTY_MAP
    started: int = 0
    parent: int = 0
    step: int = 0
    past: Past = Past()

    def asked(self) -> CreateRun:
        """The run without the past that was found when it was forked."""
        return replace(self, past=Past())

    def erased(self, remains: Remains) -> CreateRun:
        """That there was a run of this name, and where it was forked."""
        return CreateRun(
            actor="",
            project=self.project,
            name=self.name,
            resume=self.resume,
            parent=self.parent,
            step=self.step,
        )


class UpdateRun(Command, frozen=True, kw_only=True):
    """Changes a run; None leaves a field as it is.

    ``config``, ``summary``, ``info``, ``tags`` and ``goals`` are merged by their top-level names; names in ``remove`` (``config.lr``,
    ``tags.old``, or ``tags`` for all of them) are taken away first. ``once`` is merged into ``config`` too, but refused as a whole when a
    name in it is there with another value.
    """

    run: int
    display_name: str | None = None
    group: str | None = None
    job_type: str | None = None
    sweep: str | None = None
    notes: str | None = None
    tags: dict[str, str] | None = None
    config: bytes | None = None
    summary: bytes | None = None
    goals: dict[str, str] | None = None
    info: bytes | None = None
    started: int | None = None
    remove: tuple[str, ...] = ()
    once: bytes | None = None

    def erased(self, remains: Remains) -> UpdateRun:
        """That there was a change."""
        return UpdateRun(actor="", run=self.run)


class SetRunState(Command, frozen=True, kw_only=True):
    """Puts a run into a state. With ``silent_since``, only if nothing was heard of it after that time."""

    run: int
    state: str
    finished: int = 0
    silent_since: int = 0


class DeleteRun(Command, frozen=True, kw_only=True):
    """Marks a run as deleted; it can be restored until it is purged. Its name stays taken."""

    run: int


class RestoreRun(Command, frozen=True, kw_only=True):
    """Takes a deletion back."""

    run: int


class CreatedRun(msgspec.Struct, frozen=True):
    """What :class:`CreateRun` answers: the run's id, its stream, and whether it was there before."""

    id: int
    stream: int
    resumed: bool


@applies(64, "create_run", CreateRun, CreatedRun)
def _create_run(state: State, at: Stamp, command: CreateRun) -> CreatedRun:
    project = state.get(PROJECTS, command.project)
    if project is None:
        raise Missing("the project does not exist any more")
    if project.deleted:
        raise Conflict(f"project {project.name} is archived and takes no new runs; restore it first")
    held = state.get(RUN_NAMES, command.project, command.name)
    if held is not None:
        return _resume(state, at, command, require(state, held, deleted=True))
    if command.resume == "must":
        raise Missing(f"there is no run {command.name} to resume")
    spans: tuple[tuple[int, int], ...] = ((at.id, -1),)
    if command.parent:
        parent = require(state, command.parent)
        spans = cut(parent.spans, command.step) + spans
    run = Run(
        at.id,
        command.project,
        command.name,
        at.time,
        command.actor,
        command.display_name,
        "running",
        command.started or at.time,
        0,
        command.group,
        command.job_type,
        command.sweep,
        command.notes,
        command.tags,
        command.config,
        EMPTY_MAP,
        command.goals,
        command.info,
        at.id,
        (at.id,),
        spans,
        parent=command.parent,
        forked=command.step if command.parent else 0,
    )
    state.put(RUNS, at.id, run)
    state.put(RUN_NAMES, command.project, command.name, at.id)
    state.put(STREAMS, at.id, at.id)
    state.put(RUNNING, at.id, 1)
    for stream, _ in spans[:-1]:
        state.put(STREAM_FORKS, stream, at.id, 1)
    begin_stream(state, run, at.id, command.past)
    mark(state, at, run)
    state.touch(at.id, at.seq, 64)
    return CreatedRun(at.id, at.id, False)


def _resume(state: State, at: Stamp, command: CreateRun, run: Run) -> CreatedRun:
    if command.resume == "never" or command.parent:
        raise Exists(f"there is a run {run.name} already; resume it, or choose another name")
    if run.deleted:
        raise Conflict(f"run {run.name} was deleted; restore it first, or choose another name")
    changes = {
        name: value
        for name in ("display_name", "group", "job_type", "sweep", "notes")
        if (value := getattr(command, name))
    }
    run = replace(
        run,
        state="running",
        finished=0,
        tags={**run.tags, **command.tags},
        goals={**run.goals, **command.goals},
        config=merge(run.config, command.config),
        info=merge(run.info, command.info),
        **changes,
    )
    _require_small(run)
    state.put(RUNS, run.id, run)
    state.put(RUNNING, run.id, 1)
    mark(state, at, run)
    state.touch(run.id, at.seq, 64)
    return CreatedRun(run.id, run.stream, True)


@applies(65, "update_run", UpdateRun)
def _update_run(state: State, at: Stamp, command: UpdateRun) -> None:
    run = require(state, command.run)
    if command.once is not None:
        run = replace(run, config=_merge_once(run, command.once))
    changes: dict[str, Any] = {
        name: value
        for name in ("display_name", "group", "job_type", "sweep", "notes", "started")
        if (value := getattr(command, name)) is not None
    }
    for field in ("config", "summary", "info"):
        gone = _under(command.remove, field)
        patch = getattr(command, field)
        if gone or patch is not None:
            old = EMPTY_MAP if field in command.remove else getattr(run, field)
            changes[field] = merge(old, patch or EMPTY_MAP, gone)
    for field in ("tags", "goals"):
        gone = _under(command.remove, field)
        old = {} if field in command.remove else getattr(run, field)
        kept = {name: value for name, value in old.items() if name not in gone}
        changes[field] = {**kept, **(getattr(command, field) or {})}
    run = replace(run, **changes)
    _require_small(run)
    state.put(RUNS, run.id, run)
    mark(state, at, run)
    state.touch(run.id, at.seq, 65)


@applies(68, "set_run_state", SetRunState)
def _set_run_state(state: State, at: Stamp, command: SetRunState) -> None:
    run = require(state, command.run)
    held = state.get(RUN_MARKS, run.id)
    if command.silent_since and (run.state != "running" or (held and held.time > command.silent_since)):
        raise Conflict(f"run {run.name} has been heard of")
    finished = 0 if command.state == "running" else command.finished or at.time
    run = replace(run, state=command.state, finished=finished)
    state.put(RUNS, run.id, run)
    if command.state == "running":
        state.put(RUNNING, run.id, 1)
    else:
        state.delete(RUNNING, run.id)
    mark(state, at, run)
    state.touch(run.id, at.seq, 68)


@applies(71, "delete_run", DeleteRun)
def _delete_run(state: State, at: Stamp, command: DeleteRun) -> None:
    run = require(state, command.run)
    state.put(RUNS, run.id, replace(run, deleted=at.time))
    state.delete(RUNNING, run.id)
    mark(state, at, run)
    state.touch(run.id, at.seq, 71)


@applies(72, "restore_run", RestoreRun)
def _restore_run(state: State, at: Stamp, command: RestoreRun) -> None:
    run = require(state, command.run, deleted=True)
    if not run.deleted:
        raise Conflict(f"run {run.name} is not deleted")
    state.put(RUNS, run.id, replace(run, deleted=0))
    if run.state == "running":
        state.put(RUNNING, run.id, 1)
    mark(state, at, run)
    state.touch(run.id, at.seq, 72)


def merge(old: bytes, patch: bytes, gone: tuple[str, ...] = ()) -> bytes:
    """A map with the names in ``gone`` taken away and those of a patch set, as MessagePack."""
    if patch == EMPTY_MAP and not gone:
        return old
    kept = {name: value for name, value in _decode(old).items() if name not in gone}
    return _encode({**kept, **_decode(patch)})


def _merge_once(run: Run, patch: bytes) -> bytes:
    held = _decode(run.config)
    for name, value in _decode(patch).items():
        if name in held and held[name] != value:
            raise Conflict(
                f"{name} of run {run.name} is {held[name]!r:.200} and was to be set once",
                name=name, held=held[name], given=value,
            )  # fmt: skip
    return merge(run.config, patch)


def _under(removed: tuple[str, ...], field: str) -> tuple[str, ...]:
    under = tuple(name.removeprefix(f"{field}.") for name in removed if name.startswith(f"{field}."))
    return (*under, "") if field in removed else under


def _require_small(run: Run) -> None:
    for field in ("config", "summary", "info"):
        if len(getattr(run, field)) > MAX_CONFIG:
            raise Invalid(f"the {field} of run {run.name} would be over the limit of {MAX_CONFIG} bytes")
