"""Every table of the index: its key layout, its value record, and whether the state hash covers it.

A stored value is ``xxh3-64(table id; key || body)`` in 8 little-endian bytes, then the body. A body is a MessagePack array of the
record's fields in order; a field may be added at the end with a default, and is never removed or reordered. ``docs/format/index.md``
has the byte tables.

*State* tables are a pure function of the change log and are covered by the state hash. *Log* tables are the log itself.
*Local* tables say where this machine keeps the bytes; they differ between replicas. *Derived* tables are made from the log in the
background, may lag behind it, and are left out when an index is rebuilt.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic, TypeVar

import msgspec

from runstone.storage.keys import KeyLayout

FORMAT_VERSION = 1

V = TypeVar("V")
TABLES: dict[str, Table[Any]] = {}
_encode = msgspec.msgpack.Encoder().encode


class Record(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A value of a table: a MessagePack array of the fields, which never lead back to it and need no cycle collector."""


class Table(Generic[V]):
    """One table: a named LMDB database with a key layout and a value type."""

    def __init__(self, number: int, name: str, key: str, value: type[V], group: str) -> None:
        self.number = number
        self.name = name
        self.key = KeyLayout(key)
        self.value = value
        self.group = group
        self.hashed = group == "state"
        self.encode: Any = bytes if value is bytes else _encode
        assert name not in TABLES and number not in {table.number for table in TABLES.values()}
        TABLES[name] = self

    @cached_property
    def decode(self) -> Callable[[bytes], V]:
        """Decodes a body; made on first use, which most processes never come to for most tables."""
        return self.value if self.value is bytes else msgspec.msgpack.Decoder(self.value).decode

    def __repr__(self) -> str:
        return f"<table {self.name}>"


def _state(number: int, name: str, key: str, value: type[V]) -> Table[V]:
    return Table(number, name, key, value, "state")


def _log(number: int, name: str, key: str, value: type[V]) -> Table[V]:
    return Table(number, name, key, value, "log")


def _local(number: int, name: str, key: str, value: type[V]) -> Table[V]:
    return Table(number, name, key, value, "local")


def _derived(number: int, name: str, key: str, value: type[V]) -> Table[V]:
    return Table(number, name, key, value, "derived")


# The log


#: The Merkle root of a log without entries: SHA-256 of nothing (RFC 6962, section 2.1).
EMPTY_ROOT = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


class Head(Record, frozen=True):
    """Where the log stands: entries, Merkle root, state hash, time of the last entry (microseconds), and the tree's right edge."""

    size: int = 0
    root: bytes = EMPTY_ROOT
    state: bytes = bytes(32)
    time: int = 0
    peaks: tuple[bytes, ...] = ()


class Stored(Record, frozen=True):
    """A log entry's payload with its salt, and what applying it answered (MessagePack)."""

    salt: bytes
    payload: bytes | None
    result: bytes


class Erasure(Record, frozen=True):
    """What an erased payload leaves: the log entry that erased it, and the command without its contents (MessagePack)."""

    by: int
    left: bytes


HEAD = _log(1, "head", "zero:u8", Head)
LOG_HEADERS = _log(2, "log_headers", "seq:u64", bytes)
LOG_PAYLOADS = _log(3, "log_payloads", "seq:u64", Stored)
COMMANDS = _log(4, "commands", "id:b16", int)
TILES = _log(5, "tiles", "level:u8 index:u64", bytes)
ERASURES = _log(101, "erasures", "seq:u64", Erasure)


# Who


class Namespace(Record, frozen=True):
    """A user's, team's or organisation's space. ``domain`` is the residency domain its bytes stay in."""

    id: int
    name: str
    kind: str
    created: int
    description: str = ""
    domain: int = 0
    region: str = ""


