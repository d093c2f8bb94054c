"""``runstone teams``: shared namespaces, and who belongs to them."""

from __future__ import annotations

import click

from runstone.cli import names, text
from runstone.cli.command import Command, Group
from runstone.cli.session import Session
from runstone.types import MemberInfo

ROLES = ("reader", "member", "owner")


@click.group("teams", cls=Group)
def teams_command() -> None:
    """Make teams and say who belongs to them.

    A team is a namespace that several users share. Readers read, members write, owners say who belongs to it.
    """


@teams_command.command("ls", cls=Command)
@click.pass_obj
def teams_ls(session: Session) -> None:
    """List the namespaces that you may read, those of single users among them."""
    with session.open() as store:
        found = list(names.namespaces(store))
    rows = [(space.name, space.kind, space.region, text.moment(space.created)) for space in found]
    session.answer(found, lambda: text.table(("NAMESPACE", "KIND", "REGION", "CREATED"), rows))


@teams_command.command("add", cls=Command)
@click.argument("team")
@click.option("--organisation", is_flag=True, help="An organisation, and not a team.")
@click.option("--description", default="", metavar="TEXT", help="What it is for.")
@click.option(
    "--region", default="", metavar="REGION", help="Keep its bytes apart from those of other regions."
)
@click.pass_obj
def teams_add(session: Session, team: str, organisation: bool, description: str, region: str) -> None:
    """Make a team; you own it."""
    kind = "organisation" if organisation else "team"
    with session.open(create=True) as store:
        made = store.create_namespace(team, kind=kind, description=description, region=region)
    session.answer(made, lambda: [text.printable(f"{made.kind} {made.name}")])


@teams_command.command("show", cls=Command)
@click.argument("team")
@click.pass_obj
def teams_show(session: Session, team: str) -> None:
    """List who belongs to a team."""
    with session.open() as store:
        found = store.members(team)
    session.answer(found, lambda: _members(found))


@teams_command.command("set", cls=Command)
@click.argument("team")
@click.argument("user")
@click.argument("role", type=click.Choice(ROLES))
@click.option(
    "--class",
    "classes",
    multiple=True,
    metavar="CLASS",
    help="A field class that the user may read, in place of the role's usual ones; can be repeated.",
)
@click.pass_obj
def teams_set(session: Session, team: str, user: str, role: str, classes: tuple[str, ...]) -> None:
    """Give a user a role in a team."""
    with session.open() as store:
        member = store.set_member(team, user, role, classes=classes)
    session.answer(member, lambda: [text.printable(f"{member.user} is {member.role} of {team}")])


@teams_command.command("rm", cls=Command)
@click.argument("team")
@click.argument("user")
@click.pass_obj
def teams_rm(session: Session, team: str, user: str) -> None:
    """Take a user's role in a team away."""
    with session.open() as store:
        store.remove_member(team, user)
    session.answer({"removed": user}, lambda: [text.printable(f"removed {user} from {team}")])


def _members(found: list[MemberInfo]) -> list[str]:
    rows = [
        (member.user, member.role, text.moment(member.since), ", ".join(member.classes)) for member in found
    ]
    return text.table(("USER", "ROLE", "SINCE", "FIELD CLASSES"), rows)
