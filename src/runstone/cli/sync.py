"""``runstone sync``: delivers what runs have logged and no process has delivered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from runstone.cli import exits, text
from runstone.cli.command import Command
from runstone.cli.session import Session

if TYPE_CHECKING:
    from runstone.client.runs.orphans import Delivered


@click.command("sync", cls=Command)
@click.argument("spool", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.pass_obj
def sync_command(session: Session, spool: Path | None) -> None:
    """Deliver what was logged and could not be delivered.

    A run keeps what it logs in a journal until its store has it. When the store was away until the process ended, the next run of that
    host delivers it, or this does. SPOOL is the directory of the journals, by default the user's own, and that of the store.
    """
    from runstone.library import logged

    found = [each for place in _spools(session, spool) for each in logged.deliver(place)]
    session.answer([_shown(each) for each in found], lambda: [_line(each) for each in found])
    if any(each.error for each in found):
        raise SystemExit(exits.TRY_AGAIN)
    if any(each.rejected for each in found):
        raise SystemExit(exits.INVALID)


def _spools(session: Session, spool: Path | None) -> list[Path | None]:
    """The spool that is named, or the user's own and that of the store, if it is a directory."""
    if spool is not None:
        return [spool]
    own = None if session.url() else Path(session.target) / "spool"
    return [None, own] if own is not None and own.is_dir() else [None]


def _shown(each: Delivered) -> dict[str, str | int]:
    return {
        "run": each.run,
        "destination": each.destination,
        "journal": str(each.journal),
        "delivered": each.delivered,
        "rejected": each.rejected,
        "error": each.error,
    }


def _line(each: Delivered) -> str:
    told = f"{each.run}: {text.count(each.delivered, 'record')} delivered"
    if each.rejected:
        told += f", {each.rejected} refused; see {each.journal / 'rejected'}"
    return text.printable(f"{told}; the rest waits: {each.error}" if each.error else told)
