"""Rows as a file that other programs read: CSV, JSON Lines, or Parquet."""

from __future__ import annotations

import csv
import io
import os
import sys
from pathlib import Path
from typing import Any

import click

from runstone.cli import output
from runstone.errors import Invalid

FORMATS = ("csv", "jsonl", "parquet")
Rows = list[dict[str, Any]]


def format_of(file: Path) -> str:
    """The format that a file's name says."""
    found = file.suffix.lstrip(".").lower()
    if found not in FORMATS:
        raise click.UsageError(f"{file} does not say its format: choose --format {', '.join(FORMATS)}.")
    return found


def write(rows: Rows, form: str, file: Path | None) -> int:
    """Writes rows to a file, which appears whole or not at all, or to standard output; how many bytes."""
    if file is None and form == "parquet" and sys.stdout.isatty():
        raise click.UsageError(
            "Parquet is not for a terminal: give -o FILE, or lead standard output elsewhere."
        )
    data = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}[form](rows)
    if file is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return len(data)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(data)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    return len(data)


def columns(rows: Rows) -> list[str]:
    """Every name in rows, in the order in which they first come."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _csv(rows: Rows) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\r\n")
    names = columns(rows)
    writer.writerow(names)
    for row in rows:
        writer.writerow([_text(row.get(name)) for name in names])
    return stream.getvalue().encode(errors="surrogatepass")


def _jsonl(rows: Rows) -> bytes:
    return "".join(output.encode(row) + "\n" for row in rows).encode()


def _parquet(rows: Rows) -> bytes:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise Invalid("Parquet needs pyarrow, which is not installed: pip install 'runstone[sql]'") from None
    table = pyarrow.table({name: _column([row.get(name) for row in rows]) for name in columns(rows)})
    stream = io.BytesIO()
    pyarrow.parquet.write_table(table, stream)
    return stream.getvalue()


def _column(values: list[Any]) -> Any:
    """A column of one type: numbers where all are, and else text."""
    import pyarrow

    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {int, float}:
        whole = kinds == {int} and all(value is None or -(1 << 63) <= value < 1 << 63 for value in values)
        kind = pyarrow.int64() if whole else pyarrow.float64()
        return pyarrow.array(
            [None if value is None else int(value) if whole else float(value) for value in values], kind
        )
    if kinds == {bool}:
        return pyarrow.array(values, pyarrow.bool_())
    return pyarrow.array([None if value is None else _text(value) for value in values], pyarrow.string())


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    return value if isinstance(value, str) else output.encode(value)
