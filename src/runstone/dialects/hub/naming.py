"""How repo ids stand for collections: the one place that knows.

A repo ``owner/name`` of kind ``models`` is the collection ``name`` in the project ``models`` of the namespace ``owner``, or, when
it is public, in the project ``public-models``; likewise ``datasets`` and ``spaces``. Every other collection ``owner/project/name`` is
the repo ``owner/project.name``; its type says of which kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from runstone.dialects.hub.problem import REPO, missing
from runstone.domain import accounts, collections, projects
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import Invalid, Missing
from runstone.types import CollectionInfo, ProjectInfo

KINDS = ("models", "datasets", "spaces")
PUBLIC = "public-"
#: What clients accept as the parts of a repo id.
_PART = re.compile(r"[A-Za-z0-9_](?:[\w.\-]{0,94}[A-Za-z0-9_])?\Z", re.ASCII)
_TYPES = {"dataset": "datasets", "space": "spaces"}
_PAGE = 1000


class Repo(NamedTuple):
    """A repo: its kind and id, and the collection that it is."""

    kind: str
    id: str
    private: bool
    collection: CollectionInfo

    @property
    def path(self) -> str:
        """The collection's full name."""
        return self.collection.path


def project_of(kind: str, private: bool) -> str:
    """The project that repos are made in."""
    return kind if private else PUBLIC + kind


def is_part(text: str) -> bool:
    """Whether a text may be one of the two parts of a repo id."""
    return bool(_PART.match(text)) and "--" not in text and ".." not in text and not text.endswith(".git")


def find(store: Store, ctx: Context, kind: str, owner: str, name: str) -> Repo:
    """The repo of an id; raises :class:`Missing` as clients understand it."""
    key = ("hub repo", ctx.asker, kind, owner, name)
    return store.cached(key, lambda: _find(store, ctx, kind, owner, name))


def _find(store: Store, ctx: Context, kind: str, owner: str, name: str) -> Repo:
    if is_part(owner) and is_part(name):
        for project, collection in _places(kind, name):
            try:
                found = collections.get(store, ctx, f"{owner}/{project}/{collection}")
            except Missing:
                continue
            repo = of_collection(projects.get(store, ctx, f"{owner}/{project}"), found)
            if repo.kind == kind:
                return repo
    raise missing(
        REPO, f"there is no {kind[:-1]} {owner}/{name:.200}, or {ctx.principal.name} may not see it"
    )


def _places(kind: str, name: str) -> Iterator[tuple[str, str]]:
    """Where the collection of a repo may be; of several readings of the dots the first that exists is meant."""
    yield project_of(kind, True), name
    yield project_of(kind, False), name
    for at, character in enumerate(name):
        if character == "." and 0 < at < len(name) - 1:
            yield name[:at], name[at + 1 :]


def of_collection(project: ProjectInfo, collection: CollectionInfo) -> Repo:
    """The repo that a collection is."""
    kind = project.name.removeprefix(PUBLIC)
    if kind in KINDS:
        name = collection.name
    else:
        kind, name = _TYPES.get(collection.type, "models"), f"{project.name}.{collection.name}"
    return Repo(kind, f"{collection.namespace}/{name}", project.visibility != "public", collection)


def listed(store: Store, ctx: Context, kind: str, owner: str = "") -> Iterator[Repo]:
    """Every repo of a kind that the principal may read, or those of one owner. A collection whose name no id can have is left out."""
    owners = [owner] if owner else _namespaces(store, ctx)
    for namespace in owners:
        for project in _projects(store, ctx, namespace):
            after = ""
            while page := collections.list_collections(store, ctx, project.path, after=after, limit=_PAGE):
                for collection in page:
                    repo = of_collection(project, collection)
                    if repo.kind == kind and is_part(repo.id.partition("/")[2]):
                        yield repo
                after = page[-1].name


def _namespaces(store: Store, ctx: Context) -> Iterator[str]:
    after = ""
    while page := accounts.namespaces(store, ctx, after=after, limit=_PAGE, with_public=True):
        yield from (namespace.name for namespace in page)
        after = page[-1].name


def _projects(store: Store, ctx: Context, namespace: str) -> Iterator[ProjectInfo]:
    after = ""
    try:
        while page := projects.list_projects(store, ctx, namespace, after=after, limit=_PAGE):
            yield from page
            after = page[-1].name
    except Missing:
        return  # nothing of it is visible, or there is no more


def checked(owner: str, name: str) -> str:
    """The id of a repo to be made; raises :class:`Invalid`."""
    if not is_part(owner) or not is_part(name):
        raise Invalid(
            f"{owner}/{name:.200} is not a repo id: use letters, digits, '_', '-' and '.', at most 96 a part, "
            "and neither begin nor end a part with '-' or '.'"
        )
    return f"{owner}/{name}"
