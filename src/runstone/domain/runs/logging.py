"""What a run reports: points, console lines and files."""

from __future__ import annotations

import math

import msgspec
from msgspec.structs import replace

from runstone._native import points
from runstone.domain.collections import domain_of
from runstone.domain.runs import keys, stats, writers
from runstone.domain.runs.applying import mark, mark_affected, require
from runstone.domain.runs.summarising import before, later, summarised
from runstone.errors import Conflict, Invalid, Missing
from runstone.storage.commands import Command, Remains, Stamp, applies
from runstone.storage.series.arrivals import note_arrival
from runstone.storage.state import State
from runstone.storage.tables import (
    BLOB_VERSIONS,
    LAST_OBJECTS,
    LINES,
    RUN_FILES,
    RUN_MARKS,
    RUNNING,
    RUNS,
    STREAM_FORKS,
    WRITER_ROWS,
    Arrival,
    Entry,
    LastObject,
    LineSpan,
    Run,
)


class LogPoints(Command, frozen=True, kw_only=True):
    """Adds a batch of points (``docs/format/points.md``) to a run.

    With a ``writer`` (a stream of one process) only if ``held`` rows of that writer were taken in before, of which there are ``total`` then.
    """

    run: int
    batch: bytes
    writer: str = ""
    held: int = 0
    total: int = 0

    def erased(self, remains: Remains) -> LogPoints:
        """The keys that the project's dictionary may have from here, each with no number; at least one, so that it is a batch."""
        numeric, objects = summarised(self.batch)
        names = [*numeric, *objects]
        kept = [name for name in names if name not in remains.known] or names[:1]
        remains.known.update(kept)
        return LogPoints(
            actor="", run=self.run, batch=points.encode_rows([(0, 0, dict.fromkeys(kept, math.nan))])
        )


class Line(msgspec.Struct, frozen=True, array_like=True):
    """A console line: when, on which stream (``stdout``, ``stderr``), its level (may be empty), and its text."""

    time: int
    stream: str
    level: str
    text: str


class LogLines(Command, frozen=True, kw_only=True):
    """Adds console lines to a run: from line ``first`` on, or after the last. A line that was there is rewritten.

    With a ``writer`` (a stream of one process) ``first`` is that writer's own number of the line; its new lines follow the run's last.
    """

    run: int
    lines: tuple[Line, ...]
    first: int | None = None
    writer: str = ""

    def erased(self, remains: Remains) -> LogLines:
        """That there were lines."""
        return LogLines(actor="", run=self.run, lines=(Line(0, "", "", ""),))


class PutRunFiles(Command, frozen=True, kw_only=True):
    """Gives a run files; one of the same path is replaced."""

    run: int
    entries: tuple[Entry, ...]

    def erased(self, remains: Remains) -> PutRunFiles:
        """That files were put."""
        return PutRunFiles(actor="", run=self.run, entries=())


class RemoveRunFiles(Command, frozen=True, kw_only=True):
    """Takes files of a run away."""

    run: int
    paths: tuple[str, ...]

    def erased(self, remains: Remains) -> RemoveRunFiles:
        """That files were removed."""
        return RemoveRunFiles(actor="", run=self.run, paths=())


class Logged(msgspec.Struct, frozen=True):
    """What logging points answers: how many, and the highest step."""

    points: int
    step: int


@applies(66, "log_points", LogPoints, Logged)
def _log_points(state: State, at: Stamp, command: LogPoints) -> Logged:
    run = require(state, command.run)
    if command.writer:
        if (state.get(WRITER_ROWS, run.id, command.writer) or 0) != command.held:
            raise Conflict(f"rows of writer {command.writer} came in between; look again what is there")
        state.put(WRITER_ROWS, run.id, command.writer, command.total)
    _sum_up(state, run.project, [run.stream], command.batch)
    arrival = note_arrival(state, run.stream, at.seq, command.batch)
    _tell_forks(state, at, run, arrival, command.batch)
    _revive(state, run)
    mark(state, at, run, points=arrival.points)
    return Logged(arrival.points, arrival.max_step)


def _sum_up(state: State, project: int, streams: list[int], batch: bytes) -> None:
    """Adds a batch to what is known in short of streams."""
    numeric, objects = summarised(batch)
    numbers = keys.number(state, project, dict.fromkeys([*numeric, *objects]))
    for stream in streams:
        stats.add(state, stream, {numbers[name]: found for name, found in numeric.items()})
        for name, last in objects.items():
            _keep_last(state, stream, numbers[name], last)


