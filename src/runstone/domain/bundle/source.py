"""A project as a bundle has it, read from a store in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec

from runstone._native import points
from runstone.domain import documents, labels, manifests, names, policy
from runstone.domain.bundle.records import (
    AliasRecord,
    CollectionRecord,
    DocumentRecord,
    EdgeRecord,
    End,
    LabelsRecord,
    ProjectRecord,
    RunRecord,
    Step,
    VersionRecord,
    plain,
)
from runstone.domain.context import Context
from runstone.domain.runs import console
from runstone.domain.runs.logging import LogPoints
from runstone.domain.runs.streams import cut
from runstone.domain.store import Store
from runstone.errors import Corrupt, Denied, Quarantined
from runstone.storage.index import View
from runstone.storage.tables import (
    ALIAS_HISTORY,
    ALIASES,
    ARRIVALS,
    COLLECTION_NAMES,
    COLLECTIONS,
    DOCUMENT_NAMES,
    DOCUMENTS,
    DOWNSTREAM,
    FIELD_CLASSES,
    NODES,
    RUN_FILES,
    RUN_MARKS,
    RUN_NAMES,
    RUNS,
    UPSTREAM,
    VERSION_IDS,
    VERSIONS,
    Collection,
    Document,
    Run,
    RunMark,
)
from runstone.types import ConsoleLine

_decode = msgspec.msgpack.Decoder().decode
LINES = 5_000
#: (steps, times, columns) as :func:`runstone._native.points.decode` gives them.
Frame = tuple[Any, Any, list[tuple[str, int, Any]]]


class Source:
    """A project in a read transaction; only who may administer it and read all of its fields gets it."""

    def __init__(self, store: Store, view: View, ctx: Context, project: str) -> None:
        """Raises :class:`Missing` and :class:`Denied`."""
        self.store, self.view, self.ctx = store, view, ctx
        name = names.parse_project(ctx, project)
        self.namespace, self.project = names.find_project(store, view, ctx, name, "admin")
        if store.policy.classes(view, ctx, self.namespace) != policy.ALL_CLASSES:
            raise Denied(
                f"{ctx.principal.name} may not read all fields of {project}, and so not export it; ask one of its owners"
            )

    def __str__(self) -> str:
        return f"{self.namespace.name}/{self.project.name}"

    def about(self) -> ProjectRecord:
        """The project itself."""
        row = self.project
        return ProjectRecord(
            kind=row.kind,
            description=row.description,
            tags=row.tags,
            visibility=row.visibility,
            created=row.created,
            updated=row.updated,
            by=row.by,
        )

    def field_classes(self) -> dict[str, str]:
        """The classes of the project's fields."""
        rows = self.view.scan(FIELD_CLASSES, self.project.id)
        return {field: policy.CLASSES[row.value] for (_, field), row in rows}

    def labels(self) -> Iterator[LabelsRecord]:
        """The labels of the project, its collections and their live versions."""
        for subject, end in self._labelled():
            for kind in labels.KINDS:
                found = labels.of(self.view, subject, kind)
                if found:
                    yield LabelsRecord(subject=end, kind=kind, labels=found)

    def _labelled(self) -> Iterator[tuple[int, End]]:
        yield self.project.id, End(kind="project", name="")
        for collection in self.collections():
            yield collection.id, End(kind="collection", name=collection.name)
            for (_, number), version in self.view.scan(VERSIONS, collection.id):
                if version.state == "live":
                    yield version.id, End(kind="version", name=f"{collection.name}@v{number}")

    def documents(self) -> Iterator[Document]:
        """The documents that the principal may know of: not those that others keep to themselves."""
        for _, document_id in self.view.scan(DOCUMENT_NAMES, self.project.id):
            document = self.view.get(DOCUMENTS, document_id)
            if document is not None and documents.may_know(self.ctx, document):
                yield document

    def document(self, row: Document) -> DocumentRecord:
        """A document's record."""
        return DocumentRecord(
            kind=row.kind,
            name=row.name,
            title=row.title,
            description=row.description,
            spec=plain(_decode(row.spec)),
            private=row.private,
            created=row.created,
            updated=row.updated,
            by=row.by,
        )

    # Runs

    def runs(self) -> Iterator[Run]:
        """The runs that are not deleted, a parent before its forks."""
        for run_id in sorted(run_id for _, run_id in self.view.scan(RUN_NAMES, self.project.id)):
            self.ctx.check_deadline()
            run = self.view.get(RUNS, run_id)
            if run is not None and not run.deleted:
                yield run

    def run(self, run: Run, points: int, lines: int) -> RunRecord:
        """A run's record; how many points and lines of it there are is the caller's to say."""
        parent, inherits = self.inherited(run)
        origin = self.view.get(RUNS, run.parent) if run.parent else None
        mark = self.view.get(RUN_MARKS, run.id) or RunMark(0, run.created)
        return RunRecord(
            name=run.name,
            display_name=run.display_name,
            state=run.state,
            started=run.started,
            finished=run.finished,
            group=run.group,
            job_type=run.job_type,
            sweep=run.sweep,
            notes=run.notes,
            tags=run.tags,
            config=plain(_decode(run.config)),
            summary=plain(_decode(run.summary)),
            goals=run.goals,
            info=plain(_decode(run.info)),
            parent=parent.name if parent else "",
            forked=run.forked if parent else 0,
            inherits=inherits,
            origin=origin.name if origin else "",
            files=tuple(manifests.shown(entry) for _, entry in self.view.scan(RUN_FILES, run.id)),
            points=points,
            lines=lines,
            created=run.created,
            updated=mark.time,
            by=run.by,
        )

    def inherited(self, run: Run) -> tuple[Run | None, int]:
        """The run whose history before a step is this one's, and the step.

        None where the parent was deleted, or has set aside since what the fork still has: then all of its history is its own.
        """
        parent = self.view.get(RUNS, run.parent) if run.parent else None
        borrowed = tuple(span for span in run.spans if span[0] not in run.streams)
        if parent is None or parent.deleted or not borrowed:
            return None, 0
        step = borrowed[-1][1]
        return (parent, step) if borrowed == cut(parent.spans, step) else (None, 0)

    def own_points(self, run: Run) -> Iterator[Frame]:
        """The points of a run's history that it does not inherit, as they arrived."""
        parent, _ = self.inherited(run)
        for stream, until in run.spans:
            if parent is None or stream in run.streams:
                yield from self._frames(stream, until)

    def history(self, run: Run) -> Iterator[Frame]:
        """All points of a run's history, as they arrived."""
        for stream, until in run.spans:
            yield from self._frames(stream, until)

    def _frames(self, stream: int, until: int) -> Iterator[Frame]:
        for (_, seq), arrival in self.view.scan(ARRIVALS, stream):
            self.ctx.check_deadline()
            if 0 <= until <= arrival.min_step:
                continue
            command = self.store.log.command(*self.store.log.entry_in(self.view, seq))
            if not isinstance(command, LogPoints):
                raise Corrupt(f"log entry {seq} of {self} has lost its points; restore it from a backup")
            for frame in points.decode(command.batch):
                yield frame if until < 0 or arrival.max_step < until else _before(frame, until)

    def lines(self, run: Run) -> Iterator[ConsoleLine]:
        """A run's console lines as they stand."""
        mark = self.view.get(RUN_MARKS, run.id)
        total = mark.lines if mark else 0
        for start in range(0, total, LINES):
            yield from console.page(self.store, self.view, run.id, start, min(start + LINES, total))

    # Collections

    def collections(self) -> Iterator[Collection]:
        """The collections by name."""
        for _, collection_id in self.view.scan(COLLECTION_NAMES, self.project.id):
            collection = self.view.get(COLLECTIONS, collection_id)
            assert collection is not None
            yield collection

    def collection(self, row: Collection) -> CollectionRecord:
        """A collection's record."""
        return CollectionRecord(
            name=row.name,
            type=row.type,
            description=row.description,
            tags=row.tags,
            metadata=plain(_decode(row.metadata)),
            created=row.created,
            updated=row.updated,
            by=row.by,
        )

    def versions(self, collection: Collection) -> Iterator[VersionRecord]:
        """The versions of a collection from the first; raises :class:`Quarantined` for one whose bytes are damaged."""
        for (_, number), row in self.view.scan(VERSIONS, collection.id):
            self.ctx.check_deadline()
            if row.state == "quarantined":
                raise Quarantined(
                    f"{self}/{collection.name}:v{number} is quarantined ({row.reason}); repair or delete it before the project is exported"
                )
            live = row.state == "live"
            files = manifests.entries(self.view, row.manifest) if live else iter(())
            yield VersionRecord(
                collection=collection.name,
                number=number,
                state=row.state,
                reason=row.reason,
                digest=row.manifest.hex() if live else "",
                files=tuple(manifests.shown(entry) for entry in files),
                metadata=plain(_decode(row.metadata)),
                description=row.description,
                tags=row.tags,
                expires=row.expires if live else 0,
                hold=row.hold,
                created=row.created,
                by=row.by,
            )

    def aliases(self, collection: Collection) -> Iterator[AliasRecord]:
        """Every alias that a collection ever had, by name."""
        found: dict[str, list[Step]] = {}
        for (_, alias, _), step in self.view.scan(ALIAS_HISTORY, collection.id):
            found.setdefault(alias, []).append(
                Step(
                    version=step.version,
                    previous=step.previous,
                    reason=step.reason,
                    time=step.time,
                    by=step.by,
                )
            )
        for alias, steps in found.items():
            row = self.view.get(ALIASES, collection.id, alias)
            yield AliasRecord(
                collection=collection.name,
                alias=alias,
                version=row.version if row else 0,
                fallback=row.fallback if row else True,
                history=tuple(steps),
            )

    # Lineage

    def edges(self) -> Iterator[EdgeRecord]:
        """The lineage edges of the project's versions and runs, each once."""
        for end in self._ends():
            for (source, relation, target), edge in self.view.scan(DOWNSTREAM, end):
                yield self._edge(source, relation, target, edge)
            for (target, relation, source), _ in self.view.scan(UPSTREAM, end):
                if self.end(source).kind not in ("version", "run"):
                    held = self.view.get(DOWNSTREAM, source, relation, target)
                    assert held is not None
                    yield self._edge(source, relation, target, held)

    def _ends(self) -> Iterator[int]:
        for run in self.runs():
            yield run.id
        for collection in self.collections():
            for _, version in self.view.scan(VERSIONS, collection.id):
                yield version.id

    def _edge(self, source: int, relation: str, target: int, edge: Any) -> EdgeRecord:
        return EdgeRecord(
            source=self.end(source),
            relation=relation,
            target=self.end(target),
            count=edge.count,
            time=edge.time,
            by=edge.by,
        )

    def end(self, end: int) -> End:
        """A lineage end by its id."""
        run = self.view.get(RUNS, end)
        if run is not None and run.project == self.project.id and not run.deleted:
            return End(kind="run", name=run.name)
        node = self.view.get(NODES, end)
        if node is not None and node.namespace == self.namespace.id:
            return End(kind=f"node-{node.kind}", name=node.name)
        key = self.view.get(VERSION_IDS, end)
        collection = self.view.get(COLLECTIONS, key[0]) if key else None
        if key and collection and collection.project == self.project.id and not collection.deleted:
            return End(kind="version", name=f"{collection.name}@v{key[1]}")
        # Of what lies elsewhere only the id is told: its name may be nobody's business who has this project.
        return End(kind="outside", name=str(end))


def _before(frame: Frame, step: int) -> Frame:
    steps, times, columns = frame
    kept = steps < step
    rows = [row for row, keep in enumerate(kept.tolist()) if keep]

    def column(kind: int, values: Any) -> Any:
        if kind != points.OBJECT:
            return values[kept]
        offsets, packed = values
        pieces = [bytes(packed[offsets[row] : offsets[row + 1]]) for row in rows]
        ends = [0]
        for piece in pieces:
            ends.append(ends[-1] + len(piece))
        return ends, memoryview(b"".join(pieces))

    return steps[kept], times[kept], [(name, kind, column(kind, values)) for name, kind, values in columns]


def objects(values: Any) -> list[bytes]:
    """The MessagePack values of an object column."""
    offsets, packed = values
    ends = offsets if isinstance(offsets, list) else offsets.tolist()
    whole = bytes(packed)
    return [whole[start:stop] for start, stop in pairwise(ends)]
