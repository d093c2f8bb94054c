"""``runstone pull`` and ``runstone pins``: versions in this host's caches, and which of them stay."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import click
import msgspec

from runstone.cli import output, text
from runstone.cli.command import Command, Group
from runstone.cli.progress import Progress
from runstone.cli.session import Session
from runstone.client.kept import Keep
from runstone.errors import Invalid, Missing


class Pulled(msgspec.Struct, frozen=True):
    """What a pull brought, and where it lies; of ``size`` bytes, ``fetched`` were moved."""

    version: str
    path: str
    size: int
    fetched: int
    stale: bool
    pinned: bool


@click.command("pull", cls=Command)
@click.argument("name")
@click.option("--prefix", default="", metavar="PREFIX", help="Only the files whose path begins with this.")
@click.option("--pin", is_flag=True, help="Keep it in the cache, whatever else comes.")
@click.option("--hub", is_flag=True, help="Into the cache of Hugging Face's libraries too.")
@click.option("--repo", default="", metavar="REPO", help="The name by which those libraries ask for it.")
@click.option(
    "--revision", "revisions", multiple=True, metavar="REVISION", help="A revision that it is found by there."
)
@click.pass_obj
def pull_command(
    session: Session, name: str, prefix: str, pin: bool, hub: bool, repo: str, revisions: tuple[str, ...]
) -> None:
    """Bring a version into this host's cache, and say where it lies.

    'get' writes a copy of one's own; what is pulled is shared by all that load it, and is there when the server is not. With --pin it
    stays until 'runstone pins rm'. With --hub it is where transformers, vLLM and llama.cpp find it offline, as namespace/collection
    unless --repo names it, and as revision main and the alias unless --revision does.
    """
    if (repo or revisions) and not hub:
        raise click.UsageError("--repo and --revision say how it is found with --hub")
    with Progress("fetching") as progress, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        options: dict[str, Any] = {"prefix": prefix, "progress": progress} | _server(session, "pull")
        pulled = _pulled(name, options, pin=pin, hub=(repo, revisions) if hub else None)
    for warning in caught:
        output.note(f"runstone: {warning.message}")
    line = f"{pulled.version} in {pulled.path}: {text.size(pulled.size)}, {text.size(pulled.fetched)} of it fetched"
    session.answer(pulled, lambda: [text.printable(line)])


def _pulled(
    name: str, options: dict[str, Any], *, pin: bool, hub: tuple[str, tuple[str, ...]] | None
) -> Pulled:
    from runstone.client.fetch import fetch
    from runstone.client.hubcache import fetch_for_hub
    from runstone.client.keeping import keep

    fetched = fetch(name, **options)
    path, size = fetched.path, fetched.bytes_fetched + fetched.bytes_reused
    if pin:
        keep(name, fetched)
    if hub is not None:
        repo, revisions = hub
        path = fetch_for_hub(name, repo, revisions=revisions or None, **options).path
    fetched.release()
    return Pulled(fetched.version.name, str(path), size, fetched.bytes_fetched, fetched.stale, pin)


def _server(session: Session, doing: str) -> dict[str, Any]:
    url = session.url()
    if not url:
        raise Invalid(f"{doing} is for a server; what lies in {session.target} is on this machine already")
    return {"url": url, "key": session.key or None}


@click.group("pins", cls=Group, default="ls", invoke_without_command=True)
@click.pass_context
def pins_command(ctx: click.Context) -> None:
    """Show and let go of what this host's cache keeps."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(ls_command)


@pins_command.command("ls")
@click.pass_obj
def ls_command(session: Session) -> None:
    """List what is kept: pinned versions, and followed aliases with their links."""
    from runstone.client.keeping import pins

    found = pins()
    session.answer([_shown(keep) for keep in found], lambda: [_line(keep) for keep in found])


@pins_command.command("rm")
@click.argument("name")
@click.pass_obj
def rm_command(session: Session, name: str) -> None:
    """Let what was pinned under NAME, or followed by the link NAME, be evicted."""
    from runstone.client.cache import Cache
    from runstone.client.keeping import unpin
    from runstone.client.kept import Keeping

    keeping = Keeping(Cache())
    followed = keeping.by_target(str(Path(name).absolute()))
    if followed is not None:
        keeping.drop(followed.name, followed.target)
    elif not unpin(name):
        raise Missing(f"nothing is pinned under {name!r}; 'runstone pins' lists what is")
    session.answer({"name": name}, lambda: [text.printable(f"{name} may be evicted")])


def _shown(keep: Keep) -> dict[str, Any]:
    return {
        "name": keep.name,
        "target": keep.target,
        "versions": [kept.version for kept in keep.versions],
        "path": keep.versions[0].path,
        "size": sum(kept.size for kept in keep.versions),
        "rejected": keep.rejected,
    }


def _line(keep: Keep) -> str:
    versions = ", before it ".join(kept.version for kept in keep.versions)
    size = text.size(sum(kept.size for kept in keep.versions))
    return text.printable(f"{keep.name}  {versions}  {size}  {keep.target or keep.versions[0].path}")
