"""A project written out as an open bundle."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from runstone.domain import audit, content
from runstone.domain.bundle.parquet import LinesWriter, PointsWriter, arrow
from runstone.domain.bundle.parts import Part, all_parts
from runstone.domain.bundle.records import (
    FORMAT,
    BlobRecord,
    Listed,
    Manifest,
    Record,
    TraceRecord,
    blob_path,
    line,
)
from runstone.domain.bundle.source import Source, objects
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import Invalid
from runstone.storage.index import View
from runstone.storage.tables import ALIAS_HISTORY, HEAD, HISTORY, VERSIONS, Entry, Head
from runstone.types import FileEntry

Progress = Callable[[int, int], None]
#: All that a bundle has is of one moment, so it is read in one transaction, which may last.
SECONDS = 24 * 3600.0
#: Log entries of one proof file.
PROVEN = 5_000
PIECE = 4 << 20


def export_project(
    store: Store, ctx: Context, project: str, target: Path, progress: Progress | None = None
) -> Manifest:
    """Writes a project into a directory that is empty or missing; its manifest, which is written last.

    Deleted runs are left out, and of rewound ones what the rewind set aside. ``progress`` is told (done, all) in runs and collections.
    Takes the right to administer the project and to read all of its fields. Raises :class:`Invalid` for a directory that is not empty,
    :class:`Quarantined` and :class:`Corrupt` for damaged bytes.
    """
    arrow()
    with store.index.read(SECONDS) as view:
        source = Source(store, view, ctx, project)
        _prepare(target)
        return _Export(source, view, target, progress).run()


def _prepare(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Invalid(f"{target} is not an empty directory; choose another one for the bundle")
    target.mkdir(parents=True, exist_ok=True)


class _Export:
    def __init__(self, source: Source, view: View, target: Path, progress: Progress | None) -> None:
        self._source, self._view, self._target = source, view, target
        self._progress = progress
        self._done = self._total = 0
        self._paths: list[str] = []
        self._counts: dict[str, int] = {}
        self._domain = source.namespace.domain

    def run(self) -> Manifest:
        source = self._source
        self._total = sum(1 for _ in source.runs()) + sum(1 for _ in source.collections())
        self._write("project.json", [source.about()])
        self._write_json("field_classes.json", source.field_classes())
        with (self._target / "files.jsonl").open("xb") as blobs:
            self._blobs = blobs
            self._counts["files"] = 0
            self._runs()
            self._collections()
            for part in all_parts():
                self._counts[part.name] = self._write(part.path, self._each_of(part))
            _sync(blobs.fileno(), blobs.flush)
        self._paths.append("files.jsonl")
        self._counts["labels"] = self._write("labels.jsonl", source.labels())
        self._counts["documents"] = self._write(
            "documents.jsonl", (source.document(row) for row in source.documents())
        )
        self._counts["lineage"] = self._write("lineage.jsonl", source.edges())
        self._proofs()
        return self._finish()

    def _advance(self) -> None:
        self._done += 1
        if self._progress:
            self._progress(self._done, self._total)

    def _write(self, path: str, records: Iterable[Record]) -> int:
        """Writes records to a file; how many."""
        count = 0
        with (self._target / path).open("xb") as stream:
            for record in records:
                stream.write(line(record))
                count += 1
            _sync(stream.fileno(), stream.flush)
        self._paths.append(path)
        return count

    def _write_json(self, path: str, value: object) -> None:
        with (self._target / path).open("xb") as stream:
            stream.write(msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")
            _sync(stream.fileno(), stream.flush)
        self._paths.append(path)

    def _runs(self) -> None:
        with PointsWriter(self._target) as points, LinesWriter(self._target) as lines:
            self._counts["runs"] = self._write("runs.jsonl", self._each_run(points, lines))
        self._counts |= {"points": points.rows, "lines": lines.rows}
        for path in (*points.paths, *lines.paths):
            with (self._target / path).open("rb") as written:
                _sync(written.fileno())
        self._paths += [*points.paths, *lines.paths]

    def _each_run(self, points: PointsWriter, lines: LinesWriter) -> Iterator[Record]:
        for run in self._source.runs():
            logged = sum(points.add(run.name, frame, objects) for frame in self._source.own_points(run))
            printed = 0
            for each in self._source.lines(run):
                lines.add(run.name, each)
                printed += 1
            record = self._source.run(run, logged, printed)
            for file in record.files:
                self._keep(file, f"run {run.name}", run.created)
            yield record
            self._advance()

    def _collections(self) -> None:
        source = self._source
        self._counts["collections"] = self._write(
            "collections.jsonl", (source.collection(row) for row in source.collections())
        )
        self._counts["versions"] = self._write("versions.jsonl", self._each_version())
        self._counts["aliases"] = self._write(
            "aliases.jsonl", (alias for row in source.collections() for alias in source.aliases(row))
        )

    def _each_version(self) -> Iterator[Record]:
        for row in self._source.collections():
            for record in self._source.versions(row):
                for file in record.files:
                    self._keep(file, f"{row.name}:v{record.number}", record.created)
                yield record
            self._advance()

    def _each_of(self, part: Part) -> Iterator[Record]:
        for record in part.read(self._source):
            if isinstance(record, TraceRecord):
                for file in record.files:
                    self._keep(file, f"trace {record.name}", record.created)
            yield record

    def _keep(self, file: FileEntry, owner: str, changed: int) -> None:
        """Copies bytes into the bundle, unless they are there already or lie elsewhere."""
        if file.url:
            return
        path = self._target / blob_path(file.sha256)
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        entry = Entry(file.path, file.size, bytes.fromhex(file.sha256))
        store = self._source.store
        with (
            content.open_entry(store, self._domain, entry, owner, 0, changed) as stored,
            path.open("xb") as stream,
        ):
            for start in range(0, file.size, PIECE):
                self._source.ctx.check_deadline()
                stream.write(stored.read(start, min(start + PIECE, file.size)))
            _sync(stream.fileno(), stream.flush)
        self._blobs.write(line(BlobRecord(sha256=file.sha256, size=file.size)))
        self._counts["files"] += 1

    def _proofs(self) -> None:
        """Proves every change of the project, its documents, collections, versions, aliases and runs to be in the signed log."""
        seqs = sorted(self._changes())
        self._counts["proven"] = len(seqs)
        store = self._source.store
        for number, start in enumerate(range(0, max(len(seqs), 1), PROVEN)):
            path = "proof.json" if not number else f"proof-{number}.json"
            self._write_json(path, audit.bundle(store, seqs[start : start + PROVEN]))

    def _changes(self) -> set[int]:
        source, view = self._source, self._view
        subjects = [source.project.id, *(run.id for run in source.runs())]
        subjects += [document.id for document in source.documents()]
        found = set()
        for collection in source.collections():
            subjects.append(collection.id)
            subjects += [version.id for _, version in view.scan(VERSIONS, collection.id)]
            found |= {seq for (_, _, seq), _ in view.scan(ALIAS_HISTORY, collection.id)}
        for subject in subjects:
            found |= {seq for (_, seq), _ in view.scan(HISTORY, subject)}
        return found

    def _finish(self) -> Manifest:
        source = self._source
        head = self._view.get(HEAD, 0) or Head()
        manifest = Manifest(
            format=FORMAT,
            namespace=source.namespace.name,
            project=source.project.name,
            exported=source.store.blobs.clock(),
            store=source.store.id,
            log_size=head.size,
            log_root=head.root.hex(),
            counts=self._counts,
            files={path: listed(self._target / path) for path in sorted(self._paths)},
        )
        temporary = self._target / ".manifest.json.part"
        with temporary.open("xb") as stream:
            stream.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
            _sync(stream.fileno(), stream.flush)
        temporary.rename(self._target / "manifest.json")
        handle = os.open(self._target, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        return manifest


def listed(path: Path) -> Listed:
    """A file's size and SHA-256."""
    size, hasher = 0, hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(PIECE):
            hasher.update(piece)
            size += len(piece)
    return Listed(size=size, sha256=hasher.hexdigest())


def _sync(handle: int, flush: Callable[[], object] | None = None) -> None:
    if flush:
        flush()
    os.fsync(handle)
