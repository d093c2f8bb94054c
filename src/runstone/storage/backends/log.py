"""The log back end: an ordered list of entries, appended at a position that must be free.

The local log lives in the index, and an entry is written in the transaction of its effects. A shared log (etcd, an object store)
orders entries first and lets every node apply them; it implements the same three calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from runstone.storage.index import Index, Txn
from runstone.storage.tables import COMMANDS, HEAD, LOG_HEADERS, LOG_PAYLOADS, Head, Stored


class LogEntry(NamedTuple):
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
        numbered = [(LOG_HEADERS.key.pack(position + n), entry) for n, entry in enumerate(entries)]
        txn.put_bodies(LOG_HEADERS, [(key, entry.header) for key, entry in numbered], append=True)
        payloads = [(key, LOG_PAYLOADS.encode(entry.stored)) for key, entry in numbered]
        txn.put_bodies(LOG_PAYLOADS, payloads, append=True)
        ids = [(entry.command_id, COMMANDS.encode(position + n)) for n, entry in enumerate(entries)]
        txn.put_bodies(COMMANDS, sorted(ids))
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
