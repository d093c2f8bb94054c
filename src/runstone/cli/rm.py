"""``runstone rm``: what may be deleted, is."""

from __future__ import annotations

import click

from runstone.cli import names, text
from runstone.cli.command import Command
from runstone.cli.session import Session
from runstone.errors import Invalid
from runstone.types import CollectionInfo, ProjectInfo, VersionInfo


@click.command("rm", cls=Command)
@click.argument("name")
@click.option("--with-aliases", is_flag=True, help="Also take away the aliases that point at the version.")
@click.option("--reason", default="", metavar="TEXT", help="Why; it is kept in the log.")
@click.pass_obj
def rm_command(session: Session, name: str, with_aliases: bool, reason: str) -> None:
    """Delete a version, or what is empty.

    A version's number is never given again, and its bytes are freed by 'runstone gc' when nothing else holds them. A collection can be
    deleted when all its versions are, and a project when it holds nothing.
    """
    with session.open() as store:
        found = names.find(store, name)
        if isinstance(found, VersionInfo):
            # By number: what was looked up is what is deleted, even if an alias moves meanwhile.
            store.delete_version(
                f"{found.collection}@v{found.number}", with_aliases=with_aliases, reason=reason
            )
            removed = found.name
        elif isinstance(found, CollectionInfo):
            store.delete_collection(found.path, reason=reason)
            removed = found.path
        elif isinstance(found, ProjectInfo):
            store.delete_project(found.path, reason=reason)
            removed = found.path
        else:
            raise Invalid(f"{name} is a namespace, which cannot be deleted")
    session.answer({"removed": removed}, lambda: [text.printable(f"removed {removed}")])
