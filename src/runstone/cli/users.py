"""``runstone users``: people and service accounts."""

from __future__ import annotations

import click
import msgspec

from runstone.cli import names, text
from runstone.cli.command import Command, Group
from runstone.cli.session import Session
from runstone.types import UserInfo


@click.group("users", cls=Group)
def users_command() -> None:
    """Make, change and list users.

    A user has a namespace of the same name. More keys for it are made with 'runstone keys add'.
    """


@users_command.command("ls", cls=Command)
@click.pass_obj
def users_ls(session: Session) -> None:
    """List users."""
    with session.open() as store:
        found = list(names.users(store))
    rows = [(user.name, user.kind, _state(user), user.full_name, text.moment(user.created)) for user in found]
    session.answer(found, lambda: text.table(("USER", "KIND", "STATE", "NAME", "CREATED"), rows))


@users_command.command("show", cls=Command)
@click.argument("user", required=False)
@click.pass_obj
def users_show(session: Session, user: str | None) -> None:
    """Show a user; without USER, whom you are taken for."""
    with session.open() as store:
        found = store.user(user) if user else store.whoami()
    session.answer(found, lambda: _described(found))


@users_command.command("add", cls=Command)
@click.argument("user")
@click.option("--service", is_flag=True, help="A service account, and not a person.")
@click.option("--admin", is_flag=True, help="May do everything.")
@click.option(
    "--email", default="", metavar="ADDRESS", help="An address; only the user and administrators see it."
)
@click.option("--full-name", default="", metavar="NAME", help="The name in full.")
@click.option("--no-key", is_flag=True, help="Make no key yet.")
@click.pass_obj
def users_add(
    session: Session, user: str, service: bool, admin: bool, email: str, full_name: str, no_key: bool
) -> None:
    """Make a user with a namespace of its own, and a first key.

    The key is printed this once.
    """
    kind = "service" if service else "person"
    with session.open(create=True) as store:
        made = store.create_user(user, kind=kind, admin=admin, email=email, full_name=full_name)
        key = "" if no_key else store.create_key(user, "first").key
    lines = [f"key      {key}"] if key else []
    session.answer(
        msgspec.to_builtins(made) | ({"key": key} if key else {}), lambda: [*_described(made), *lines]
    )


@users_command.command("set", cls=Command)
@click.argument("user")
@click.option("--admin/--no-admin", default=None, help="Whether it may do everything.")
@click.option("--disable/--enable", default=None, help="Whether its keys are refused.")
@click.option("--email", default=None, metavar="ADDRESS", help="The address.")
@click.option("--full-name", default=None, metavar="NAME", help="The name in full.")
@click.pass_obj
def users_set(
    session: Session,
    user: str,
    admin: bool | None,
    disable: bool | None,
    email: str | None,
    full_name: str | None,
) -> None:
    """Change a user."""
    with session.open() as store:
        changed = store.update_user(user, admin=admin, disabled=disable, email=email, full_name=full_name)
    session.answer(changed, lambda: _described(changed))


def _state(user: UserInfo) -> str:
    return "disabled" if user.disabled else "admin" if user.admin else "active"


def _described(user: UserInfo) -> list[str]:
    return text.pairs(
        [
            ("user", user.name),
            ("kind", user.kind),
            ("state", _state(user)),
            ("name", user.full_name),
            ("email", user.email),
            ("created", text.moment(user.created)),
        ]
    )
