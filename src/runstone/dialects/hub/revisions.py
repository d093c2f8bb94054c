"""Revisions: a commit is a version, and branches and tags are aliases.

``main`` is the alias ``main`` if somebody made one, and else what ``latest`` means. A branch ``b`` is the alias ``heads/b``; a tag is the
alias of its name, or ``tags/t`` where an alias may not have the name. A repo without a version stands at a commit of no files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import islice
from typing import Any, NamedTuple

from runstone.dialects.hub.naming import Repo
from runstone.dialects.hub.problem import REVISION, missing
from runstone.domain import aliases, limits, versions
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import Gone, Invalid, Missing, Quarantined
from runstone.types import AliasInfo, FileEntry, VersionInfo

MAIN, LATEST, HEADS, TAGS = "main", "latest", "heads/", "tags/"
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_PAGE = 100
#: Commits looked back at for the one that changed a file last.
MAX_BACK = 500


class Commit(NamedTuple):
    """A commit: its id and the version that it is; None is the commit of no files that every repo begins with."""

    id: str
    version: VersionInfo | None

    @property
    def number(self) -> int:
        """The number of its version, or 0."""
        return self.version.number if self.version else 0

    @property
    def note(self) -> dict[str, Any]:
        """What a commit by this dialect wrote into the version's metadata: summary, description, parent."""
        metadata = self.version.metadata if self.version else None
        note = metadata.get("commit") if isinstance(metadata, dict) else None
        return note if isinstance(note, dict) else {}


def commit_id(collection: int, number: int, manifest: str) -> str:
    """A commit id: 32 hexadecimal digits of SHA-256 over what the version is, and its number in the last eight."""
    text = f"runstone-commit-1:{collection}:{number}:{manifest}"
    return f"{sha256(text.encode()).hexdigest()[:32]}{number:08x}"


def of_version(repo: Repo, version: VersionInfo) -> Commit:
    """The commit that a version is."""
    return Commit(commit_id(repo.collection.id, version.number, version.digest), version)


def root(repo: Repo) -> Commit:
    """The commit that a repo without versions stands at."""
    return Commit(commit_id(repo.collection.id, 0, ""), None)


def find(store: Store, ctx: Context, repo: Repo, revision: str) -> Commit:
    """The commit of a branch, tag, alias, version number or commit id; raises :class:`Missing` as clients understand it."""
    key = ("hub revision", ctx.asker, repo.collection.id, revision)
    return store.cached(key, lambda: _usable(repo, _find(store, ctx, repo, revision)))


def _find(store: Store, ctx: Context, repo: Repo, revision: str) -> Commit:
    if _COMMIT.match(revision):
        found = _by_id(store, ctx, repo, revision)
        if found is not None:
            return found
    name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
    if name == MAIN:
        return head(store, ctx, repo)
    for alias in (name, HEADS + name, TAGS + name):
        row = alias_of(store, ctx, repo, alias)
        if row is not None:
            return of_version(repo, versions.get(store, ctx, f"{repo.path}@v{row.version}"))
    try:
        return of_version(repo, versions.get(store, ctx, f"{repo.path}@{name}"))
    except (Missing, Invalid):
        raise _unknown(repo, revision) from None


def _by_id(store: Store, ctx: Context, repo: Repo, commit: str) -> Commit | None:
    number = int(commit[32:], 16)
    if number == 0:
        found = root(repo)
    else:
        try:
            found = of_version(repo, versions.get(store, ctx, f"{repo.path}@v{number}"))
        except (Missing, Invalid):
            return None
    return found if found.id == commit else None


def head(store: Store, ctx: Context, repo: Repo) -> Commit:
    """The commit that ``main`` stands at."""
    row = alias_of(store, ctx, repo, MAIN) or alias_of(store, ctx, repo, LATEST)
    if row is not None:
        return of_version(repo, versions.get(store, ctx, f"{repo.path}@v{row.version}"))
    try:
        return of_version(repo, versions.get(store, ctx, repo.path))
    except Missing:
        return root(repo)


def _usable(repo: Repo, commit: Commit) -> Commit:
    version = commit.version
    if version is not None and version.state == "deleted":
        why = version.state_reason or "no reason was given"
        raise Gone(f"{version.name} was deleted: {why}", hub_code=REVISION)
    if version is not None and version.state == "quarantined":
        raise Quarantined(f"{version.name} is quarantined: {version.state_reason}")
    return commit


