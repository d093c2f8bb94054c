"""The values that cross runstone's public interface: what the library returns and the server encodes.

Times are microseconds since 1970 (UTC) and sizes are bytes. Digests are lower-case hexadecimal text.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Role = Literal["reader", "member", "owner"]
Json = Any


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A value of the public interface."""


class NamespaceInfo(Value, frozen=True, kw_only=True):
    """A user's, team's or organisation's space. ``region`` names the residency domain that its bytes stay in."""

    name: str
    kind: str
    description: str
    region: str
    created: int


class UserInfo(Value, frozen=True, kw_only=True):
    """A person or a service account."""

    name: str
    kind: str
    admin: bool
    disabled: bool
    email: str
    full_name: str
    created: int


class MemberInfo(Value, frozen=True, kw_only=True):
    """A user's role in a namespace, and the field classes it may read."""

    user: str
    role: str
    since: int
    classes: tuple[str, ...]


class KeyInfo(Value, frozen=True, kw_only=True):
    """An API key as it may be shown: never the key itself. ``expires`` is 0 for never."""

    id: int
    user: str
    name: str
    hint: str
    role: str
    created: int
    expires: int
    revoked: int


class NewKey(Value, frozen=True, kw_only=True):
    """An API key just made. ``key`` is shown this once and is not kept."""

    key: str
    info: KeyInfo


class ProjectInfo(Value, frozen=True, kw_only=True):
    """A project, or a registry (a project that holds only collections)."""

    namespace: str
    name: str
    kind: str
    description: str
    tags: tuple[str, ...]
    visibility: str
    created: int
    updated: int
    by: str

    @property
    def path(self) -> str:
        """``namespace/project``."""
        return f"{self.namespace}/{self.name}"


class CollectionInfo(Value, frozen=True, kw_only=True):
    """A list of immutable versions under one name. ``latest`` is the highest live version, or 0."""

    id: int
    namespace: str
    project: str
    name: str
    type: str
    description: str
    tags: tuple[str, ...]
    metadata: Json
    versions: int
    latest: int
    created: int
    updated: int
    by: str

    @property
    def path(self) -> str:
        """``namespace/project/collection``."""
        return f"{self.namespace}/{self.project}/{self.name}"


class VersionInfo(Value, frozen=True, kw_only=True):
    """One immutable version of a collection.

    ``state`` is ``live``, ``quarantined`` or ``deleted``; ``expires`` is 0 for never; ``hold`` is why a legal hold keeps it.
    """

    id: int
    collection: str
    type: str
    number: int
    digest: str
    files: int
    size: int
    metadata: Json
    description: str
    tags: tuple[str, ...]
    aliases: tuple[str, ...]
    state: str
    state_reason: str
    expires: int
    hold: str
    created: int
    by: str

    @property
    def name(self) -> str:
        """``namespace/project/collection:v3``."""
        return f"{self.collection}:v{self.number}"


class FileEntry(Value, frozen=True, kw_only=True):
    """A file of a version: bytes held here (``sha256``), or a reference to bytes elsewhere (``url``, not fetched)."""

    path: str
    size: int
    sha256: str = ""
    url: str = ""
    etag: str = ""
    media_type: str = ""


class UploadInfo(Value, frozen=True, kw_only=True):
    """A resumable upload: ``offset`` is where its next byte belongs. ``size`` is None when it was not announced."""

    id: str
    offset: int
    size: int | None
    expires: int


class UploadedFile(Value, frozen=True, kw_only=True):
    """Bytes that were taken in whole. ``xet`` is their Xet file hash, written as Hugging Face writes it."""

    size: int
    sha256: str
    xet: str


class AliasInfo(Value, frozen=True, kw_only=True):
    """An alias and the version it points at."""

    alias: str
    collection: str
    version: int
    seq: int
    time: int
    by: str
    fallback: bool


class AliasStep(Value, frozen=True, kw_only=True):
    """One step of an alias's history: log entry ``seq`` moved it from ``previous`` to ``version`` (0 is none)."""

    seq: int
    time: int
    version: int
    previous: int
    by: str
    reason: str


class LineageNode(Value, frozen=True, kw_only=True):
    """An end of a lineage edge: a version (``name`` is its full name), a run, a consumer, or something outside."""

    id: int
    kind: str
    name: str


class LineageEdge(Value, frozen=True, kw_only=True):
    """``source`` relates to ``target``: used_by, produced, derived_to, fetched_by, invoked_by."""

    source: int
    target: int
    relation: str
    time: int
    by: str
    count: int


class LineageGraph(Value, frozen=True, kw_only=True):
    """The closure around a node. ``truncated`` says that a limit cut it."""

    root: int
    nodes: tuple[LineageNode, ...]
    edges: tuple[LineageEdge, ...]
    truncated: bool


