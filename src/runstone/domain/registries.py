"""Registries as an organisation keeps them: whose they are, what they take, and who may do what in one of them."""

from __future__ import annotations

import msgspec

from runstone.domain import cataloguing, described, labels, limits, names, policy, projects
from runstone.domain.context import Context
from runstone.domain.described import DescribedProject
from runstone.domain.store import Store
from runstone.errors import Invalid, Missing
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.index import View
from runstone.storage.state import State
from runstone.storage.tables import (
    MEMBERS,
    NAMESPACES,
    PROJECT_NAMES,
    PROJECTS,
    USERS,
    Member,
    Namespace,
    Project,
)

_TYPES = "artifact_types"
MAX_TYPES = 100


class SetProjectMember(Command, frozen=True, kw_only=True):
    """Gives a user, or all members of a team, a role in one project. ``member`` is the id of the user or of the team's namespace."""

    project: int
    member: int
    role: str


class RemoveProjectMember(Command, frozen=True, kw_only=True):
    """Takes a role in one project away."""

    project: int
    member: int


@applies(105, "set_project_member", SetProjectMember)
def _set_project_member(state: State, at: Stamp, command: SetProjectMember) -> None:
    _require(state, command)
    held = state.get(MEMBERS, command.project, command.member)
    since = held.since if held else at.time
    state.put(MEMBERS, command.project, command.member, Member(command.role, since))
    state.touch(command.project, at.seq, 105)


@applies(106, "remove_project_member", RemoveProjectMember)
def _remove_project_member(state: State, at: Stamp, command: RemoveProjectMember) -> None:
    _require(state, command)
    if state.get(MEMBERS, command.project, command.member) is None:
        raise Missing("who is to be removed has no role of their own in the project")
    state.delete(MEMBERS, command.project, command.member)
    state.touch(command.project, at.seq, 106)


def _require(state: State, command: SetProjectMember | RemoveProjectMember) -> None:
    if state.get(PROJECTS, command.project) is None:
        raise Missing("the project does not exist any more")
    if state.get(NAMESPACES, command.member) is None:
        raise Missing(f"there is no user and no team {command.member}")


class Organisations(msgspec.Struct, frozen=True):
    """The organisations that a namespace may belong to; ``own`` is the one that is meant without a name, or nothing."""

    own: str
    all: tuple[str, ...]


def organisations(store: Store, ctx: Context, namespace: str) -> Organisations:
    """The organisations of a namespace: itself if it is one, else those that the principal is a member of.

    Who is a member of none has the namespace itself for one. Those that share a registry with the principal are to choose from too, and
    so is a namespace that has registries.
    """
    key = ("organisations", ctx.principal, namespace)
    return store.cached(key, lambda: _organisations(store, ctx, namespace))


def _organisations(store: Store, ctx: Context, namespace: str) -> Organisations:
    with store.index.read() as view:
        held = names.visible_namespace(store, view, ctx, namespace)
        if held.kind == "organisation":
            return Organisations(held.name, (held.name,))
        joined, sharing = [], []
        for _, each in view.scan(NAMESPACES):
            if each.kind == "organisation":
                if view.get(MEMBERS, each.id, ctx.principal.user) is not None:
                    joined.append(each.name)
                elif any(
                    store.policy.allows(view, ctx, "read", each, row) for row in _registries(view, each)
                ):
                    sharing.append(each.name)
        alone = [held.name] if not joined or _registries(view, held) else []
    joined, sharing = sorted(joined), sorted(sharing)
    own = held.name if not joined else joined[0] if len(joined) == 1 else ""
    return Organisations(own, (*joined, *alone, *sharing))


def _registries(view: View, namespace: Namespace) -> list[Project]:
    rows = [view.get(PROJECTS, number) for _, number in view.scan(PROJECT_NAMES, namespace.id)]
    return [row for row in rows if row and row.kind == "registry"]


def listed(store: Store, ctx: Context, namespace: str) -> list[DescribedProject]:
    """The registries of a namespace that the principal may read, newest first."""
    with store.index.read() as view:
        held = names.visible_namespace(store, view, ctx, namespace)
        found = _registries(view, held)
        kept = [row.id for row in found if store.policy.allows(view, ctx, "read", held, row)]
    return [described.project_numbered(store, ctx, number) for number in sorted(kept, reverse=True)]


