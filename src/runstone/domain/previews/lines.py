"""Tables of lines: CSV, TSV and JSON Lines. A cursor is the byte that the next row begins at."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

import msgspec

from runstone.domain.content import StoredFile
from runstone.domain.previews import place
from runstone.domain.previews.cells import WIDTH, cell
from runstone.errors import Invalid, TooLarge
from runstone.types import FilePreview

MAX_LINE = 4 << 20
PIECE = 1 << 20
MAX_COLUMNS = 10_000


class _Lines:
    """The lines of a file from a byte on; ``at`` is the byte behind the last one taken."""

    def __init__(self, file: StoredFile, at: int) -> None:
        self._file, self.at, self._held, self._read = file, at, b"", at

    def __iter__(self) -> Iterator[bytes]:
        while line := self._line():
            self.at += len(line)
            yield line

    def _line(self) -> bytes:
        end = self._held.find(b"\n") + 1
        while not end and self._read < self._file.size:
            if len(self._held) > MAX_LINE:
                raise TooLarge(f"a line of {self._file.path} is over the limit of {MAX_LINE} bytes")
            more = self._file.read(self._read, min(self._read + PIECE, self._file.size))
            self._read += len(more)
            found = more.find(b"\n") + 1
            end = len(self._held) + found if found else 0
            self._held += more
        line, self._held = (self._held[:end], self._held[end:]) if end else (self._held, b"")
        return line


def preview(file: StoredFile, after: str, limit: int, column: int) -> FilePreview:
    """Up to ``limit`` rows."""
    if file.path.lower().endswith((".jsonl", ".ndjson")):
        return _objects(file, place(after), limit, column)
    return _separated(file, place(after), limit, column)


def _separated(file: StoredFile, at: int, limit: int, column: int) -> FilePreview:
    head = _Lines(file, 0)
    names = next(_reader(head, file), [])[:MAX_COLUMNS]
    lines = _Lines(file, at or head.at)
    rows = []
    for row in _reader(lines, file):
        rows.append(tuple(cell(text) for text in row[column : column + WIDTH]))
        if len(rows) == limit:
            break
    return FilePreview(
        kind="table",
        columns=tuple((name, "text") for name in names[column : column + WIDTH]),
        column=column,
        width=len(names),
        rows=tuple(rows),
        next=str(lines.at) if lines.at < file.size else "",
    )


def _reader(lines: _Lines, file: StoredFile) -> Iterator[list[str]]:
    def texts() -> Iterator[str]:
        for line in lines:
            begins = lines.at == len(line)
            yield line.decode("utf-8-sig" if begins else "utf-8", "replace")

    try:
        yield from csv.reader(texts(), delimiter="\t" if file.path.lower().endswith(".tsv") else ",")
    except csv.Error as error:
        raise Invalid(f"{file.path} of {file.version} cannot be read as a table: {error}") from None


def _objects(file: StoredFile, at: int, limit: int, column: int) -> FilePreview:
    """Rows of JSON objects; the columns are those of this part, in the order in which they come up."""
    lines = _Lines(file, at)
    found: list[dict[str, Any]] = []
    for line in lines:
        if line.strip():
            value = msgspec.json.decode(line)
            found.append(value if isinstance(value, dict) else {"value": value})
        if len(found) == limit:
            break
    names = list(dict.fromkeys(name for row in found for name in row))[:MAX_COLUMNS]
    shown = names[column : column + WIDTH]
    return FilePreview(
        kind="table",
        columns=tuple((name, "json") for name in shown),
        column=column,
        width=len(names),
        rows=tuple(tuple(cell(row.get(name)) for name in shown) for row in found),
        next=str(lines.at) if lines.at < file.size else "",
    )
