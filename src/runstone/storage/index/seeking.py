"""Going to a row by its key, led astray by no damaged page."""

from __future__ import annotations

from typing import Any

import lmdb

from runstone.errors import Corrupt
from runstone.storage.index.rows import open_row
from runstone.storage.tables import Table


def seek_first(table: Table[Any], cursor: lmdb.Cursor, sought: bytes, *, past: bytes | None = None) -> bool:
    """Goes to the first key from ``sought`` on, or after ``past``; whether there is one.

    A damaged inner page leads past rows. So what is found must not lie before what was sought, and what comes before it must.
    """
    if not sought:
        return bool(cursor.first())
    found = bool(cursor.set_range(sought))
    if found and bytes(cursor.key()) < sought:
        raise astray(table, sought)
    if cursor.prev() if found else cursor.last():
        before = bytes(cursor.key())
        open_row(table, before, cursor.value())
        if before >= sought:
            raise astray(table, sought)
        if found:
            cursor.next()
    elif found:
        cursor.first()
    return bool(cursor.next()) if found and bytes(cursor.key()) == past else found


def seek_last(table: Table[Any], cursor: lmdb.Cursor, limit: bytes | None) -> bool:
    """Goes to the last key before ``limit``, or of all; whether there is one. Led astray no more than :func:`seek_first`."""
    if not limit or not seek_first(table, cursor, limit):
        return bool(cursor.last())
    open_row(table, bytes(cursor.key()), cursor.value())
    return bool(cursor.prev())


def astray(table: Table[Any], key: bytes) -> Corrupt:
    """What to raise where a page leads past a row."""
    return Corrupt(
        f"index: a page of table {table.name} leads past the row {key.hex()}; run 'runstone rebuild', "
        "or restore the index from a backup",
        table=table.name,
        key=key.hex(),
    )


def after_prefix(prefix: bytes) -> bytes | None:
    """The least byte string greater than every one that begins with ``prefix``; None when there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None
