"""``runstone keys``: what a program shows a server to say who it is."""

from __future__ import annotations

import time

import click

from runstone.cli import output, text
from runstone.cli.command import Command, Group, moment
from runstone.cli.session import Session
from runstone.types import KeyInfo


@click.group("keys", cls=Group)
def keys_command() -> None:
    """Make, end and list API keys."""


@keys_command.command("ls", cls=Command)
@click.argument("user", required=False)
@click.pass_obj
def keys_ls(session: Session, user: str | None) -> None:
    """List a user's keys (by default your own); the keys themselves are not kept anywhere."""
    with session.open() as store:
        found = store.keys(user or store.whoami().name)
    rows = [
        (str(key.id), key.name, f"…{key.hint}", _state(key), key.role, text.moment(key.created))
        for key in found
    ]
    session.answer(found, lambda: text.table(("ID", "NAME", "KEY", "STATE", "ROLE", "CREATED"), rows, (0,)))


@keys_command.command("add", cls=Command)
@click.argument("user", required=False)
@click.option("--name", default="", metavar="TEXT", help="What the key is for.")
@click.option(
    "--role", type=click.Choice(["reader", "member", "owner"]), help="The most that the key may do."
)
@click.option("--expires", callback=moment, metavar="TIME", help="When it ends: 90d, or 2026-12-31T18:00.")
@click.pass_obj
def keys_add(session: Session, user: str | None, name: str, role: str | None, expires: int | None) -> None:
    """Make a key for a user (by default yourself).

    It is printed this once, alone on standard output.
    """
    with session.open(create=True) as store:
        made = store.create_key(user or store.whoami().name, name, expires=expires or 0, role=role or "")
    output.note(f"key {made.info.id} of {made.info.user}; it is shown this once")
    session.answer(made, lambda: [made.key])


@keys_command.command("rm", cls=Command)
@click.argument("key_id", type=click.IntRange(min=0), metavar="ID")
@click.pass_obj
def keys_rm(session: Session, key_id: int) -> None:
    """End a key at once."""
    with session.open() as store:
        store.revoke_key(key_id)
    session.answer({"removed": key_id}, lambda: [f"removed key {key_id}"])


def _state(key: KeyInfo) -> str:
    if key.revoked:
        return f"ended {text.moment(key.revoked)}"
    if not key.expires:
        return "valid"
    now = time.time_ns() // 1000
    return f"{'expired' if key.expires <= now else 'valid until'} {text.moment(key.expires)}"
