"""What happens to a run as a whole: made, resumed, forked, changed, finished, rewound, deleted, restored and purged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from runstone.domain.collections import domain_of
from runstone.domain.runs import keys, stats
from runstone.errors import Conflict, Exists, Invalid, Missing
from runstone.storage.commands import Command, Remains, Stamp, applies
from runstone.storage.index import View
from runstone.storage.state import State
from runstone.storage.tables import (
    ALERTS,
    ARRIVALS,
    ARRIVED,
    BLOB_VERSIONS,
    DATASET_NAMES,
    DATASET_RUNS,
    DATASETS,
    HISTORY,
    LAST_OBJECTS,
    LINES,
    PROJECTS,
    RUN_CHANGES,
    RUN_DATASETS,
    RUN_FILES,
    RUN_MARKS,
    RUN_MODELS,
    RUN_NAMES,
    RUNNING,
    RUNS,
    STATS,
    STREAM_FORKS,
    STREAMS,
    WRITER_LINES,
    WRITER_ROWS,
    Dataset,
    LastObject,
    Rewind,
    Run,
    RunMark,
    Table,
)

#: States that a run may be in; it reports while it is ``running``, and may go on reporting after any other.
STATES = ("running", "finished", "failed", "crashed", "killed", "pending", "preempting", "preempted")
EMPTY_MAP = b"\x80"
MAX_CONFIG = 4 << 20
MAX_REWINDS = 1000
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode
_encode = msgspec.msgpack.Encoder().encode


class Past(msgspec.Struct, frozen=True, array_like=True):
    """What a fork or rewind keeps of the history before it: statistics and last objects up to its step, by key name."""

    stats: tuple[tuple[str, bytes], ...] = ()
    objects: tuple[tuple[str, LastObject], ...] = ()


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


class DeleteRun(Command, frozen=True, kw_only=True):
    """Marks a run as deleted; it can be restored until it is purged. Its name stays taken."""

    run: int


class RestoreRun(Command, frozen=True, kw_only=True):
    """Takes a deletion back."""

    run: int


class PurgeRun(Command, frozen=True, kw_only=True):
    """Removes a deleted run for good, with its points, lines and files, and erases from the log what it said."""

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
    _begin_stream(state, run, at.id, command.past)
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
    _begin_stream(state, run, at.id, command.past)
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


@applies(73, "purge_run", PurgeRun)
def _purge_run(state: State, at: Stamp, command: PurgeRun) -> None:
    run = require(state, command.run, deleted=True)
    if not run.deleted:
        raise Conflict(f"run {run.name} is not deleted; delete it first")
    doomed: list[tuple[Table[Any], tuple[Any, ...]]] = [(LINES, key) for key, _ in state.scan(LINES, run.id)]
    doomed += [(WRITER_LINES, key) for key, _ in state.scan(WRITER_LINES, run.id)]
    doomed += [(WRITER_ROWS, key) for key, _ in state.scan(WRITER_ROWS, run.id)]
    doomed += [(ALERTS, key) for key, _ in state.scan(ALERTS, run.id)]
    doomed += [(RUN_MODELS, key) for key, _ in state.scan(RUN_MODELS, run.id)]
    for (_, dataset), _ in state.scan(RUN_DATASETS, run.id):
        doomed += [(RUN_DATASETS, (run.id, dataset)), (DATASET_RUNS, (dataset, run.id))]
    orphaned = _orphaned(state, run)
    doomed += [(DATASETS, (dataset.id,)) for dataset in orphaned]
    doomed += [(DATASET_NAMES, (run.project, dataset.digest, dataset.name)) for dataset in orphaned]
    for seq in _said(state, run) | {dataset.entry for dataset in orphaned}:
        state.erase(seq, at.seq)
    doomed += _stream_rows(state, run)
    files = [entry for _, entry in state.scan(RUN_FILES, run.id)]
    for table, key in doomed:
        state.delete(table, *key)
    domain = domain_of(state, run.project)
    for entry in files:
        state.delete(RUN_FILES, run.id, entry.path)
        if not entry.url:
            state.delete(BLOB_VERSIONS, domain, entry.sha256, run.id)
    held = state.get(RUN_MARKS, run.id)
    if held is not None:
        state.delete(RUN_CHANGES, run.project, held.changed, run.id)
    state.put(RUN_CHANGES, run.project, at.seq, run.id, 1)
    state.delete(RUN_MARKS, run.id)
    state.delete(RUN_NAMES, run.project, run.name)
    state.delete(RUNS, run.id)
    state.touch(run.id, at.seq, 73)


def _orphaned(state: State, run: Run) -> list[Dataset]:
    """The datasets that this run was the last to read, but for those that were described for themselves."""
    found = []
    for (_, number), _ in state.scan(RUN_DATASETS, run.id):
        dataset = state.get(DATASETS, number)
        others = any(reader != run.id for (_, reader), _ in state.scan(DATASET_RUNS, number))
        if dataset is not None and not others and state.get(HISTORY, run.project, dataset.entry) is None:
            found.append(dataset)
    return found


def _stream_rows(state: State, run: Run) -> list[tuple[Table[Any], tuple[Any, ...]]]:
    """What goes with a purged run: its statistics, and the points of every stream that no other run's history needs."""
    found: list[tuple[Table[Any], tuple[Any, ...]]] = []
    summaries: tuple[Table[Any], ...] = (STATS, LAST_OBJECTS)
    for stream in run.streams:
        for table in summaries:
            found += [(table, key) for key, _ in state.scan(table, stream)]
    for stream in ending_streams(state, run):
        arrivals = [key for key, _ in state.scan(ARRIVALS, stream)]
        found += [(ARRIVALS, key) for key in arrivals]
        found += [(ARRIVED, (seq, stream)) for _, seq in arrivals]
        found.append((STREAMS, (stream,)))
    return found + [(STREAM_FORKS, (stream, run.id)) for stream in _borrowed(run)]


