"""The part of the embedded library that stores documents: saved views, reports, any JSON of a project."""

from __future__ import annotations

from typing import Any

from runstone import domain
from runstone.library.calls import Calls
from runstone.types import DocumentInfo, DocumentRevision


class Documents(Calls):
    """Stores, changes, lists and removes documents. :class:`runstone.client.documents.Documents` has the same methods over HTTP."""

    def create_document(
        self,
        project: str,
        kind: str,
        name: str,
        spec: Any,
        *,
        title: str = "",
        description: str = "",
        private: bool = False,
    ) -> DocumentInfo:
        """Stores a JSON value as a document of a project. A private one is seen by its maker alone."""
        return domain.documents.create(
            self.store,
            self.ctx,
            project,
            kind,
            name,
            spec,
            title=title,
            description=description,
            private=private,
        )

    def update_document(
        self,
        project: str,
        kind: str,
        name: str,
        *,
        spec: Any = None,
        title: str | None = None,
        description: str | None = None,
        private: bool | None = None,
        revision: int = 0,
        reason: str = "",
    ) -> DocumentInfo:
        """Changes a document; None leaves a field as it is. Raises Conflict if it does not stand at ``revision``, unless that is 0."""
        ctx = self._with(reason)
        return domain.documents.update(
            self.store, ctx, project, kind, name, spec=spec, title=title, description=description, private=private,
            revision=revision,
        )  # fmt: skip

    def delete_document(self, project: str, kind: str, name: str, *, reason: str = "") -> None:
        """Removes a document."""
        ctx = self._with(reason)
        domain.documents.delete(self.store, ctx, project, kind, name)

    def document(self, project: str, kind: str, name: str, *, revision: int = 0) -> DocumentInfo:
        """A document as it stands, or as it stood at a revision."""
        return domain.documents.get(self.store, self.ctx, project, kind, name, revision=revision)

    def documents(
        self, project: str, *, kind: str = "", after: str = "", limit: int = 100
    ) -> list[DocumentInfo]:
        """The documents of a project by kind and name, without their specs; ``after`` is the last ``kind/name`` seen."""
        return domain.documents.list_documents(
            self.store, self.ctx, project, kind=kind, after=after, limit=limit
        )

    def document_revisions(self, project: str, kind: str, name: str) -> list[DocumentRevision]:
        """Every revision of a document, oldest first."""
        return domain.documents.revisions(self.store, self.ctx, project, kind, name)
