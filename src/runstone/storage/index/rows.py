"""A row of the index: its value carries a checksum over its key and body."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from runstone._native.digests import unseal
from runstone.errors import Corrupt
from runstone.storage.tables import Table

V = TypeVar("V")


def decode(table: Table[V], packed: bytes, stored: Any) -> V:
    """The verified value of a stored row."""
    return decode_row(table, packed, open_row(table, packed, stored))


def open_row(table: Table[Any], packed: bytes, stored: Any) -> bytes:
    """The body of a stored row; raises :class:`Corrupt` when its checksum fails."""
    try:
        return unseal(table.number, packed, stored)
    except ValueError:
        raise Corrupt(
            f"index: the row {packed.hex()} of table {table.name} fails its checksum; "
            "restore the index from a backup, or run 'runstone rebuild'",
            table=table.name,
            key=packed.hex(),
        ) from None


def decode_row(table: Table[V], packed: bytes, body: bytes) -> V:
    """The value of a verified body."""
    try:
        value: V = table.decode(body)
    except msgspec.DecodeError as error:
        raise Corrupt(
            f"index: the row {packed.hex()} of table {table.name} does not decode: {error}"
        ) from error
    return value
