"""Saved workspaces and reports: JSON that the SDK's own programs write and read, kept as it is."""

from __future__ import annotations

from typing import Any

from runstone.dialects.routing import Call
from runstone.dialects.wandb import naming, wire
from runstone.dialects.wandb.people import UserNode
from runstone.domain import documents
from runstone.errors import Invalid, Missing
from runstone.types import DocumentInfo

#: The SDK's types of views, and the kinds of documents that they are.
KINDS = {"project-view": "wandb-workspace", "runs": "wandb-report", "runs/draft": "wandb-draft"}
_TYPES = {kind: name for name, kind in KINDS.items()}


class ViewNode:
    """A saved workspace or report."""

    access_tokens: tuple[Any, ...] = ()

    def __init__(self, call: Call, info: DocumentInfo) -> None:
        self._call, self._info = call, info
        self.id, self.name, self.type = wire.make_id("View", info.id), info.name, _TYPES[info.kind]
        self.display_name, self.description = info.title, info.description
        self.created_at, self.updated_at = wire.time_text(info.created), wire.time_text(info.updated)

    def spec(self) -> str:
        """What it shows, as JSON."""
        return wire.written(documents.by_id(self._call.store, self._call.ctx, self._info.id).spec)

    def user(self) -> UserNode:
        """Who made it."""
        return UserNode(self._call, self._info.by)

    def project(self) -> Any:
        """The project it lies in."""
        from runstone.dialects.wandb.projects import project

        return project(self._call, self._info.project, self._info.namespace)


def listed(
    call: Call,
    project: str,
    kind: str,
    name: str | None,
    by: str | None,
    after: str | None,
    first: int | None,
) -> dict[str, Any]:
    """The views of a type in a project, or the one of a name, by page."""
    if kind not in KINDS:
        raise Invalid(f"viewType must be one of {', '.join(KINDS)}, not {kind!r:.100}")
    found = documents.list_documents(call.store, call.ctx, project, kind=KINDS[kind], limit=10_000)
    wanted = [each for each in found if name in (None, each.name, each.title) and by in (None, each.by)]
    return wire.page([ViewNode(call, each) for each in wanted], after, first)


def view(call: Call, view_id: str) -> ViewNode | None:
    """A view by its id, or None."""
    try:
        return ViewNode(call, _by_id(call, view_id))
    except Missing:
        return None


def upsert(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Makes a view, or changes the one of an id."""
    store, ctx = call.store, call.ctx
    spec = wire.parsed(given["spec"], "spec") if given.get("spec") is not None else None
    title, description = given.get("displayName"), given.get("description")
    if given.get("id"):
        held = _by_id(call, given["id"])
        place = f"{held.namespace}/{held.project}"
        made = documents.update(
            store, ctx, place, held.kind, held.name, spec=spec, title=title, description=description
        )
        return {"view": ViewNode(call, made), "inserted": False}
    kind = given.get("type") or "runs"
    if kind not in KINDS:
        raise Invalid(f"type must be one of {', '.join(KINDS)}, not {kind!r:.100}")
    project = naming.project(call, given.get("entityName"), given.get("projectName"))
    made = documents.create(
        store,
        ctx,
        project,
        KINDS[kind],
        given.get("name") or "",
        spec or {},
        title=title or "",
        description=description or "",
    )
    return {"view": ViewNode(call, made), "inserted": True}


def delete(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Removes a view."""
    held = _by_id(call, given["id"])
    documents.delete(call.store, call.ctx, f"{held.namespace}/{held.project}", held.kind, held.name)
    return {"success": True, "pendingDrafts": False}


def _by_id(call: Call, view_id: str) -> DocumentInfo:
    found = documents.by_id(call.store, call.ctx, wire.number_of("View", view_id))
    if found.kind not in _TYPES:
        raise Missing(f"{view_id!r:.100} is not the id of a view")
    return found
