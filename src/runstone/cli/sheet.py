"""Answers as files that other programs read: to a file that appears whole or not at all, or to standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from runstone.cli import text
from runstone.cli.session import Session

FORMATS = ("csv", "jsonl", "parquet", "arrow")
_BINARY = ("parquet", "arrow")


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how and where to a command writes its answer."""
    form = click.option(
        "--format",
        "form",
        type=click.Choice(["table", *FORMATS]),
        help="How to write them; by default a table.",
    )
    file = click.option(
        "-o",
        "--output",
        "file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Write to FILE; its name says the format.",
    )
    return form(file(command))


def chosen(form: str | None, file: Path | None) -> str:
    """The form that was asked for, by the options or by the file's name."""
    form = form or (_form_of(file) if file else "table")
    if form == "table" and file:
        raise click.UsageError("A table is for a terminal: choose --format csv, jsonl or parquet for a file.")
    if form in _BINARY and file is None and sys.stdout.isatty():
        raise click.UsageError(
            f"{form.capitalize()} is not for a terminal: give -o FILE, or lead standard output elsewhere."
        )
    return form


def _form_of(file: Path) -> str:
    found = file.suffix.lstrip(".").lower()
    if found not in FORMATS:
        raise click.UsageError(f"{file} does not say its format: choose --format {', '.join(FORMATS)}.")
    return found


def write(session: Session, pieces: Iterable[bytes], file: Path | None) -> None:
    """Writes the pieces of a file, and says so if it is one."""
    if file is None:
        sys.stdout.flush()
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    temporary, size = file.with_name(f".{file.name}.{os.getpid()}.part"), 0
    try:
        with temporary.open("wb") as stream:
            for piece in pieces:
                size += stream.write(piece)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    answer = {"output": str(file), "size": size}
    session.answer(answer, lambda: [text.printable(f"{file}: {text.size(size)}")])
