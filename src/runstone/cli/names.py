"""What a name on the command line stands for: a namespace, a project, a collection or a version."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from runstone.errors import Missing
from runstone.types import (
    AliasInfo,
    AliasStep,
    CollectionInfo,
    KeyStats,
    LogRecord,
    NamespaceInfo,
    ProjectInfo,
    UserInfo,
    VersionInfo,
)

if TYPE_CHECKING:
    from runstone.cli.session import Store

T = TypeVar("T")
Found = NamespaceInfo | ProjectInfo | CollectionInfo | VersionInfo
PAGE = 1000
_NUMBER = re.compile(r"v?[0-9]+\Z")


def find(store: Store, name: str) -> Found:
    """What is called ``name``. Two parts are a project if there is one, or else a collection in a project of one's own; one part is a
    namespace if there is one, or else a project of one's own.
    """
    path, version = split(name)
    parts = path.count("/") + 1
    if version:
        return store.version(name)
    if parts == 1:
        return _first(
            lambda: store.namespace(path), lambda: store.project(path), f"namespace or project {path}"
        )
    if parts == 2:
        return _first(
            lambda: store.project(path),
            lambda: store.collection(path),
            f"project or collection {path} (a run is run:namespace/project/run)",
        )
    return store.collection(path)


def _first(one: Callable[[], Found], other: Callable[[], Found], what: str) -> Found:
    for look in (one, other):
        try:
            return look()
        except Missing:
            pass
    raise Missing(f"there is no {what}")


def split(name: str) -> tuple[str, str]:
    """The path of a name, and the version behind it or nothing."""
    path, separator, version = name.partition("@")
    if not separator:
        path, _, version = name.partition(":")
    return path, version


def alias_in(name: str) -> tuple[str, str]:
    """The collection and the alias of a name; the alias is empty when the version is a number or there is none, and of a run."""
    if name.startswith("run:"):
        return name, ""
    path, version = split(name)
    return path, "" if _NUMBER.match(version) else version


def every(page: Callable[[T | None], list[T]]) -> Iterator[T]:
    """All items of a listing of which ``page`` answers what follows an item (None: from the first), :data:`PAGE` at most."""
    last: T | None = None
    while True:
        found = page(last)
        yield from found
        if len(found) < PAGE:
            return
        last = found[-1]


def namespaces(store: Store) -> Iterator[NamespaceInfo]:
    """All namespaces that one may read."""
    return every(lambda last: store.namespaces(after=last.name if last else "", limit=PAGE))


def projects(store: Store, namespace: str) -> Iterator[ProjectInfo]:
    """All projects of a namespace."""
    return every(lambda last: store.projects(namespace, after=last.name if last else "", limit=PAGE))


def collections(store: Store, project: str) -> Iterator[CollectionInfo]:
    """All collections of a project."""
    return every(lambda last: store.collections(project, after=last.name if last else "", limit=PAGE))


def versions(store: Store, collection: str) -> Iterator[VersionInfo]:
    """All versions of a collection, newest first."""
    return every(lambda last: store.versions(collection, before=last.number if last else 0, limit=PAGE))


def aliases(store: Store, collection: str) -> Iterator[AliasInfo]:
    """All aliases of a collection."""
    return every(lambda last: store.aliases(collection, after=last.alias if last else "", limit=PAGE))


def alias_steps(store: Store, collection: str, alias: str) -> Iterator[AliasStep]:
    """Every step of an alias, from the first."""
    return every(
        lambda last: store.alias_history(collection, alias, after=last.seq if last else -1, limit=PAGE)
    )


def changes(store: Store, name: str) -> Iterator[LogRecord]:
    """Every change of an object, from the first."""
    return every(lambda last: store.history(name, after=last.seq if last else -1, limit=PAGE))


def key_stats(store: Store, run: str) -> Iterator[KeyStats]:
    """The statistics of all keys of a run."""
    return every(lambda last: store.run_stats(run, after=last.key if last else "", limit=PAGE))


def users(store: Store) -> Iterator[UserInfo]:
    """All users."""
    return every(lambda last: store.users(after=last.name if last else "", limit=PAGE))
