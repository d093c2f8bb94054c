"""The large files of a repo, apart from its tree: listed, and made usable in another repo without a byte being moved."""

from __future__ import annotations

from typing import Any

import msgspec

from runstone.dialects.hub import naming, revisions, trees
from runstone.dialects.hub.wire import MAX_PAGE, for_each_kind, moment, next_page, repo_and_commit, repo_of
from runstone.dialects.routing import Call, Reply
from runstone.domain import content, limits
from runstone.errors import Invalid, RunstoneError

MAX_FILES = 1000


class Target(msgspec.Struct):
    """The repo that files are copied to."""

    type: str
    name: str


class Copied(msgspec.Struct):
    """A file that is copied, by its SHA-256."""

    sha256: str


class Duplicate(msgspec.Struct):
    """Files that another repo shall have too."""

    target: Target
    files: list[Copied]


class ListQuery(msgspec.Struct):
    """Which part of a list; ``cursor`` is the last path of the page before."""

    cursor: str = ""
    limit: int = MAX_PAGE


def duplicate(kind: str, call: Call) -> dict[str, Any]:
    """Answers ``POST …/lfs-files/duplicate``: the commit that follows names the files by their SHA-256."""
    asked: Duplicate = call.body
    if len(asked.files) > MAX_FILES:
        raise Invalid(f"{len(asked.files)} files are over the limit of {MAX_FILES} a request")
    repo_of(kind, call)
    owner, _, name = asked.target.name.partition("/")
    target = naming.find(call.store, call.ctx, f"{asked.target.type}s", owner, name).collection.namespace
    failed = [
        {"sha256": file.sha256, "error": problem}
        for file in asked.files
        if (problem := _hindrance(call, target, file.sha256))
    ]
    return {"failed": failed, "success": len(asked.files) - len(failed)}


def _hindrance(call: Call, namespace: str, sha256: str) -> str:
    try:
        limits.digest(sha256)
        held = content.held_size(call.store, call.ctx, namespace, sha256)
    except RunstoneError as error:
        return error.message
    return (
        "" if held is not None else "its bytes are not held where the other repo's are; upload the file there"
    )


def listed(kind: str, call: Call) -> Reply:
    """Answers ``GET …/lfs-files``: the files that ``main`` has."""
    repo, commit = repo_and_commit(kind, call)
    asked: ListQuery = call.query
    limit = max(1, min(asked.limit, MAX_PAGE))
    found = revisions.files(call.store, call.ctx, repo, commit, after=asked.cursor, limit=limit + 1)
    headers = {}
    if len(found) > limit:
        found = found[:limit]
        headers = next_page(call, f"/api/{kind}/{repo.id}/lfs-files", limit=limit, cursor=found[-1].path)
    pushed = moment(commit.version.created) if commit.version else ""
    shown = [
        {
            "fileOid": trees.git_blob_id(trees.pointer(file)),
            "filename": file.path,
            "oid": file.sha256,
            "pushedAt": pushed,
            "ref": "refs/heads/main",
            "size": file.size,
        }
        for file in found
        if file.sha256
    ]
    return Reply(shown, headers=headers)


def refuse_deletion(kind: str, call: Call) -> None:
    """Answers ``POST …/lfs-files/batch``."""
    raise Invalid(
        "a version never changes, so a file cannot be taken out of it; delete the versions that have the file "
        "(runstone rm), and garbage collection frees its bytes"
    )


def refuse_squash(kind: str, call: Call) -> None:
    """Answers ``POST …/super-squash/{branch}``."""
    raise Invalid(
        "the history of a repo is its versions and aliases, which are kept; bytes are stored once however many versions have them. "
        "Delete the versions that you do not need (runstone rm)"
    )


ROUTES = (
    *for_each_kind(
        "POST", "/lfs-files/duplicate", duplicate, "Makes files usable in another repo.", body=Duplicate
    ),
    *for_each_kind("GET", "/lfs-files", listed, "The large files.", query=ListQuery),
    *for_each_kind(
        "POST", "/lfs-files/batch", refuse_deletion, "Tells that versions never change.", body=dict[str, Any]
    ),
    *for_each_kind(
        "POST", "/super-squash/{branch}", refuse_squash, "Tells that history is kept.", body=dict[str, Any]
    ),
)
