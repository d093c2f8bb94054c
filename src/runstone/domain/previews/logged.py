"""Tables as the wandb SDK writes them (``name.table.json``): one JSON object with ``columns`` and ``data``."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from runstone.domain.content import StoredFile
from runstone.domain.previews import place
from runstone.domain.previews.cells import WIDTH, cell
from runstone.errors import TooLarge
from runstone.types import FilePreview

MAX_FILE = 64 << 20


class _Table(msgspec.Struct):
    columns: list[Any]
    data: list[list[Any]]


def preview(file: StoredFile, after: str, limit: int, column: int) -> FilePreview:
    """Up to ``limit`` rows; the cursor is how many came before."""
    if file.size > MAX_FILE:
        raise TooLarge(f"{file.path} takes {file.size} bytes, and a table of over {MAX_FILE} is not shown")
    # The SDK writes NaN and infinities bare, which strict JSON has not.
    table = msgspec.convert(json.loads(file.read()), _Table)
    first = place(after)
    names = [str(name) for name in table.columns]
    more = first + limit < len(table.data)
    return FilePreview(
        kind="table",
        columns=tuple((name, "json") for name in names[column : column + WIDTH]),
        column=column,
        width=len(names),
        rows=tuple(
            tuple(cell(value) for value in row[column : column + WIDTH])
            for row in table.data[first : first + limit]
        ),
        total=len(table.data),
        next=str(first + limit) if more else "",
    )