class RunInfo(Value, frozen=True, kw_only=True):
    """A run. ``state`` is ``running``, ``finished``, ``failed``, ``crashed``, ``killed``, ``pending``, ``preempting`` or ``preempted``.

    ``tags`` maps a tag to its text, empty for a mere label. ``summary`` has the latest value of each key, or the one set by hand;
    ``goals`` says of a key whether its best is its ``min`` or ``max``. ``info`` is what was captured: program, host, git, environment.
    ``step`` is the highest step logged, or -1; ``parent`` the run it was forked from, at step ``forked``; ``deleted`` a time or 0.
    """

    id: int
    namespace: str
    project: str
    name: str
    display_name: str
    state: str
    created: int
    started: int
    finished: int
    updated: int
    by: str
    group: str
    job_type: str
    sweep: str
    notes: str
    tags: dict[str, str]
    config: Json
    summary: Json
    goals: dict[str, str]
    info: Json
    step: int
    points: int
    lines: int
    parent: str
    forked: int
    rewinds: int
    deleted: int

    @property
    def path(self) -> str:
        """``namespace/project/run``."""
        return f"{self.namespace}/{self.project}/{self.name}"


class RunPage(Value, frozen=True, kw_only=True):
    """One page of runs; ``next`` goes on behind it, and ``total`` is how many there are, if that was asked."""

    items: tuple[RunInfo, ...]
    next: str = ""
    total: int | None = None


class RunRow(Value, frozen=True, kw_only=True):
    """A run in a table: what every table shows, and the values of the fields that were asked for. Long texts are cut."""

    run: str
    name: str
    state: str
    started: int
    updated: int
    notes: str
    tags: dict[str, str]
    values: tuple[Json, ...]


class RunRows(Value, frozen=True, kw_only=True):
    """Rows of a table of runs; ``total`` is how many there are, if that was asked."""

    fields: tuple[str, ...]
    items: tuple[RunRow, ...]
    total: int | None = None


class RunsChanged(Value, frozen=True, kw_only=True):
    """What one change of many runs did: how many runs were meant, and the names of those that it changed."""

    matched: int
    runs: tuple[str, ...]


class OverviewProject(Value, frozen=True, kw_only=True):
    """A project with when it or one of its runs ``changed`` last, and how many ``runs`` it has; None where that was not asked."""

    project: ProjectInfo
    changed: int
    runs: int | None


class RecentRun(Value, frozen=True, kw_only=True):
    """A run that changed lately, where it is and who made it."""

    namespace: str
    project: str
    by: str
    row: RunRow


class Overview(Value, frozen=True, kw_only=True):
    """What happened last in all projects that one may read."""

    projects: tuple[OverviewProject, ...]
    recent: tuple[RecentRun, ...]


class FieldImportance(Value, frozen=True, kw_only=True):
    """How a field of the config goes with a metric; ``kind`` is ``number`` or ``category``, ``runs`` how many have the field.

    ``correlation`` is None where it cannot be said; ``importance`` is the field's share, and None where no forest looked at it.
    """

    field: str
    kind: str
    runs: int
    correlation: float | None = None
    importance: float | None = None


class Importances(Value, frozen=True, kw_only=True):
    """How fields of the config go with ``target`` over ``runs`` runs.

    ``method`` is ``forest``, ``correlation`` or ``none``; ``note`` says why it is not a forest.
    """

    target: str
    runs: int
    method: str
    note: str = ""
    items: tuple[FieldImportance, ...] = ()


class GroupInfo(Value, frozen=True, kw_only=True):
    """A group of runs: its values in the fields grouped by, and its figures."""

    key: tuple[Json, ...]
    figures: tuple[Json, ...]


class GroupPage(Value, frozen=True, kw_only=True):
    """Groups of runs: the fields they are grouped by, the names of their figures, and the groups."""

    by: tuple[str, ...]
    figures: tuple[str, ...]
    items: tuple[GroupInfo, ...]


class FieldInfo(Value, frozen=True, kw_only=True):
    """A field that runs of a project have, and how many have it."""

    field: str
    runs: int


class SectionInfo(Value, frozen=True, kw_only=True):
    """A section of keys that numbers were logged under, the first of them, and where to go on if there are more."""

    name: str
    keys: tuple[str, ...]
    next: str = ""


class KeyStats(Value, frozen=True, kw_only=True):
    """The statistics of one key of a run. NaN counts as a point and is left out of ``min``, ``max``, ``mean`` and ``sum``.

    ``step``, ``time`` and ``last`` are the latest point, the greatest (step, time, value); ``best`` is what the run's goal for it says.
    """

    key: str
    points: int
    nans: int
    min: float
    max: float
    mean: float
    sum: float
    step: int
    time: int
    last: Json
    best: float | None


class SweepInfo(Value, frozen=True, kw_only=True):
    """A sweep. ``state`` is pending, running, paused, finished or canceled; ``runs`` were given out, of ``expected`` (None: no end).

    ``best`` is the best value of its metric so far, or None.
    """

    id: int
    namespace: str
    project: str
    name: str
    display_name: str
    state: str
    method: str
    config: dict[str, Json]
    created: int
    updated: int
    by: str
    runs: int
    expected: int | None
    best: float | None

    @property
    def path(self) -> str:
        """``namespace/project/name``."""
        return f"{self.namespace}/{self.project}/{self.name}"