def number_of(store: Store, ctx: Context, namespace: str) -> int:
    """The id of a namespace."""
    with store.index.read() as view:
        return names.visible_namespace(store, view, ctx, namespace).id


def types(store: Store, ctx: Context, project: str) -> list[str]:
    """The types that a registry takes; none named means any."""
    found = described.project(store, ctx, project).properties.get(_TYPES, "")
    return found.splitlines()


def set_types(store: Store, ctx: Context, project: str, allowed: list[str]) -> None:
    """Says which types of collections a registry takes; none means any. Takes the right to administer it."""
    if len(allowed) > MAX_TYPES:
        raise Invalid(f"{len(allowed)} types are over the limit of {MAX_TYPES}")
    checked = sorted({limits.collection_name(each, "collection type") for each in allowed})
    with store.index.read() as view:
        names.find_project(store, view, ctx, names.parse_project(ctx, project), "admin")
    if checked:
        labels.label_project(store, ctx, project, {_TYPES: "\n".join(checked)}, kind="property")
    else:
        labels.label_project(store, ctx, project, remove=[_TYPES], kind="property")


def delete(store: Store, ctx: Context, project: str) -> None:
    """Deletes a registry with its collections; what they link to stays. Takes the right to administer it."""
    with store.index.read() as view:
        names.find_project(store, view, ctx, names.parse_project(ctx, project), "admin")
    for each in described.list_collections(store, ctx, project):
        cataloguing.delete(store, ctx, each.info.path)
    projects.delete(store, ctx, project)


class ProjectMember(msgspec.Struct, frozen=True):
    """Who may do what in a project: a user, or a team. ``inherited`` is a role that comes from the namespace."""

    id: int
    name: str
    kind: str
    role: str
    inherited: bool
    full_name: str = ""


def members(store: Store, ctx: Context, project: str) -> list[ProjectMember]:
    """Who has a role in a project, by name: its own members, and those of its namespace unless it is restricted."""
    with store.index.read() as view:
        namespace, held = names.find_project(store, view, ctx, names.parse_project(ctx, project))
        found: dict[int, ProjectMember] = {}
        for (_, number), member in view.scan(MEMBERS, namespace.id):
            if held.visibility != "restricted" or member.role == "owner":
                _add(view, found, number, member.role, True)
        for (_, number), member in view.scan(MEMBERS, held.id):
            before = found.get(number)
            if before is None or policy.ROLES[member.role] > policy.ROLES[before.role]:
                _add(view, found, number, member.role, False)
    return sorted(found.values(), key=lambda each: each.name)


def _add(view: View, found: dict[int, ProjectMember], number: int, role: str, inherited: bool) -> None:
    user, namespace = view.get(USERS, number), view.get(NAMESPACES, number)
    if user is not None:
        found[number] = ProjectMember(number, user.name, "user", role, inherited, user.full_name)
    elif namespace is not None:
        found[number] = ProjectMember(number, namespace.name, "team", role, inherited)


def set_member(store: Store, ctx: Context, project: str, member: int, role: str) -> None:
    """Gives a user or a team, by id, a role in a project. Takes the right to administer it."""
    if role not in policy.ROLES:
        raise Invalid(f"role {role!r:.80} must be one of {', '.join(policy.ROLES)}")
    number = _administered(store, ctx, project)
    command = SetProjectMember(
        actor=ctx.principal.name, reason=ctx.reason, project=number, member=member, role=role
    )
    store.submit(ctx, command)


def remove_member(store: Store, ctx: Context, project: str, member: int) -> None:
    """Takes the role of a user or a team in a project away. Takes the right to administer it."""
    number = _administered(store, ctx, project)
    command = RemoveProjectMember(actor=ctx.principal.name, reason=ctx.reason, project=number, member=member)
    store.submit(ctx, command)


def _administered(store: Store, ctx: Context, project: str) -> int:
    with store.index.read() as view:
        return names.find_project(store, view, ctx, names.parse_project(ctx, project), "admin")[1].id
