"""``runstone alias``: names that move."""

from __future__ import annotations

import click

from runstone.cli import names, text
from runstone.cli.command import Command, Group, past_moment
from runstone.cli.history import steps_table
from runstone.cli.session import Session

_expect = click.option(
    "--expect",
    type=click.IntRange(min=0),
    metavar="N",
    help="Only if the alias points at version N now; 0: only if there is no such alias.",
)
_reason = click.option("--reason", default="", metavar="TEXT", help="Why; it is kept in the log.")


@click.group("alias", cls=Group)
def alias_command() -> None:
    """Move, remove and list aliases.

    A move is atomic and its whole history is kept.
    """


@alias_command.command("set", cls=Command)
@click.argument("name")
@click.argument("alias")
@_expect
@_reason
@click.option(
    "--fallback/--no-fallback",
    default=None,
    help="Whether the alias goes back to its last good version when this one is found damaged (it does).",
)
@click.pass_obj
def alias_set(
    session: Session, name: str, alias: str, expect: int | None, reason: str, fallback: bool | None
) -> None:
    """Point an alias at a version.

    NAME is the version: collection@v3, collection@latest, or another alias of it.
    """
    with session.open() as store:
        info = store.set_alias(name, alias, expected=expect, fallback=fallback, reason=reason)
    line = f"{info.collection}@{info.alias} -> v{info.version}"
    session.answer(info, lambda: [text.printable(line)])


@alias_command.command("rm", cls=Command)
@click.argument("name")
@click.argument("alias")
@_expect
@_reason
@click.pass_obj
def alias_rm(session: Session, name: str, alias: str, expect: int | None, reason: str) -> None:
    """Take an alias away; its history stays."""
    with session.open() as store:
        store.delete_alias(name, alias, expected=expect, reason=reason)
    session.answer({"removed": f"{name}@{alias}"}, lambda: [text.printable(f"removed {name}@{alias}")])


@alias_command.command("ls", cls=Command)
@click.argument("name")
@click.pass_obj
def alias_ls(session: Session, name: str) -> None:
    """List the aliases of a collection."""
    with session.open() as store:
        found = list(names.aliases(store, name))
    rows = [(info.alias, f"v{info.version}", text.moment(info.time), info.by) for info in found]
    session.answer(found, lambda: text.table(("ALIAS", "VERSION", "SINCE", "BY"), rows, (1,)))


@alias_command.command("history", cls=Command)
@click.argument("name")
@click.argument("alias")
@click.pass_obj
def alias_history(session: Session, name: str, alias: str) -> None:
    """List every step of an alias, also of one that was removed."""
    with session.open() as store:
        found = list(names.alias_steps(store, name, alias))
    session.answer(found, lambda: steps_table(found))


@alias_command.command("at", cls=Command)
@click.argument("name")
@click.argument("alias")
@click.option("--seq", type=click.IntRange(min=0), metavar="N", help="As of this log entry.")
@click.option(
    "--time", "time_", callback=past_moment, metavar="TIME", help="As of this time, or so long ago."
)
@click.pass_obj
def alias_at(session: Session, name: str, alias: str, seq: int | None, time_: int | None) -> None:
    """Say which version an alias pointed at in the past."""
    if (seq is None) == (time_ is None):
        raise click.UsageError("Give --seq or --time: as of when.")
    with session.open() as store:
        number = store.alias_at(name, alias, seq=seq, time=time_)
    session.answer({"version": number}, lambda: [f"v{number}" if number else "none"])
