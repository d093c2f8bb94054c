"""Documents: stored JSON of a project that runstone does not interpret, such as saved views and reports.

A document is known by its kind and name. It changes by compare-and-set over its revision if the caller names one, and every
revision stays readable for as long as the change log keeps it. A private one exists for its maker alone, and is not told as an event.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from runstone.domain import limits, names, policy
from runstone.domain.context import Context
from runstone.domain.policy import Action
from runstone.domain.store import Store
from runstone.errors import Conflict, Exists, Invalid, Missing, TooLarge
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.index import View
from runstone.storage.state import State
from runstone.storage.tables import (
    DOCUMENT_NAMES,
    DOCUMENTS,
    HISTORY,
    NAMESPACES,
    PROJECTS,
    Document,
    Namespace,
    Project,
)
from runstone.types import DocumentInfo, DocumentRevision

MAX_SPEC = 4 << 20
MAX_TITLE = 512
CREATE, UPDATE, DELETE = 175, 176, 177


class CreateDocument(Command, frozen=True, kw_only=True):
    """Makes a document in a project. ``spec`` is MessagePack."""

    project: int
    document_kind: str
    name: str
    title: str
    description: str
    spec: bytes
    private: bool


class UpdateDocument(Command, frozen=True, kw_only=True):
    """Changes a document that stands at ``expected`` (0 for any revision); None leaves a field as it is."""

    document: int
    expected: int = 0
    title: str | None = None
    description: str | None = None
    spec: bytes | None = None
    private: bool | None = None


class DeleteDocument(Command, frozen=True, kw_only=True):
    """Removes a document. What it was is said for those who read the log."""

    document: int
    project: int
    document_kind: str
    name: str
    private: bool


@applies(CREATE, "create_document", CreateDocument, int)
def _create(state: State, at: Stamp, command: CreateDocument) -> int:
    if state.get(PROJECTS, command.project) is None:
        raise Missing("the project does not exist any more")
    key = command.project, command.document_kind, command.name
    if state.get(DOCUMENT_NAMES, *key) is not None:
        raise Exists(f"there is a {command.document_kind} {command.name} already")
    document = Document(
        at.id,
        *key,
        at.time,
        command.actor,
        command.title,
        command.description,
        command.spec,
        command.private,
        updated=at.time,
        updated_by=command.actor,
    )
    state.put(DOCUMENTS, at.id, document)
    state.put(DOCUMENT_NAMES, *key, at.id)
    state.touch(at.id, at.seq, CREATE)
    return at.id


@applies(UPDATE, "update_document", UpdateDocument, int)
def _update(state: State, at: Stamp, command: UpdateDocument) -> int:
    document = state.get(DOCUMENTS, command.document)
    if document is None:
        raise Missing("the document does not exist any more")
    if command.expected not in (0, document.revision):
        raise Conflict(
            f"{document.kind} {document.name} stands at revision {document.revision} and not at {command.expected}: "
            f"{document.updated_by} changed it; read it again"
        )
    changes: dict[str, Any] = {
        field: value
        for field in ("title", "description", "spec", "private")
        if (value := getattr(command, field)) is not None
    }
    revision = document.revision + 1
    state.put(
        DOCUMENTS,
        document.id,
        replace(document, **changes, revision=revision, updated=at.time, updated_by=command.actor),
    )
    state.touch(document.id, at.seq, UPDATE)
    return revision


@applies(DELETE, "delete_document", DeleteDocument)
def _delete(state: State, at: Stamp, command: DeleteDocument) -> None:
    document = state.get(DOCUMENTS, command.document)
    if document is None:
        raise Missing("the document does not exist any more")
    drop(state, document)
    state.touch(document.id, at.seq, DELETE)


def drop(state: State, document: Document) -> None:
    """Removes the rows of a document."""
    state.delete(DOCUMENTS, document.id)
    state.delete(DOCUMENT_NAMES, document.project, document.kind, document.name)


def create(
    store: Store,
    ctx: Context,
    project: str,
    kind: str,
    name: str,
    spec: Any,
    *,
    title: str = "",
    description: str = "",
    private: bool = False,
) -> DocumentInfo:
    """Makes a document of any JSON value. Takes the right to write in the project."""
    with store.index.read() as view:
        _, held = names.find_project(store, view, ctx, names.parse_project(ctx, project), "write")
    command = CreateDocument(
        actor=ctx.principal.name,
        reason=ctx.reason,
        project=held.id,
        document_kind=limits.name(kind, "kind of document"),
        name=limits.name(name, kind),
        title=limits.text(title, "title", MAX_TITLE),
        description=limits.text(description, "description"),
        spec=packed(spec),
        private=private,
    )
    store.submit(ctx, command)
    return get(store, ctx, project, kind, name)


def update(
    store: Store,
    ctx: Context,
    project: str,
    kind: str,
    name: str,
    *,
    spec: Any = None,
    title: str | None = None,
    description: str | None = None,
    private: bool | None = None,
    revision: int = 0,
) -> DocumentInfo:
    """Changes a document; None leaves a field as it is. Raises :class:`Conflict` if it does not stand at ``revision``, unless that is 0."""
    with store.index.read() as view:
        found = _find(store, view, ctx, project, kind, name, "write")
    command = UpdateDocument(
        actor=ctx.principal.name,
        reason=ctx.reason,
        document=found.document.id,
        expected=revision,
        title=None if title is None else limits.text(title, "title", MAX_TITLE),
        description=None if description is None else limits.text(description, "description"),
        spec=None if spec is None else packed(spec),
        private=private,
    )
    store.submit(ctx, command)
    return get(store, ctx, project, kind, name)


def delete(store: Store, ctx: Context, project: str, kind: str, name: str) -> None:
    """Removes a document."""
    with store.index.read() as view:
        document = _find(store, view, ctx, project, kind, name, "write").document
    command = DeleteDocument(
        actor=ctx.principal.name,
        reason=ctx.reason,
        document=document.id,
        project=document.project,
        document_kind=document.kind,
        name=document.name,
        private=document.private,
    )
    store.submit(ctx, command)


def get(store: Store, ctx: Context, project: str, kind: str, name: str, *, revision: int = 0) -> DocumentInfo:
    """A document as it stands, or as it stood at a revision."""
    with store.index.read() as view:
        found = _find(store, view, ctx, project, kind, name)
    document = found.document
    if revision and revision != document.revision:
        document = _as_of(store, document, revision)
    return info(found.namespace, found.project, document, spec=True)


def by_id(store: Store, ctx: Context, document_id: int) -> DocumentInfo:
    """A document by its id."""
    with store.index.read() as view:
        document = view.get(DOCUMENTS, document_id)
        project = view.get(PROJECTS, document.project) if document else None
        namespace = view.get(NAMESPACES, project.namespace) if project else None
        if document is None or project is None or namespace is None or not may_know(ctx, document):
            raise Missing(f"there is no document {document_id}")
        policy.require(store.policy, view, ctx, "read", namespace, project)
    return info(namespace, project, document, spec=True)


def list_documents(
    store: Store, ctx: Context, project: str, *, kind: str = "", after: str = "", limit: int = 100
) -> list[DocumentInfo]:
    """The documents of a project, of one kind or of all, by kind and name, without their specs.

    ``after`` is the ``kind/name`` of the last one seen.
    """
    found: list[DocumentInfo] = []
    with store.index.read() as view:
        namespace, held = names.find_project(store, view, ctx, names.parse_project(ctx, project))
        prefix = (held.id, kind) if kind else (held.id,)
        start = (held.id, *after.split("/", 1)) if after else None
        for _, document_id in view.scan(DOCUMENT_NAMES, *prefix, after=start):
            document = view.get(DOCUMENTS, document_id)
            if len(found) == limit:
                break
            if document is not None and may_know(ctx, document):
                found.append(info(namespace, held, document))
    return found


def revisions(store: Store, ctx: Context, project: str, kind: str, name: str) -> list[DocumentRevision]:
    """Every revision of a document, oldest first."""
    with store.index.read() as view:
        document = _find(store, view, ctx, project, kind, name).document
        seqs = [seq for (_, seq), _ in view.scan(HISTORY, document.id)]
    found = []
    for number, seq in enumerate(seqs, 1):
        header, stored = store.log.entry(seq)
        said = msgspec.msgpack.decode(stored.payload, type=_Said) if stored.payload is not None else _Said()
        found.append(
            DocumentRevision(revision=number, seq=seq, time=header.time, by=said.actor, reason=said.reason)
        )
    return found


def info(namespace: Namespace, project: Project, document: Document, *, spec: bool = False) -> DocumentInfo:
    """A document as it is shown."""
    return DocumentInfo(
        id=document.id,
        namespace=namespace.name,
        project=project.name,
        kind=document.kind,
        name=document.name,
        title=document.title,
        description=document.description,
        private=document.private,
        revision=document.revision,
        created=document.created,
        by=document.by,
        updated=document.updated,
        updated_by=document.updated_by,
        spec=msgspec.msgpack.decode(document.spec) if spec else None,
    )


class _Said(msgspec.Struct):
    """What any command says of who gave it."""

    actor: str = ""
    reason: str = ""


class _Found(NamedTuple):
    namespace: Namespace
    project: Project
    document: Document


def _find(
    store: Store, view: View, ctx: Context, project: str, kind: str, name: str, action: Action = "read"
) -> _Found:
    namespace, held = names.find_project(store, view, ctx, names.parse_project(ctx, project), action)
    found = view.get(DOCUMENT_NAMES, held.id, kind, name)
    document = view.get(DOCUMENTS, found) if found is not None else None
    if document is None or not may_know(ctx, document):
        raise Missing(f"project {namespace.name}/{held.name} has no {kind} {name}")
    return _Found(namespace, held, document)


def may_know(ctx: Context, document: Document) -> bool:
    """Whether the principal may know of a document of a project that it may read."""
    return not document.private or document.by == ctx.principal.name


def _as_of(store: Store, document: Document, revision: int) -> Document:
    """The document as it stood at an earlier revision: its commands, folded that far."""
    with store.index.read() as view:
        seqs = [seq for (_, seq), _ in view.scan(HISTORY, document.id)]
    if not 0 < revision <= len(seqs):
        raise Missing(f"{document.kind} {document.name} has no revision {revision}; the last is {len(seqs)}")
    for number, seq in enumerate(seqs[:revision], 1):
        header, stored = store.log.entry(seq)
        if stored.payload is None:
            raise Missing(f"revision {number} of {document.kind} {document.name} is not kept any more")
        said = msgspec.msgpack.decode(stored.payload)
        changes = {
            field: said[field]
            for field in ("title", "description", "spec", "private")
            if said.get(field) is not None
        }
        document = replace(
            document, **changes, revision=number, updated=header.time, updated_by=said["actor"]
        )
    return document


def packed(spec: Any) -> bytes:
    """Any JSON value as MessagePack; raises :class:`Invalid` and :class:`TooLarge`."""
    limits.json_value(spec, "spec")
    try:
        packed = msgspec.msgpack.encode(spec)
    except (OverflowError, TypeError, ValueError, UnicodeEncodeError) as error:
        raise Invalid(f"spec cannot be stored: {error}") from None
    if len(packed) > MAX_SPEC:
        raise TooLarge(f"spec takes {len(packed)} bytes and the limit is {MAX_SPEC}")
    return packed