class User(Record, frozen=True):
    """A person or a service account. ``namespace`` is the space of the same name."""

    id: int
    name: str
    kind: str
    created: int
    admin: bool = False
    disabled: bool = False
    email: str = ""
    full_name: str = ""
    namespace: int = 0


class Member(Record, frozen=True):
    """A user's role in a namespace, or a user's or team's in one project. ``mask`` is the bit set of field classes the member may read."""

    role: str
    since: int
    mask: int = 0


class Key(Record, frozen=True):
    """An API key: only its HMAC-SHA256 is kept. ``expires`` is 0 for never."""

    id: int
    user: int
    name: str
    digest: bytes
    hint: str
    created: int
    expires: int = 0
    revoked: int = 0
    role: str = ""


NAMESPACES = _state(16, "namespaces", "id:u64", Namespace)
NAMESPACE_NAMES = _state(17, "namespace_names", "name:text", int)
USERS = _state(18, "users", "id:u64", User)
USER_NAMES = _state(19, "user_names", "name:text", int)
MEMBERS = _state(20, "members", "namespace:u64 user:u64", Member)  # or project:u64, and user or team
USER_NAMESPACES = _state(21, "user_namespaces", "user:u64 namespace:u64", str)
KEYS = _state(22, "keys", "id:u64", Key)
KEY_DIGESTS = _state(23, "key_digests", "digest:b32", int)
USER_KEYS = _state(24, "user_keys", "user:u64 key:u64", int)


# Projects, collections, versions


class Project(Record, frozen=True):
    """A project, or a registry: a project that holds only collections. ``deleted`` is a time or 0."""

    id: int
    namespace: int
    name: str
    kind: str
    created: int
    by: str
    updated: int = 0
    description: str = ""
    tags: tuple[str, ...] = ()
    visibility: str = "private"
    deleted: int = 0


class Collection(Record, frozen=True):
    """A list of immutable versions. ``numbered`` is the highest number ever given; numbers are never reused."""

    id: int
    project: int
    name: str
    type: str
    created: int
    by: str
    updated: int = 0
    description: str = ""
    tags: tuple[str, ...] = ()
    metadata: bytes = b"\x80"
    numbered: int = 0
    live: int = 0
    deleted: int = 0


class Version(Record, frozen=True):
    """One immutable version. ``metadata`` is MessagePack; ``state`` is live, quarantined or deleted."""

    id: int
    collection: int
    number: int
    manifest: bytes
    files: int
    size: int
    created: int
    by: str
    metadata: bytes = b"\x80"
    description: str = ""
    tags: tuple[str, ...] = ()
    expires: int = 0
    hold: str = ""
    state: str = "live"
    reason: str = ""
    updated: int = 0


class Entry(Record, frozen=True):
    """A file of a manifest: its bytes here (``sha256``) or elsewhere (``url`` with ``etag``)."""

    path: str
    size: int
    sha256: bytes = b""
    url: str = ""
    etag: str = ""
    media_type: str = ""


class Manifest(Record, frozen=True):
    """The head of a manifest: totals, and the first path of each page of entries."""

    files: int
    size: int
    pages: tuple[str, ...]


class Page(Record, frozen=True):
    """Up to 256 entries of a manifest, by path."""

    entries: tuple[Entry, ...]


class Alias(Record, frozen=True):
    """Where an alias points. ``fallback`` lets it move by itself when its version is quarantined."""

    version: int
    seq: int
    time: int
    by: str
    fallback: bool = True


class AliasMove(Record, frozen=True):
    """One step of an alias's history; version 0 is a removal, previous 0 a creation."""

    version: int
    previous: int
    time: int
    by: str
    reason: str = ""


class FieldClass(Record, frozen=True):
    """The class byte of a field name, and who set it."""

    value: int
    by: str
    time: int


