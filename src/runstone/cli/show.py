"""``runstone show``: one thing, with all that is known of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from runstone.cli import names, output, text
from runstone.cli.command import Command
from runstone.cli.session import Session
from runstone.types import CollectionInfo, KeyStats, NamespaceInfo, ProjectInfo, RunInfo, VersionInfo

if TYPE_CHECKING:
    from runstone.cli.session import Store


RUN = "run:"


@click.command("show", cls=Command)
@click.argument("name")
@click.pass_obj
def show_command(session: Session, name: str) -> None:
    """Show all there is to know about a name.

    A namespace, a project, a collection with its aliases, a version in whatever state it is, or a run (run:namespace/project/run).
    """
    if name.startswith(RUN):
        _show_run(session, name.removeprefix(RUN))
        return
    with session.open() as store:
        found = names.find(store, name)
        aliases = _aliases(store, found)
    answer: Any = found
    if isinstance(found, CollectionInfo):
        import msgspec

        answer = msgspec.to_builtins(found) | {"aliases": aliases}
    session.answer(answer, lambda: text.pairs(list(described(found, aliases))))


def _show_run(session: Session, name: str) -> None:
    with session.open() as store:
        run = store.get_run(name, deleted=True)
        # A deleted run's keys are shown when it is back.
        stats = [] if run.deleted else list(names.key_stats(store, run.path))
    import msgspec

    answer = msgspec.to_builtins(run) | {"keys": stats}
    session.answer(answer, lambda: [*text.pairs(list(_run(run))), *_keys(stats)])


def _run(run: RunInfo) -> Iterable[tuple[str, str]]:
    yield "run", run.path
    yield "display name", run.display_name
    yield "state", f"{run.state}, deleted {text.moment(run.deleted)}" if run.deleted else run.state
    yield "started", f"{text.moment(run.started)} by {run.by}"
    yield "finished", text.moment(run.finished) if run.finished else ""
    yield "group", run.group
    yield "job type", run.job_type
    yield "sweep", run.sweep
    yield "forked from", f"{run.parent} at step {run.forked}" if run.parent else ""
    yield "tags", ", ".join(f"{tag}={value}" if value else tag for tag, value in run.tags.items())
    yield "notes", run.notes
    yield (
        "logged",
        f"{text.count(run.points, 'point')}, {text.count(run.lines, 'line')}, up to step {run.step}",
    )
    yield "config", _metadata(run.config)
    yield "summary", _metadata(run.summary)
    yield "info", _metadata(run.info)


def _keys(stats: list[KeyStats]) -> list[str]:
    if not stats:
        return []
    rows = [
        [
            each.key,
            str(each.points),
            *(f"{value:.6g}" for value in (each.last, each.min, each.max, each.mean)),
        ]
        for each in stats
    ]
    return ["", *text.table(["KEY", "POINTS", "LAST", "MIN", "MAX", "MEAN"], rows, range(1, 6))]


def _aliases(store: Store, found: names.Found) -> dict[str, int]:
    if not isinstance(found, CollectionInfo):
        return {}
    return {alias.alias: alias.version for alias in names.aliases(store, found.path)}


def described(found: names.Found, aliases: dict[str, int]) -> Iterable[tuple[str, str]]:
    """Names and values of a thing, in the order in which a person wants to know them."""
    if isinstance(found, VersionInfo):
        return _version(found)
    if isinstance(found, CollectionInfo):
        return _collection(found, aliases)
    if isinstance(found, ProjectInfo):
        return _project(found)
    return _namespace(found)


def _version(version: VersionInfo) -> Iterable[tuple[str, str]]:
    yield "version", version.name
    yield "type", version.type
    yield "state", f"{version.state}: {version.state_reason}" if version.state_reason else version.state
    yield "files", f"{text.count(version.files, 'file')}, {text.size(version.size)} ({version.size} bytes)"
    yield "digest", version.digest
    yield "aliases", ", ".join(version.aliases)
    yield "tags", ", ".join(version.tags)
    yield "description", version.description
    yield "metadata", _metadata(version.metadata)
    yield "expires", text.moment(version.expires) if version.expires else ""
    yield "legal hold", version.hold
    yield "created", f"{text.moment(version.created)} by {version.by}"


def _collection(collection: CollectionInfo, aliases: dict[str, int]) -> Iterable[tuple[str, str]]:
    yield "collection", collection.path
    yield "type", collection.type
    latest = f", latest v{collection.latest}" if collection.latest else ""
    yield "versions", f"{collection.versions}{latest}"
    yield "aliases", "\n".join(f"{alias} -> v{number}" for alias, number in aliases.items())
    yield "tags", ", ".join(collection.tags)
    yield "description", collection.description
    yield "metadata", _metadata(collection.metadata)
    yield "created", f"{text.moment(collection.created)} by {collection.by}"
    yield "updated", text.moment(collection.updated)


def _project(project: ProjectInfo) -> Iterable[tuple[str, str]]:
    yield project.kind, project.path
    yield "visibility", project.visibility
    yield "tags", ", ".join(project.tags)
    yield "description", project.description
    yield "created", f"{text.moment(project.created)} by {project.by}"
    yield "updated", text.moment(project.updated)


def _namespace(namespace: NamespaceInfo) -> Iterable[tuple[str, str]]:
    yield namespace.kind, namespace.name
    yield "region", namespace.region
    yield "description", namespace.description
    yield "created", text.moment(namespace.created)


def _metadata(value: Any) -> str:
    return output.encode(value, indent=2) if value else ""
