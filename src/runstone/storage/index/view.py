"""Reads of the index in one transaction."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import lmdb

from runstone.errors import TryAgain
from runstone.storage.index.rows import decode, decode_row, open_row
from runstone.storage.index.seeking import after_prefix, astray, seek_first, seek_last
from runstone.storage.tables import Table

if TYPE_CHECKING:
    from runstone.storage.index.index import Index

V = TypeVar("V")

#: A read transaction pins every page that changes while it is open.
READ_SECONDS = 10.0
_SCAN_CHECK = 256


class View:
    """Typed, verified reads in one transaction; values are decoded copies and outlive it."""

    def __init__(self, index: Index, txn: lmdb.Transaction, seconds: float = READ_SECONDS) -> None:
        self._txn = txn
        self._dbs = index.databases
        self._seconds = seconds
        self._until = time.monotonic() + seconds

    def get(self, table: Table[V], *key: Any) -> V | None:
        """The value under a key, or None; raises :class:`Corrupt` when its checksum fails."""
        packed = table.key.pack(*key)
        # LMDB has no empty keys and refuses to look for one, and that is what an empty name packs to.
        stored = self._txn.get(packed, db=self._dbs[table.name]) if packed else None
        if stored is not None:
            return decode(table, packed, stored)
        self._require_absent(table, packed)
        return None

    def get_body(self, table: Table[Any], packed: bytes) -> bytes | None:
        """The verified, undecoded body under a packed key."""
        stored = self._txn.get(packed, db=self._dbs[table.name])
        if stored is not None:
            return open_row(table, packed, stored)
        self._require_absent(table, packed)
        return None

    def _require_absent(self, table: Table[Any], packed: bytes) -> None:
        """Raises :class:`Corrupt` when a row that was not found is there, or may be: damage to a page can hide rows."""
        cursor = self._txn.cursor(db=self._dbs[table.name])
        if packed and seek_first(table, cursor, packed):
            found = bytes(cursor.key())
            open_row(table, found, cursor.value())
            if found == packed:
                raise astray(table, packed)

    def scan(
        self, table: Table[V], *prefix: Any, after: tuple[Any, ...] | None = None, reverse: bool = False
    ) -> Iterator[tuple[tuple[Any, ...], V]]:
        """Rows whose key begins with ``prefix``, in key order, from just past the key ``after`` (or before it, in reverse)."""
        unpack = table.key.unpack
        start = None if after is None else table.key.prefix(*after)
        for key, body in self.scan_bodies(table, table.key.prefix(*prefix), start, reverse):
            yield unpack(key), decode_row(table, key, body)

    def scan_bodies(
        self, table: Table[Any], prefix: bytes = b"", after: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Verified (packed key, body) rows under a packed prefix."""
        cursor = self._txn.cursor(db=self._dbs[table.name])
        if reverse:
            step, found = (
                cursor.prev,
                seek_last(table, cursor, after_prefix(prefix) if after is None else after),
            )
        else:
            start = prefix if after is None else max(prefix, after)
            step, found = cursor.next, seek_first(table, cursor, start, past=after)
        seen, last = 0, None
        while found:
            key = bytes(cursor.key())
            # The row that ends the scan is verified too: it might be damage that ends it.
            body = open_row(table, key, cursor.value())
            if last is not None and (key < last) is not reverse:
                raise astray(table, key)
            if not key.startswith(prefix):
                return
            last = key
            yield key, body
            seen += 1
            if seen % _SCAN_CHECK == 0 and time.monotonic() > self._until:
                raise TryAgain(
                    f"a read of {table.name} went on for over {self._seconds:.0f} s; ask for smaller pages"
                )
            found = step()

    def last_key(self, table: Table[Any]) -> bytes | None:
        """The greatest packed key of a table."""
        cursor = self._txn.cursor(db=self._dbs[table.name])
        return bytes(cursor.key()) if cursor.last() else None

    def last(self, table: Table[V], *prefix: Any) -> tuple[tuple[Any, ...], V] | None:
        """The row with the greatest key under a prefix."""
        return next(self.scan(table, *prefix, reverse=True), None)

    def count(self, table: Table[Any]) -> int:
        """How many rows a table has."""
        entries: int = self._txn.stat(self._dbs[table.name])["entries"]
        return entries

    @property
    def commit(self) -> int:
        """The number of the commit that is seen."""
        number: int = self._txn.id()
        return number
