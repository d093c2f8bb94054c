"""``runstone put``: a folder becomes a version."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from runstone.cli import text
from runstone.cli.command import Command, moment
from runstone.cli.progress import Progress
from runstone.cli.session import Session
from runstone.errors import Malformed
from runstone.types import FileEntry, VersionInfo


@click.command("put", cls=Command)
@click.argument("source_and_name", nargs=-1, metavar="[SOURCE] NAME")
@click.option(
    "--type", "type_", default="model", metavar="TYPE", help="model (default), dataset, or any other."
)
@click.option(
    "--alias", multiple=True, metavar="ALIAS", help="Point an alias at the version; can be repeated."
)
@click.option("--tag", multiple=True, metavar="TAG", help="A tag; can be repeated.")
@click.option("--description", default="", metavar="TEXT", help="What the version is.")
@click.option(
    "--metadata", metavar="JSON|@FILE", help="Metadata: JSON, a file of JSON, or @- for standard input."
)
@click.option(
    "--reference",
    multiple=True,
    metavar="PATH=URL,SIZE,ETAG",
    help="A file that lies elsewhere and is not fetched; SHA-256 as sha256:HEX instead of ETAG. Can be repeated.",
)
@click.option(
    "--expires",
    callback=moment,
    metavar="TIME",
    default=None,
    help="When to delete it: 30d, or 2026-12-31T18:00.",
)
@click.option("--new", is_flag=True, help="Make a version even if an equal one is there.")
@click.pass_obj
def put_command(
    session: Session,
    source_and_name: tuple[str, ...],
    type_: str,
    alias: tuple[str, ...],
    tag: tuple[str, ...],
    description: str,
    metadata: str | None,
    reference: tuple[str, ...],
    expires: int | None,
    new: bool,
) -> None:
    """Store a folder or file as a new version.

    SOURCE may be left out when there are references. Bytes that the store holds already are not stored again, and if a live version
    has equal files and metadata, that version is answered.
    """
    source, name = _source_and_name(source_and_name, bool(reference))
    files = [parse_reference(written) for written in reference]
    values = read_metadata(metadata)
    with session.open(create=True) as store, Progress("storing") as progress:
        made = store.put(
            name,
            source,
            files=files,
            type=type_,
            metadata=values,
            description=description,
            tags=tag,
            aliases=alias,
            expires=expires or 0,
            reuse=not new,
            progress=progress,
        )
    session.answer(made, lambda: summary(made))


def _source_and_name(given: tuple[str, ...], has_references: bool) -> tuple[Path | None, str]:
    if len(given) == 2:
        return Path(given[0]), given[1]
    if len(given) == 1 and has_references:
        return None, given[0]
    raise click.UsageError(
        "Give SOURCE and NAME: the folder or file to store, and the collection to store it in."
    )


def summary(version: VersionInfo) -> Iterator[str]:
    """A version in a line, and the aliases that point at it in another."""
    yield text.printable(f"{version.name}  {text.count(version.files, 'file')}, {text.size(version.size)}")
    if version.aliases:
        yield text.printable(f"aliases: {', '.join(version.aliases)}")


def parse_reference(written: str) -> FileEntry:
    """A reference as written: ``PATH=URL,SIZE,ETAG``. The URL may hold commas and equals signs."""
    path, equals, rest = written.partition("=")
    url, *tail = rest.rsplit(",", 2)
    if not equals or len(tail) != 2 or not (tail[0].isascii() and tail[0].isdigit()):
        raise click.BadParameter(f"{written!r} is not PATH=URL,SIZE,ETAG", param_hint="--reference")
    size, mark = int(tail[0]), tail[1]
    if mark.startswith("sha256:"):
        return FileEntry(path=path, size=size, url=url, sha256=mark.removeprefix("sha256:"))
    return FileEntry(path=path, size=size, url=url, etag=mark)


def read_metadata(written: str | None) -> Any:
    """Metadata as given on the command line; None when none was given."""
    if written is None:
        return None
    data: bytes = written.encode(errors="surrogateescape")
    if written == "@-":
        data = sys.stdin.buffer.read()
    elif written.startswith("@"):
        data = Path(written[1:]).read_bytes()
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"the metadata is not JSON: {error}") from None
