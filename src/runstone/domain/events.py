"""What happens in a project, as it happens: the change log read on from where a listener stands.

An event's place is its log entry, so whoever comes back with the last place they saw has missed nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from runstone.domain import documents, names, policy
from runstone.domain.context import Context
from runstone.domain.runs import finding
from runstone.domain.store import Store
from runstone.storage.entry import Header, unpack_header
from runstone.storage.index import View
from runstone.storage.tables import DOCUMENTS, HEAD, LOG_HEADERS, LOG_PAYLOADS, RUNS, Head, Stored
from runstone.types import Event

#: Entries that are looked at in one read transaction.
PIECE = 1000
_RUN_KINDS = frozenset({64, 65, 68, 69, 70, 71, 72, 73, 74, 75})


class _Subject(msgspec.Struct):
    """The fields of a command that say what it is about; those it lacks keep these values."""

    run: int = 0
    collection: int = 0
    alias: str = ""
    number: int = 0
    version: int = 0
    project: int = 0
    document: int = 0
    document_kind: str = ""
    name: str = ""
    private: bool | None = False


_subject = msgspec.msgpack.Decoder(_Subject).decode
_result = msgspec.msgpack.Decoder().decode


def head(store: Store) -> int:
    """The place after which only what is yet to come follows: the last log entry, or -1."""
    return store.log.head().size - 1


def since(store: Store, ctx: Context, project: str, after: int) -> tuple[list[Event], int]:
    """What happened in a project after log entry ``after``, and the entry that was looked at last.

    Looks at no more than some thousand entries: call again until the second value stands still.
    """
    found: list[Event] = []
    with store.index.read() as view:
        namespace, held = names.find_project(store, view, ctx, names.parse_project(ctx, project))
        policy.require(store.policy, view, ctx, "read", namespace, held)
        size = (view.get(HEAD, 0) or Head()).size
        last = min(size, after + 1 + PIECE) - 1
        teller = _Teller(view, held.id)
        for seq in range(max(after, -1) + 1, last + 1):
            header = view.get(LOG_HEADERS, seq)
            if header is not None:
                found += teller.tell(unpack_header(header), seq)
    return found, max(last, after)


class _Teller:
    """Tells log entries of one project as events."""

    def __init__(self, view: View, project: int) -> None:
        self._view, self._project = view, project
        self._names: dict[tuple[str, int], str] = {}
        self._tellers: dict[int, Callable[[Header, Stored], list[Event]]] = {
            66: self._points,
            67: self._lines,
            24: self._version,
            25: self._version,
            26: self._version,
            27: self._version,
            28: self._version,
            102: self._version,
            103: self._version,
            32: self._alias,
            33: self._alias,
            documents.CREATE: self._document,
            documents.UPDATE: self._document,
            documents.DELETE: self._document,
        }
        self._tellers |= dict.fromkeys(_RUN_KINDS, self._run)

    def tell(self, header: Header, seq: int) -> list[Event]:
        """The events of one entry; none when it is about something else or its payload is gone."""
        teller = self._tellers.get(header.kind)
        stored = self._view.get(LOG_PAYLOADS, seq) if teller else None
        return teller(header, stored) if teller and stored is not None and stored.payload is not None else []

    def _event(self, header: Header, kind: str, name: str, detail: dict[str, Any]) -> list[Event]:
        if not name:
            return []
        return [Event(seq=header.seq, time=header.time, kind=kind, name=name, detail=detail)]

    def _run(self, header: Header, stored: Stored) -> list[Event]:
        run_id = _subject(stored.payload or b"").run or _result(stored.result)["id"]
        return self._event(header, "run", self._run_name(run_id), {})

    def _points(self, header: Header, stored: Stored) -> list[Event]:
        name = self._run_name(_subject(stored.payload or b"").run)
        return self._event(header, "points", name, _result(stored.result))

    def _lines(self, header: Header, stored: Stored) -> list[Event]:
        name = self._run_name(_subject(stored.payload or b"").run)
        return self._event(header, "lines", name, {"first": _result(stored.result)})

    def _version(self, header: Header, stored: Stored) -> list[Event]:
        subject = _subject(stored.payload or b"")
        number = subject.number or _result(stored.result)["number"]
        return self._event(header, "version", self._collection_name(subject.collection), {"version": number})

    def _alias(self, header: Header, stored: Stored) -> list[Event]:
        subject = _subject(stored.payload or b"")
        detail = {"alias": subject.alias, "version": subject.version}
        return self._event(header, "alias", self._collection_name(subject.collection), detail)

    def _document(self, header: Header, stored: Stored) -> list[Event]:
        subject, result = _subject(stored.payload or b""), _result(stored.result)
        if header.kind == documents.DELETE:
            mine = subject.project == self._project and not subject.private
            name = f"{subject.document_kind}/{subject.name}" if mine else ""
            return self._event(header, "document", name, {"revision": 0})
        created = header.kind == documents.CREATE
        document = self._view.get(DOCUMENTS, result if created else subject.document)
        if document is None or document.project != self._project or document.private:
            return []
        detail = {"revision": 1 if created else result}
        return self._event(header, "document", f"{document.kind}/{document.name}", detail)

    def _run_name(self, run_id: int) -> str:
        key = ("run", run_id)
        if key not in self._names:
            run = self._view.get(RUNS, run_id)
            found = finding.by_id(self._view, run_id) if run and run.project == self._project else None
            self._names[key] = str(found) if found else ""
        return self._names[key]

    def _collection_name(self, collection_id: int) -> str:
        key = ("collection", collection_id)
        if key not in self._names:
            place = names.place_of(self._view, collection_id)
            self._names[key] = str(place) if place and place.project.id == self._project else ""
        return self._names[key]
