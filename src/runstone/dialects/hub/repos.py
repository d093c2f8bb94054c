"""Repos are made, moved, shown, hidden and deleted, and their branches and tags."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from runstone.dialects.hub import naming, revisions
from runstone.dialects.hub.naming import KINDS, Repo
from runstone.dialects.hub.problem import REVISION, missing
from runstone.dialects.hub.wire import Anything, for_each_kind, origin, repo_of
from runstone.dialects.routing import Call, Reply, Route
from runstone.domain import aliases, collections, gates, limits, names, projects, versions
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import AliasMoved, Exists, Invalid, Missing

_PAGE = 1000


class NewRepo(msgspec.Struct):
    """A repo to be made. What is not named here (hardware of spaces, say) makes no difference."""

    name: str
    organization: str | None = None
    type: str = "model"
    visibility: str | None = None
    private: bool | None = None


class OldRepo(msgspec.Struct):
    """A repo to be deleted."""

    name: str
    organization: str | None = None
    type: str = "model"


class Move(msgspec.Struct, rename="camel"):
    """A repo and the id that it shall have."""

    from_repo: str
    to_repo: str
    type: str = "model"


class Settings(msgspec.Struct):
    """What to change of a repo."""

    visibility: str | None = None
    private: bool | None = None
    gated: str | bool | None = None


class NewBranch(msgspec.Struct, rename="camel"):
    """Where a branch shall begin."""

    starting_point: str | None = None


class NewTag(msgspec.Struct):
    """A tag to be made."""

    tag: str
    message: str = ""


def create(call: Call) -> dict[str, Any]:
    """Answers ``POST /api/repos/create``: private, unless it is asked to be public."""
    asked: NewRepo = call.body
    kind = _kind(asked.type)
    owner = asked.organization or names.own_namespace(call.ctx)
    repo = naming.checked(owner, asked.name)
    private = _private(asked.visibility, asked.private)
    url = f"{origin(call)}/{'' if kind == 'models' else f'{kind}/'}{repo}"
    if _taken(call, kind, owner, asked.name):
        raise Exists(f"there is a {asked.type} {repo} already", url=url)
    project = _project(call.store, call.ctx, owner, kind, bool(private if private is not None else True))
    try:
        collections.create(
            call.store, call.ctx.without_id(), f"{project}/{asked.name}", type=kind.removesuffix("s")
        )
    except Exists as error:
        raise Exists(error.message, url=url) from None
    return {"url": url, "name": repo, "id": repo}


def _taken(call: Call, kind: str, owner: str, name: str) -> bool:
    try:
        naming.find(call.store, call.ctx, kind, owner, name)
    except Missing:
        return False
    return True


def _project(store: Store, ctx: Context, owner: str, kind: str, private: bool) -> str:
    """The project that repos are made in, which is made with the first."""
    name = f"{owner}/{naming.project_of(kind, private)}"
    visibility = "private" if private else "public"
    found = projects.create(store, ctx, name, kind="registry", visibility=visibility, exist_ok=True)
    if found.visibility != visibility:
        raise Invalid(
            f"project {name} is {found.visibility}, and repos that are {visibility} are made in it; make it {visibility}"
        )
    return name


def _kind(type_: str) -> str:
    if f"{type_}s" not in KINDS:
        raise Invalid(f"there are no repos of type {type_!r:.80} here; there are model, dataset and space")
    return f"{type_}s"


def _private(visibility: str | None, private: bool | None) -> bool | None:
    if visibility is None:
        return private
    if visibility not in ("public", "private"):
        raise Invalid(f"visibility {visibility!r:.80} must be public or private")
    return visibility == "private"


def delete(call: Call) -> dict[str, Any]:
    """Answers ``DELETE /api/repos/delete``: every version, and then the collection."""
    asked: OldRepo = call.body
    owner = asked.organization or names.own_namespace(call.ctx)
    repo = naming.find(call.store, call.ctx, _kind(asked.type), owner, asked.name)
    ctx, before = call.ctx.without_id(), 0
    while page := versions.list_versions(call.store, ctx, repo.path, before=before, limit=_PAGE):
        for version in page:
            if version.state != "deleted":
                versions.delete(call.store, ctx, f"{repo.path}@v{version.number}", with_aliases=True)
        before = page[-1].number
        if before <= 1:
            break
    collections.delete(call.store, ctx, repo.path)
    return {}


def move(call: Call) -> dict[str, Any]:
    """Answers ``POST /api/repos/move``."""
    asked: Move = call.body
    kind = _kind(asked.type)
    repo = naming.find(call.store, call.ctx, kind, *_parts(asked.from_repo))
    owner, name = _parts(asked.to_repo)
    naming.checked(owner, name)
    if _taken(call, kind, owner, name):
        raise Exists(f"there is a {asked.type} {asked.to_repo} already")
    target = _project(call.store, call.ctx, owner, kind, repo.private)
    collections.update(call.store, call.ctx.without_id(), repo.path, new_name=name, project=target)
    return {}


def _parts(repo: str) -> tuple[str, str]:
    owner, _, name = repo.partition("/")
    return owner, name


def settings(kind: str, call: Call) -> dict[str, Any]:
    """Answers ``PUT …/settings``: a repo that becomes public or private moves to the project of those."""
    asked: Settings = call.body
    repo = repo_of(kind, call)
    if asked.gated is not None:
        gates.set_mode(call.store, call.ctx.without_id(), repo.path, str(asked.gated or ""))
    private = _private(asked.visibility, asked.private)
    if private is not None and private != repo.private:
        _change_visibility(call, repo, private)
    return {
        "private": repo.private if private is None else private,
        "gated": gates.mode_of(call.store, repo.collection.id) or False,
    }


def _change_visibility(call: Call, repo: Repo, private: bool) -> None:
    if repo.collection.project not in (
        naming.project_of(repo.kind, True),
        naming.project_of(repo.kind, False),
    ):
        raise Invalid(
            f"{repo.id} is in the project {repo.collection.project}, whose visibility is that of all in it; change the project's"
        )
    target = _project(call.store, call.ctx, repo.collection.namespace, repo.kind, private)
    collections.update(call.store, call.ctx.without_id(), repo.path, project=target)


def create_branch(kind: str, call: Call) -> Reply:
    """Answers ``POST …/branch/{branch}``."""
    asked: NewBranch = call.body
    branch = call.path["branch"]
    if branch == revisions.MAIN:
        raise Exists("every repo has the branch main")
    _make(kind, call, revisions.HEADS + branch, asked.starting_point or revisions.MAIN, f"branch {branch}")
    return Reply({}, 201)


def create_tag(kind: str, call: Call) -> Reply:
    """Answers ``POST …/tag/{rev}``."""
    asked: NewTag = call.body
    _make(kind, call, revisions.tag_alias(asked.tag), call.path["rev"], f"tag {asked.tag}", asked.message)
    return Reply({}, 201)


def _make(kind: str, call: Call, alias: str, revision: str, what: str, message: str = "") -> None:
    repo = repo_of(kind, call)
    commit = revisions.find(call.store, call.ctx, repo, revision)
    if commit.version is None:
        raise Invalid(f"{repo.id} has no commit yet for a {what:.200} to stand at; commit something first")
    reason = limits.text(message, "message", limits.MAX_REASON)
    ctx = replace(call.ctx, reason=reason) if reason else call.ctx
    try:
        aliases.move(call.store, ctx, f"{repo.path}@v{commit.number}", alias, expected=0)
    except AliasMoved:
        raise Exists(f"{repo.id} has a {what:.200} already") from None


def delete_branch(kind: str, call: Call) -> dict[str, Any]:
    """Answers ``DELETE …/branch/{branch}``."""
    branch = call.path["branch"]
    if branch == revisions.MAIN:
        raise Invalid("the branch main cannot be deleted")
    _unmake(kind, call, revisions.HEADS + branch, f"branch {branch}")
    return {}


def delete_tag(kind: str, call: Call) -> dict[str, Any]:
    """Answers ``DELETE …/tag/{tag}``."""
    tag = call.path["rev"]
    _unmake(kind, call, revisions.tag_alias(tag), f"tag {tag}")
    return {}


def _unmake(kind: str, call: Call, alias: str, what: str) -> None:
    repo = repo_of(kind, call)
    if revisions.alias_of(call.store, call.ctx, repo, alias) is None:
        raise missing(REVISION, f"{repo.id} has no {what:.200}")
    aliases.delete(call.store, call.ctx, repo.path, alias)


def _route(method: str, path: str, handler: Any, summary: str, body: Any) -> Route:
    return Route(method, path, handler, summary, body=body, query=Anything, blocking=True)


ROUTES = (
    _route("POST", "/api/repos/create", create, "Makes a repo.", NewRepo),
    _route("DELETE", "/api/repos/delete", delete, "Deletes a repo.", OldRepo),
    _route("POST", "/api/repos/move", move, "Renames a repo.", Move),
    *for_each_kind("PUT", "/settings", settings, "Shows or hides a repo.", body=Settings),
    *for_each_kind("POST", "/branch/{branch}", create_branch, "Makes a branch.", body=NewBranch, status=201),
    *for_each_kind("DELETE", "/branch/{branch}", delete_branch, "Deletes a branch."),
    *for_each_kind("POST", "/tag/{rev}", create_tag, "Makes a tag.", body=NewTag, status=201),
    *for_each_kind("DELETE", "/tag/{rev}", delete_tag, "Deletes a tag."),
)
