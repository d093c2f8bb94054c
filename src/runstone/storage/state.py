"""The state that a command sees: the index, and over it the changes of the batch that is being applied.

Writes gather in memory. A command that is refused leaves none; what a batch leaves is written in key order, each changed row
once, and the state hash follows from exactly those rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from runstone._native.digests import fold
from runstone.storage.index import Txn
from runstone.storage.tables import HISTORY, Table

V = TypeVar("V")
_ABSENT = object()


class State:
    """What ``apply`` reads and writes. Read with :meth:`get` and :meth:`scan`; change with :meth:`put` and :meth:`delete`."""

    def __init__(self, txn: Txn) -> None:
        self._txn = txn
        self._batch: dict[Table[Any], dict[bytes, bytes | None]] = {}
        self._command: dict[tuple[Table[Any], bytes], bytes | None] = {}
        self._before: dict[tuple[Table[Any], bytes], bytes | None] = {}
        self.hash = bytes(32)

    def get(self, table: Table[V], *key: Any) -> V | None:
        """The value under a key, with the changes of this batch and this command."""
        body = self._body(table, table.key.pack(*key))
        return None if body is None else table.decode(body)

    def _body(self, table: Table[Any], packed: bytes) -> bytes | None:
        if (table, packed) in self._command:
            return self._command[table, packed]
        changed = self._batch.get(table)
        if changed is not None and packed in changed:
            return changed[packed]
        return self._stored(table, packed)

    def _stored(self, table: Table[Any], packed: bytes) -> bytes | None:
        found = self._before.get((table, packed), _ABSENT)
        if found is _ABSENT:
            found = self._before[table, packed] = self._txn.get_body(table, packed)
        return found  # type: ignore[return-value]

    def put(self, table: Table[V], *key_then_value: Any) -> None:
        """Sets a value: the key's parts, then the value."""
        *key, value = key_then_value
        self._command[table, table.key.pack(*key)] = table.encode(value)

    def delete(self, table: Table[Any], *key: Any) -> None:
        """Removes a row; a missing one is no error."""
        self._command[table, table.key.pack(*key)] = None

    def touch(self, subject: int, seq: int, kind: int) -> None:
        """Notes in an object's history that log entry ``seq`` changed it."""
        self.put(HISTORY, subject, seq, kind)

    def scan(
        self, table: Table[V], *prefix: Any, after: tuple[Any, ...] | None = None, reverse: bool = False
    ) -> Iterator[tuple[tuple[Any, ...], V]]:
        """Rows under a prefix in key order, as they were before this command: scan before you write."""
        self._write_table(table)
        yield from self._txn.scan(table, *prefix, after=after, reverse=reverse)

    def accept(self) -> None:
        """Keeps the changes of the command."""
        for (table, packed), body in self._command.items():
            self._batch.setdefault(table, {})[packed] = body
        self._command.clear()

    def discard(self) -> None:
        """Drops the changes of the command."""
        self._command.clear()

    def write(self) -> None:
        """Writes the changes of the batch into the transaction and brings the state hash up to date."""
        for table in list(self._batch):
            self._write_table(table)

    def _write_table(self, table: Table[Any]) -> None:
        changes = self._batch.pop(table, None)
        if not changes:
            return
        packed_keys = sorted(changes)
        if table.hashed:
            self._note_new(table, packed_keys)
            self._fold(table, packed_keys, changes)
        self._txn.put_bodies(
            table, [(key, body) for key in packed_keys if (body := changes[key]) is not None]
        )
        for key in packed_keys:
            body = changes[key]
            if body is None:
                self._txn.delete_body(table, key)
            self._before[table, key] = body

    def _note_new(self, table: Table[Any], keys: list[bytes]) -> None:
        # Ids grow, so most new rows lie past the last one: then there is no old row to look for.
        last = self._txn.last_key(table)
        for key in reversed(keys):
            if last is not None and key <= last:
                return
            self._before.setdefault((table, key), None)

    def _fold(self, table: Table[Any], keys: list[bytes], changes: dict[bytes, bytes | None]) -> None:
        add: list[bytes] = []
        remove: list[bytes] = []
        number = table.number.to_bytes(2, "big")
        for key in keys:
            new, old = changes[key], self._stored(table, key)
            if new == old:
                continue
            prefix = number + len(key).to_bytes(2, "big") + key
            if new is not None:
                add.append(prefix + new)
            if old is not None:
                remove.append(prefix + old)
        self.hash = fold(self.hash, add, remove)
