"""Projects and collections on a server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from runstone.client.calls import API, Calls, NoneType, listed
from runstone.client.origin import quote
from runstone.types import CollectionInfo, ProjectInfo


class _Fields(msgspec.Struct):
    fields: dict[str, str]


class Projects(Calls):
    """Makes, changes, lists and removes projects and collections."""

    def create_collection(
        self,
        name: str,
        *,
        type: str = "model",
        description: str = "",
        tags: Iterable[str] = (),
        metadata: Any = None,
        exist_ok: bool = False,
    ) -> CollectionInfo:
        """Makes a collection in a project."""
        parsed = self._name(name)
        value = {
            "name": parsed.collection,
            "type": type,
            "description": description,
            "tags": list(tags),
            "metadata": metadata,
            "exist_ok": exist_ok,
        }
        path = f"{self._project(f'{parsed.namespace}/{parsed.project}')}/collections"
        return self._send("POST", path, CollectionInfo, value)

    def update_collection(
        self,
        name: str,
        *,
        new_name: str | None = None,
        project: str | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        metadata: Any = None,
        reason: str = "",
    ) -> CollectionInfo:
        """Changes, renames or moves a collection."""
        change = {
            "name": new_name,
            "project": project,
            "description": description,
            "tags": listed(tags),
            "metadata": metadata,
        }
        return self._send("PATCH", self._collection(name), CollectionInfo, change, reason)

    def delete_collection(self, name: str, *, reason: str = "") -> None:
        """Removes a collection whose versions have all been deleted."""
        self._send("DELETE", self._collection(name), NoneType, reason=reason)

    def collection(self, name: str) -> CollectionInfo:
        """A collection by name."""
        return self._get(self._collection(name), CollectionInfo)

    def collections(
        self, project: str, *, type: str = "", after: str = "", limit: int = 100
    ) -> list[CollectionInfo]:
        """The collections of a project by name."""
        path = f"{self._project(project)}/collections"
        return self._list(path, CollectionInfo, limit, type=type or None, after=after or None)

    def create_project(
        self,
        name: str,
        *,
        kind: str = "project",
        description: str = "",
        tags: Iterable[str] = (),
        visibility: str = "private",
        exist_ok: bool = False,
    ) -> ProjectInfo:
        """Makes a project, or a registry."""
        namespace, project = self._project_parts(name)
        value = {
            "name": project,
            "kind": kind,
            "description": description,
            "tags": list(tags),
            "visibility": visibility,
            "exist_ok": exist_ok,
        }
        return self._send("POST", f"{API}/namespaces/{quote(namespace)}/projects", ProjectInfo, value)

    def update_project(
        self,
        name: str,
        *,
        new_name: str | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        visibility: str | None = None,
        reason: str = "",
    ) -> ProjectInfo:
        """Changes a project."""
        change = {
            "name": new_name,
            "description": description,
            "tags": listed(tags),
            "visibility": visibility,
        }
        return self._send("PATCH", self._project(name), ProjectInfo, change, reason)

    def delete_project(self, name: str, *, reason: str = "") -> None:
        """Removes a project that holds nothing."""
        self._send("DELETE", self._project(name), NoneType, reason=reason)

    def project(self, name: str) -> ProjectInfo:
        """A project by name."""
        return self._get(self._project(name), ProjectInfo)

    def projects(self, namespace: str = "", *, after: str = "", limit: int = 100) -> list[ProjectInfo]:
        """The projects of a namespace (one's own by default) by name."""
        path = f"{API}/namespaces/{quote(namespace or self._own_namespace())}/projects"
        return self._list(path, ProjectInfo, limit, after=after or None)

    def set_field_class(self, project: str, field: str, name: str) -> None:
        """Classes a metadata field of a project: public, internal, confidential, pii, phi or secret."""
        self._send("PUT", f"{self._project(project)}/fields/{quote(field)}", _Fields, {"class": name})

    def field_classes(self, project: str) -> dict[str, str]:
        """The classes of a project's metadata fields."""
        return self._get(f"{self._project(project)}/fields", _Fields).fields
