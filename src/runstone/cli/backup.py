"""``runstone backup``, ``restore`` and ``rebuild``: the store as a whole."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import click

from runstone.cli import text
from runstone.cli.command import Command
from runstone.cli.progress import Progress
from runstone.cli.session import Session, is_url
from runstone.errors import Invalid

if TYPE_CHECKING:
    from runstone.storage.tables import Head


@click.command("backup", cls=Command)
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.pass_obj
def backup_command(session: Session, directory: Path) -> None:
    """Copy the store into a directory.

    The store may be in use meanwhile. DIRECTORY is empty, missing, or an earlier backup of the same store, to which only what is new
    is copied.
    """
    _require_local(directory)
    data = session.existing("'runstone backup'")
    import runstone

    with runstone.open(data, create=False) as store, Progress("backing up") as progress:
        done = store.backup(directory, progress=progress)
    held = sum(done["packs"].values())
    line = f"{directory}: log entries {done['size']}, {text.size(held)} of files"
    session.answer(done, lambda: [text.printable(line)])


@click.command("restore", cls=Command)
@click.argument("backup", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--to", type=click.IntRange(min=0), metavar="N", help="As the store was after N log entries.")
@click.pass_obj
def restore_command(session: Session, backup: Path, directory: Path, to: int | None) -> None:
    """Make a data directory from a backup.

    DIRECTORY is empty or missing. The restored store is verified. With --to it goes back in time, and is another store from there on,
    with an identity and a signing key of its own.
    """
    _require_local(directory)
    if session.store:
        raise Invalid("'runstone restore' works on the two directories that are given, and not on --store")
    maintenance = _maintenance()
    with Progress("restoring") as progress:
        head = maintenance.restore(backup, directory, to=to, progress=progress)
    _answer(session, head, f"{directory}: restored")


@click.command("rebuild", cls=Command)
@click.pass_obj
def rebuild_command(session: Session) -> None:
    """Fold the log into a new index.

    Nobody may have the store open. The new index must have the state hash of the old one, which stays beside it as index.old.
    """
    data = session.existing("'runstone rebuild'")
    maintenance = _maintenance()
    with Progress("rebuilding", "entries") as progress:
        head = maintenance.rebuild(data, progress=progress)
    _answer(session, head, f"{data}: rebuilt")


def _require_local(directory: Path) -> None:
    # As a path, a URL has lost one of its slashes.
    if is_url(str(directory).replace(":/", "://", 1)):
        raise Invalid(
            f"{directory} is a URL, and a backup is a directory: it holds the store's keys, which are not sent over HTTP; "
            "run the command where the data is, and copy the directory"
        )


def _maintenance() -> ModuleType:
    # Folding a log takes every kind of command, and the library is what imports all that define one.
    import runstone.library  # noqa: F401
    from runstone.domain import maintenance

    return maintenance


def _answer(session: Session, head: Head, what: str) -> None:
    answer = {"entries": head.size, "root": head.root.hex(), "state": head.state.hex(), "time": head.time}
    line = f"{what}, log entries {head.size}, state {answer['state']}"
    session.answer(answer, lambda: [text.printable(line)])
