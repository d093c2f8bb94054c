"""What happened, read from entries of the change log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import msgspec

from runstone.domain import names
from runstone.domain.aliases import DeleteAlias, MoveAlias
from runstone.domain.collections import CreateCollection, DeleteCollection, UpdateCollection
from runstone.domain.drafts import CommitDraft
from runstone.domain.labels import SetLabels
from runstone.domain.links import LinkVersion
from runstone.domain.runs import finding
from runstone.domain.runs.alerts import RaiseAlert
from runstone.domain.runs.commands import CreateRun, DeleteRun, SetRunState, UpdateRun
from runstone.domain.runs.logging import LogPoints
from runstone.domain.versioning import (
    Committed,
    CommitVersion,
    DeleteVersion,
    QuarantineVersion,
    UpdateVersion,
)
from runstone.storage.commands import Command, Kind, kind_numbered, kinds
from runstone.storage.entry import Header, unpack_header
from runstone.storage.index import View
from runstone.storage.tables import LOG_HEADERS, LOG_PAYLOADS, VERSION_IDS, VERSIONS


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened: what (``kind``), when (microseconds), by whom, and to what.

    ``namespace``, ``project``, ``collection`` and ``run`` are ids, ``version`` is a number; 0 where there is none. ``detail`` holds what
    the kind says beside that. Several events may come from one log entry.
    """

    seq: int
    time: int
    by: str
    kind: str
    namespace: int
    project: int
    collection: int = 0
    version: int = 0
    run: int = 0
    detail: dict[str, Any] = {}


class _Subject(msgspec.Struct, frozen=True):
    """What an event is about, before its place is looked up."""

    kind: str
    collection: int = 0
    version: int = 0
    run: int = 0
    detail: dict[str, Any] = {}


C = TypeVar("C", bound=Command)
_Tell = Callable[[View, C, Any], Iterable[_Subject]]
_TELLERS: dict[type[Command], tuple[frozenset[str], _Tell[Any]]] = {}


def tells(command: type[C], *kinds: str) -> Callable[[_Tell[C]], _Tell[C]]:
    """Registers the function that says what a command and its answer mean, and which kinds of events it may say."""

    def register(function: _Tell[C]) -> _Tell[C]:
        _TELLERS[command] = frozenset(kinds), function
        return function

    return register


def read(view: View, start: int, stop: int, wanted: frozenset[str]) -> Iterator[Event]:
    """The events of wanted kinds in log entries ``start`` to ``stop``, as far as their payloads are kept."""
    numbers = {kind.number for kind in kinds() if wanted & _TELLERS.get(kind.command, (frozenset(), None))[0]}
    for seq in range(start, stop):
        packed = view.get(LOG_HEADERS, seq)
        header = unpack_header(packed) if packed is not None else None
        if header is None or header.kind not in numbers:
            continue
        stored = view.get(LOG_PAYLOADS, seq)
        if stored is None or stored.payload is None:
            continue
        kind = kind_numbered(header.kind)
        yield from _told(view, header, kind, stored.payload, stored.result, wanted)


def _told(
    view: View, header: Header, kind: Kind, payload: bytes, result: bytes, wanted: frozenset[str]
) -> Iterator[Event]:
    command = kind.decode(payload)
    for subject in _TELLERS[kind.command][1](view, command, kind.decode_result(result)):
        place = _place(view, subject)
        if place is None or subject.kind not in wanted:
            continue
        yield Event(
            seq=header.seq,
            time=header.time,
            by=command.actor,
            kind=subject.kind,
            namespace=place[0],
            project=place[1],
            collection=subject.collection,
            version=subject.version,
            run=subject.run,
            detail=subject.detail,
        )


def _place(view: View, subject: _Subject) -> tuple[int, int] | None:
    """The namespace and project that an event is in; None when they are gone."""
    if subject.collection:
        place = names.place_of(view, subject.collection)
        return (place.namespace.id, place.project.id) if place else None
    found = finding.by_id(view, subject.run)
    return (found.namespace.id, found.project.id) if found else None


@tells(CreateCollection, "collection.created")
def _collection_created(view: View, command: CreateCollection, made: int) -> Iterator[_Subject]:
    detail = {
        "name": command.name,
        "type": command.type,
        "description": command.description,
        "labels": command.labels,
    }
    yield _Subject("collection.created", made, detail=detail)


@tells(UpdateCollection, "collection.updated")
def _collection_updated(view: View, command: UpdateCollection, _: None) -> Iterator[_Subject]:
    yield _Subject("collection.updated", command.collection)


@tells(DeleteCollection, "collection.deleted")
def _collection_deleted(view: View, command: DeleteCollection, _: None) -> Iterator[_Subject]:
    yield _Subject("collection.deleted", command.collection)


