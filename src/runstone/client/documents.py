"""Documents on a server: saved views, reports, any JSON of a project."""

from __future__ import annotations

from typing import Any

import msgspec

from runstone.client.calls import Calls, NoneType
from runstone.client.origin import query, quote
from runstone.types import DocumentInfo, DocumentRevision


class _Revisions(msgspec.Struct):
    items: list[DocumentRevision]


class Documents(Calls):
    """Stores, changes, lists and removes documents."""

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
        value = {
            "kind": kind,
            "name": name,
            "spec": spec,
            "title": title,
            "description": description,
            "private": private,
        }
        return self._send("POST", f"{self._project(project)}/documents", DocumentInfo, value)

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
        change = {
            "spec": spec,
            "title": title,
            "description": description,
            "private": private,
            "revision": revision,
        }
        return self._send("PATCH", self._document(project, kind, name), DocumentInfo, change, reason)

    def delete_document(self, project: str, kind: str, name: str, *, reason: str = "") -> None:
        """Removes a document."""
        self._send("DELETE", self._document(project, kind, name), NoneType, reason=reason)

    def document(self, project: str, kind: str, name: str, *, revision: int = 0) -> DocumentInfo:
        """A document as it stands, or as it stood at a revision."""
        return self._get(self._document(project, kind, name) + query(revision=revision or None), DocumentInfo)

    def documents(
        self, project: str, *, kind: str = "", after: str = "", limit: int = 100
    ) -> list[DocumentInfo]:
        """The documents of a project by kind and name, without their specs; ``after`` is the last ``kind/name`` seen."""
        path = f"{self._project(project)}/documents"
        return self._list(path, DocumentInfo, limit, kind=kind or None, after=after or None)

    def document_revisions(self, project: str, kind: str, name: str) -> list[DocumentRevision]:
        """Every revision of a document, oldest first."""
        return self._get(f"{self._document(project, kind, name)}/revisions", _Revisions).items

    def _document(self, project: str, kind: str, name: str) -> str:
        return f"{self._project(project)}/documents/{quote(kind)}/{quote(name)}"
