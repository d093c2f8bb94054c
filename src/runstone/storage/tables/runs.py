"""Runs, and what they log: points, console lines, files, alerts."""

from __future__ import annotations

from runstone.storage.tables.manifests import Entry
from runstone.storage.tables.table import Record, local_table, state_table


class Arrival(Record, frozen=True):
    """A log entry that holds points of a stream: how much, and the least and greatest step."""

    rows: int
    points: int
    min_step: int
    max_step: int


class Rewind(Record, frozen=True):
    """What a rewind can be undone to: the run's stream and spans before it."""

    seq: int
    step: int
    stream: int
    spans: tuple[tuple[int, int], ...]


class Run(Record, frozen=True):
    """A run. ``config``, ``summary`` (values set by hand) and ``info`` (program, host, git, environment) are MessagePack maps.

    ``tags`` maps a tag to its text, empty for a mere label; ``goals`` maps a key to what its best is: ``min`` or ``max``.
    ``stream``, one of its own ``streams``, is where its points go. ``spans`` are the streams that its history is read from, each up
    to a step (exclusive; -1: all).
    """

    id: int
    project: int
    name: str
    created: int
    by: str
    display_name: str = ""
    state: str = "running"
    started: int = 0
    finished: int = 0
    group: str = ""
    job_type: str = ""
    sweep: str = ""
    notes: str = ""
    tags: dict[str, str] = {}
    config: bytes = b"\x80"
    summary: bytes = b"\x80"
    goals: dict[str, str] = {}
    info: bytes = b"\x80"
    stream: int = 0
    streams: tuple[int, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()
    rewinds: tuple[Rewind, ...] = ()
    parent: int = 0
    forked: int = 0
    deleted: int = 0


class RunMark(Record, frozen=True):
    """What moves while a run reports: its last change (log entry and time), and how many points and console lines it has."""

    changed: int
    time: int
    points: int = 0
    lines: int = 0


class LineSpan(Record, frozen=True):
    """Console lines that a log entry has: how many, and which of the entry's is the first."""

    count: int
    offset: int


class WriterSpan(Record, frozen=True):
    """Lines of one writer: the number that the first of them has in the run's console, and how many follow each other there."""

    line: int
    count: int


class LastObject(Record, frozen=True):
    """The latest value of a key that is not a number, as MessagePack."""

    step: int
    time: int
    value: bytes


class Alert(Record, frozen=True):
    """What a run wants somebody to know. ``told`` is false when one of its title came so shortly before that nobody is told again."""

    title: str
    text: str
    severity: str
    time: int
    by: str
    told: bool = True


ARRIVALS = state_table(70, "arrivals", "stream:u64 seq:u64", Arrival)
ARRIVED = state_table(79, "arrived", "seq:u64 stream:u64", int)
RUNS = state_table(64, "runs", "id:u64", Run)
RUN_NAMES = state_table(65, "run_names", "project:u64 name:text", int)
RUN_MARKS = state_table(66, "run_marks", "run:u64", RunMark)
KEY_NAMES = state_table(67, "key_names", "project:u64 name:text", int)
KEY_IDS = state_table(68, "key_ids", "project:u64 key:u32", str)
RUN_CHANGES = state_table(69, "run_changes", "project:u64 seq:u64 run:u64", int)
STATS = state_table(71, "stats", "stream:u64 page:u32", bytes)
LAST_OBJECTS = state_table(72, "last_objects", "stream:u64 key:u32", LastObject)
LINES = state_table(73, "lines", "run:u64 line:u64 seq:u64", LineSpan)
WRITER_LINES = state_table(78, "writer_lines", "run:u64 writer:text number:u64", WriterSpan)
WRITER_ROWS = state_table(61, "writer_rows", "run:u64 writer:text", int)
RUN_FILES = state_table(74, "run_files", "run:u64 path:text", Entry)
RUNNING = state_table(75, "running", "run:u64", int)
STREAMS = state_table(76, "streams", "stream:u64", int)
STREAM_FORKS = state_table(77, "stream_forks", "stream:u64 run:u64", int)
HEARTBEATS = local_table(89, "heartbeats", "run:u64", int)
ALERTS = state_table(118, "alerts", "run:u64 seq:u64", Alert)
