"""The records of a bundle, one JSON object on each line, and how JSON says what it has no words for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from runstone.errors import Invalid
from runstone.types import FileEntry

FORMAT = "runstone-bundle/1"
MAX_LINE = 256 << 20
_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

R = TypeVar("R", bound="Record")


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A record of a bundle. ``created``, ``updated`` and ``by`` tell of the store that it came from, and are not imported."""


class Listed(Record, frozen=True):
    """A file of the bundle: its size in bytes and SHA-256 as hexadecimal text."""

    size: int
    sha256: str


class Manifest(Record, frozen=True):
    """What a bundle holds. ``files`` are its files by path; the bytes below ``files/`` are listed in ``files.jsonl``."""

    format: str
    namespace: str
    project: str
    exported: int
    store: str
    log_size: int
    log_root: str
    counts: dict[str, int]
    files: dict[str, Listed]


class ProjectRecord(Record, frozen=True):
    """The project itself."""

    kind: str
    description: str
    tags: tuple[str, ...]
    visibility: str
    created: int
    updated: int
    by: str


class RunRecord(Record, frozen=True):
    """A run. Its points and lines are in the Parquet files.

    With a ``parent``, it was forked at step ``forked``, and its history before step ``inherits`` is the parent's; what else there is
    of its history is among its own points. ``origin`` names the run it was forked from even where that one is not in the bundle.
    """

    name: str
    display_name: str
    state: str
    started: int
    finished: int
    group: str
    job_type: str
    sweep: str
    notes: str
    tags: dict[str, str]
    config: dict[str, Any]
    summary: dict[str, Any]
    goals: dict[str, str]
    info: dict[str, Any]
    parent: str
    forked: int
    inherits: int
    origin: str
    files: tuple[FileEntry, ...]
    points: int
    lines: int
    created: int
    updated: int
    by: str


class CollectionRecord(Record, frozen=True):
    """A collection."""

    name: str
    type: str
    description: str
    tags: tuple[str, ...]
    metadata: Any
    created: int
    updated: int
    by: str


class VersionRecord(Record, frozen=True):
    """A version with its manifest; a deleted one has its number, description, tags and ``reason`` only."""

    collection: str
    number: int
    state: str
    reason: str
    digest: str
    files: tuple[FileEntry, ...]
    metadata: Any
    description: str
    tags: tuple[str, ...]
    expires: int
    hold: str
    created: int
    by: str


class Step(Record, frozen=True):
    """One step of an alias: version 0 is a removal, previous 0 a creation."""

    version: int
    previous: int
    reason: str
    time: int
    by: str


class AliasRecord(Record, frozen=True):
    """An alias with its history; ``version`` is 0 for one that was taken away."""

    collection: str
    alias: str
    version: int
    fallback: bool
    history: tuple[Step, ...]


class End(Record, frozen=True):
    """A lineage end: ``kind`` is ``version`` (``collection@v3``) or ``run`` of the project; ``node-run``, ``node-consumer`` or
    ``node-external`` of its namespace; or ``outside``, which is in another project or namespace and is not imported.
    """

    kind: str
    name: str


class EdgeRecord(Record, frozen=True):
    """A lineage edge; ``count`` says how often it was seen, and is not imported."""

    source: End
    relation: str
    target: End
    count: int
    time: int
    by: str


class LabelsRecord(Record, frozen=True):
    """The labels of one kind (``tag``, ``property``) of the ``project`` (with no name), a ``collection``, or a ``version``."""

    subject: End
    kind: str
    labels: dict[str, str]


class DocumentRecord(Record, frozen=True):
    """A document as it stands; its earlier revisions are not in the bundle."""

    kind: str
    name: str
    title: str
    description: str
    spec: Any
    private: bool
    created: int
    updated: int
    by: str


class ArtifactRecord(Record, frozen=True):
    """What is known of a live ``version`` (``collection@v3``) beside its record.

    ``digest`` is the MD5 of its manifest as wandb takes it, ``step`` that of the run which logged it. ``source`` is the version that it is a
    link to; ``outside`` says that this one is in another project, and no more. ``metadata`` took the place of the version's if it was
    ``amended``.
    """

    version: str
    digest: str
    step: int | None
    source: str
    outside: bool
    amended: bool
    metadata: Any


class ExtrasRecord(Record, frozen=True):
    """What clients keep beside files of a ``version``, by path: a page of it. ``ref`` is the reference as given, ``extra`` a map."""

    version: str
    page: int
    extras: dict[str, Any]