PROJECTS = _state(32, "projects", "id:u64", Project)
PROJECT_NAMES = _state(33, "project_names", "namespace:u64 name:text", int)
COLLECTIONS = _state(34, "collections", "id:u64", Collection)
COLLECTION_NAMES = _state(35, "collection_names", "project:u64 name:text", int)
VERSIONS = _state(36, "versions", "collection:u64 number:u32", Version)
VERSION_IDS = _state(37, "version_ids", "id:u64", tuple[int, int])
MANIFESTS = _state(38, "manifests", "digest:b32", Manifest)
MANIFEST_PAGES = _state(39, "manifest_pages", "digest:b32 page:u32", Page)
MANIFEST_VERSIONS = _state(40, "manifest_versions", "digest:b32 version:u64", int)
BLOB_VERSIONS = _state(41, "blob_versions", "domain:u16 sha256:b32 version:u64", int)
ALIASES = _state(42, "aliases", "collection:u64 alias:text", Alias)
VERSION_ALIASES = _state(43, "version_aliases", "collection:u64 number:u32 alias:text", int)
ALIAS_HISTORY = _state(44, "alias_history", "collection:u64 alias:text seq:u64", AliasMove)
EXPIRIES = _state(45, "expiries", "expires:u64 version:u64", int)
QUARANTINES = _state(47, "quarantines", "version:u64", str)
LABELS = _state(50, "labels", "subject:u64 kind:text key:text", str)
FIELD_CLASSES = _state(46, "field_classes", "project:u64 field:text", FieldClass)


class Document(Record, frozen=True):
    """A stored JSON document of a project: a saved view, a report. ``spec`` is MessagePack; a ``private`` one is its maker's alone."""

    id: int
    project: int
    kind: str
    name: str
    created: int
    by: str
    title: str = ""
    description: str = ""
    spec: bytes = b"\x80"
    private: bool = False
    revision: int = 1
    updated: int = 0
    updated_by: str = ""


DOCUMENTS = _state(175, "documents", "id:u64", Document)
DOCUMENT_NAMES = _state(176, "document_names", "project:u64 kind:text name:text", int)


# Artifacts: what a client says of a version beside its files, and versions that are not committed yet


class DraftManifest(Record, frozen=True):
    """A manifest that was sent for a draft: ``full``, ``incremental`` on the version ``base``, or a ``patch`` to the others."""

    part: str
    kind: str
    sha256: bytes
    base: int = 0


class Draft(Record, frozen=True):
    """An artifact under way: what it shall be, and its manifests so far. Of a committed one only ``version`` is left.

    ``digest`` is the MD5 that its manifest must have; ``run`` is the run that makes it, or 0; ``ttl`` is in seconds.
    """

    id: int
    collection: int = 0
    created: int = 0
    by: str = ""
    digest: bytes = b""
    metadata: bytes = b"\x80"
    description: str = ""
    tags: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    ttl: int = 0
    step: int | None = None
    run: int = 0
    distributed: str = ""
    manifests: tuple[DraftManifest, ...] = ()
    version: int = 0


class Artifact(Record, frozen=True):
    """What is known of a version beside its row.

    ``digest`` is the MD5 of its manifest as wandb takes it; ``step`` is the step of the run that logged it; ``source`` is the version that
    it is a link to, or 0; ``metadata`` is what took the place of the committed metadata since, if anything did.
    """

    digest: bytes = b""
    step: int | None = None
    source: int = 0
    metadata: bytes = b""


DRAFTS = _state(105, "drafts", "id:u64", Draft)
ARTIFACTS = _state(106, "artifacts", "version:u64", Artifact)
ARTIFACT_KEYS = _state(107, "artifact_keys", "scope:u64 kind:text key:text", int)
VERSION_LINKS = _state(108, "version_links", "source:u64 target:u64", int)
ENTRY_EXTRAS = _state(109, "entry_extras", "version:u64 page:u32", bytes)


# Lineage and history


class Node(Record, frozen=True):
    """A lineage end that is not a version: a run, a consumer, or something outside."""

    id: int
    kind: str
    namespace: int
    name: str
    created: int


