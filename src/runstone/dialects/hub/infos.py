"""Reads about repos: information, trees, references, commits, and lists of repos."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import msgspec

from runstone.dialects.hub import cards, naming, revisions, trees
from runstone.dialects.hub.naming import KINDS, Repo
from runstone.dialects.hub.problem import ENTRY, missing
from runstone.dialects.hub.revisions import Commit
from runstone.dialects.hub.wire import (
    MAX_PAGE,
    for_each_kind,
    moment,
    next_page,
    repo_and_commit,
    repo_of,
    xet_hash,
)
from runstone.dialects.routing import Call, Reply, Route
from runstone.domain import gates, lineage
from runstone.errors import Gated, Malformed, TooLarge

MAX_FORM = 4 << 20
#: The most files of which the information about a repo names each.
MAX_SIBLINGS = 50_000


class InfoQuery(msgspec.Struct):
    """What to tell of a repo."""

    blobs: bool = False
    expand: tuple[str, ...] = ()


class TreeQuery(msgspec.Struct):
    """Which part of a tree; ``cursor`` is the last path of the page before."""

    recursive: bool = False
    expand: bool = False
    cursor: str = ""
    limit: int = MAX_PAGE


class CommitsQuery(msgspec.Struct):
    """Which part of a history: ``after`` is the number of the last commit of the page before."""

    after: str = ""
    limit: int = 100
    expand: tuple[str, ...] = msgspec.field(default=(), name="expand[]")


class ListQuery(msgspec.Struct):
    """Which repos; ``cursor`` is the id of the last of the page before. What is not named here makes no difference."""

    author: str = ""
    search: str = ""
    sort: str = ""
    cursor: str = ""
    limit: int = MAX_PAGE
    full: bool = False
    filter: tuple[str, ...] = ()
    expand: tuple[str, ...] = ()


def get_info(kind: str, call: Call) -> dict[str, Any]:
    """Answers ``GET /api/{kind}/{repo}`` and ``…/revision/{rev}``."""
    repo, commit = repo_and_commit(kind, call)
    asked: InfoQuery = call.query
    shown = described(repo) | {"sha": commit.id}
    if commit.version is not None:
        shown["lastModified"] = moment(commit.version.created)
        shown["usedStorage"] = commit.version.size
    card = cards.of_commit(call, repo, commit)
    shown |= {"cardData": card or None, "tags": list(dict.fromkeys([*shown["tags"], *cards.tags_of(card)]))}
    shown |= {
        name: card[name] for name in ("library_name", "pipeline_tag") if isinstance(card.get(name), str)
    }
    shown["gated"] = gates.mode_of(call.store, repo.collection.id) or False
    shown["downloads"] = lineage.fetches(call.store, call.ctx, repo.path)
    if not asked.expand or "siblings" in asked.expand:
        try:
            found = revisions.files(call.store, call.ctx, repo, commit, limit=MAX_SIBLINGS)
        except Gated:
            found = []  # that the repo is there may be known, and how to get in
        shown["siblings"] = [trees.shown_sibling(file, asked.blobs) for file in found]
    if asked.expand:
        kept = {"_id", "id", "modelId", *asked.expand}
        shown = {name: value for name, value in shown.items() if name in kept}
    return shown


def described(repo: Repo) -> dict[str, Any]:
    """What is told of a repo in lists too."""
    collection = repo.collection
    shown: dict[str, Any] = {
        "_id": f"{collection.id:024x}",
        "id": repo.id,
        "author": collection.namespace,
        "private": repo.private,
        "gated": False,
        "disabled": False,
        "tags": list(collection.tags),
        "likes": 0,
        "createdAt": moment(collection.created),
        "lastModified": moment(collection.updated),
    }
    if repo.kind == "models":
        shown["modelId"] = repo.id
    if repo.kind == "datasets":
        shown["description"] = collection.description
    return shown


def get_tree(kind: str, call: Call) -> Reply:
    """Answers ``GET …/tree/{rev}[/{path}]``."""
    repo, commit = repo_and_commit(kind, call)
    asked: TreeQuery = call.query
    path = call.path.get("path", "").strip("/")
    prefix = f"{path}/" if path else ""
    limit = max(1, min(asked.limit, MAX_PAGE))
    after = asked.cursor
    found = revisions.files(
        call.store,
        call.ctx,
        repo,
        commit,
        prefix=prefix,
        after=after,
        limit=limit + 1 if asked.recursive else 0,
    )
    if prefix and not found and not after:
        raise missing(ENTRY, f"{repo.id} has no directory {path:.500} at {commit.id}", commit.id)
    headers = {"X-Repo-Commit": commit.id}
    if not asked.recursive:
        return Reply(_completed(call, repo, commit, trees.level(found, prefix, commit.id)), headers=headers)
    if len(found) > limit:
        found = found[:limit]
        where = f"/api/{kind}/{repo.id}/tree/{commit.id}" + (f"/{call.path['path']}" if path else "")
        more = {"expand": "true"} if asked.expand else {}
        headers |= next_page(call, where, recursive="true", limit=limit, cursor=found[-1].path, **more)
    entries = trees.walked(found, after or prefix, commit.id)
    return Reply(_completed(call, repo, commit, entries), headers=headers)


def _completed(
    call: Call, repo: Repo, commit: Commit, entries: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Entries of a tree with what was asked for besides; clients read those with a xet hash by xet."""
    found = [_with_xet(call, repo, entry) if call.services.xet_reads else entry for entry in entries]
    return _with_last_commits(call, repo, commit, found) if call.query.expand else found