class DatasetRecord(Record, frozen=True):
    """A dataset that runs of the project read, which lies anywhere, in the words of whoever logged it first."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str
    profile: str
    created: int


class UseRecord(Record, frozen=True):
    """That a run reads a dataset of the project, and the labels of that use."""

    name: str
    digest: str
    labels: dict[str, str]


class ModelRecord(Record, frozen=True):
    """That a run reads a model, by the name that clients know it by, or (``output``) makes it at a step."""

    model: str
    output: bool
    step: int


class InputsRecord(Record, frozen=True):
    """What a run reads and makes beside versions: at most 1,000 datasets and models a record."""

    run: str
    datasets: tuple[UseRecord, ...]
    models: tuple[ModelRecord, ...]


class AlertRecord(Record, frozen=True):
    """An alert of a run; ``told`` says whether webhooks were told of it."""

    run: str
    title: str
    text: str
    severity: str
    time: int
    told: bool
    by: str


class SweepRecord(Record, frozen=True):
    """A sweep; its method chose the parameters of ``drawn`` of its runs."""

    name: str
    display_name: str
    state: str
    config: dict[str, Any]
    drawn: int
    created: int
    updated: int
    by: str


class SweptRun(Record, frozen=True):
    """A run of a sweep, which need not have begun: ``waiting`` for an agent, ``prior`` to the sweep, ``stopped`` at a time or 0."""

    run: str
    params: dict[str, Any]
    prior: bool
    waiting: bool
    stopped: int


class SweepRunsRecord(Record, frozen=True):
    """Runs that a sweep gave out, from number ``first`` on: at most 100 a record."""

    sweep: str
    first: int
    runs: tuple[SweptRun, ...]


class AssessmentRecord(Record, frozen=True):
    """What a trace, or one of its spans, was judged as; ``value`` and ``error`` are JSON texts. Times are milliseconds."""

    id: str
    name: str
    kind: str
    source_type: str
    source: str
    created: int
    updated: int
    value: str
    error: str
    span: str
    rationale: str | None
    metadata: dict[str, str]
    overrides: str
    valid: bool


class TraceRecord(Record, frozen=True):
    """A trace as a whole, with what it was judged as; ``time`` and ``duration`` are milliseconds. Its spans are in ``spans.jsonl``."""

    name: str
    time: int
    state: str
    duration: int | None
    title: str | None
    session: str | None
    client_request: str | None
    request: str | None
    response: str | None
    tags: dict[str, str]
    metadata: dict[str, str]
    usage: dict[str, int]
    cost: dict[str, Any]
    final: bool
    runs: tuple[str, ...]
    prompts: tuple[str, ...]
    assessments: tuple[AssessmentRecord, ...]
    files: tuple[FileEntry, ...]
    spans: int
    created: int
    by: str


class SpanRecord(Record, frozen=True):
    """A span: times are nanoseconds, ``content`` is all of it as a JSON text."""

    id: str
    parent: str
    name: str
    type: str | None
    status: str
    start: int
    end: int
    content: str
    usage: dict[str, Any] | None
    cost: dict[str, Any] | None
    model: str | None
    provider: str | None


class SpansRecord(Record, frozen=True):
    """Spans of a trace: at most 1,000 a record."""

    trace: str
    spans: tuple[SpanRecord, ...]


class EntityRecord(Record, frozen=True):
    """A small object that a client keeps beside the project, such as a scorer; ``unique`` says that its name is its alone."""

    kind: str
    id: str
    name: str
    unique: bool
    fields: dict[str, Any]
    created: int
    updated: int


class ItemRecord(Record, frozen=True):
    """A part of such an object."""

    key: str
    fields: dict[str, Any]


class ItemsRecord(Record, frozen=True):
    """Parts of an object, oldest first: at most 1,000 a record."""

    kind: str
    id: str
    items: tuple[ItemRecord, ...]


class GateRecord(Record, frozen=True):
    """A collection whose files are given only to those who are let in: ``auto`` or ``manual``."""

    collection: str
    mode: str
    by: str


class BlobRecord(Record, frozen=True):
    """Bytes below ``files/``: their SHA-256, and so their path, and their size."""

    sha256: str
    size: int


def plain(value: Any) -> Any:
    """A value as strict JSON has it: NaN and infinities as ``{"$float": "NaN"}``; a key that begins with ``$`` gets another one."""
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return {"$float": "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"}
    if isinstance(value, dict):
        return {f"${key}" if key.startswith("$") else key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def restored(value: Any) -> Any:
    """The value that :func:`plain` made JSON of; raises :class:`Invalid`."""
    if isinstance(value, list):
        return [restored(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$float" in value:
        if len(value) != 1 or value["$float"] not in _FLOATS:
            raise Invalid(f"{value!r:.80} is not a number of a bundle")
        return _FLOATS[value["$float"]]
    found = {}
    for key, item in value.items():
        if key.startswith("$") and not key.startswith("$$"):
            raise Invalid(f"the key {key!r:.80} is not known in a bundle")
        found[key.removeprefix("$")] = restored(item)
    return found


def line(record: Record) -> bytes:
    """A record as a line of a file."""
    return msgspec.json.encode(record) + b"\n"


def read(path: Path, kind: type[R]) -> Iterator[R]:
    """The records of a file; raises :class:`Invalid` naming the line that is none."""
    decode = msgspec.json.Decoder(kind).decode
    with path.open("rb") as stream:
        number = 0
        while text := stream.readline(MAX_LINE + 1):
            number += 1
            if len(text) > MAX_LINE:
                raise Invalid(f"{path.name}, line {number} is over the limit of {MAX_LINE} bytes")
            try:
                yield decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise Invalid(f"{path.name}, line {number} is not a record of a bundle: {error}") from None


def blob_path(sha256: str) -> str:
    """Where bytes lie in a bundle."""
    return f"files/{sha256[:2]}/{sha256}"