def _said(state: State, run: Run) -> set[int]:
    """The log entries that say something of a run and of no other that stays."""
    said = {seq for (_, seq), _ in state.scan(HISTORY, run.id)}
    said |= {seq for (_, _, seq), _ in state.scan(LINES, run.id)}
    for stream in ending_streams(state, run):
        said |= {seq for (_, seq), _ in state.scan(ARRIVALS, stream)}
    return said


def ending_streams(state: State | View, run: Run) -> list[int]:
    """The streams whose points go when a run is purged: no other run's history needs them."""
    forked = [stream for stream in run.streams if next(state.scan(STREAM_FORKS, stream), None) is not None]
    ending = [stream for stream in run.streams if stream not in forked]
    return ending + [stream for stream in _borrowed(run) if _only_user(state, stream, run.id)]


def _borrowed(run: Run) -> list[int]:
    return [stream for stream, _ in run.spans if stream not in run.streams]


def _only_user(state: State | View, stream: int, run_id: int) -> bool:
    """Whether a purged run's stream is kept for the history of this fork alone."""
    owner = state.get(STREAMS, stream)
    users = {fork for (_, fork), _ in state.scan(STREAM_FORKS, stream)}
    return users == {run_id} and (owner is None or state.get(RUNS, owner) is None)


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


def cut(spans: tuple[tuple[int, int], ...], step: int) -> tuple[tuple[int, int], ...]:
    """A history up to a step (exclusive)."""
    return tuple((stream, step if until < 0 else min(until, step)) for stream, until in spans)


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


def _begin_stream(state: State, run: Run, stream: int, past: Past) -> None:
    numbers = keys.number(state, run.project, _names(past))
    pages: dict[int, list[stats.Stat]] = {}
    for name, record in past.stats:
        stat = stats.from_record(record)._replace(key=numbers[name])
        pages.setdefault(stat.key // stats.PAGE, []).append(stat)
    for page, found in pages.items():
        state.put(STATS, stream, page, stats.pack(found))
    for name, last in past.objects:
        state.put(LAST_OBJECTS, stream, numbers[name], last)


def _names(past: Past) -> Mapping[str, None]:
    return dict.fromkeys([name for name, _ in past.stats] + [name for name, _ in past.objects])
