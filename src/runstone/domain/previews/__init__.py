"""Previews: a part of a stored file as people look at it, however large the file is.

What a file is follows from its name. Each kind has a module with a ``preview`` of its own; a cursor is its own text too.
"""

from __future__ import annotations

from importlib import import_module

from runstone.domain.content import StoredFile
from runstone.errors import Invalid, RunstoneError
from runstone.types import FilePreview

MAX_ROWS = 1000
_KINDS = {
    ".safetensors": "tensors",
    ".parquet": "parquet",
    ".csv": "lines",
    ".tsv": "lines",
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".table.json": "logged",
}


def preview(file: StoredFile, *, after: str = "", limit: int = 100, column: int = 0) -> FilePreview:
    """A part of a file: up to ``limit`` rows or tensors behind ``after``, of tables the columns from number ``column`` on.

    Raises :class:`Invalid` for a file that is not what its name says, for a cursor that is none, and where ``runstone[sql]`` is missing.
    """
    kind = next((kind for end, kind in _KINDS.items() if file.path.lower().endswith(end)), "text")
    made = import_module(f"{__name__}.{kind}")
    try:
        found: FilePreview = made.preview(file, after, min(limit, MAX_ROWS), column)
    except RunstoneError:
        raise
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise Invalid(f"{file.path} of {file.version} is not what its name says: {error}") from None
    return found


def place(after: str) -> int:
    """A cursor that is a number; raises :class:`Invalid`."""
    if not after:
        return 0
    if not after.isascii() or not after.isdigit() or len(after) > 18:
        raise Invalid(f"{after!r:.80} is not a cursor of this file")
    return int(after)
