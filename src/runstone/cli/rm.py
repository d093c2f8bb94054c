"""``runstone rm``: what may be deleted, is."""

from __future__ import annotations

import click

from runstone.cli import names, text
from runstone.cli.command import Command
from runstone.cli.session import Session
from runstone.errors import Invalid
from runstone.types import CollectionInfo, ProjectInfo, VersionInfo

RUN = "run:"


@click.command("rm", cls=Command)
@click.argument("name")
@click.option("--with-aliases", is_flag=True, help="Also take away the aliases that point at the version.")
@click.option("--reason", default="", metavar="TEXT", help="Why; it is kept in the log.")
@click.option("--undo", is_flag=True, help="Take the deletion of a run back.")
@click.option("--purge", is_flag=True, help="Remove a deleted run for good.")
@click.pass_obj
def rm_command(session: Session, name: str, with_aliases: bool, reason: str, undo: bool, purge: bool) -> None:
    """Delete a version, a run, or what is empty.

    A version's number is never given again, and its bytes are freed by 'runstone gc' when nothing else holds them. A collection can be
    deleted when all its versions are, and a project when it holds nothing. A run (run:namespace/project/run) can be brought back with
    --undo until --purge removes it for good.
    """
    if name.startswith(RUN):
        if with_aliases or reason or (undo and purge):
            raise click.UsageError("Of a run, there is --undo or --purge, and nothing else to choose.")
        _remove_run(session, name.removeprefix(RUN), undo, purge)
        return
    if undo or purge:
        raise click.UsageError("--undo and --purge are for runs: run:namespace/project/run.")
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


def _remove_run(session: Session, name: str, undo: bool, purge: bool) -> None:
    with session.open() as store:
        run = store.get_run(name, deleted=True)
        if undo:
            store.restore_run(run.path)
            done = "restored"
        elif purge:
            store.purge_run(run.path)
            done = "purged"
        else:
            store.delete_run(run.path)
            done = "removed"
    session.answer({done: f"{RUN}{run.path}"}, lambda: [text.printable(f"{done} {RUN}{run.path}")])