class AgentInfo(Value, frozen=True, kw_only=True):
    """An agent of a sweep: where it runs, when it was last heard of, and the runs that it was given."""

    id: int
    sweep: int
    host: str
    state: str
    created: int
    heard: int
    runs: tuple[str, ...]


class AlertInfo(Value, frozen=True, kw_only=True):
    """What a run wanted somebody to know. ``severity`` is info, warn or error; ``told`` says whether webhooks were told of it."""

    seq: int
    title: str
    text: str
    severity: str
    time: int
    by: str
    told: bool


class MomentInfo(Value, frozen=True, kw_only=True):
    """What a chart of a run points out: an ``alert``, a ``checkpoint`` (a version), a ``restart``, or a ``state`` that it ended in.

    ``text`` is its title, name or state, ``time`` in microseconds, ``step`` what the run had come to (-1: nothing yet).
    """

    kind: str
    text: str
    severity: str
    time: int
    step: int


class SeriesPage(Value, frozen=True, kw_only=True):
    """Exact points of one key, by step, time (microseconds) and value; values are as they were logged. ``next`` goes on behind them."""

    key: str
    steps: list[int]
    times: list[int]
    values: list[Json]
    next: str = ""


class RowPage(Value, frozen=True, kw_only=True):
    """Rows of (step, time, values by key), by step; ``next`` is the ``after`` of the page behind them."""

    rows: tuple[tuple[int, int, dict[str, Json]], ...]
    next: str = ""


class SeriesPicture(Value, frozen=True, kw_only=True):
    """A key of a run in buckets: each has the points with ``start <= x < end``, and only those that have some are here.

    ``min``, ``max`` and ``mean`` leave NaN out; ``last`` is the value at the greatest (step, time, value).
    """

    run: str
    key: str
    start: list[int]
    end: list[int]
    count: list[int]
    nans: list[int]
    min: list[float]
    max: list[float]
    last: list[float]
    mean: list[float]

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """The names of the columns."""
        return cls.__struct_fields__[2:]


class ConsoleLine(Value, frozen=True, kw_only=True):
    """A console line as it stands, after rewriting: its number, time, stream (``stdout`` or ``stderr``), level and text."""

    number: int
    time: int
    stream: str
    level: str
    text: str


class Event(Value, frozen=True, kw_only=True):
    """Something that happened: log entry ``seq`` made or changed the run or collection ``name``.

    ``kind`` is ``run``, ``points`` (``detail``: how many ``points``, highest ``step``), ``lines`` (``first``), ``version`` (``version``) or
    ``alias`` (``alias``, ``version``; 0 for a removal). Of ``document``, ``name`` is ``kind/name`` and ``detail`` has its ``revision`` (0 for a
    removal).
    """

    seq: int
    time: int
    kind: str
    name: str
    detail: Json


class DocumentInfo(Value, frozen=True, kw_only=True):
    """A stored JSON document of a project, such as a saved view or a report. ``spec`` is None in listings."""

    id: int
    namespace: str
    project: str
    kind: str
    name: str
    title: str
    description: str
    private: bool
    revision: int
    created: int
    by: str
    updated: int
    updated_by: str
    spec: Json = None


class DocumentRevision(Value, frozen=True, kw_only=True):
    """One revision of a document: log entry ``seq`` made it."""

    revision: int
    seq: int
    time: int
    by: str
    reason: str


class TensorInfo(Value, frozen=True, kw_only=True):
    """A tensor of a safetensors file: its bytes are those from ``offset`` of the file on, ``size`` of them."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int


class FilePreview(Value, frozen=True, kw_only=True):
    """A part of a file as people look at it. ``kind`` is ``table``, ``tensors``, ``text`` or ``binary``, and says which fields mean something.

    A table's ``rows`` hold the columns from number ``column`` on; ``columns`` are the names and types of those, ``width`` is how many columns
    there are. ``total`` is how many rows, tensors or bytes there are, if that is known without reading on. ``next`` goes on behind this part.
    """

    kind: str
    columns: tuple[tuple[str, str], ...] = ()
    column: int = 0
    width: int = 0
    rows: tuple[tuple[Json, ...], ...] = ()
    tensors: tuple[TensorInfo, ...] = ()
    metadata: Json = None
    text: str = ""
    total: int | None = None
    next: str = ""


class LogRecord(Value, frozen=True, kw_only=True):
    """A change as the log holds it. ``command`` is None when its payload has been compacted or erased."""

    seq: int
    time: int
    kind: str
    id: str
    actor: str
    command: Json


class Resolved(Value, frozen=True, kw_only=True):
    """What an alias or version name stands for right now."""

    collection: str
    version: int
    digest: str
    size: int
    files: int
    alias: str
    seq: int


class DamageInfo(Value, frozen=True, kw_only=True):
    """A damaged stretch of stored bytes, and what it touches."""

    sha256: str
    offset: int
    length: int
    pack: str
    pack_offset: int
    found: int
    versions: tuple[str, ...]
    consumers: tuple[str, ...]


class PageOf(Value, frozen=True, kw_only=True):
    """One page of a listing; ``next`` is the cursor of the page after it, or empty."""

    items: tuple[Any, ...]
    next: str = ""