class Edge(Record, frozen=True):
    """One lineage edge: when, by whom, how often seen."""

    time: int
    by: str
    seq: int
    count: int = 1


NODES = _state(56, "nodes", "id:u64", Node)
NODE_NAMES = _state(57, "node_names", "namespace:u64 kind:text name:text", int)
DOWNSTREAM = _state(58, "downstream", "source:u64 relation:text target:u64", Edge)
UPSTREAM = _state(59, "upstream", "target:u64 relation:text source:u64", int)
HISTORY = _state(60, "history", "subject:u64 seq:u64", int)


# Runs and their points


class Arrival(Record, frozen=True):
    """A log entry that holds points of a stream: how much, and the least and greatest step."""

    rows: int
    points: int
    min_step: int
    max_step: int


ARRIVALS = _state(70, "arrivals", "stream:u64 seq:u64", Arrival)
ARRIVED = _state(79, "arrived", "seq:u64 stream:u64", int)


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


RUNS = _state(64, "runs", "id:u64", Run)
RUN_NAMES = _state(65, "run_names", "project:u64 name:text", int)
RUN_MARKS = _state(66, "run_marks", "run:u64", RunMark)
KEY_NAMES = _state(67, "key_names", "project:u64 name:text", int)
KEY_IDS = _state(68, "key_ids", "project:u64 key:u32", str)
RUN_CHANGES = _state(69, "run_changes", "project:u64 seq:u64 run:u64", int)
STATS = _state(71, "stats", "stream:u64 page:u32", bytes)
LAST_OBJECTS = _state(72, "last_objects", "stream:u64 key:u32", LastObject)
LINES = _state(73, "lines", "run:u64 line:u64 seq:u64", LineSpan)
WRITER_LINES = _state(78, "writer_lines", "run:u64 writer:text number:u64", WriterSpan)
WRITER_ROWS = _state(61, "writer_rows", "run:u64 writer:text", int)
RUN_FILES = _state(74, "run_files", "run:u64 path:text", Entry)
RUNNING = _state(75, "running", "run:u64", int)
STREAMS = _state(76, "streams", "stream:u64", int)
STREAM_FORKS = _state(77, "stream_forks", "stream:u64 run:u64", int)
HEARTBEATS = _local(89, "heartbeats", "run:u64", int)


# Sweeps


class Sweep(Record, frozen=True):
    """A search over parameters. ``config`` is a MessagePack map; ``state`` is pending, running, paused, finished or canceled.

    ``assigned`` counts the runs that it gave out, ``drawn`` those of them whose parameters its method chose.
    """

    id: int
    project: int
    name: str
    created: int
    by: str
    updated: int
    config: bytes
    state: str = "pending"
    display_name: str = ""
    assigned: int = 0
    drawn: int = 0


class SweepAgent(Record, frozen=True):
    """A process that asks a sweep for runs."""

    id: int
    sweep: int
    host: str
    created: int
    by: str


class SweepRun(Record, frozen=True):
    """A run that a sweep chose parameters for (a MessagePack map). ``agent`` is 0 while it waits for one.

    ``stopped`` is when it was found to be worse than the others, or 0; ``prior`` says that it was there before the sweep.
    """

    run: str
    agent: int
    params: bytes
    time: int
    stopped: int = 0
    prior: bool = False


SWEEPS = _state(110, "sweeps", "id:u64", Sweep)
SWEEP_NAMES = _state(111, "sweep_names", "project:u64 name:text", int)
SWEEP_AGENTS = _state(112, "sweep_agents", "sweep:u64 agent:u64", SweepAgent)
AGENT_SWEEPS = _state(113, "agent_sweeps", "agent:u64", int)
SWEEP_RUNS = _state(114, "sweep_runs", "sweep:u64 number:u32", SweepRun)
SWEEP_RUN_NAMES = _state(115, "sweep_run_names", "sweep:u64 run:text", int)
SWEEP_WAITING = _state(116, "sweep_waiting", "sweep:u64 number:u32", int)
AGENT_HEARTBEATS = _local(117, "agent_heartbeats", "agent:u64", int)