def _with_last_commits(
    call: Call, repo: Repo, commit: Commit, entries: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    paths = [entry["path"] for entry in entries]
    last = revisions.last_commits(call.store, call.ctx, repo, commit, paths)
    return [entry | {"lastCommit": _last(last[entry["path"]]), "security": None} for entry in entries]


def _last(commit: Commit) -> dict[str, Any] | None:
    if commit.version is None:
        return None
    shown = _shown_commit(commit)
    return {"id": shown["id"], "title": shown["title"], "date": shown["date"]}


def _with_xet(call: Call, repo: Repo, entry: dict[str, Any], *, readable: bool = True) -> dict[str, Any]:
    found = xet_hash(call, repo, entry["lfs"]["oid"], readable=readable) if "lfs" in entry else ""
    return entry | {"xetHash": found} if found else entry


async def paths_info(kind: str, call: Call) -> list[dict[str, Any]]:
    """Answers ``POST …/paths-info/{rev}``, whose body is a form or JSON: the files and directories among the paths asked for."""
    assert call.content is not None
    content = bytearray()
    async for piece in call.content:
        content += piece
        if len(content) > MAX_FORM:
            raise TooLarge(f"the list of paths has over {MAX_FORM} bytes, the limit here")
    try:
        if call.headers.get("Content-Type", "").startswith("application/json"):
            form = msgspec.json.decode(bytes(content), type=dict[str, Any])
        else:
            form = parse_qs(content.decode(), keep_blank_values=True)
        paths = msgspec.convert(form.get("paths", []), list[str])
        expand = str(form.get("expand", "")).lower().strip("[]'") == "true"
    except (msgspec.MsgspecError, UnicodeError, ValueError) as error:
        raise Malformed(f"the list of paths does not parse: {error}") from None
    found: list[dict[str, Any]] = await call.services.in_thread(_infos_of, kind, call, paths, expand)
    return found


def _infos_of(kind: str, call: Call, paths: list[str], expand: bool) -> list[dict[str, Any]]:
    repo, commit = repo_and_commit(kind, call)
    shown = []
    for path in paths:
        plain = path.strip("/")
        # A file sorts before what lies in the directory of a name that begins with its own.
        first = revisions.files(call.store, call.ctx, repo, commit, prefix=plain, limit=1)
        if first and first[0].path == plain:
            # Copies between repos are asked for by this hash; nobody reads by it.
            shown.append(_with_xet(call, repo, trees.shown_file(first[0]), readable=False))
        elif plain and revisions.files(call.store, call.ctx, repo, commit, prefix=f"{plain}/", limit=1):
            shown.append(trees.shown_directory(plain, commit.id))
    return _with_last_commits(call, repo, commit, shown) if expand else shown


def get_refs(kind: str, call: Call) -> dict[str, Any]:
    """Answers ``GET …/refs``."""
    repo = repo_of(kind, call)
    branches, tags = revisions.refs(call.store, call.ctx, repo)
    return {
        "branches": [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit} for name, commit in branches
        ],
        "tags": [{"name": name, "ref": f"refs/tags/{name}", "targetCommit": commit} for name, commit in tags],
        "converts": [],
        "pullRequests": [],
    }