def _tell_forks(state: State, at: Stamp, parent: Run, arrival: Arrival, batch: bytes) -> None:
    """Adds what lies below the step of a fork to what is known of it: its history has these points too."""
    late: dict[int, list[int]] = {}
    for (_, number), _ in state.scan(STREAM_FORKS, parent.stream):
        fork = state.get(RUNS, number)
        affected = _borrowers(fork, parent.stream, arrival.min_step) if fork is not None else []
        for until, borrower in affected:
            late.setdefault(until, []).append(borrower)
        if fork is not None and affected:
            mark_affected(state, at, fork)
    for until, borrowers in late.items():
        _sum_up(state, parent.project, borrowers, batch if arrival.max_step < until else before(batch, until))


def _borrowers(run: Run, stream: int, step: int) -> list[tuple[int, int]]:
    """Up to where which of a fork's streams, the present one and those that it was rewound from, have another's from ``step`` on."""
    histories = [(run.stream, run.spans), *((each.stream, each.spans) for each in run.rewinds)]
    return [
        (until, own)
        for own, spans in histories
        for borrowed, until in spans
        if borrowed == stream and step < until
    ]


def _keep_last(state: State, stream: int, key: int, last: LastObject) -> None:
    old = state.get(LAST_OBJECTS, stream, key)
    if old is None or later(last, old):
        state.put(LAST_OBJECTS, stream, key, last)


def _revive(state: State, run: Run) -> None:
    # A run that was taken for crashed and reports again was only silent.
    if run.state == "crashed":
        state.put(RUNS, run.id, replace(run, state="running", finished=0))
        state.put(RUNNING, run.id, 1)


@applies(67, "log_lines", LogLines, int)
def _log_lines(state: State, at: Stamp, command: LogLines) -> int:
    run = require(state, command.run)
    if not command.lines:
        raise Invalid("there are no lines to add")
    held = state.get(RUN_MARKS, run.id)
    end = held.lines if held else 0
    if command.writer:
        pieces = writers.place(state, run.id, command.writer, command.first, len(command.lines), end)
    else:
        pieces = [(end if command.first is None else command.first, len(command.lines), 0)]
    for line, count, offset in pieces:
        state.put(LINES, run.id, line, at.seq, LineSpan(count, offset))
    _revive(state, run)
    mark(state, at, run, lines=max(line + count for line, count, _ in pieces))
    return pieces[0][0]


@applies(74, "put_run_files", PutRunFiles)
def _put_run_files(state: State, at: Stamp, command: PutRunFiles) -> None:
    run = require(state, command.run)
    domain = domain_of(state, run.project)
    for entry in command.entries:
        _drop(state, run, domain, entry.path)
        state.put(RUN_FILES, run.id, entry.path, entry)
        if _held(entry):
            count = state.get(BLOB_VERSIONS, domain, entry.sha256, run.id) or 0
            state.put(BLOB_VERSIONS, domain, entry.sha256, run.id, count + 1)
    mark(state, at, run)
    state.touch(run.id, at.seq, 74)


@applies(75, "remove_run_files", RemoveRunFiles)
def _remove_run_files(state: State, at: Stamp, command: RemoveRunFiles) -> None:
    run = require(state, command.run)
    domain = domain_of(state, run.project)
    for path in command.paths:
        if state.get(RUN_FILES, run.id, path) is None:
            raise Missing(f"run {run.name} has no file {path}")
        _drop(state, run, domain, path)
    mark(state, at, run)
    state.touch(run.id, at.seq, 75)


def _drop(state: State, run: Run, domain: int, path: str) -> None:
    """Takes a path away, and the run's hold on its bytes when no other path has them."""
    entry = state.get(RUN_FILES, run.id, path)
    if entry is None:
        return
    state.delete(RUN_FILES, run.id, path)
    if _held(entry):
        count = state.get(BLOB_VERSIONS, domain, entry.sha256, run.id) or 0
        if count > 1:
            state.put(BLOB_VERSIONS, domain, entry.sha256, run.id, count - 1)
        else:
            state.delete(BLOB_VERSIONS, domain, entry.sha256, run.id)


def _held(entry: Entry) -> bool:
    return not entry.url