class Alert(Record, frozen=True):
    """What a run wants somebody to know. ``told`` is false when one of its title came so shortly before that nobody is told again."""

    title: str
    text: str
    severity: str
    time: int
    by: str
    told: bool = True


ALERTS = _state(118, "alerts", "run:u64 seq:u64", Alert)


class Automation(Record, frozen=True):
    """What is done when something happens in a namespace, project or collection (``scope``, with its id ``subject``).

    ``event`` and ``filter`` (MessagePack) say when; ``action`` is nothing, webhook or notification, to ``webhook``, with ``message``
    (a MessagePack map).
    """

    id: int
    namespace: int
    scope: str
    subject: int
    name: str
    created: int
    by: str
    updated: int
    event: str
    filter: bytes
    action: str
    webhook: int
    message: bytes
    description: str = ""
    enabled: bool = True


AUTOMATIONS = _state(119, "automations", "id:u64", Automation)
# Traces, and what is judged with them


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


class Entity(Record, frozen=True):
    """A small object that a dialect keeps beside projects: a scorer, a set of evaluation records, a label schema, a queue of reviews, an issue.

    ``owner`` is the id of the project, or of the namespace, whose members may see it. ``body`` is MessagePack; ``revision`` the log entry of
    its last change. Times are milliseconds.
    """

    number: int
    owner: int
    name: str
    body: bytes
    created: int
    updated: int
    revision: int


class EntityItem(Record, frozen=True):
    """A part of an entity, of which there may be many: MessagePack, and the log entry and place in it that brought it first."""

    body: bytes
    order: int
    place: int


TRACES = _state(120, "traces", "id:u64", Trace)
TRACE_NAMES = _state(121, "trace_names", "name:text project:u64", int)
TRACE_TIMES = _state(122, "trace_times", "project:u64 time:u64 trace:u64", int)
TRACE_MARKS = _state(123, "trace_marks", "project:u64 kind:u8 digest:b16 trace:u64", int)
TRACE_SPANS = _state(124, "trace_spans", "trace:u64 seq:u64", SpanBatch)
TRACE_FILES = _state(125, "trace_files", "trace:u64 path:text", Entry)
ASSESSMENTS = _state(126, "assessments", "trace:u64 id:text", Assessment)
ENTITIES = _state(127, "entities", "kind:text id:text", Entity)
ENTITY_OWNERS = _state(128, "entity_owners", "owner:u64 kind:text number:u64", str)
ENTITY_NAMES = _state(129, "entity_names", "owner:u64 kind:text name:b16", str)
ENTITY_ITEMS = _state(130, "entity_items", "entity:u64 key:text", EntityItem)


class Gate(Record, frozen=True):
    """A collection whose files are given only to those who are let in: ``auto``, whoever asks, or ``manual``, whom an owner accepts."""

    mode: str
    by: str
    time: int


class Admission(Record, frozen=True):
    """Who asked to be let in, and what became of it: ``pending``, ``accepted`` or ``rejected``, by whom and when."""

    state: str
    asked: int
    fields: bytes = b"\x80"
    by: str = ""
    time: int = 0
    why: str = ""


GATES = _state(154, "gates", "collection:u64", Gate)
ADMISSIONS = _state(155, "admissions", "collection:u64 user:u64", Admission)


# Where the bytes are


class Blob(Record, frozen=True):
    """A file's bytes as this machine holds them.

    ``garbage`` is the time it was found unreferenced, or 0, and ``epoch`` the collection that found it. ``indexed`` is false
    while chunks of a live blob may lack their row in ``chunks``; ``dying`` is true while its rows are being deleted.
    """

    size: int
    xet: bytes
    created: int
    md5: bytes = b""
    garbage: int = 0
    parts: int = 0
    epoch: int = 0
    indexed: bool = True
    dying: bool = False


