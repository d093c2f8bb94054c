"""The columnar engine as something that answers a tree over the golden dataset: from memory, and from sealed segments."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from runstone.query import Query
from runstone.storage.columns import encode
from runstone.storage.columns.bitmaps import Array
from runstone.storage.columns.encode import FieldData
from runstone.storage.columns.table import ColumnTable


class Held:
    """Rows that never change."""

    def __init__(self, rows: dict[int, dict[str, Any]]) -> None:
        self._rows = rows
        self._order = sorted(rows)

    def changes(self, after: int, limit: int) -> Sequence[tuple[int, int]]:
        return [(seq, self._order[seq]) for seq in range(after + 1, min(len(self._order), after + 1 + limit))]

    def rows(self, ids: Sequence[int]) -> Sequence[dict[str, Any] | None]:
        return [self._rows[row] for row in ids]

    def fields(self, ids: Sequence[int]) -> tuple[Array, dict[str, FieldData]]:
        return np.array(ids, np.int64), encode.fields_of([self._rows[row] for row in ids])


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


@functools.cache
def _table(seal: bool) -> list[ColumnTable]:
    return []


def _ask(query: Query, rows: dict[int, dict[str, Any]], seal: bool) -> list[int]:
    held = _table(seal)
    if not held:
        table = ColumnTable(Path(_folder().name) / str(seal), Held(rows))
        table.refresh()
        if seal:
            assert table.seal() and not table.state.waiting()
        held.append(table)
    return held[0].execute(query).ids


def in_memory(query: Query, rows: dict[int, dict[str, Any]]) -> list[int]:
    """From the rows changed since."""
    return _ask(query, rows, False)


def sealed(query: Query, rows: dict[int, dict[str, Any]]) -> list[int]:
    """From a segment."""
    return _ask(query, rows, True)
