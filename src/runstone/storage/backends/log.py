"""The log back end: an ordered list of entries, appended at a position that must be free.

The local log lives in the index, and an entry is written in the transaction of its effects. A shared log (etcd, an object store)
orders entries first and lets every node apply them; it implements the same three calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec

from runstone.storage.index import Index, Txn
from runstone.storage.tables import COMMANDS, HEAD, LOG_HEADERS, LOG_PAYLOADS, Head, Stored


class LogEntry(msgspec.Struct, frozen=True, gc=False):
    """A log entry: its 72-byte header, the id of its command, and its payload with salt and result."""

    header: bytes
    command_id: bytes
    stored: Stored


class LogBackend(Protocol):
    """What a change log is kept in."""

    def append(self, txn: Txn, position: int, entries: list[LogEntry]) -> bool:
        """Appends entries at a position. False, and nothing is changed, when the position is taken."""

    def read(self, position: int, limit: int) -> Iterator[tuple[int, LogEntry]]:
        """Up to ``limit`` entries from a position on, with their positions."""

    def compact(self, txn: Txn, below: int) -> int:
        """Drops the payloads of entries below a position; headers, and so all proofs, stay. How many it dropped."""


class LocalLog:
    """The log in the index itself."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def append(self, txn: Txn, position: int, entries: list[LogEntry]) -> bool:
        """See :meth:`LogBackend.append`. The index's writer lock has already ordered all writers."""
        head = txn.get(HEAD, 0) or Head()
        if head.size != position:
            return False
        keys = [LOG_HEADERS.key.pack(position + n) for n in range(len(entries))]
        headers = [entry.header for entry in entries]
        txn.put_bodies(LOG_HEADERS, list(zip(keys, headers, strict=True)), append=True)
        payloads = [LOG_PAYLOADS.encode(entry.stored) for entry in entries]
        txn.put_bodies(LOG_PAYLOADS, list(zip(keys, payloads, strict=True)), append=True)
        places = {entry.command_id: position + n for n, entry in enumerate(entries)}
        txn.put_bodies(COMMANDS, [(id, COMMANDS.encode(places[id])) for id in sorted(places)])
        return True

    def read(self, position: int, limit: int) -> Iterator[tuple[int, LogEntry]]:
        """See :meth:`LogBackend.read`."""
        found: list[tuple[int, LogEntry]] = []
        with self._index.read() as view:
            for seq in range(position, position + limit):
                header, stored = view.get(LOG_HEADERS, seq), view.get(LOG_PAYLOADS, seq)
                if header is None or stored is None:
                    break
                found.append((seq, LogEntry(header, header[20:36], stored)))
        yield from found

    def compact(self, txn: Txn, below: int) -> int:
        """See :meth:`LogBackend.compact`."""
        dropped = 0
        for (seq,), stored in txn.scan(LOG_PAYLOADS):
            if seq >= below:
                break
            if stored.payload is not None:
                txn.put(LOG_PAYLOADS, seq, Stored(b"", None, stored.result))
                dropped += 1
        return dropped
