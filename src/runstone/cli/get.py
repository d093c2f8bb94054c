"""``runstone get``: a version's files, brought here."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from runstone.cli import names, output, text
from runstone.cli.command import Command
from runstone.cli.progress import Progress
from runstone.cli.session import Session
from runstone.types import FileEntry

if TYPE_CHECKING:
    from runstone.cli.session import Store


class Got(msgspec.Struct, frozen=True):
    """What a get brought: of ``size`` bytes, ``fetched`` were moved and ``reused`` were on this host already."""

    version: str
    target: str
    size: int
    fetched: int
    reused: int
    stale: bool
    references: tuple[FileEntry, ...]


@click.command("get", cls=Command)
@click.argument("name")
@click.argument("target", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option("--prefix", default="", metavar="PREFIX", help="Only the files whose path begins with this.")
@click.pass_obj
def get_command(session: Session, name: str, target: Path | None, prefix: str) -> None:
    """Write a version's files into a directory.

    NAME without a version is the latest one. TARGET is a folder with the collection's name unless it is given. Every byte is verified;
    a file appears whole or not at all. From a server, only the bytes that this host lacks are moved, and when the server is gone the
    last good version is served from this host's cache. Files of the version that lie elsewhere (references) are named and not fetched.
    """
    if target is None:
        target = Path(names.split(name)[0].rpartition("/")[2])
    with Progress("fetching") as progress:
        got = _from_server(session, name, target, prefix, progress) if session.url() else None
        if got is None:
            with session.open() as store:
                got = _from_directory(store, name, target, prefix, progress)
    for file in got.references:
        output.note(f"not fetched: {file.path} is a reference to {file.url}")
    line = f"{got.version} in {got.target}: {text.size(got.size)}"
    if got.reused:
        line += f", {text.size(got.reused)} of it was here already"
    session.answer(got, lambda: [text.printable(line)])


def _from_server(session: Session, name: str, target: Path, prefix: str, progress: Progress) -> Got:
    import runstone

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        options: dict[str, Any] = {"url": session.url(), "key": session.key or None}
        found = runstone.fetch(name, target, prefix=prefix, progress=progress, **options)
    for warning in caught:
        output.note(f"runstone: {warning.message}")
    references = tuple(file for file in found.references if file.path.startswith(prefix))
    return Got(
        version=found.version.name,
        target=str(target),
        size=found.bytes_fetched + found.bytes_reused,
        fetched=found.bytes_fetched,
        reused=found.bytes_reused,
        stale=found.stale,
        references=references,
    )


def _from_directory(store: Store, name: str, target: Path, prefix: str, progress: Progress) -> Got:
    # By number from here on, so that all files are of one version even if the alias moves meanwhile.
    resolved = store.resolve(name)
    exact = f"{resolved.collection}@v{resolved.version}"
    files = store.files(exact, prefix=prefix)
    store.get(exact, target, prefix=prefix, progress=progress)
    size = sum(file.size for file in files if not file.url)
    return Got(
        version=f"{resolved.collection}:v{resolved.version}",
        target=str(target),
        size=size,
        fetched=size,
        reused=0,
        stale=False,
        references=tuple(file for file in files if file.url),
    )
