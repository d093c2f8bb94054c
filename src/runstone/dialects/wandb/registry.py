"""Registries as they are made, changed and shared."""

from __future__ import annotations

from typing import Any

from runstone.dialects.routing import Call
from runstone.dialects.wandb import naming, wire
from runstone.domain import described, projects, registries
from runstone.errors import Conflict, Invalid, Missing


def upsert(call: Call, given: dict[str, Any]) -> tuple[Any, bool]:
    """Makes a project or registry, or changes it; what it is then, and whether it was made."""
    path = naming.project(call, given.get("entityName"), given["name"])
    kind, visibility = naming.kind(given["name"]), naming.visibility(given.get("access"))
    inserted = False
    try:
        info = projects.get(call.store, call.ctx, path)
    except Missing:
        projects.create(
            call.store,
            call.ctx,
            path,
            kind=kind,
            description=given.get("description") or "",
            visibility=visibility or "private",
        )
        inserted = True
    else:
        if info.kind != kind:
            raise Conflict(f"{path} is a {info.kind} and no {kind}; use another name")
        _change(call, path, info, given.get("description"), visibility)
    _set_types(call, path, given)
    return projects.get(call.store, call.ctx, path), inserted


def _change(call: Call, path: str, info: Any, description: str | None, visibility: str | None) -> None:
    if description is not None and description != info.description:
        projects.update(call.store, call.ctx.without_id(), path, description=description)
    if visibility is not None and visibility != info.visibility:
        projects.update(call.store, call.ctx.without_id(), path, visibility=visibility)


def _set_types(call: Call, path: str, given: dict[str, Any]) -> None:
    """The types that a registry takes; new ones are added, and none named with ``allowAll…`` means any."""
    everything, added = given.get("allowAllArtifactTypesInRegistry"), given.get("artifactTypes") or ()
    held = registries.types(call.store, call.ctx, path)
    wanted = [] if everything else sorted({*held, *(each["name"] for each in added)})
    if everything is False and not wanted:
        wanted = sorted({each.info.type for each in described.list_collections(call.store, call.ctx, path)})
    if everything is not None and wanted != held:
        registries.set_types(call.store, call.ctx.without_id(), path, wanted)


def rename(call: Call, given: dict[str, Any]) -> Any:
    """Gives a project or registry another name."""
    old, new = given["oldProjectName"], given["newProjectName"]
    if naming.kind(old) != naming.kind(new):
        raise Invalid(f"a registry's name begins with {naming.REGISTRY}, and no other project's does")
    path = naming.project(call, given["entityName"], old)
    wanted = naming.project(call, given["entityName"], new).rpartition("/")[2]
    return projects.update(call.store, call.ctx, path, new_name=wanted)


def _project(call: Call, text: str) -> described.DescribedProject:
    return described.project_numbered(call.store, call.ctx, wire.number_of("Project", text))


def delete(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Deletes a registry with its collections, or a project that holds nothing."""
    found = _project(call, given["id"])
    if found.info.kind == "registry":
        registries.delete(call.store, call.ctx, found.info.path)
    else:
        projects.delete(call.store, call.ctx, found.info.path)
    return {"success": True}


def add_members(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Lets users and teams view a registry; who has a role in it keeps that."""
    path = _project(call, given["projectId"]).info.path
    held = {each.id for each in registries.members(call.store, call.ctx, path) if not each.inherited}
    for number in _members(given):
        if number not in held:
            registries.set_member(call.store, call.ctx.without_id(), path, number, "reader")
    return {"success": True}


def remove_members(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Takes the roles of users and teams in a registry away."""
    path = _project(call, given["projectId"]).info.path
    for number in _members(given):
        registries.remove_member(call.store, call.ctx.without_id(), path, number)
    return {"success": True}


def _members(given: dict[str, Any]) -> list[int]:
    users = [wire.number_of("User", each) for each in given.get("userIds") or ()]
    return users + [wire.number_of("Entity", each) for each in given.get("teamIds") or ()]


def set_role(call: Call, project: str, member: int, role: str) -> dict[str, Any]:
    """Gives a user or team a role in a registry."""
    ours = {theirs: each for each, theirs in naming.ROLES.items()}.get(role)
    if ours is None:
        raise Invalid(f"role {role!r:.80} must be one of {', '.join(naming.ROLES.values())}")
    path = _project(call, project).info.path
    registries.set_member(call.store, call.ctx, path, member, ours)
    return {"success": True}