def _unknown(repo: Repo, revision: str) -> Missing:
    return missing(REVISION, f"{repo.id} has no branch, tag, alias or commit {revision:.200}")


def alias_of(store: Store, ctx: Context, repo: Repo, alias: str) -> AliasInfo | None:
    """Where an alias points, if it is there."""
    try:
        return aliases.get(store, ctx, repo.path, alias)
    except Missing:
        return None


def branch_alias(store: Store, ctx: Context, repo: Repo, branch: str) -> str:
    """The alias that a branch is; raises :class:`Missing` for what is no branch."""
    name = branch.removeprefix("refs/heads/")
    if name == MAIN:
        return MAIN
    if alias_of(store, ctx, repo, HEADS + name) is None:
        raise missing(REVISION, f"{repo.id} has no branch {name:.200}; make it, or name one that there is")
    return HEADS + name


def tag_alias(tag: str) -> str:
    """The alias that a tag of this name is kept as."""
    try:
        if tag != MAIN and not tag.startswith((HEADS, TAGS)):
            return limits.alias(tag)
    except Invalid:
        pass
    return TAGS + tag


def refs(store: Store, ctx: Context, repo: Repo) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The branches and the tags of a repo: name and commit id of each."""
    branches, tags = [(MAIN, head(store, ctx, repo).id)], []
    after = ""
    while page := aliases.list_aliases(store, ctx, repo.path, after=after):
        for row in page:
            if row.alias == MAIN:
                continue
            commit = of_version(repo, versions.get(store, ctx, f"{repo.path}@v{row.version}")).id
            if row.alias.startswith(HEADS):
                branches.append((row.alias.removeprefix(HEADS), commit))
            else:
                tags.append((row.alias.removeprefix(TAGS), commit))
        after = page[-1].alias
    return branches, tags


def history(store: Store, ctx: Context, repo: Repo, commit: Commit) -> Iterator[Commit]:
    """A commit and those before it, newest first: its parent as noted, or else the live version before it."""
    wanted, before = commit.number, commit.number + 1
    while wanted:
        page = versions.list_versions(store, ctx, repo.path, before=before, limit=_PAGE)
        if not page:
            return
        for version in page:
            before = version.number
            if version.number > wanted or version.state == "deleted":
                continue
            found = of_version(repo, version)
            yield found
            parent = found.note.get("parent")
            wanted = parent if isinstance(parent, int) and parent < version.number else version.number - 1
            if wanted <= 0:
                return


def last_commits(
    store: Store, ctx: Context, repo: Repo, commit: Commit, paths: Iterable[str]
) -> dict[str, Commit]:
    """The commit that each path, a file or a directory, was changed in last; looks back at most :data:`MAX_BACK` commits."""
    wanted, found = set(paths), dict[str, Commit]()
    now, current = _states(files(store, ctx, repo, commit), wanted), commit
    walk = history(store, ctx, repo, commit)
    next(walk, None)
    for older in islice(walk, MAX_BACK):
        if older.version is None or older.version.state != "live":
            continue
        ctx.check_deadline()
        before = _states(files(store, ctx, repo, older), wanted)
        changed = {path for path in wanted if before.get(path) != now.get(path)}
        found |= dict.fromkeys(changed, current)
        wanted -= changed
        if not wanted:
            return found
        current = older
    return found | dict.fromkeys(wanted, current)


def _states(entries: Iterable[FileEntry], wanted: set[str]) -> dict[str, frozenset[FileEntry]]:
    """What there is at paths: a file, or all files in a directory."""
    held: dict[str, set[FileEntry]] = {}
    for entry in entries:
        for at, character in enumerate(entry.path):
            if character == "/" and entry.path[:at] in wanted:
                held.setdefault(entry.path[:at], set()).add(entry)
        if entry.path in wanted:
            held.setdefault(entry.path, set()).add(entry)
    return {path: frozenset(states) for path, states in held.items()}


def files(
    store: Store,
    ctx: Context,
    repo: Repo,
    commit: Commit,
    *,
    prefix: str = "",
    after: str = "",
    limit: int = 0,
) -> list[FileEntry]:
    """The files of a commit by path."""
    if commit.version is None:
        return []
    name = f"{repo.path}@v{commit.number}"
    return versions.files(store, ctx, name, prefix=prefix, after=after, limit=limit or limits.MAX_FILES)
