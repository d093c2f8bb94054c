"""The change log: every change is a command, appended and applied in one transaction.

Concurrent callers share a transaction: whoever holds the commit lock takes along everything that waits (group commit), so
throughput comes from batching and never from a weaker sync. A call returns after its transaction is on disk.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from runstone.errors import Corrupt, Gone, Invalid, Missing, RunstoneError
from runstone.storage import erasing, merkle
from runstone.storage.backends.log import LocalLog, LogBackend, LogEntry
from runstone.storage.commands import Command, Kind, Stamp, kind_numbered, kind_of
from runstone.storage.entry import Header, header_of, pack_header, payload_digest, unpack_header
from runstone.storage.index import TRANSACTION_LOST, Index, MapGrown, Txn, View
from runstone.storage.state import State
from runstone.storage.tables import (
    COMMANDS,
    ERASURES,
    HEAD,
    LOG_HEADERS,
    LOG_PAYLOADS,
    TILES,
    Erasure,
    Head,
    Stored,
)

#: A batch larger than this is several transactions, so that one caller cannot hold the writer lock for long.
MAX_BATCH = 20_000
MAX_PAYLOAD = 64 << 20
_encode = msgspec.msgpack.Encoder().encode

Guard = Callable[[State], None]
#: The command of an entry as it stands in the log, those of the same transaction too; None when it was compacted or erased.
CommandAt = Callable[[int], Command | None]
Completion = Callable[[State, CommandAt], Command]


class Submission(msgspec.Struct):
    """A command on its way into the log.

    ``guard`` runs in the transaction before ``apply`` and may refuse, or change local tables (never state): whether blobs are
    present is for this machine to say, and is not part of the log. ``complete`` answers, in the transaction too, the command as it is
    logged: with what only the state of that moment tells. It may refuse, and changes nothing.
    """

    command: Command
    id: bytes = b""
    guard: Guard | None = None
    complete: Completion | None = None
    receipt: Receipt | None = None
    error: BaseException | None = None


class Receipt(NamedTuple):
    """What became of a command: its log entry, time, answer, and whether this was a repetition of an earlier arrival."""

    seq: int
    time: int
    result: Any
    repeated: bool = False


class _Batch(msgspec.Struct):
    submissions: Sequence[Submission]
    done: bool = False


class _Accepted(msgspec.Struct):
    entries: list[LogEntry] = []
    leaves: list[bytes] = []
    ids: dict[bytes, Submission] = {}


class ChangeLog:
    """The log of one store; safe from threads."""

    def __init__(self, index: Index, backend: LogBackend | None = None) -> None:
        self.index = index
        self.backend: LogBackend = backend or LocalLog(index)
        self._commit_lock = threading.Lock()
        self._queue_lock = threading.Lock()
        self._queue: list[_Batch] = []

    def submit(
        self,
        command: Command,
        *,
        id: bytes = b"",
        guard: Guard | None = None,
        complete: Completion | None = None,
    ) -> Receipt:
        """Appends and applies one command; durable when it returns.

        ``id`` is 16 bytes that name this change for ever: a second arrival of the same id answers the first one's result.
        Raises what ``apply`` refuses with, and :class:`StorageFull` or :class:`StorageFailed`; then nothing has changed.
        """
        submission = Submission(command, id, guard, complete)
        self.submit_many([submission])
        if submission.error is not None:
            raise submission.error
        assert submission.receipt is not None
        return submission.receipt

    def submit_many(self, submissions: Sequence[Submission]) -> None:
        """Appends and applies commands in order; each gets its ``receipt`` or its ``error``."""
        batch = _Batch(submissions)
        with self._queue_lock:
            self._queue.append(batch)
        with self._commit_lock:
            while not batch.done:
                self._commit_next()

    def _commit_next(self) -> None:
        with self._queue_lock:
            taken: list[_Batch] = []
            count = 0
            while self._queue and (not taken or count + len(self._queue[0].submissions) <= MAX_BATCH):
                taken.append(self._queue.pop(0))
                count += len(taken[-1].submissions)
        try:
            self._commit([submission for batch in taken for submission in batch.submissions])
        except BaseException as error:
            for batch in taken:
                for submission in batch.submissions:
                    submission.receipt, submission.error = None, error
            if not isinstance(error, RunstoneError):
                raise
        finally:
            for batch in taken:
                batch.done = True

    def _commit(self, submissions: list[Submission]) -> None:
        chance = os.urandom(32 * len(submissions))
        while True:
            try:
                with self.index.write() as txn:
                    self._apply_batch(txn, submissions, chance, time.time_ns() // 1000)
                return
            except MapGrown:
                continue
            except _NothingAccepted:
                return

    def _apply_batch(self, txn: Txn, submissions: list[Submission], chance: bytes, now: int) -> None:
        head = txn.get(HEAD, 0) or Head()
        state = State(txn)
        state.hash = head.state
        now = max(now, head.time)
        accepted = _Accepted()
        for place, submission in enumerate(submissions):
            submission.receipt = submission.error = None
            stamp = Stamp(head.size + len(accepted.entries), now)
            try:
                self._apply_one(txn, state, accepted, submission, stamp, chance[32 * place : 32 * place + 32])
            except TRANSACTION_LOST:
                raise
            except Exception as error:  # whatever is wrong with one command, the rest of its batch goes on
                state.discard()
                submission.error = error
        if not accepted.entries:
            raise _NothingAccepted
        state.write()
        self._append(txn, head, accepted, state.hash, now)
        erasing.erase(txn, state.erased)

    def _apply_one(
        self, txn: Txn, state: State, accepted: _Accepted, submission: Submission, stamp: Stamp, chance: bytes
    ) -> None:
        command = submission.command
        kind = kind_of(command)
        payload = _packed(command)
        if not submission.id:
            submission.id = chance[16:]
        elif len(submission.id) != 16:
            raise Invalid(f"a command id is 16 bytes, not {len(submission.id)}")
        elif self._answer_repeated(txn, accepted, submission, kind, payload):
            return
        if submission.guard is not None:
            submission.guard(state)
        if submission.complete is not None:
            command = submission.complete(state, self._commands(txn, stamp.seq, accepted))
            payload = _packed(command)
        result = kind.apply(state, stamp, command)
        state.accept()
        submission.receipt = Receipt(stamp.seq, stamp.time, result)
        salt = chance[:16]
        header = header_of(kind.number, stamp.seq, stamp.time, submission.id, salt, payload)
        accepted.entries.append(LogEntry(header, submission.id, Stored(salt, payload, _encode(result))))
        accepted.leaves.append(merkle.leaf_hash(header))
        accepted.ids[submission.id] = submission

    def _commands(self, txn: Txn, size: int, accepted: _Accepted) -> CommandAt:
        first = size - len(accepted.entries)

        def command_at(seq: int) -> Command | None:
            if seq < first:
                return self.command(*_entry(txn, seq))
            entry = accepted.entries[seq - first]
            return self.command(unpack_header(entry.header), entry.stored)

        return command_at

    def _answer_repeated(
        self, txn: Txn, accepted: _Accepted, submission: Submission, kind: Kind, payload: bytes
    ) -> bool:
        twin = accepted.ids.get(submission.id)
        if twin is not None:
            if not _same_change(twin.command, submission.command):
                raise _reused(submission.id)
            assert twin.receipt is not None
            submission.receipt = Receipt(twin.receipt.seq, twin.receipt.time, twin.receipt.result, True)
            return True
        seq = txn.get(COMMANDS, submission.id)
        if seq is None:
            return False
        header, stored = _entry(txn, seq)
        if header.kind != kind.number:
            raise _reused(submission.id)
        if stored.payload not in (None, payload) and not _same_change(
            kind.decode(stored.payload), submission.command
        ):
            raise _reused(submission.id)
        submission.receipt = Receipt(seq, header.time, kind.decode_result(stored.result), True)
        return True

    def _append(self, txn: Txn, head: Head, accepted: _Accepted, state_hash: bytes, now: int) -> None:
        edge = merkle.Frontier(head.size, head.peaks)
        tiles, edge = merkle.extend(Tiles(txn), edge, accepted.leaves)
        txn.put_bodies(TILES, sorted((TILES.key.pack(*place), hashes) for place, hashes in tiles.items()))
        if not self.backend.append(txn, head.size, accepted.entries):
            raise Corrupt(f"the log already has an entry {head.size}")
        txn.put(HEAD, 0, Head(edge.size, edge.root(), state_hash, now, edge.peaks))

    def replay(self, entries: Sequence[tuple[Header, Stored]], erased: Mapping[int, Erasure] = {}) -> None:
        """Applies entries that another log accepted, as they stand: same ids, times, salts and answers.

        ``erased`` has what erased ones left. Raises :class:`Corrupt` when an entry does not fit here, and :class:`Gone` when its payload
        is no longer kept.
        """
        while True:
            try:
                with self._commit_lock, self.index.write() as txn:
                    self._replay(txn, entries, erased)
                return
            except MapGrown:
                continue

    def _replay(
        self, txn: Txn, entries: Sequence[tuple[Header, Stored]], erased: Mapping[int, Erasure]
    ) -> None:
        head = txn.get(HEAD, 0) or Head()
        state = State(txn)
        state.hash = head.state
        accepted = _Accepted()
        for header, stored in entries:
            if header.seq != head.size + len(accepted.entries):
                raise Corrupt(
                    f"log entry {header.seq} came where {head.size + len(accepted.entries)} belongs"
                )
            _apply_again(state, header, stored, erased.get(header.seq))
            packed = pack_header(header)
            accepted.entries.append(LogEntry(packed, header.command_id, stored))
            accepted.leaves.append(merkle.leaf_hash(packed))
        state.write()
        self._append(txn, head, accepted, state.hash, entries[-1][0].time)
        for seq, erasure in erased.items():
            txn.put(ERASURES, seq, erasure)
        erasing.erase(txn, state.erased)

    def head(self) -> Head:
        """Where the log stands."""
        with self.index.read() as view:
            return view.get(HEAD, 0) or Head()

    def entry(self, seq: int) -> tuple[Header, Stored]:
        """An entry's header and stored payload; raises :class:`Missing` past the end."""
        with self.index.read() as view:
            return _entry(view, seq)

    def entry_in(self, view: View, seq: int) -> tuple[Header, Stored]:
        """:meth:`entry` as a transaction sees it."""
        return _entry(view, seq)

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[Header, Stored]]:
        """Entries ``start`` to ``stop`` (default: the end as of now), in short read transactions."""
        stop = self.head().size if stop is None else stop
        for low in range(start, stop, 1024):
            with self.index.read() as view:
                found = [_entry(view, seq) for seq in range(low, min(stop, low + 1024))]
            yield from found

    def command(self, header: Header, stored: Stored) -> Command | None:
        """The command of an entry, or None when its payload was compacted or erased."""
        return None if stored.payload is None else kind_numbered(header.kind).decode(stored.payload)

    def inclusion_proof(self, seq: int, size: int) -> list[bytes]:
        """The Merkle path of entry ``seq`` in the tree of the first ``size`` entries."""
        with self.index.read() as view:
            _within(view, seq + 1, size)
            return merkle.inclusion_proof(Tiles(view), seq, size)

    def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """The proof that the tree of ``new`` entries extends the tree of ``old``."""
        with self.index.read() as view:
            _within(view, old, new)
            return merkle.consistency_proof(Tiles(view), old, new)

    def root_at(self, size: int) -> bytes:
        """The Merkle root of the first ``size`` entries."""
        with self.index.read() as view:
            _within(view, size, size)
            return merkle.root(Tiles(view), size)

    def tile(self, level: int, place: int) -> bytes:
        """The hashes in a tile, 32 bytes each; empty when there are none."""
        with self.index.read() as view:
            return Tiles(view).tile(level, place)