def get_commits(kind: str, call: Call) -> Reply:
    """Answers ``GET …/commits/{rev}``, newest first."""
    repo, commit = repo_and_commit(kind, call)
    asked: CommitsQuery = call.query
    limit = max(1, min(asked.limit, MAX_PAGE))
    start = revisions.find(call.store, call.ctx, repo, asked.after) if asked.after else commit
    page: list[Commit] = []
    for found in revisions.history(call.store, call.ctx, repo, start):
        page.append(found)
        if len(page) > limit:
            break
    headers: dict[str, str] = {}
    if len(page) > limit:
        where = f"/api/{kind}/{repo.id}/commits/{commit.id}"
        headers = next_page(call, where, limit=limit, after=page[limit].id, **{"expand[]": asked.expand})
    formatted = "formatted" in asked.expand
    return Reply([_shown_commit(found, formatted) for found in page[:limit]], headers=headers)


def _shown_commit(commit: Commit, formatted: bool = False) -> dict[str, Any]:
    version, note = commit.version, commit.note
    assert version is not None
    title = note.get("summary") or version.description.partition("\n")[0] or f"v{version.number}"
    message = note.get("description", "" if note else version.description)
    shown: dict[str, Any] = {
        "id": commit.id,
        "title": str(title),
        "message": str(message),
        "date": moment(version.created),
        "authors": [{"user": version.by}],
    }
    if formatted:
        shown["formatted"] = {name: html.escape(shown[name]) for name in ("title", "message")}
    return shown


def list_repos(kind: str, call: Call) -> Reply:
    """Answers ``GET /api/{kind}``: by id, or newest first when sorted by a time."""
    asked: ListQuery = call.query
    limit = max(1, min(asked.limit, MAX_PAGE))
    found = list(_matching(kind, call, asked))
    times = {"lastModified": "updated", "createdAt": "created"}
    if asked.sort in times:
        found.sort(key=lambda repo: (-getattr(repo.collection, times[asked.sort]), repo.id))
    else:
        found.sort(key=lambda repo: repo.id)
    start = next((at + 1 for at, repo in enumerate(found) if repo.id == asked.cursor), 0)
    page, headers = found[start : start + limit], {}
    if start + limit < len(found):
        same = {
            name: value
            for name in ("author", "search", "sort", "filter", "full", "expand")
            if (value := getattr(asked, name))
        }
        headers = next_page(call, f"/api/{kind}", **same, limit=limit, cursor=page[-1].id)
    return Reply([_listed(call, repo, asked) for repo in page], headers=headers)


def _matching(kind: str, call: Call, asked: ListQuery) -> Iterator[Repo]:
    words = asked.search.lower().split()
    for repo in naming.listed(call.store, call.ctx, kind, asked.author):
        if all(word in repo.id.lower() for word in words) and set(asked.filter) <= set(repo.collection.tags):
            yield repo


def _listed(call: Call, repo: Repo, asked: ListQuery) -> dict[str, Any]:
    shown = described(repo)
    if asked.full or "sha" in asked.expand:
        shown["sha"] = revisions.head(call.store, call.ctx, repo).id
    return shown


ROUTES = (
    *for_each_kind("GET", "", get_info, "A repo.", query=InfoQuery, anonymous=True),
    *for_each_kind(
        "GET", "/revision/{rev}", get_info, "A repo at a revision.", query=InfoQuery, anonymous=True
    ),
    *for_each_kind(
        "GET", "/tree/{rev}", get_tree, "The files of a revision.", query=TreeQuery, anonymous=True
    ),
    *for_each_kind(
        "GET", "/tree/{rev}/{path...}", get_tree, "The files of a directory.", query=TreeQuery, anonymous=True
    ),
    *for_each_kind(
        "POST", "/paths-info/{rev}", paths_info, "Some files of a revision.", streams=True, anonymous=True
    ),
    *for_each_kind("GET", "/refs", get_refs, "Branches and tags.", anonymous=True),
    *for_each_kind(
        "GET", "/commits/{rev}", get_commits, "The history of a revision.", query=CommitsQuery, anonymous=True
    ),
    *(
        Route(
            "GET",
            f"/api/{kind}",
            partial(list_repos, kind),
            "Repos.",
            query=ListQuery,
            blocking=True,
            anonymous=True,
        )
        for kind in KINDS
    ),
)
