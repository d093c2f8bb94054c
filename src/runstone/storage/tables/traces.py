"""Traces, their spans, and what is judged with them."""

from __future__ import annotations

from runstone.storage.tables.manifests import Entry
from runstone.storage.tables.table import Record, state_table


class Trace(Record, frozen=True):
    """What is known of a trace as a whole; its spans lie in blobs. ``time`` and ``duration`` are milliseconds, ``created`` microseconds.

    ``name`` is the id that its maker gave it, and ``title`` what people call it. ``request`` and ``response`` are previews. ``usage`` counts
    tokens and ``cost`` money, by kind. ``runs`` and ``prompts`` are what it was linked to. ``final`` says that its maker has told of it
    itself, so that spans that come later do not change its time, duration, usage and cost.
    """

    id: int
    project: int
    name: str
    created: int
    by: str
    time: int
    state: str
    duration: int | None = None
    title: str | None = None
    session: str | None = None
    client_request: str | None = None
    request: str | None = None
    response: str | None = None
    tags: dict[str, str] = {}
    metadata: dict[str, str] = {}
    usage: dict[str, int] = {}
    cost: dict[str, float] = {}
    runs: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    final: bool = False


class SpanBatch(Record, frozen=True):
    """Spans of a trace that came together: ``length`` bytes of a blob from ``offset`` on, how many there are, and how long unpacked.

    What lies before them in the blob is what they tell of usage and cost.
    """

    sha256: bytes
    size: int
    offset: int
    length: int
    spans: int
    unpacked: int


class Assessment(Record, frozen=True):
    """A judgement of a trace, or of one of its spans: ``feedback``, an ``expectation``, or a reference to an ``issue``.

    ``value`` and ``error`` are JSON texts. One that another ``overrides`` is not ``valid``. ``order`` is when it came. Times are milliseconds.
    """

    id: str
    name: str
    kind: str
    source_type: str
    source: str
    created: int
    updated: int
    order: int
    value: str = "null"
    error: str = ""
    span: str = ""
    rationale: str | None = None
    metadata: dict[str, str] = {}
    overrides: str = ""
    valid: bool = True


TRACES = state_table(120, "traces", "id:u64", Trace)
TRACE_NAMES = state_table(121, "trace_names", "name:text project:u64", int)
TRACE_TIMES = state_table(122, "trace_times", "project:u64 time:u64 trace:u64", int)
TRACE_MARKS = state_table(123, "trace_marks", "project:u64 kind:u8 digest:b16 trace:u64", int)
TRACE_SPANS = state_table(124, "trace_spans", "trace:u64 seq:u64", SpanBatch)
TRACE_FILES = state_table(125, "trace_files", "trace:u64 path:text", Entry)
ASSESSMENTS = state_table(126, "assessments", "trace:u64 id:text", Assessment)
