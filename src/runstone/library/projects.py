"""Collections and projects of an open store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runstone import domain
from runstone.library.calls import Calls
from runstone.types import CollectionInfo, ProjectInfo


class Projects(Calls):
    """Makes, changes, lists and removes collections and projects."""

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
        return domain.collections.create(
            self.store,
            self.ctx,
            name,
            type=type,
            description=description,
            tags=tuple(tags),
            metadata=metadata,
            exist_ok=exist_ok,
        )

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
        return domain.collections.update(
            self.store,
            self._with(reason),
            name,
            new_name=new_name,
            project=project,
            description=description,
            tags=None if tags is None else tuple(tags),
            metadata=metadata,
        )

    def delete_collection(self, name: str, *, reason: str = "") -> None:
        """Removes a collection whose versions have all been deleted."""
        domain.collections.delete(self.store, self._with(reason), name)

    def collection(self, name: str) -> CollectionInfo:
        """A collection by name."""
        return domain.collections.get(self.store, self.ctx, name)

    def collections(
        self, project: str, *, type: str = "", after: str = "", limit: int = 100
    ) -> list[CollectionInfo]:
        """The collections of a project by name."""
        return domain.collections.list_collections(
            self.store, self.ctx, project, type=type, after=after, limit=limit
        )

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
        return domain.projects.create(
            self.store,
            self.ctx,
            name,
            kind=kind,
            description=description,
            tags=tuple(tags),
            visibility=visibility,
            exist_ok=exist_ok,
        )

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
        return domain.projects.update(
            self.store,
            self._with(reason),
            name,
            new_name=new_name,
            description=description,
            tags=None if tags is None else tuple(tags),
            visibility=visibility,
        )

    def delete_project(self, name: str, *, reason: str = "") -> None:
        """Removes a project that holds nothing."""
        domain.projects.delete(self.store, self._with(reason), name)

    def project(self, name: str) -> ProjectInfo:
        """A project by name."""
        return domain.projects.get(self.store, self.ctx, name)

    def projects(self, namespace: str = "", *, after: str = "", limit: int = 100) -> list[ProjectInfo]:
        """The projects of a namespace (one's own by default) by name."""
        return domain.projects.list_projects(
            self.store, self.ctx, namespace or domain.names.own_namespace(self.ctx), after, limit
        )

    def set_field_class(self, project: str, field: str, name: str) -> None:
        """Classes a metadata field of a project: public, internal, confidential, pii, phi or secret."""
        domain.fields.set_class(self.store, self.ctx, project, field, name)

    def field_classes(self, project: str) -> dict[str, str]:
        """The classes of a project's metadata fields."""
        return domain.fields.classes(self.store, self.ctx, project)
