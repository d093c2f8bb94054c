"""Projects, their field classes, and collections."""

from __future__ import annotations

from typing import Any, Literal

from runstone.dialects.native.wire import (
    Answer,
    Listing,
    NoQuery,
    Page,
    Request,
    Tags,
    collection_name,
    page,
    plain,
    project_name,
)
from runstone.dialects.routing import Call, Raw, Route
from runstone.domain import collections, fields, projects
from runstone.types import CollectionInfo, ProjectInfo

IN_NAMESPACE = "/api/v1/namespaces/{ns}/projects"
PROJECT = "/api/v1/projects/{ns}/{project}"
COLLECTION = "/api/v1/collections/{ns}/{project}/{collection}"
Visibility = Literal["private", "public"]


class NewProject(Request):
    """A project or registry to be made; with ``exist_ok``, one of that name is answered."""

    name: str
    kind: Literal["project", "registry"] = "project"
    description: str = ""
    tags: Tags = ()
    visibility: Visibility = "private"
    exist_ok: bool = False


class ProjectChange(Request):
    """What to change of a project; null leaves a field as it is."""

    name: str | None = None
    description: str | None = None
    tags: Tags | None = None
    visibility: Visibility | None = None


class FieldClassing(Request, rename={"name": "class"}):
    """The class of a field: public, internal, confidential, pii, phi or secret."""

    name: str


class FieldClasses(Answer):
    """Classes of metadata fields, by field."""

    fields: dict[str, str]


class CollectionPage(Page):
    """Which part of a listing of collections, and of which type."""

    type: str = ""


class NewCollection(Request):
    """A collection to be made; with ``exist_ok``, one of that name is answered."""

    name: str
    type: str = "model"
    description: str = ""
    tags: Tags = ()
    metadata: Any = None
    exist_ok: bool = False


class CollectionChange(Request):
    """What to change of a collection; null leaves a field as it is. ``project`` (``namespace/project``) moves it."""

    name: str | None = None
    project: str | None = None
    description: str | None = None
    tags: Tags | None = None
    metadata: Any = None


def list_projects(call: Call) -> Listing[ProjectInfo]:
    """Answers ``GET /namespaces/{ns}/projects``."""
    asked: Page = call.query
    found = projects.list_projects(call.store, call.ctx, call.path["ns"], asked.after, asked.limit + 1)
    return page(found, asked.limit, lambda project: project.name)


def create_project(call: Call) -> ProjectInfo:
    """Answers ``POST /namespaces/{ns}/projects``."""
    new: NewProject = call.body
    return projects.create(
        call.store,
        call.ctx,
        f"{plain(call.path['ns'])}/{plain(new.name)}",
        kind=new.kind,
        description=new.description,
        tags=new.tags,
        visibility=new.visibility,
        exist_ok=new.exist_ok,
    )


def get_project(call: Call) -> ProjectInfo:
    """Answers ``GET /projects/{ns}/{project}``."""
    return projects.get(call.store, call.ctx, project_name(call))


def update_project(call: Call) -> ProjectInfo:
    """Answers ``PATCH /projects/{ns}/{project}``."""
    change: ProjectChange = call.body
    return projects.update(
        call.store,
        call.ctx,
        project_name(call),
        new_name=change.name,
        description=change.description,
        tags=change.tags,
        visibility=change.visibility,
    )


def delete_project(call: Call) -> Raw:
    """Answers ``DELETE /projects/{ns}/{project}``."""
    projects.delete(call.store, call.ctx, project_name(call))
    return Raw(status=204)


def list_fields(call: Call) -> FieldClasses:
    """Answers ``GET /projects/{ns}/{project}/fields``."""
    return FieldClasses(fields=fields.classes(call.store, call.ctx, project_name(call)))


def set_field(call: Call) -> FieldClasses:
    """Answers ``PUT /projects/{ns}/{project}/fields/{field}``."""
    given: FieldClassing = call.body
    fields.set_class(call.store, call.ctx, project_name(call), call.path["field"], given.name)
    return list_fields(call)


def list_collections(call: Call) -> Listing[CollectionInfo]:
    """Answers ``GET /projects/{ns}/{project}/collections``."""
    asked: CollectionPage = call.query
    found = collections.list_collections(
        call.store, call.ctx, project_name(call), type=asked.type, after=asked.after, limit=asked.limit + 1
    )
    return page(found, asked.limit, lambda collection: collection.name)


def create_collection(call: Call) -> CollectionInfo:
    """Answers ``POST /projects/{ns}/{project}/collections``."""
    new: NewCollection = call.body
    return collections.create(
        call.store,
        call.ctx,
        f"{project_name(call)}/{plain(new.name)}",
        type=new.type,
        description=new.description,
        tags=new.tags,
        metadata=new.metadata,
        exist_ok=new.exist_ok,
    )


def get_collection(call: Call) -> CollectionInfo:
    """Answers ``GET /collections/…``."""
    return collections.get(call.store, call.ctx, collection_name(call))


def update_collection(call: Call) -> CollectionInfo:
    """Answers ``PATCH /collections/…``."""
    change: CollectionChange = call.body
    return collections.update(
        call.store,
        call.ctx,
        collection_name(call),
        new_name=change.name,
        project=change.project,
        description=change.description,
        tags=change.tags,
        metadata=change.metadata,
    )


def delete_collection(call: Call) -> Raw:
    """Answers ``DELETE /collections/…``."""
    collections.delete(call.store, call.ctx, collection_name(call))
    return Raw(status=204)


ROUTES = (
    Route(
        "GET",
        IN_NAMESPACE,
        list_projects,
        "Projects that may be read.",
        query=Page,
        answer=Listing[ProjectInfo],
        blocking=True,
    ),
    Route(
        "POST",
        IN_NAMESPACE,
        create_project,
        "Makes a project or registry.",
        body=NewProject,
        answer=ProjectInfo,
        status=201,
        blocking=True,
    ),
    Route("GET", PROJECT, get_project, "A project.", query=NoQuery, answer=ProjectInfo),
    Route(
        "PATCH",
        PROJECT,
        update_project,
        "Changes a project.",
        body=ProjectChange,
        answer=ProjectInfo,
        blocking=True,
    ),
    Route("DELETE", PROJECT, delete_project, "Removes an empty project.", status=204, blocking=True),
    Route(
        "GET", PROJECT + "/fields", list_fields, "Classes of its fields.", query=NoQuery, answer=FieldClasses
    ),
    Route(
        "PUT",
        PROJECT + "/fields/{field}",
        set_field,
        "Classes a metadata field.",
        body=FieldClassing,
        answer=FieldClasses,
        blocking=True,
    ),
    Route(
        "GET",
        PROJECT + "/collections",
        list_collections,
        "A project's collections.",
        query=CollectionPage,
        answer=Listing[CollectionInfo],
        blocking=True,
    ),
    Route(
        "POST",
        PROJECT + "/collections",
        create_collection,
        "Makes a collection.",
        body=NewCollection,
        answer=CollectionInfo,
        status=201,
        blocking=True,
    ),
    Route("GET", COLLECTION, get_collection, "A collection.", query=NoQuery, answer=CollectionInfo),
    Route(
        "PATCH",
        COLLECTION,
        update_collection,
        "Changes, renames or moves a collection.",
        body=CollectionChange,
        answer=CollectionInfo,
        blocking=True,
    ),
    Route(
        "DELETE",
        COLLECTION,
        delete_collection,
        "Removes a collection without versions.",
        status=204,
        blocking=True,
    ),
)
