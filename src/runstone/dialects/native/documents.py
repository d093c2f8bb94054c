"""Stored documents of a project: saved views, reports, and whatever else is JSON."""

from __future__ import annotations

from typing import Any

from runstone.dialects.native.wire import (
    Answer,
    Listing,
    NoQuery,
    Number,
    Page,
    Request,
    page,
    plain,
    project_name,
)
from runstone.dialects.routing import Call, Raw, Route
from runstone.domain import documents
from runstone.types import DocumentInfo, DocumentRevision

DOCUMENTS = "/api/v1/projects/{ns}/{project}/documents"
DOCUMENT = DOCUMENTS + "/{kind}/{name}"


class DocumentPage(Page):
    """Which part of a listing of documents, and of which kind."""

    kind: str = ""


class AsOf(Request):
    """At which revision; 0 is the last."""

    revision: Number = 0


class NewDocument(Request):
    """A document to be made; ``spec`` is any JSON value. A ``private`` one is seen by its maker alone."""

    kind: str
    name: str
    spec: Any = None
    title: str = ""
    description: str = ""
    private: bool = False


class DocumentChange(Request):
    """What to change of a document that stands at ``revision`` (0 for any); null leaves a field as it is."""

    spec: Any = None
    title: str | None = None
    description: str | None = None
    private: bool | None = None
    revision: Number = 0


class Revisions(Answer):
    """Every revision of a document, oldest first."""

    items: list[DocumentRevision]


def list_documents(call: Call) -> Listing[DocumentInfo]:
    """Answers ``GET /projects/{ns}/{project}/documents``."""
    asked: DocumentPage = call.query
    found = documents.list_documents(
        call.store, call.ctx, project_name(call), kind=asked.kind, after=asked.after, limit=asked.limit + 1
    )
    return page(found, asked.limit, lambda document: f"{document.kind}/{document.name}")


def create_document(call: Call) -> DocumentInfo:
    """Answers ``POST /projects/{ns}/{project}/documents``."""
    new: NewDocument = call.body
    return documents.create(
        call.store,
        call.ctx,
        project_name(call),
        new.kind,
        new.name,
        new.spec,
        title=new.title,
        description=new.description,
        private=new.private,
    )


def get_document(call: Call) -> DocumentInfo:
    """Answers ``GET …/documents/{kind}/{name}``."""
    asked: AsOf = call.query
    return documents.get(call.store, call.ctx, *_place(call), revision=asked.revision)


def update_document(call: Call) -> DocumentInfo:
    """Answers ``PATCH …/documents/{kind}/{name}``."""
    change: DocumentChange = call.body
    return documents.update(
        call.store,
        call.ctx,
        *_place(call),
        spec=change.spec,
        title=change.title,
        description=change.description,
        private=change.private,
        revision=change.revision,
    )


def delete_document(call: Call) -> Raw:
    """Answers ``DELETE …/documents/{kind}/{name}``."""
    documents.delete(call.store, call.ctx, *_place(call))
    return Raw(status=204)


def list_revisions(call: Call) -> Revisions:
    """Answers ``GET …/documents/{kind}/{name}/revisions``."""
    return Revisions(items=documents.revisions(call.store, call.ctx, *_place(call)))


def _place(call: Call) -> tuple[str, str, str]:
    return project_name(call), plain(call.path["kind"]), plain(call.path["name"])


ROUTES = (
    Route(
        "GET",
        DOCUMENTS,
        list_documents,
        "A project's documents, without their specs.",
        query=DocumentPage,
        answer=Listing[DocumentInfo],
        blocking=True,
    ),
    Route(
        "POST",
        DOCUMENTS,
        create_document,
        "Stores a document.",
        body=NewDocument,
        answer=DocumentInfo,
        status=201,
        blocking=True,
    ),
    Route("GET", DOCUMENT, get_document, "A document.", query=AsOf, answer=DocumentInfo, blocking=True),
    Route(
        "PATCH",
        DOCUMENT,
        update_document,
        "Changes a document.",
        body=DocumentChange,
        answer=DocumentInfo,
        blocking=True,
    ),
    Route("DELETE", DOCUMENT, delete_document, "Removes a document.", status=204, blocking=True),
    Route(
        "GET",
        DOCUMENT + "/revisions",
        list_revisions,
        "Every revision of a document.",
        query=NoQuery,
        answer=Revisions,
        blocking=True,
    ),
)
