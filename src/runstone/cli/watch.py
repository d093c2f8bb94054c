"""``runstone watch`` and ``runstone rollback``: a link that points at what a name stands for."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import click

from runstone.cli import output, text
from runstone.cli.command import Command
from runstone.cli.session import Session
from runstone.client import names
from runstone.client.following import Following, Switch, rollback
from runstone.errors import Invalid


@click.command("watch", cls=Command)
@click.argument("name")
@click.argument("link", type=click.Path(path_type=Path))
@click.option(
    "--run", "command", default="", metavar="COMMAND", help="A shell command to run after each switch."
)
@click.option(
    "--ahead", is_flag=True, help="Bring each new version as it is committed, before the name moves."
)
@click.option("--once", is_flag=True, help="Switch to what NAME stands for now, and end.")
@click.option("--prefix", default="", metavar="PREFIX", help="Only the files whose path begins with this.")
@click.pass_obj
def watch_command(
    session: Session, name: str, link: Path, command: str, ahead: bool, once: bool, prefix: str
) -> None:
    """Keep a link pointed at the version that a name stands for.

    When NAME moves, what this host lacks of the new version is brought and verified, and then LINK, a symbolic link, is pointed at its
    files in one step. The version before stays in the cache for 'runstone rollback LINK'. While the server is gone, or the new version
    cannot be had, the last good one stays in its place. COMMAND finds WATCH_VERSION, WATCH_PREVIOUS and WATCH_PATH in its
    environment. With --json each switch is a document of its own.
    """
    url = session.url()
    if not url:
        raise Invalid("watch is for a server: name one with --store URL")
    options: dict[str, Any] = {"url": url, "key": session.key or None, "prefix": prefix, "ahead": ahead}
    # One thread, and for as long as the process lives.
    warnings.showwarning = lambda message, *_, **__: output.note(f"runstone: {message}")
    warnings.simplefilter("always")
    with Following(_full(session, name), link, **options) as following:
        for switch in following:
            _tell(session, switch)
            if command:
                _run(command, switch)
            if once:
                return


def _full(session: Session, name: str) -> str:
    parsed = names.parse(name)
    if not parsed.namespace:
        with session.open() as store:
            parsed = parsed._replace(namespace=store.whoami().name)
    return str(parsed)


def _tell(session: Session, switch: Switch) -> None:
    if session.json:
        shown = {
            "version": switch.new.version,
            "previous": switch.old.version if switch.old else "",
            "path": str(switch.path),
            "fetched": switch.fetched,
            "seconds": round(switch.seconds, 6),
        }
        sys.stdout.write(output.encode(shown) + "\n")
    else:
        line = f"{switch.new.version}  {text.size(switch.fetched)} fetched  {switch.seconds:.3f} s"
        sys.stdout.write(text.printable(line) + "\n")
    sys.stdout.flush()


def _run(command: str, switch: Switch) -> None:
    environment = os.environ | {
        "WATCH_VERSION": switch.new.version,
        "WATCH_PREVIOUS": switch.old.version if switch.old else "",
        "WATCH_PATH": str(switch.path),
    }
    code = subprocess.run(command, shell=True, env=environment, check=False).returncode
    if code:
        output.note(f"runstone: the command ended with {code}; the link stays where it is")


@click.command("rollback", cls=Command)
@click.argument("link", type=click.Path(path_type=Path))
@click.pass_obj
def rollback_command(session: Session, link: Path) -> None:
    """Point a followed link back at the version before.

    Needs no server, and whoever follows the name stays there too, until it moves on to another version.
    """
    kept = rollback(link)
    shown = {"version": kept.version, "path": kept.path}
    session.answer(shown, lambda: [text.printable(f"{link} is {kept.version} again")])
