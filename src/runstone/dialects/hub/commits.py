"""Commits: what a client asks before one, and the commit itself, which no other that comes at the same time undoes."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from runstone.dialects.hub import cards, changes, revisions, trees
from runstone.dialects.hub.changes import Change, CopyFile, Drop, Header, Put
from runstone.dialects.hub.naming import Repo
from runstone.dialects.hub.revisions import Commit
from runstone.dialects.hub.wire import Anything, for_each_kind, origin, repo_and_commit, repo_of
from runstone.dialects.routing import Call, Reply, Route
from runstone.domain import content, limits, versions
from runstone.errors import AliasMoved, Invalid, Missing, TooLarge, TryAgain
from runstone.types import FileEntry

#: How often a commit is made again on what others have committed meanwhile.
TRIES = 100


class CommitQuery(msgspec.Struct):
    """How to commit."""

    create_pr: str = ""


class Announced(msgspec.Struct):
    """A file that the client is about to commit."""

    path: str
    size: int
    sample: str = ""


class Preupload(msgspec.Struct):
    """Files that the client is about to commit."""

    files: list[Announced]


class Card(msgspec.Struct):
    """A model card to be checked."""

    content: str = ""


def preupload(kind: str, call: Call) -> dict[str, Any]:
    """Answers ``POST …/preupload/{rev}``: small files come in the commit; ``oid`` lets clients leave out what is the same."""
    asked: Preupload = call.body
    _refuse_pull_request(call)
    repo, commit = repo_and_commit(kind, call)
    return {"files": [_mode(call, repo, commit, file) for file in asked.files]}


def _mode(call: Call, repo: Repo, commit: Commit, file: Announced) -> dict[str, Any]:
    found = revisions.files(call.store, call.ctx, repo, commit, prefix=file.path, limit=1)
    held = found[0] if found and found[0].path == file.path else None
    regular = file.size <= changes.REGULAR
    told = {"path": file.path, "uploadMode": "regular" if regular else "lfs", "shouldIgnore": False}
    if held is not None and held.sha256 and not regular:
        told["oid"] = held.sha256
    elif held is not None and held.sha256 and held.size == file.size:
        with content.open_file(call.store, call.ctx, f"{repo.path}@v{commit.number}", file.path) as stored:
            told["oid"] = trees.git_blob_id(stored.read())
    return told


def validate_yaml(call: Call) -> dict[str, Any] | Reply:
    """Answers ``POST /api/validate-yaml``, which clients ask before they commit a card."""
    try:
        cards.head_of(call.body.content)
    except Invalid as error:
        return Reply({"errors": [{"message": error.message}], "warnings": []}, 400)
    return {"errors": [], "warnings": []}


async def commit(kind: str, call: Call) -> dict[str, Any]:
    """Answers ``POST …/commit/{branch}``."""
    _refuse_pull_request(call)
    in_thread = call.services.in_thread
    repo = await in_thread(repo_of, kind, call)
    # Asked before the body is read, so that a wrong branch is told of soon.
    await in_thread(revisions.branch_alias, call.store, call.ctx, repo, call.path["rev"])
    header, made = await _read(call, repo)
    done: Commit = await in_thread(_commit, call, repo, header, made)
    where = f"{origin(call)}/{'' if kind == 'models' else f'{kind}/'}{repo.id}"
    return {
        "success": True,
        "commitOid": done.id,
        "commitUrl": f"{where}/commit/{done.id}",
        "hookOutput": "",
    }


def _refuse_pull_request(call: Call) -> None:
    if call.query.create_pr not in ("", "0", "false"):
        raise Invalid("there are no pull requests here; commit to a branch of its own")


async def _read(call: Call, repo: Repo) -> tuple[Header, list[Change]]:
    """The lines of a commit; the bytes in them are stored as they come."""
    assert call.content is not None
    header: Header | None = None
    made: list[Change] = []
    async for key, value in changes.lines(call.content):
        if key == "header":
            header = value
        elif key == "file":
            data = changes.content_of(value)
            limits.path(value.path)
            stored = await call.services.in_thread(
                content.put_bytes, call.store, call.ctx, repo.collection.namespace, data
            )
            made.append(Put(value.path, stored.sha256, stored.size, changes.card_of(value.path, data)))
        elif key == "lfsFile":
            if value.algo != "sha256":
                raise Invalid(f"files are named by sha256, not by {value.algo!r:.80}")
            limits.digest(value.oid)
            made.append(Put(value.path, value.oid, value.size))
        elif key == "copyFile":
            made.append(value)
        else:
            made.append(Drop(value.path, folder=key == "deletedFolder"))
        if len(made) > limits.MAX_FILES:
            raise TooLarge(f"a commit of over {limits.MAX_FILES} changes; make several")
    if header is None or not header.summary:
        raise Invalid("the commit has no header with a summary")
    return header, made


class _Base(NamedTuple):
    """What a commit stands on, which aliases it moves, and what must still hold when it is made."""

    commit: Commit
    moves: tuple[str, ...]
    expected: dict[str, int]
    newest: int | None


def _commit(call: Call, repo: Repo, header: Header, made: list[Change]) -> Commit:
    for _ in range(TRIES):
        call.ctx.check_deadline()
        base = _base(call, repo)
        parent = header.parent_commit
        if parent is not None and not base.commit.id.startswith(parent.lower()):
            raise AliasMoved(
                f"{repo.id} stands at {base.commit.id}, not at {parent:.40}; look at what was committed, and commit again"
            )
        try:
            return _commit_on(call, repo, base, header, made)
        except AliasMoved:
            continue  # somebody else was first: the same changes are made to what is there now
    raise TryAgain(f"others commit to {repo.id} all the time; {TRIES} attempts were overtaken")


def _base(call: Call, repo: Repo) -> _Base:
    store, ctx = call.store, call.ctx
    alias = revisions.branch_alias(store, ctx, repo, call.path["rev"])
    row = revisions.alias_of(store, ctx, repo, alias)
    expected: dict[str, int] = {}
    if row is None and alias == revisions.MAIN:
        expected, alias = {alias: 0}, revisions.LATEST
        row = revisions.alias_of(store, ctx, repo, alias)
    if row is not None:
        version = versions.get(store, ctx, f"{repo.path}@v{row.version}")
        return _Base(revisions.of_version(repo, version), (alias,), expected | {alias: row.version}, None)
    # No alias stands for the branch: it is the newest version, so no other may have come when this one is made.
    newest = versions.list_versions(store, ctx, repo.path, limit=1)
    head = revisions.head(store, ctx, repo)
    return _Base(head, (), expected | {alias: 0}, newest[0].number if newest else 0)


def _commit_on(call: Call, repo: Repo, base: _Base, header: Header, made: list[Change]) -> Commit:
    store, ctx = call.store, call.ctx
    before = revisions.files(store, ctx, repo, base.commit)
    namespace = repo.collection.namespace
    after = changes.applied(
        before,
        made,
        lambda copy: _source(call, repo, copy),
        lambda digest: content.held_size(store, ctx, namespace, digest),
    )
    if base.commit.version is not None and after == {file.path: file for file in before}:
        return base.commit
    note = {"summary": header.summary, "description": header.description, "parent": base.commit.number}
    try:
        version, _ = versions.commit_or_find(
            store,
            ctx,
            repo.path,
            after.values(),
            metadata={"commit": note},
            description=_card(base.commit, before, after, made),
            aliases=base.moves,
            reuse=False,
            expected=base.expected,
            newest=base.newest,
        )
    except Missing as error:
        raise Invalid(f"{error.message}; the commit names bytes that never came") from None
    return revisions.of_version(repo, version)


def _card(base: Commit, before: list[FileEntry], after: dict[str, FileEntry], made: list[Change]) -> str:
    """The model card that the commit leaves, which describes the version."""
    card = after.get(changes.README)
    if card is None:
        return ""
    for change in reversed(made):
        if isinstance(change, Put) and change.path == changes.README:
            return change.text
    same = any(file.path == changes.README and file.sha256 == card.sha256 for file in before)
    return base.version.description if same and base.version is not None else ""


def _source(call: Call, repo: Repo, copy: CopyFile) -> FileEntry:
    commit = revisions.find(call.store, call.ctx, repo, copy.src_revision or revisions.MAIN)
    found = revisions.files(call.store, call.ctx, repo, commit, prefix=copy.src_path, limit=1)
    if not found or found[0].path != copy.src_path:
        raise Invalid(f"there is no file {copy.src_path!r:.500} to copy at {commit.id}")
    return found[0]


ROUTES = (
    *for_each_kind(
        "POST", "/preupload/{rev}", preupload, "How files shall come.", body=Preupload, query=CommitQuery
    ),
    *for_each_kind("POST", "/commit/{rev}", commit, "Commits.", query=CommitQuery, streams=True),
    Route(
        "POST",
        "/api/validate-yaml",
        validate_yaml,
        "Checks a model card.",
        anonymous=True,
        body=Card,
        query=Anything,
        blocking=True,
    ),
)