class Part(Record, frozen=True):
    """A stretch of a blob: packed 44-byte chunk records, and packed 24-byte extents (pack, offset, length)."""

    size: int
    chunks: bytes
    extents: bytes


class Pack(Record, frozen=True):
    """An append-only file of raw bytes. ``size`` is what is accounted for; bytes past it are nobody's.

    ``sealed`` forbids any further append: a sync of the file failed, and what is on the disk past ``size`` is unknown.
    """

    size: int
    domain: int
    created: int
    sealed: bool = False


class Upload(Record, frozen=True):
    """A resumable upload: what has been taken in so far, and what it must become.

    ``ranges`` are the (pack, start, stop) it wrote itself, ``carry`` the bytes after the last whole chunk. ``serial`` counts
    the checkpoints, so that a process sees that another has gone on with the upload. ``epoch`` and ``generation`` are the
    collector's counters as of its start. ``done`` is the SHA-256 of the blob that it became.
    """

    domain: int
    owner: str
    created: int
    expires: int
    offset: int = 0
    size: int | None = None
    sha256: bytes = b""
    md5: bool = False
    serial: int = 0
    epoch: int = 0
    generation: int = 0
    carry: bytes = b""
    ranges: tuple[tuple[int, int, int], ...] = ()
    done: bytes = b""


class Pin(Record, frozen=True):
    """Keeps a blob from the garbage collector until ``expires`` (microseconds)."""

    expires: int
    owner: str


class Damage(Record, frozen=True):
    """A chunk of a blob that failed its check, and where its bytes were expected."""

    length: int
    pack: int
    pack_offset: int
    found: int
    how: str


class Xorb(Record, frozen=True):
    """Chunks that a client may name together: their packed 44-byte records, and the latest blobs that are made of some of them."""

    records: bytes
    blobs: tuple[bytes, ...]


class Archive(Record, frozen=True):
    """The tar archive of a manifest's files: its SHA-256 and size."""

    sha256: bytes
    size: int


class Described(Record, frozen=True):
    """What a digest stands for in a collection: a version's number, and which of the documents about it."""

    number: int
    what: str


BLOBS = _local(80, "blobs", "domain:u16 sha256:b32", Blob)
BLOB_PARTS = _local(81, "blob_parts", "domain:u16 sha256:b32 offset:u64", Part)
CHUNKS = _local(82, "chunks", "domain:u16 hash:b32", bytes)
PACKS = _local(83, "packs", "pack:u64", Pack)
UPLOADS = _local(84, "uploads", "id:b16", Upload)
UPLOAD_PARTS = _local(85, "upload_parts", "id:b16 offset:u64", Part)
PINS = _local(86, "pins", "domain:u16 sha256:b32 id:b16", Pin)
DAMAGES = _local(87, "damages", "domain:u16 sha256:b32 offset:u64", Damage)
SETTINGS = _local(88, "settings", "name:text", bytes)
MD5S = _local(104, "md5s", "domain:u16 md5:b16 sha256:b32", int)
XORBS = _local(150, "xorbs", "domain:u16 hash:b32", Xorb)
#: By the Xet hash of a blob (-1), and by that of some of its chunks (where the chunk begins).
XET_NAMES = _local(151, "xet_names", "domain:u16 hash:b32 sha256:b32", int)

ARCHIVES = _local(152, "archives", "manifest:b32", Archive)
DESCRIBED = _local(153, "described", "collection:u64 sha256:b32", Described)


# Series: points in blocks, made from arrivals


class SeriesBlock(Record, frozen=True):
    """Points of one stream and key in order of step, time and value, in columns; ``kinds`` is empty when all are floats."""

    count: int
    steps: bytes
    times: bytes
    floats: bytes = b""
    ints: bytes = b""
    lengths: bytes = b""
    objects: bytes = b""
    kinds: bytes = b""


