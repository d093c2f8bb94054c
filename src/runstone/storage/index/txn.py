"""Writes of the index in one transaction."""

from __future__ import annotations

from typing import Any, TypeVar

import lmdb

from runstone._native.digests import seal, seal_rows
from runstone.storage.index.view import View
from runstone.storage.tables import Table

V = TypeVar("V")

#: From so many rows on, a cursor is worth what it takes to make.
_MANY = 4


class MapGrown(Exception):  # not an error: run the transaction again
    """The map was full and has been doubled; the transaction must run again."""


#: After one of these a transaction is of no use any more; any other error leaves it as it was.
TRANSACTION_LOST = (lmdb.Error, MapGrown, MemoryError)


class Txn(View):
    """The write transaction: verified reads, sealed writes."""

    def _require_absent(self, table: Table[Any], packed: bytes) -> None:
        # Every new row is looked up before it is written: that would make each write slower.
        pass

    def put_body(self, table: Table[Any], packed: bytes, body: bytes, *, append: bool = False) -> None:
        """Stores a body under a packed key; ``append`` says that the key is greater than all present."""
        stored = seal(table.number, packed, body)
        self._txn.put(packed, stored, db=self._dbs[table.name], append=append)

    def put_bodies(self, table: Table[Any], rows: list[tuple[bytes, bytes]], *, append: bool = False) -> None:
        """Stores (packed key, body) rows, sorted by key."""
        if len(rows) < _MANY:
            for key, body in rows:
                self.put_body(table, key, body, append=append)
            return
        cursor = self._txn.cursor(db=self._dbs[table.name])
        cursor.putmulti(seal_rows(table.number, rows), append=append)
        cursor.close()

    def put(self, table: Table[V], *key_then_value: Any) -> None:
        """Stores a value: the key's parts, then the value."""
        *key, value = key_then_value
        self.put_body(table, table.key.pack(*key), table.encode(value))

    def delete_body(self, table: Table[Any], packed: bytes) -> bool:
        """Removes a row; says whether it was there."""
        found: bool = self._txn.delete(packed, db=self._dbs[table.name])
        return found

    def delete(self, table: Table[Any], *key: Any) -> bool:
        """Removes a row; says whether it was there."""
        return self.delete_body(table, table.key.pack(*key))
