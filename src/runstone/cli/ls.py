"""``runstone ls``: what is in the store, in a namespace, a project, a collection or a version."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from runstone.cli import names, output, text
from runstone.cli.command import Command
from runstone.cli.session import Session
from runstone.types import CollectionInfo, FileEntry, NamespaceInfo, ProjectInfo, Value, VersionInfo

if TYPE_CHECKING:
    from runstone.cli.session import Store


@click.command("ls", cls=Command)
@click.argument("name", required=False)
@click.option("-l", "--long", is_flag=True, help="With sizes, times, and who made it.")
@click.pass_obj
def ls_command(session: Session, name: str | None, long: bool) -> None:
    """List projects, collections, versions or files.

    Without NAME: the projects of all namespaces. Of a namespace: its projects. Of a project: its collections. Of a collection: its
    versions, newest first. Of a version: its files.
    """
    with session.open() as store:
        found = list(_listed(store, name))
        if name is not None and not found and not session.json:
            _note_runs(store, name)
    session.answer(found, lambda: _table(found) if long else (text.printable(_name(item)) for item in found))


def _note_runs(store: Store, name: str) -> None:
    """Says of a project without collections that it has runs."""
    there = names.find(store, name)
    if isinstance(there, ProjectInfo):
        total = store.runs(there.path, limit=1, total=True).total or 0
        if total:
            output.note(f"{there.path} has {text.count(total, 'run')}: see 'runstone runs {there.path}'")


def _listed(store: Store, name: str | None) -> Iterable[Value]:
    if name is None:
        spaces = list(names.namespaces(store))
        within: dict[str, list[Value]] = {
            space.name: list(names.projects(store, space.name)) for space in spaces
        }
        # A namespace is worth a line of its own only while there is nothing in it.
        return [item for space in spaces for item in (within[space.name] or [space])]
    if names.split(name)[1]:
        return store.files(name)
    found = names.find(store, name)
    if isinstance(found, NamespaceInfo):
        return names.projects(store, found.name)
    if isinstance(found, ProjectInfo):
        return names.collections(store, found.path)
    assert isinstance(found, CollectionInfo)
    return names.versions(store, found.path)


def _name(item: Value) -> str:
    if isinstance(item, NamespaceInfo):
        return f"{item.name}/"
    if isinstance(item, ProjectInfo | CollectionInfo):
        return item.path
    if isinstance(item, VersionInfo):
        return item.name
    assert isinstance(item, FileEntry)
    return item.path


def _table(items: Sequence[Value]) -> list[str]:
    if not items:
        return []
    head, right = _HEADS[type(items[-1])]
    return text.table(head, [_row(item) for item in items], right)


_HEADS: dict[type, tuple[tuple[str, ...], tuple[int, ...]]] = {
    NamespaceInfo: (("PROJECT", "KIND", "CREATED", "BY"), ()),
    ProjectInfo: (("PROJECT", "KIND", "CREATED", "BY"), ()),
    CollectionInfo: (("COLLECTION", "TYPE", "VERSIONS", "LATEST", "UPDATED", "BY"), (2, 3)),
    VersionInfo: (("VERSION", "STATE", "FILES", "SIZE", "CREATED", "BY", "ALIASES"), (2, 3)),
    FileEntry: (("SIZE", "SHA256", "PATH"), (0,)),
}


def _row(item: Value) -> tuple[str, ...]:
    if isinstance(item, NamespaceInfo):
        return f"{item.name}/", item.kind, text.moment(item.created), ""
    if isinstance(item, ProjectInfo):
        return item.path, item.kind, text.moment(item.created), item.by
    if isinstance(item, CollectionInfo):
        latest = f"v{item.latest}" if item.latest else "-"
        return item.path, item.type, str(item.versions), latest, text.moment(item.updated), item.by
    if isinstance(item, VersionInfo):
        aliases = ", ".join(item.aliases)
        counted = str(item.files), text.size(item.size)
        return item.name, item.state, *counted, text.moment(item.created), item.by, aliases
    assert isinstance(item, FileEntry)
    return (
        text.size(item.size),
        item.sha256 or item.etag,
        f"{item.path} -> {item.url}" if item.url else item.path,
    )
