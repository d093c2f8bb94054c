"""The state that a command sees: the index, and over it the changes of the batch that is being applied.

Writes gather in memory. A command that is refused takes its own back; what a batch leaves is written in key order, each changed row
once, and the state hash follows from exactly those rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, TypeVar

from runstone._native.digests import fold_rows
from runstone.storage.index import Txn
from runstone.storage.tables import HISTORY, Table

V = TypeVar("V")
Body = bytes | None
_ABSENT: Any = object()


class State:
    """What ``apply`` reads and writes. Read with :meth:`get` and :meth:`scan`; change with :meth:`put` and :meth:`delete`."""

    def __init__(self, txn: Txn) -> None:
        self._txn = txn
        self._changes: defaultdict[Table[Any], dict[bytes, Body]] = defaultdict(dict)
        self._before: defaultdict[Table[Any], dict[bytes, Body]] = defaultdict(dict)
        self._undo: list[tuple[dict[bytes, Body], bytes, Body]] = []
        self._erased = 0
        self.hash = bytes(32)
        #: Log entries whose payloads go with this batch, each with the entry that erases it.
        self.erased: list[tuple[int, int]] = []

    def get(self, table: Table[V], *key: Any) -> V | None:
        """The value under a key, with the changes of this batch and this command."""
        packed = table.key.pack(*key)
        body = self._changes[table].get(packed, _ABSENT)
        if body is _ABSENT:
            body = self._stored(table, packed)
        return None if body is None else table.decode(body)

    def _stored(self, table: Table[Any], packed: bytes) -> Body:
        before = self._before[table]
        found: Body = before.get(packed, _ABSENT)
        if found is _ABSENT:
            found = before[packed] = self._txn.get_body(table, packed)
        return found

    def put(self, table: Table[V], *key_then_value: Any) -> None:
        """Sets a value: the key's parts, then the value."""
        self._set(table, table.key.pack(*key_then_value[:-1]), table.encode(key_then_value[-1]))

    def delete(self, table: Table[Any], *key: Any) -> None:
        """Removes a row; a missing one is no error."""
        self._set(table, table.key.pack(*key), None)

    def _set(self, table: Table[Any], packed: bytes, body: Body) -> None:
        changes = self._changes[table]
        self._undo.append((changes, packed, changes.get(packed, _ABSENT)))
        changes[packed] = body

    def touch(self, subject: int, seq: int, kind: int) -> None:
        """Notes in an object's history that log entry ``seq``, the one that is being applied, changed it."""
        packed = HISTORY.key.pack(subject, seq)
        # No row can be there: until now the log had no such entry.
        self._before[HISTORY].setdefault(packed, None)
        self._set(HISTORY, packed, HISTORY.encode(kind))

    def scan(
        self, table: Table[V], *prefix: Any, after: tuple[Any, ...] | None = None, reverse: bool = False
    ) -> Iterator[tuple[tuple[Any, ...], V]]:
        """Rows under a prefix in key order. A command scans a table before it changes it, or RuntimeError."""
        changes = self._changes[table]
        if changes and any(changed is changes for changed, _, _ in self._undo):
            raise RuntimeError(f"a command scans {table.name} after it changed it")
        self._write_table(table)
        yield from self._txn.scan(table, *prefix, after=after, reverse=reverse)

    def erase(self, seq: int, by: int) -> None:
        """Has the payload of log entry ``seq`` erased, since entry ``by``, the one that is being applied, takes out what it brought."""
        self.erased.append((seq, by))

    def accept(self) -> None:
        """Keeps the changes of the command."""
        self._undo.clear()
        self._erased = len(self.erased)

    def discard(self) -> None:
        """Takes the changes of the command back."""
        for changes, packed, body in reversed(self._undo):
            if body is _ABSENT:
                del changes[packed]
            else:
                changes[packed] = body
        self._undo.clear()
        del self.erased[self._erased :]

    def write(self) -> None:
        """Writes the changes of the batch into the transaction and brings the state hash up to date."""
        for table in list(self._changes):
            self._write_table(table)

    def _write_table(self, table: Table[Any]) -> None:
        changes = self._changes.pop(table, None)
        if not changes:
            return
        rows = sorted(changes.items())
        if table.hashed:
            self._fold(table, rows)
        self._txn.put_bodies(table, [row for row in rows if row[1] is not None])  # type: ignore[misc]
        for key, body in rows:
            if body is None:
                self._txn.delete_body(table, key)
        self._before[table].update(changes)

    def _fold(self, table: Table[Any], rows: list[tuple[bytes, Body]]) -> None:
        add: list[tuple[bytes, bytes]] = []
        remove: list[tuple[bytes, bytes]] = []
        before, last = self._before[table], None
        for row in rows:
            key, new = row
            old = before.get(key, _ABSENT)
            if old is _ABSENT:
                if last is None:
                    last = self._txn.last_key(table) or b""
                # Ids grow, so most new rows lie past the last one: then there is no old row to look for.
                old = self._txn.get_body(table, key) if key <= last else None
            if new == old:
                continue
            if new is not None:
                add.append(row)  # type: ignore[arg-type]
            if old is not None:
                remove.append((key, old))
        self.hash = fold_rows(self.hash, table.number, add, remove)
