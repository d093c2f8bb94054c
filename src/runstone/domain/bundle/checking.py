"""A bundle checked before anything is made of it: every digest, every record, and that they fit together."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from runstone.domain import documents, labels, limits, manifests, policy, projects
from runstone.domain.bundle.exporting import listed
from runstone.domain.bundle.parquet import Segment, arrow, batch_of, read_lines, read_points
from runstone.domain.bundle.parts import MAX_RECORD, Known, Part, all_parts
from runstone.domain.bundle.records import (
    FORMAT,
    AliasRecord,
    BlobRecord,
    CollectionRecord,
    DocumentRecord,
    EdgeRecord,
    End,
    LabelsRecord,
    Listed,
    Manifest,
    ProjectRecord,
    RunRecord,
    VersionRecord,
    blob_path,
    read,
    restored,
)
from runstone.domain.fields import MAX_FIELD
from runstone.domain.lineage import RELATIONS
from runstone.domain.runs import checks, console
from runstone.errors import DigestMismatch, Invalid, RunstoneError
from runstone.types import ConsoleLine, FileEntry

Progress = Callable[[int, int], None]
MAX_MANIFEST = 64 << 20
RECORDS = (
    "project.json", "field_classes.json", "runs.jsonl", "collections.jsonl", "versions.jsonl", "aliases.jsonl",
    "labels.jsonl", "documents.jsonl", "lineage.jsonl", "files.jsonl", "proof.json",
)  # fmt: skip
_PARTS = re.compile(r"(points|lines)/part-[0-9]{5,9}\.parquet\Z|proof-[0-9]{1,9}\.json\Z")
#: The longest batch of points that is made of a bundle, and what a point takes in it at most beside an object.
MAX_BATCH = 16 << 20
_POINT = 24


class Bundle:
    """A bundle whose files are those of its manifest; records are read from it as often as needed."""

    def __init__(self, root: Path) -> None:
        """Reads the manifest; raises :class:`Invalid`."""
        self.root = root
        self._real = os.path.realpath(root)
        data = self._manifest_bytes()
        self.digest = hashlib.sha256(data).digest()
        try:
            found = msgspec.json.decode(data)
            if isinstance(found, dict) and isinstance(found.get("format"), str) and found["format"] != FORMAT:
                raise Invalid(
                    f"{root} has the format {found['format']!r:.80} and this runstone reads {FORMAT}; use one that knows it"
                )
            self.manifest = msgspec.convert(found, Manifest)
        except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
            raise Invalid(f"{root}/manifest.json is not the manifest of a bundle: {error}") from None

    def _manifest_bytes(self) -> bytes:
        path = self.root / "manifest.json"
        if not path.is_file():
            raise Invalid(
                f"{self.root} is not a whole bundle: it has no manifest.json, which is written last"
            )
        self._require_inside("manifest.json")
        if path.stat().st_size > MAX_MANIFEST:
            raise Invalid(f"{path} is over the limit of {MAX_MANIFEST} bytes")
        return path.read_bytes()

    def _require_inside(self, path: str) -> Path:
        """The place of a file; raises :class:`Invalid` for one that is missing, no file, or reached through a link."""
        whole = self.root / path
        if os.path.realpath(whole) != f"{self._real}/{path}" or not whole.is_file():
            raise Invalid(f"{self.root} has no file {path!r:.200} of its own")
        return whole

    def _of(self, kind: Any, path: str) -> Iterator[Any]:
        return read(self.root / path, kind)

    def project(self) -> ProjectRecord:
        """The project itself."""
        found = list(self._of(ProjectRecord, "project.json"))
        if len(found) != 1:
            raise Invalid(f"project.json has {len(found)} records and must have one")
        return found[0]  # type: ignore[no-any-return]

    def field_classes(self) -> dict[str, str]:
        """The classes of fields by name."""
        try:
            return msgspec.json.decode((self.root / "field_classes.json").read_bytes(), type=dict[str, str])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Invalid(f"field_classes.json is not a map of fields to classes: {error}") from None

    def runs(self) -> Iterator[RunRecord]:
        """The runs, a parent before its forks."""
        return self._of(RunRecord, "runs.jsonl")

    def collections(self) -> Iterator[CollectionRecord]:
        """The collections."""
        return self._of(CollectionRecord, "collections.jsonl")

    def versions(self) -> Iterator[VersionRecord]:
        """The versions, those of a collection by number."""
        return self._of(VersionRecord, "versions.jsonl")

    def aliases(self) -> Iterator[AliasRecord]:
        """The aliases."""
        return self._of(AliasRecord, "aliases.jsonl")

    def labels(self) -> Iterator[LabelsRecord]:
        """The labels."""
        return self._of(LabelsRecord, "labels.jsonl")

    def documents(self) -> Iterator[DocumentRecord]:
        """The documents."""
        return self._of(DocumentRecord, "documents.jsonl")

    def edges(self) -> Iterator[EdgeRecord]:
        """The lineage edges."""
        return self._of(EdgeRecord, "lineage.jsonl")

    def part(self, part: Part) -> Generator[Any, None, None]:
        """The records of a part; none in a bundle that was written before there was one."""
        if part.path in self.manifest.files:
            yield from self._of(part.kind, part.path)

    def blobs(self) -> Iterator[BlobRecord]:
        """The bytes below ``files/``."""
        return self._of(BlobRecord, "files.jsonl")

    def _parts(self, folder: str) -> list[Path]:
        return [self.root / path for path in sorted(self.manifest.files) if path.startswith(f"{folder}/")]

    def points(self) -> Iterator[tuple[str, list[Segment], int]]:
        """Points in the order of the runs: (run, segments, how many)."""
        for path in self._parts("points"):
            yield from read_points(path)

    def lines(self) -> Iterator[tuple[str, list[ConsoleLine]]]:
        """Console lines in the order of the runs."""
        for path in self._parts("lines"):
            yield from read_lines(path)

    def check(self, progress: Progress | None = None) -> None:
        """Checks all there is; raises :class:`Invalid` naming what is wrong, :class:`DigestMismatch` for a digest."""
        arrow()
        self._check_files(progress)
        try:
            _Check(self).run()
        except Invalid:
            raise
        except RunstoneError as error:
            raise Invalid(f"{self.root} is not a bundle that can be imported: {error.message}") from None

    def _check_files(self, progress: Progress | None) -> None:
        paths = set(self.manifest.files)
        for path in RECORDS:
            if path not in paths:
                raise Invalid(f"{self.root} is not a whole bundle: its manifest does not list {path}")
        known = {*RECORDS, *(part.path for part in all_parts())}
        total, done = sum(each.size for each in self.manifest.files.values()), 0
        for path, announced in self.manifest.files.items():
            if path not in known and not _PARTS.match(path):
                raise Invalid(f"the manifest lists {path!r:.200}, which no bundle has")
            self._check_file(path, announced)
            done += announced.size
            if progress:
                progress(done, total)
        for blob in self.blobs():
            limits.digest(blob.sha256)
            self._check_file(blob_path(blob.sha256), Listed(size=blob.size, sha256=blob.sha256))

    def _check_file(self, path: str, announced: Listed) -> None:
        whole = self._require_inside(path)
        if whole.stat().st_size != announced.size or listed(whole) != announced:
            raise DigestMismatch(
                f"{path} is not what the bundle says it is: its size or SHA-256 differs; copy the bundle again"
            )


class _Check:
    """The records of a bundle against each other and against what a store takes."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._blobs: dict[str, int] = {}
        self._runs: dict[str, tuple[int, RunRecord]] = {}
        self._versions: dict[str, list[str]] = {}
        self._known = Known(self._runs, self._versions, self._blobs, set(), {}, {}, {})

    def run(self) -> None:
        self._project()
        self._blobs.update((blob.sha256, blob.size) for blob in self._bundle.blobs())
        self._count("files", len(self._blobs))
        self._each_run()
        self._points()
        self._lines()
        self._collections()
        self._count("versions", sum(1 for _ in map(self._version, self._bundle.versions())))
        self._count("aliases", sum(1 for _ in map(self._alias, self._bundle.aliases())))
        self._count("labels", sum(1 for _ in map(self._labels, self._bundle.labels())))
        self._documents()
        self._count("lineage", sum(1 for _ in map(self._edge, self._bundle.edges())))
        for part in all_parts():
            self._part(part)
        if short := next((name for name, left in self._known.traces.items() if left), None):
            raise Invalid(f"spans of trace {short!r:.200} are missing in the bundle")

    def _count(self, what: str, found: int) -> None:
        if self._bundle.manifest.counts.get(what) != found:
            raise Invalid(
                f"the bundle has {found} {what} and its manifest says {self._bundle.manifest.counts.get(what)}"
            )

    def _part(self, part: Part) -> None:
        check, found = part.check(self._known), 0
        with closing(self._bundle.part(part)) as records:
            for record in records:
                if len(msgspec.msgpack.encode(record)) > MAX_RECORD:
                    raise Invalid(f"a record of {part.path} is over the limit of {MAX_RECORD} bytes")
                check(record)
                found += 1
        if part.path in self._bundle.manifest.files:
            self._count(part.name, found)

    def _project(self) -> None:
        record = self._bundle.project()
        if record.kind not in projects.KINDS or record.visibility not in projects.VISIBILITIES:
            raise Invalid(
                f"a project can be neither of kind {record.kind!r:.40} nor of visibility {record.visibility!r:.40}"
            )
        limits.text(record.description, "description")
        _same(limits.tags(record.tags), record.tags, "the project's tags")
        for field, name in self._bundle.field_classes().items():
            limits.required_text(field, "field", MAX_FIELD)
            if name not in policy.CLASSES[1:]:
                raise Invalid(f"field class {name!r:.40} must be one of {', '.join(policy.CLASSES[1:])}")

    def _each_run(self) -> None:
        for number, record in enumerate(self._bundle.runs()):
            name = checks.name(record.name)
            if name in self._runs:
                raise Invalid(f"there are two runs {name} in the bundle")
            checks.state(record.state)
            for what in ("display_name", "group", "job_type", "sweep"):
                limits.text(getattr(record, what), what, 1024)
            checks.notes(record.notes)
            checks.tags(record.tags)
            checks.goals(record.goals)
            for what in ("config", "summary", "info"):
                checks.document(restored(getattr(record, what)), f"the {what} of run {name}")
            limits.moment(record.started, "started")
            limits.moment(record.finished, "finished")
            if (record.finished == 0) != (record.state == "running"):
                raise Invalid(f"run {name} is {record.state} and says that it ended at {record.finished}")
            self._parent(record)
            self._files(record.files, f"run {name}")
            # Documents are needed no more, and there may be very many runs.
            self._runs[name] = (
                number,
                msgspec.structs.replace(record, config={}, summary={}, info={}, files=()),
            )
        self._count("runs", len(self._runs))

    def _parent(self, record: RunRecord) -> None:
        checks.step(record.forked)
        checks.step(record.inherits)
        if record.parent and record.parent not in self._runs:
            raise Invalid(
                f"run {record.name} was forked from {record.parent!r:.200}, which does not come before it"
            )
        if record.inherits > record.forked or (not record.parent and record.forked):
            raise Invalid(f"run {record.name} cannot inherit up to step {record.inherits}")

    def _files(self, files: tuple[FileEntry, ...], owner: str) -> bytes:
        entries = manifests.checked(files)
        for digest, size in manifests.held(entries).items():
            if self._blobs.get(digest.hex()) != size:
                raise Invalid(f"{owner} has a file of sha256 {digest.hex()}, which the bundle does not hold")
        return manifests.digest_of(entries)

    def _points(self) -> None:
        found = dict.fromkeys(self._runs, 0)
        for run, segments, count in self._in_order(self._bundle.points(), "points"):
            for batch in batches(segments):
                del batch  # made to see that it can be
            found[run] += count
        self._compare(found, "points")

    def _lines(self) -> None:
        found = dict.fromkeys(self._runs, 0)
        last: dict[str, int] = {}
        for run, lines in self._in_order(self._bundle.lines(), "lines"):
            for line in lines:
                console.check(line)
                if not last.get(run, -1) < line.number <= console.MAX_LINE_NUMBER:
                    raise Invalid(f"line {line.number} of run {run} is out of order")
                last = {run: line.number}
            found[run] += len(lines)
        self._compare(found, "lines")

    def _in_order(self, groups: Iterator[Any], what: str) -> Iterator[Any]:
        last = -1
        for group in groups:
            number, _ = self._runs.get(group[0], (-1, None))
            if number < 0 or number < last:
                raise Invalid(
                    f"the {what} of {group[0]!r:.200} are of no run, or out of the order of the runs"
                )
            last = number
            yield group

    def _compare(self, found: dict[str, int], what: str) -> None:
        for name, (_, record) in self._runs.items():
            if getattr(record, what) != found[name]:
                raise Invalid(
                    f"run {name} has {found[name]} {what} in the bundle and should have {getattr(record, what)}"
                )
        self._count(what, sum(found.values()))

    def _collections(self) -> None:
        for record in self._bundle.collections():
            if limits.collection_name(record.name) in self._versions:
                raise Invalid(f"there are two collections {record.name} in the bundle")
            self._versions[record.name] = []
            limits.name(record.type, "collection type")
            limits.text(record.description, "description")
            _same(limits.tags(record.tags), record.tags, f"the tags of collection {record.name}")
            limits.metadata(restored(record.metadata))
        self._count("collections", len(self._versions))

    def _version(self, record: VersionRecord) -> None:
        name, known = f"{record.collection}:v{record.number}", self._versions.get(record.collection)
        if known is None or record.number != len(known) + 1:
            raise Invalid(f"version {name!r:.200} is of no collection, or out of order")
        live = record.state == "live"
        if not live and (record.state != "deleted" or record.files or record.hold or record.expires):
            raise Invalid(f"version {name} is {record.state!r:.40}, and can only be live or deleted")
        digest = self._files(record.files, name)
        if live and digest.hex() != record.digest:
            raise DigestMismatch(f"the files of {name} are not those of its digest {record.digest!r:.80}")
        known.append(record.digest if live else "")
        limits.metadata(restored(record.metadata))
        limits.text(record.description, "description")
        limits.text(record.reason, "reason", limits.MAX_REASON)
        limits.text(record.hold, "hold", limits.MAX_REASON)
        limits.moment(record.expires, "expires")
        _same(limits.tags(record.tags), record.tags, f"the tags of {name}")

    def _alias(self, record: AliasRecord) -> None:
        name, known = f"{record.collection}@{record.alias}", self._versions.get(record.collection)
        limits.alias(record.alias)
        now = 0
        for step in record.history:
            if (
                known is None
                or not 0 <= step.version <= len(known)
                or step.previous != now
                or (not step.version and not now)
            ):
                raise Invalid(f"the history of alias {name!r:.200} does not hold together")
            limits.text(step.reason, "reason", limits.MAX_REASON)
            now = step.version
        if not record.history or known is None or now != record.version or (now and not known[now - 1]):
            raise Invalid(f"alias {name!r:.200} does not point where its history ends")

    def _labels(self, record: LabelsRecord) -> None:
        subject = record.subject
        if subject.kind == "version":
            known = bool(self._known.digest(subject.name))
        elif subject.kind == "collection":
            known = subject.name in self._versions
        else:
            known = subject == End(kind="project", name="")
        if not known:
            raise Invalid(f"the bundle has no {subject.kind!r:.40} {subject.name!r:.200} to be labelled")
        labels.checked(record.labels)
        if record.kind not in labels.KINDS or not 0 < len(record.labels) <= labels.MAX_LABELS:
            raise Invalid(f"{len(record.labels)} labels of kind {record.kind!r:.40} cannot be set at once")

    def _documents(self) -> None:
        found = set()
        for record in self._bundle.documents():
            name = limits.name(record.kind, "kind of document"), limits.name(record.name, "document")
            if name in found:
                raise Invalid(f"there are two documents {record.kind} {record.name} in the bundle")
            found.add(name)
            limits.text(record.title, "title", documents.MAX_TITLE)
            limits.text(record.description, "description")
            documents.packed(restored(record.spec))
        self._count("documents", len(found))

    def _edge(self, record: EdgeRecord) -> None:
        if record.relation not in RELATIONS:
            raise Invalid(f"relation {record.relation!r:.40} must be one of {', '.join(RELATIONS)}")
        if record.source == record.target:
            raise Invalid(f"{record.source.name!r:.200} cannot be related to itself")
        for end in (record.source, record.target):
            self._end(end)

    def _end(self, end: End) -> None:
        limits.required_text(end.name, "lineage end", 512)
        if end.kind == "run":
            known = end.name in self._runs
        elif end.kind == "version":
            known = self._known.digest(end.name) is not None
        else:
            known = end.kind in ("node-run", "node-consumer", "node-external", "outside")
        if not known:
            raise Invalid(f"the bundle has no {end.kind!r:.40} {end.name!r:.200} for lineage to lead to")


def _same(found: Any, given: Any, what: str) -> None:
    if found != given:
        raise Invalid(f"{what} must be sorted and each given once")


def batches(segments: list[Segment]) -> Iterator[bytes]:
    """Segments as batches of points that a store takes."""
    taken: list[Segment] = []
    size = 0
    for segment in _pieces(segments):
        weight = _weight(segment)
        if taken and size + weight > MAX_BATCH:
            yield batch_of(taken)
            taken, size = [], 0
        taken.append(segment)
        size += weight
    if taken:
        yield batch_of(taken)


def _pieces(segments: list[Segment]) -> Iterator[Segment]:
    for segment in segments:
        rows = len(segment.steps)
        if _weight(segment) <= MAX_BATCH or rows == 1:
            yield segment
            continue
        half = rows // 2
        for part in (slice(0, half), slice(half, rows)):
            yield from _pieces(
                [
                    segment._replace(
                        steps=segment.steps[part], times=segment.times[part], values=segment.values[part]
                    )
                ]
            )


def _weight(segment: Segment) -> int:
    objects = (
        sum(len(memoryview(value)) for value in segment.values) if isinstance(segment.values, list) else 0
    )
    return _POINT * len(segment.steps) + objects + 2 * len(segment.key) + 64