class Tiles:
    """The Merkle tree's tiles as a transaction sees them."""

    def __init__(self, view: View) -> None:
        self._view = view

    def tile(self, level: int, index: int) -> bytes:
        """The hashes in a tile, 32 bytes each; empty when there are none."""
        return self._view.get(TILES, level, index) or b""


class _NothingAccepted(Exception):  # ends the transaction without a commit
    """No command of the batch was accepted: there is nothing to sync."""


def _apply_again(state: State, header: Header, stored: Stored, erasure: Erasure | None) -> None:
    kind, at = kind_numbered(header.kind), Stamp(header.seq, header.time)
    if erasure is not None:
        kind.apply(state, at, kind.decode(erasure.left))
        state.accept()
        return
    if stored.payload is None:
        raise Gone(f"the payload of log entry {header.seq} is no longer kept; begin from a snapshot after it")
    if payload_digest(stored.salt, stored.payload) != header.digest:
        raise Corrupt(f"the payload of log entry {header.seq} is not the one its header names")
    result = kind.apply(state, at, kind.decode(stored.payload))
    state.accept()
    if _encode(result) != stored.result:
        raise Corrupt(f"log entry {header.seq} ({kind.name}) answers differently here than when it was made")


def _entry(view: View, seq: int) -> tuple[Header, Stored]:
    header, stored = view.get(LOG_HEADERS, seq), view.get(LOG_PAYLOADS, seq)
    if header is None or stored is None:
        raise Missing(f"the log has no entry {seq}")
    return unpack_header(header), stored


def _within(view: View, low: int, high: int) -> None:
    size = (view.get(HEAD, 0) or Head()).size
    if not 0 <= low <= high <= size:
        raise Missing(f"the log has {size} entries; {low} and {high} do not both lie within it")


def _same_change(one: Command, other: Command) -> bool:
    """Whether two commands ask for the same; who brings it, and why, is told by the first."""
    return one.asked() == replace(other.asked(), actor=one.actor, reason=one.reason)


def _packed(command: Command) -> bytes:
    payload = _encode(command)
    if len(payload) > MAX_PAYLOAD:
        raise Invalid(f"a change of {len(payload)} bytes is over the limit of {MAX_PAYLOAD}; split it")
    return payload


def _reused(command_id: bytes) -> Invalid:
    return Invalid(f"the command id {command_id.hex()} was already used for another change; use a new id")
