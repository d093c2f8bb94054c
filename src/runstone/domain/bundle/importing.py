"""An open bundle made a project again, through the functions by which anybody makes one.

Each change has an id that follows from the bundle, the project and the item, so an import that broke off goes on where it was when it is run
again: what was made is not made twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
from msgspec.structs import replace

from runstone.domain import (
    aliases,
    collections,
    content,
    documents,
    fields,
    labels,
    lineage,
    manifests,
    names,
    projects,
    versions,
)
from runstone.domain.bundle.checking import Bundle, batches
from runstone.domain.bundle.parts import all_parts
from runstone.domain.bundle.records import (
    AliasRecord,
    CollectionRecord,
    EdgeRecord,
    End,
    LabelsRecord,
    RunRecord,
    VersionRecord,
    blob_path,
    restored,
)
from runstone.domain.context import Context
from runstone.domain.runs import console, files, lifecycle, points
from runstone.domain.store import Store
from runstone.errors import Conflict, Corrupt, Exists, Missing
from runstone.storage.tables import (
    COLLECTION_NAMES,
    COMMANDS,
    DATASET_NAMES,
    DOCUMENT_NAMES,
    ENTITY_OWNERS,
    FIELD_CLASSES,
    RUN_NAMES,
    SWEEP_NAMES,
    TRACE_TIMES,
    Table,
)
from runstone.types import ConsoleLine, FileEntry, ProjectInfo

Progress = Callable[[int, int], None]
T = TypeVar("T")
#: What a project that takes a bundle has none of.
_HELD: tuple[Table[Any], ...] = (
    RUN_NAMES, COLLECTION_NAMES, FIELD_CLASSES, DOCUMENT_NAMES, DATASET_NAMES, SWEEP_NAMES, TRACE_TIMES, ENTITY_OWNERS,
)  # fmt: skip


class Imported(msgspec.Struct, frozen=True):
    """What came of an import: the project, and how much of each kind the bundle had. ``outside`` edges are not imported.

    ``left_out`` are objects whose ids the store has for others.
    """

    project: str
    bundle: str
    counts: dict[str, int]
    outside: int
    left_out: tuple[str, ...] = ()


def import_project(
    store: Store, ctx: Context, source: Path, project: str = "", progress: Progress | None = None
) -> Imported:
    """Makes a project of a bundle, by default one of the name it had; every digest and record is checked first.

    Takes the right to administer the namespace. Raises :class:`Invalid` for a bundle that is damaged, foreign or hostile, and then
    nothing was made; :class:`Exists` for a project that is there and not empty, unless this import of this bundle was begun in it.
    """
    bundle = Bundle(source)
    parsed = names.parse_project(ctx, project or f"{bundle.manifest.namespace}/{bundle.manifest.project}")
    with store.index.read() as view:
        names.find_namespace(store, view, ctx, parsed.namespace, "admin")
    bundle.check()
    return _Import(store, ctx, bundle, parsed, progress).run()


class _Import:
    def __init__(
        self, store: Store, ctx: Context, bundle: Bundle, name: names.Name, progress: Progress | None
    ) -> None:
        self._store, self._ctx, self._bundle = store, ctx, bundle
        self.name, self._namespace = str(name), name.namespace
        self._progress = progress
        self._seed = b""
        self.left_out: list[str] = []
        self._done = 0
        counts = bundle.manifest.counts
        self._total = counts["runs"] + counts["versions"]
        self._reason = f"import of bundle {bundle.digest.hex()[:16]}"

    def run(self) -> Imported:
        self._begin()
        for field, name in self._bundle.field_classes().items():
            self.once(f"field/{field}", fields.set_class, self.name, field, name)
        self._runs()
        self._collections()
        for part in all_parts():
            for place, record in enumerate(self._bundle.part(part)):
                part.make(self, f"{part.name}/{place}", record)
        for version in self._bundle.versions():
            self._settle(version)
        self._documents()
        outside = sum(1 for edge in self._bundle.edges() if not self._edge(edge))
        counts = dict(self._bundle.manifest.counts)
        return Imported(self.name, self._bundle.digest.hex(), counts, outside, tuple(self.left_out))

    def leave_out(self, what: str) -> None:
        """Notes what cannot be made here."""
        self.left_out.append(what)

    def _advance(self) -> None:
        self._done += 1
        if self._progress:
            self._progress(self._done, self._total)

    def _begin(self) -> None:
        """Makes the project, or finds it as this import left it."""
        about = self._bundle.project()
        ctx = replace(self._ctx, command_id=b"", reason=self._reason)
        try:
            held = projects.get(self._store, ctx, self.name)
        except Missing:
            held = projects.create(self._store, ctx, self.name, kind=about.kind, visibility=about.visibility)
        project = self._project_id()
        # The project's own id is part of the seed: one that was deleted and is imported anew is another one.
        self._seed = b"runstone-import\0" + self._bundle.digest + project.to_bytes(8, "little")
        if not self._is_done("project"):
            self._require_empty(project, held, about.kind)
        change: dict[str, Any] = {
            "description": about.description,
            "tags": about.tags,
            "visibility": about.visibility,
        }
        self.once("project", projects.update, self.name, **change)

    def _project_id(self) -> int:
        parsed = names.parse_project(self._ctx, self.name)
        with self._store.index.read() as view:
            return names.find_project(self._store, view, self._ctx, parsed, "admin")[1].id

    def _require_empty(self, project: int, held: ProjectInfo, kind: str) -> None:
        with self._store.index.read() as view:
            for table in _HELD:
                if next(view.scan(table, project), None) is not None:
                    raise Exists(f"project {self.name} is not empty; import the bundle under another name")
        if held.kind != kind:
            raise Exists(f"{self.name} is a {held.kind} and the bundle is of a {kind}; choose another name")

    def _id(self, item: str) -> bytes:
        return hashlib.sha256(self._seed + item.encode()).digest()[:16]

    def _is_done(self, item: str) -> bool:
        with self._store.index.read() as view:
            return view.get(COMMANDS, self._id(item)) is not None

    def once(
        self, item: str, make: Callable[..., Any], *arguments: Any, reason: str | None = None, **options: Any
    ) -> None:
        """Makes a change by a function of the domain, unless an earlier run of this import has."""
        if not self._is_done(item):
            because = self._reason if reason is None else reason
            ctx = replace(self._ctx, command_id=self._id(item), reason=because)
            make(self._store, ctx, *arguments, **options)

    # Runs

    def _runs(self) -> None:
        batch = _Merged(self._bundle.points())
        lines = _Merged(self._bundle.lines())
        for record in self._bundle.runs():
            self._run(record, batch, lines)
            self._advance()

    def _run(self, record: RunRecord, logged: _Merged[Any], printed: _Merged[Any]) -> None:
        name, item = f"{self.name}/{record.name}", f"run/{record.name}"
        self.once(f"{item}/create", self._create, name, record)
        if record.inherits < record.forked:
            self.once(f"{item}/rewind", lifecycle.rewind, name, record.inherits)
        place = 0
        for _, segments, _ in logged.of(record.name):
            for batch in batches(segments):
                self.once(f"{item}/points/{place}", points.log, name, batch)
                place += 1
        for _, lines in printed.of(record.name):
            for first, part in _stretches(lines):
                self.once(f"{item}/lines/{first}", console.log, name, part, first=first)
        for start in range(0, len(record.files), files.MAX_FILES):
            entries = record.files[start : start + files.MAX_FILES]
            self.once(f"{item}/files/{start}", self._put_run_files, name, entries)
        changes: dict[str, Any] = {}
        if record.summary:
            changes["summary"] = restored(record.summary)
        if not record.started:
            changes["started"] = 0
        if changes:
            self.once(f"{item}/update", lifecycle.update, name, **changes)
        if record.state != "running":
            self.once(f"{item}/state", lifecycle.set_state, name, record.state, finished=record.finished)

    def _create(self, store: Store, ctx: Context, name: str, record: RunRecord) -> None:
        lifecycle.create(
            store,
            ctx,
            name,
            display_name=record.display_name,
            group=record.group,
            job_type=record.job_type,
            sweep=record.sweep,
            notes=record.notes,
            tags=record.tags,
            config=restored(record.config),
            goals=record.goals,
            info=restored(record.info),
            started=record.started,
            fork=f"{self.name}/{record.parent}" if record.parent else "",
            step=record.forked,
        )

    def _put_run_files(self, store: Store, ctx: Context, name: str, entries: tuple[FileEntry, ...]) -> None:
        self.put_bytes(entries)
        files.put(store, ctx, name, entries)

    def put_bytes(self, entries: tuple[FileEntry, ...]) -> None:
        """Takes in the bytes of files; raises :class:`Corrupt` when they changed since they were checked."""
        held = manifests.held(manifests.checked(entries))
        wanted = [digest.hex() for digest in held]
        pairs = [(sha256, self._bundle.root / blob_path(sha256)) for sha256 in wanted]
        found = content.put_files(self._store, self._ctx.without_id(), self._namespace, pairs)
        if [file.sha256 for file in found] != wanted:
            raise Corrupt(
                f"files of {self._bundle.root} changed while it was imported; copy the bundle again"
            )

    # Collections

    def _collections(self) -> None:
        for record in self._bundle.collections():
            self.once(f"collection/{record.name}", self._collection, record)
        for version in self._bundle.versions():
            self._version(version)
            self._advance()
        for alias in self._bundle.aliases():
            self._alias(alias)
        for labelled in self._bundle.labels():
            self._labels(labelled)

    def _collection(self, store: Store, ctx: Context, record: CollectionRecord) -> None:
        collections.create(
            store,
            ctx,
            f"{self.name}/{record.name}",
            type=record.type,
            description=record.description,
            tags=record.tags,
            metadata=restored(record.metadata),
        )

    def _version(self, record: VersionRecord) -> None:
        name = f"{self.name}/{record.collection}"

        def commit(store: Store, ctx: Context) -> None:
            self.put_bytes(record.files)
            made = versions.commit(
                store,
                ctx,
                name,
                record.files,
                metadata=restored(record.metadata),
                description=record.description,
                tags=record.tags,
                expires=record.expires,
                reuse=False,
            )
            if made.number != record.number:
                raise Conflict(
                    f"somebody else puts versions to {name}; delete it and import the bundle again"
                )

        self.once(f"version/{record.collection}/{record.number}", commit)

    def _alias(self, record: AliasRecord) -> None:
        name = f"{self.name}/{record.collection}"
        for place, step in enumerate(record.history):
            item = f"alias/{record.collection}/{record.alias}/{place}"
            options: dict[str, Any] = {"expected": step.previous, "reason": step.reason}
            if not step.version:
                self.once(item, aliases.delete, name, record.alias, **options)
                continue
            if place == len(record.history) - 1:
                options["fallback"] = record.fallback
            self.once(item, aliases.move, f"{name}@v{step.version}", record.alias, **options)

    def _settle(self, record: VersionRecord) -> None:
        """Deletes what was deleted, which aliases may have pointed at before, and puts holds on the rest."""
        name = f"{self.name}/{record.collection}@v{record.number}"
        item = f"version/{record.collection}/{record.number}"
        if record.state == "deleted":
            self.once(f"{item}/delete", versions.delete, name, reason=record.reason)
        elif record.hold:
            self.once(f"{item}/hold", versions.update, name, hold=record.hold)

    def _labels(self, record: LabelsRecord) -> None:
        label: dict[str, Callable[..., None]] = {
            "project": labels.label_project,
            "collection": labels.label_collection,
            "version": labels.label_version,
        }
        subject = record.subject
        name = f"{self.name}/{subject.name}" if subject.name else self.name
        item = f"labels/{subject.kind}/{subject.name}/{record.kind}"
        self.once(item, label[subject.kind], name, record.labels, kind=record.kind)

    def _documents(self) -> None:
        for record in self._bundle.documents():
            self.once(
                f"document/{record.kind}/{record.name}",
                documents.create,
                self.name,
                record.kind,
                record.name,
                restored(record.spec),
                title=record.title,
                description=record.description,
                private=record.private,
            )

    def _edge(self, record: EdgeRecord) -> bool:
        """Adds an edge; false for one that leads outside."""
        if "outside" in (record.source.kind, record.target.kind):
            return False
        source, target = self._end(record.source), self._end(record.target)
        self.once(f"edge/{source}/{record.relation}/{target}", lineage.link, source, record.relation, target)
        return True

    def _end(self, end: End) -> str:
        if end.kind == "run":
            return f"run:{self.name}/{end.name}"
        if end.kind == "version":
            return f"{self.name}/{end.name}"
        return f"{end.kind.removeprefix('node-')}:{self._namespace}/{end.name}"


class _Merged(Generic[T]):
    """Groups that come in the order of the runs, handed out run by run; the first of a group is its run."""

    def __init__(self, groups: Iterator[T]) -> None:
        self._groups = groups
        self._next: Any = next(groups, None)

    def of(self, run: str) -> Iterator[T]:
        """The groups of a run."""
        while self._next is not None and self._next[0] == run:
            yield self._next
            self._next = next(self._groups, None)


def _stretches(lines: list[ConsoleLine]) -> Iterator[tuple[int, list[ConsoleLine]]]:
    """Lines whose numbers follow each other, as many at a time as may be logged at once."""
    begin = 0
    for place in range(1, len(lines) + 1):
        ends = place == len(lines) or lines[place].number != lines[place - 1].number + 1
        if ends or place - begin == console.MAX_LINES:
            yield lines[begin].number, lines[begin:place]
            begin = place