class SeriesCells(Record, frozen=True):
    """A table of cells: summaries of stretches of points, as whole numbers and as floats."""

    cells: int
    terms: int
    ints: bytes
    floats: bytes


class BlockEntry(Record, frozen=True):
    """Where a block begins and ends, its times, its points, and how many of its group's cells and terms of sums are its own."""

    first_step: int
    first_time: int
    last_step: int
    last_time: int
    min_time: int
    max_time: int
    count: int
    cells: int
    terms: int


class SeriesGroup(Record, frozen=True):
    """Consecutive blocks with their coarse cells."""

    blocks: tuple[BlockEntry, ...]
    cells: SeriesCells


class Compacted(Record, frozen=True):
    """Arrivals of a stream before log entry ``seq`` are in blocks.

    While ``upto`` is greater, those before it are being written, and are there up to but without ``key``, ``step`` and ``time``.
    """

    seq: int = 0
    upto: int = 0
    key: int = 0
    step: int = -(1 << 63)
    time: int = -(1 << 63)


class Swept(Record, frozen=True):
    """All arrivals before log entry ``seq`` are compacted; ``drops`` counts how often that was taken back, for a dropped stream."""

    seq: int = 0
    drops: int = 0


SERIES_BLOCKS = _derived(96, "series_blocks", "stream:u64 key:u32 step:u64 time:u64", SeriesBlock)
SERIES_CELLS = _derived(97, "series_cells", "stream:u64 key:u32 step:u64 time:u64", SeriesCells)
SERIES_GROUPS = _derived(98, "series_groups", "stream:u64 key:u32 step:u64 time:u64", SeriesGroup)
SERIES_COMPACTED = _derived(99, "series_compacted", "stream:u64", Compacted)
SERIES_SWEPT = _derived(100, "series_swept", "zero:u8", Swept)


# Webhooks


class Webhook(Record, frozen=True):
    """Where to tell of what happens in a namespace (0: in all), or in one project of it.

    ``channel`` names the dialect that words the messages, ``events`` are what is told, in its words; ``secret`` is encrypted.
    """

    id: int
    namespace: int
    project: int
    channel: str
    name: str
    url: str
    events: tuple[str, ...]
    created: int
    by: str
    updated: int
    description: str = ""
    secret: bytes = b""
    enabled: bool = True


class Delivery(Record, frozen=True):
    """A message to a webhook: waiting (to be sent at ``due``), delivered or failed, and how the last attempt ended."""

    id: str
    event: str
    body: bytes
    created: int
    state: str = "waiting"
    due: int = 0
    attempts: int = 0
    tried: int = 0
    status: int = 0
    answer: str = ""


WEBHOOKS = _state(140, "webhooks", "id:u64", Webhook)
DELIVERIES = _local(141, "deliveries", "webhook:u64 number:u64", Delivery)
DELIVERIES_DUE = _local(142, "deliveries_due", "due:u64 webhook:u64 number:u64", int)
TOLD = _local(143, "told", "zero:u8", int)


# What runs read and make, beside versions


class Dataset(Record, frozen=True):
    """A dataset that runs of a project say they read: named by name and digest, described in the words of whoever logged it first."""

    id: int
    project: int
    name: str
    digest: str
    created: int
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""


DATASETS = _state(144, "datasets", "id:u64", Dataset)
DATASET_NAMES = _state(145, "dataset_names", "project:u64 digest:text name:text", int)
RUN_DATASETS = _state(146, "run_datasets", "run:u64 dataset:u64", dict[str, str])
DATASET_RUNS = _state(147, "dataset_runs", "dataset:u64 run:u64", int)
RUN_MODELS = _state(148, "run_models", "run:u64 output:u8 model:text step:u64", int)
