"""Projects and registries."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from runstone.domain import documents, limits, names, policy
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import Conflict, Exists, Invalid, Missing
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.state import State
from runstone.storage.tables import (
    COLLECTION_NAMES,
    DATASET_NAMES,
    DATASETS,
    DOCUMENT_NAMES,
    DOCUMENTS,
    NAMESPACE_NAMES,
    NAMESPACES,
    PROJECT_NAMES,
    PROJECTS,
    RUN_NAMES,
    Namespace,
    Project,
)
from runstone.types import ProjectInfo

KINDS = ("project", "registry")
#: Who may read a project: the members of its namespace, its own members only (and owners), or everybody.
VISIBILITIES = ("private", "restricted", "public")


class CreateProject(Command, frozen=True, kw_only=True):
    """Makes a project in a namespace."""

    namespace: int
    name: str
    kind: str
    description: str = ""
    tags: tuple[str, ...] = ()
    visibility: str = "private"


class UpdateProject(Command, frozen=True, kw_only=True):
    """Changes a project; None leaves a field as it is."""

    project: int
    name: str | None = None
    description: str | None = None
    tags: tuple[str, ...] | None = None
    visibility: str | None = None


class DeleteProject(Command, frozen=True, kw_only=True):
    """Removes a project that holds no collection and no run, and its documents."""

    project: int


@applies(16, "create_project", CreateProject, int)
def _create_project(state: State, at: Stamp, command: CreateProject) -> int:
    if state.get(NAMESPACES, command.namespace) is None:
        raise Missing("the namespace does not exist")
    if state.get(PROJECT_NAMES, command.namespace, command.name) is not None:
        raise Exists(f"there is a project {command.name} already")
    project = Project(
        at.id,
        command.namespace,
        command.name,
        command.kind,
        at.time,
        command.actor,
        at.time,
        command.description,
        command.tags,
        command.visibility,
    )
    state.put(PROJECTS, at.id, project)
    state.put(PROJECT_NAMES, command.namespace, command.name, at.id)
    state.touch(at.id, at.seq, 16)
    return at.id


@applies(17, "update_project", UpdateProject)
def _update_project(state: State, at: Stamp, command: UpdateProject) -> None:
    project = state.get(PROJECTS, command.project)
    if project is None:
        raise Missing("the project does not exist any more")
    changes: dict[str, Any] = {
        field: value
        for field in ("name", "description", "tags", "visibility")
        if (value := getattr(command, field)) is not None
    }
    if command.name is not None and command.name != project.name:
        if state.get(PROJECT_NAMES, project.namespace, command.name) is not None:
            raise Exists(f"there is a project {command.name} already")
        state.delete(PROJECT_NAMES, project.namespace, project.name)
        state.put(PROJECT_NAMES, project.namespace, command.name, project.id)
    state.put(PROJECTS, project.id, replace(project, updated=at.time, **changes))
    state.touch(project.id, at.seq, 17)


@applies(18, "delete_project", DeleteProject)
def _delete_project(state: State, at: Stamp, command: DeleteProject) -> None:
    project = state.get(PROJECTS, command.project)
    if project is None:
        raise Missing("the project does not exist any more")
    if next(state.scan(COLLECTION_NAMES, project.id), None) is not None:
        raise Conflict(f"project {project.name} still holds collections; delete them first")
    if next(state.scan(RUN_NAMES, project.id), None) is not None:
        raise Conflict(f"project {project.name} still holds runs; purge them first")
    for document_id in [document_id for _, document_id in state.scan(DOCUMENT_NAMES, project.id)]:
        document = state.get(DOCUMENTS, document_id)
        if document is not None:
            documents.drop(state, document)
    for (_, digest, name), dataset in list(state.scan(DATASET_NAMES, project.id)):
        state.delete(DATASET_NAMES, project.id, digest, name)
        state.delete(DATASETS, dataset)
    state.delete(PROJECTS, project.id)
    state.delete(PROJECT_NAMES, project.namespace, project.name)
    state.touch(project.id, at.seq, 18)


def create(
    store: Store,
    ctx: Context,
    name: str,
    *,
    kind: str = "project",
    description: str = "",
    tags: tuple[str, ...] = (),
    visibility: str = "private",
    exist_ok: bool = False,
) -> ProjectInfo:
    """Makes a project (``namespace/project``). Takes the right to write in its namespace."""
    parsed = names.parse_project(ctx, name)
    with store.index.read() as view:
        namespace = names.find_namespace(store, view, ctx, parsed.namespace, "write")
    command = CreateProject(
        actor=ctx.principal.name,
        reason=ctx.reason,
        namespace=namespace.id,
        name=limits.name(parsed.project, "project"),
        kind=_one_of(kind, KINDS, "project kind"),
        description=limits.text(description, "description"),
        tags=limits.tags(tags),
        visibility=_one_of(visibility, VISIBILITIES, "visibility"),
    )
    try:
        store.submit(ctx, command)
    except Exists:
        if not exist_ok:
            raise
    return get(store, ctx, name)


def kind_of(store: Store, ctx: Context, name: str) -> str:
    """Whether a name is that of a project or of a registry; empty for neither, and for one that the principal may not know of.

    Who may read a namespace may know which names in it are taken.
    """
    parsed = names.parse_project(ctx, name)
    with store.index.read() as view:
        found = view.get(NAMESPACE_NAMES, parsed.namespace)
        namespace = view.get(NAMESPACES, found) if found is not None else None
        held = view.get(PROJECT_NAMES, namespace.id, parsed.project) if namespace else None
        project = view.get(PROJECTS, held) if held is not None else None
        if namespace is None or project is None:
            return ""
        known = any(store.policy.allows(view, ctx, "read", namespace, each) for each in (None, project))
        return project.kind if known else ""


def update(
    store: Store,
    ctx: Context,
    name: str,
    *,
    new_name: str | None = None,
    description: str | None = None,
    tags: tuple[str, ...] | None = None,
    visibility: str | None = None,
) -> ProjectInfo:
    """Changes a project. A new visibility or name takes the right to administer it."""
    parsed = names.parse_project(ctx, name)
    action: Any = "admin" if visibility is not None or new_name is not None else "write"
    with store.index.read() as view:
        namespace, project = names.find_project(store, view, ctx, parsed, action)
    command = UpdateProject(
        actor=ctx.principal.name,
        reason=ctx.reason,
        project=project.id,
        name=None if new_name is None else limits.name(new_name, "project"),
        description=None if description is None else limits.text(description, "description"),
        tags=None if tags is None else limits.tags(tags),
        visibility=None if visibility is None else _one_of(visibility, VISIBILITIES, "visibility"),
    )
    store.submit(ctx, command)
    return get(store, ctx, f"{namespace.name}/{new_name or project.name}")


def delete(store: Store, ctx: Context, name: str) -> None:
    """Removes a project that holds no collection and no run, and its documents. Takes the right to administer it."""
    with store.index.read() as view:
        _, project = names.find_project(store, view, ctx, names.parse_project(ctx, name), "admin")
    store.submit(ctx, DeleteProject(actor=ctx.principal.name, reason=ctx.reason, project=project.id))


def get(store: Store, ctx: Context, name: str) -> ProjectInfo:
    """A project by name."""
    with store.index.read() as view:
        return info(*names.find_project(store, view, ctx, names.parse_project(ctx, name)))


def may_write(store: Store, ctx: Context, name: str) -> bool:
    """Whether the principal, who may read a project, may also write in it."""
    with store.index.read() as view:
        namespace, project = names.find_project(store, view, ctx, names.parse_project(ctx, name))
        return store.policy.allows(view, ctx, "write", namespace, project)


def list_projects(
    store: Store, ctx: Context, namespace: str, after: str = "", limit: int = 100
) -> list[ProjectInfo]:
    """The projects of a namespace that the principal may read, by name, from just past ``after``."""
    found: list[ProjectInfo] = []
    with store.index.read() as view:
        held = names.visible_namespace(store, view, ctx, namespace)
        start = (held.id, after) if after else None
        for _, project_id in view.scan(PROJECT_NAMES, held.id, after=start):
            project = view.get(PROJECTS, project_id)
            if len(found) == limit:
                break
            if project is not None and store.policy.allows(view, ctx, "read", held, project):
                found.append(info(held, project))
        if not found:
            policy.require(store.policy, view, ctx, "read", held)
    return found


def info(namespace: Namespace, project: Project) -> ProjectInfo:
    """A project as it is shown."""
    return ProjectInfo(
        namespace=namespace.name,
        name=project.name,
        kind=project.kind,
        description=project.description,
        tags=project.tags,
        visibility=project.visibility,
        created=project.created,
        updated=project.updated,
        by=project.by,
    )


def _one_of(value: str, allowed: tuple[str, ...], what: str) -> str:
    if value not in allowed:
        raise Invalid(f"{what} {value!r} must be one of {', '.join(allowed)}")
    return value