@tells(CommitVersion, "version.created", "alias.set")
def _version_created(view: View, command: CommitVersion, made: Any) -> Iterator[_Subject]:
    if not made.reused:
        detail = {
            "description": command.description,
            "tags": list(command.tags),
            "aliases": list(command.aliases),
            "labels": command.labels,
        }
        yield _Subject("version.created", command.collection, made.number, detail=detail)
    for alias in command.aliases:
        yield _Subject("alias.set", command.collection, made.number, detail={"alias": alias})


@tells(CommitDraft, "version.created", "alias.set")
def _artifact_created(view: View, command: CommitDraft, made: Committed) -> Iterator[_Subject]:
    yield from _made(view, command, made, linked=False)


@tells(LinkVersion, "version.created", "alias.set")
def _link_created(view: View, command: LinkVersion, made: Committed) -> Iterator[_Subject]:
    yield from _made(view, command, made, linked=True)


def _made(
    view: View, command: CommitDraft | LinkVersion, made: Committed, *, linked: bool
) -> Iterator[_Subject]:
    if not made.reused:
        version = view.get(VERSIONS, command.collection, made.number)
        detail = {
            "description": version.description if version else "",
            "tags": list(command.tags or ()),
            "aliases": list(command.aliases),
            "labels": {},
            "linked": linked,
        }
        yield _Subject("version.created", command.collection, made.number, detail=detail)
    for alias in command.aliases:
        yield _Subject("alias.set", command.collection, made.number, detail={"alias": alias})


@tells(UpdateVersion, "version.updated")
def _version_updated(view: View, command: UpdateVersion, _: None) -> Iterator[_Subject]:
    changed = {
        name: value for name in ("description", "tags") if (value := getattr(command, name)) is not None
    }
    yield _Subject("version.updated", command.collection, command.number, detail=changed)


@tells(DeleteVersion, "version.deleted")
def _version_deleted(view: View, command: DeleteVersion, _: None) -> Iterator[_Subject]:
    yield _Subject("version.deleted", command.collection, command.number)


@tells(QuarantineVersion, "version.quarantined")
def _version_quarantined(view: View, command: QuarantineVersion, moved: list[str]) -> Iterator[_Subject]:
    detail = {"why": command.why, "aliases": moved}
    yield _Subject("version.quarantined", command.collection, command.number, detail=detail)


@tells(MoveAlias, "alias.set")
def _alias_set(view: View, command: MoveAlias, previous: int) -> Iterator[_Subject]:
    detail = {"alias": command.alias, "previous": previous}
    yield _Subject("alias.set", command.collection, command.version, detail=detail)


@tells(DeleteAlias, "alias.deleted")
def _alias_deleted(view: View, command: DeleteAlias, previous: int) -> Iterator[_Subject]:
    yield _Subject("alias.deleted", command.collection, previous, detail={"alias": command.alias})


@tells(SetLabels, "label.set", "label.deleted")
def _labels(view: View, command: SetLabels, _: None) -> Iterator[_Subject]:
    """Labels that people set, on collections and versions; what a dialect keeps for itself is nobody's news."""
    if command.kind != "tag":
        return
    collection, version = view.get(VERSION_IDS, command.subject) or (command.subject, 0)
    for key in command.remove:
        yield _Subject("label.deleted", collection, version, detail={"key": key})
    for key, value in command.labels.items():
        yield _Subject("label.set", collection, version, detail={"key": key, "value": value})


@tells(CreateRun, "run.created")
def _run_created(view: View, command: CreateRun, made: Any) -> Iterator[_Subject]:
    if not made.resumed:
        yield _Subject("run.created", run=made.id, detail={"name": command.name})


@tells(UpdateRun, "run.updated")
def _run_updated(view: View, command: UpdateRun, _: None) -> Iterator[_Subject]:
    yield _Subject("run.updated", run=command.run)


@tells(SetRunState, "run.state")
def _run_state(view: View, command: SetRunState, _: None) -> Iterator[_Subject]:
    yield _Subject("run.state", run=command.run, detail={"state": command.state})


@tells(DeleteRun, "run.deleted")
def _run_deleted(view: View, command: DeleteRun, _: None) -> Iterator[_Subject]:
    yield _Subject("run.deleted", run=command.run)


@tells(RaiseAlert, "run.alert")
def _alert(view: View, command: RaiseAlert, told: bool) -> Iterator[_Subject]:
    if told:
        detail = {"title": command.title, "text": command.text, "severity": command.severity}
        yield _Subject("run.alert", run=command.run, detail=detail)


@tells(LogPoints, "run.points")
def _points(view: View, command: LogPoints, logged: Any) -> Iterator[_Subject]:
    yield _Subject("run.points", run=command.run, detail={"batch": command.batch})
