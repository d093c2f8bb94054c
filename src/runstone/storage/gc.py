"""Garbage collection: blobs that no version refers to are marked, deleted after a grace period, and their bytes given back.

Each step can be cut off anywhere: what is free is worked out from what is referred to, never from a list of what to free. These rules
make it lose no race with an upload or a commit:

- A mark takes the blob's chunks out of the chunk index, so that no later upload shares them, and carries the number of the collection
  (*epoch*). A marked blob is deleted only when every upload still under way began after that collection: an older one may have
  looked the chunks up. A commit or an upload of a marked blob makes it live again.
- Every decision is made again inside the transaction that carries it out.
- Accounted bytes of a pack are never written again. So bytes that nobody refers to, and no row of the chunk index points to, stay that
  way, and may be freed at any time after the deletion is durable.
- A repair lets go of bytes without any deletion. It begins a new epoch too, and nothing is freed until all older uploads have ended.
- Uploads are looked at before blobs: an upload that becomes a blob in between is seen at least once.
- Of rows of the chunk index only those are left that point into bytes of *blobs* which stay: an upload may be given up at any time.
- A blob that anybody reads is not deleted: see :mod:`reading`. That a process is still there is told by its locks and never by the time.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TypeVar

from msgspec.structs import replace

from runstone.errors import Conflict
from runstone.storage import chunks, holdings
from runstone.storage.chunks import transact
from runstone.storage.index import Index, Txn, View
from runstone.storage.intervals import Intervals
from runstone.storage.locks import COLLECTION, Locks
from runstone.storage.openpacks import OpenPacks
from runstone.storage.packs import PackPool
from runstone.storage.reading import Held
from runstone.storage.space import Report, Space
from runstone.storage.tables import (
    BLOB_PARTS,
    BLOB_VERSIONS,
    BLOBS,
    DAMAGES,
    MD5S,
    PINS,
    UPLOADS,
    Blob,
    Part,
)
from runstone.storage.uploads import Uploads

Key = tuple[int, bytes]
T = TypeVar("T")
Referenced = Callable[[View, int, bytes], bool]

#: Rows changed in one transaction: parts of blobs (1024 chunks each), blobs, pins.
_PARTS = 4
_ROWS = 1000
_PATIENCE = 60.0


def is_referenced(view: View, domain: int, sha256: bytes) -> bool:
    """Whether a version has a file with these bytes."""
    return next(view.scan(BLOB_VERSIONS, domain, sha256), None) is not None


class Collector:
    """Collects the garbage of one store. Only one collection runs at a time, over all processes."""

    def __init__(
        self,
        index: Index,
        pool: PackPool,
        packs: OpenPacks,
        held: Held,
        uploads: Uploads,
        locks: Locks,
        clock: Callable[[], int],
    ) -> None:
        self._index, self._held, self._uploads = index, held, uploads
        self._locks, self._clock = locks, clock
        self._space = Space(index, pool, packs, held)
        self._mutex = threading.Lock()

    def collect(
        self, *, grace_seconds: float, referenced: Referenced = is_referenced, now: int | None = None
    ) -> Report:
        """Runs a collection: sweeps what has expired, marks, deletes what was marked ``grace_seconds`` ago, frees.

        Raises :class:`Conflict` while another collection runs.
        """
        with self._alone(0.0):
            now = self._clock() if now is None else now
            report = Report()
            report.uploads_expired = self._uploads.sweep(now)
            report.pins_expired = self._drop_pins(now)
            self._reindex(report)
            live = self._mark(report, referenced, now)
            self._delete(report, live, referenced, now, now - int(grace_seconds * 1_000_000))
            self._space.free(report, self._oldest_upload)
            return report

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """Keeps every process from collecting, as while packs are copied. Waits for a collection that runs."""
        with self._alone(_PATIENCE):
            yield

    @contextlib.contextmanager
    def _alone(self, patience: float) -> Iterator[None]:
        until = time.monotonic() + patience
        while not (self._mutex.acquire(blocking=False) and self._acquire()):
            if time.monotonic() >= until:
                raise Conflict(
                    "another garbage collection or a backup is under way; try again when it has ended"
                )
            time.sleep(0.05)
        try:
            yield
        finally:
            self._locks.release(COLLECTION)
            self._mutex.release()

    def _acquire(self) -> bool:
        if self._locks.acquire(COLLECTION):
            return True
        self._mutex.release()
        return False

    def _drop_pins(self, now: int) -> int:
        old = [key for key, body in self._index.rows(PINS) if PINS.decode(body).expires <= now]
        for some in _batched(old, _ROWS):
            transact(self._index, partial(self._drop_some_pins, keys=some, now=now))
        return len(old)

    def _drop_some_pins(self, txn: Txn, keys: list[bytes], now: int) -> None:
        for key in keys:
            body = txn.get_body(PINS, key)
            if body is not None and PINS.decode(body).expires <= now:
                txn.delete_body(PINS, key)

    def _blobs(self) -> Iterator[tuple[Key, Blob]]:
        for key, body in self._index.rows(BLOBS):
            domain, sha256 = BLOBS.key.unpack(key)
            yield (domain, sha256), BLOBS.decode(body)

    def _reindex(self, report: Report) -> None:
        # Blobs that were brought back after their mark, and those whose upload ended before all was indexed.
        for (domain, sha256), row in self._blobs():
            if not (row.indexed or row.garbage or row.dying or self._damaged(domain, sha256)):
                add = partial(_index_missing, domain=domain)
                chunks.index_blob(self._index, domain, sha256, add)
                report.reindexed += 1

    def _damaged(self, domain: int, sha256: bytes) -> bool:
        with self._index.read() as view:
            return holdings.damaged(view, domain, sha256)

    def _is_garbage(self, view: View, key: Key, referenced: Referenced, now: int) -> bool:
        return not referenced(view, *key) and not holdings.is_pinned(view, *key, now)

    def _mark(self, report: Report, referenced: Referenced, now: int) -> dict[int, Intervals]:
        """Marks what is garbage now; what the other blobs and the uploads refer to, by pack."""
        candidates, marked, latest = [], set[Key](), 0
        for some in _batched(self._blobs(), _ROWS):
            with self._index.read() as view:
                for key, row in some:
                    if row.garbage or row.dying:
                        marked.add(key)
                        latest = max(latest, row.epoch)
                    elif self._is_garbage(view, key, referenced, now):
                        candidates.append(key)
        if not candidates and not marked:
            return {}
        live = self._space.kept({*candidates, *marked})
        with self._index.read() as view:
            cut_off = latest > chunks.epoch(view)
        for key in candidates:
            report.marked += self._mark_one(key, live, referenced, now)
        if candidates or cut_off:
            transact(self._index, chunks.advance_epoch)
        return live

    def _mark_one(self, key: Key, live: dict[int, Intervals], referenced: Referenced, now: int) -> bool:
        after: tuple[int, bytes, int] | None = None

        def batch(txn: Txn) -> tuple[bool, tuple[int, bytes, int] | None]:
            row = holdings.held(txn, *key)
            if row is None or row.garbage or not self._is_garbage(txn, key, referenced, now):
                return False, None
            some = list(islice(txn.scan(BLOB_PARTS, *key, after=after), _PARTS))
            for _, part in some:
                chunks.unindex(txn, key[0], part, live)
            if len(some) == _PARTS:
                txn.put(BLOBS, *key, replace(row, indexed=False))
                return False, some[-1][0]
            # Read here and not before: a repair may have moved it on, and an upload begun since, which looked up what is marked now.
            epoch = chunks.epoch(txn) + 1
            txn.put(BLOBS, *key, replace(row, garbage=now, epoch=epoch, indexed=False))
            return True, None

        while True:
            marked, after = transact(self._index, batch)
            if after is None:
                return marked

    def _delete(
        self, report: Report, live: dict[int, Intervals], referenced: Referenced, now: int, before: int
    ) -> None:
        oldest = self._oldest_upload()
        for key, row in self._blobs():
            if row.dying:  # by a collection that was cut off, perhaps before it looked for readers
                if self._held.holds(key[1]):
                    report.deferred += 1
                else:
                    report.deleted += self._delete_one(key, live)
            elif row.garbage and row.garbage <= before:
                if row.epoch > oldest or self._held.holds(key[1]):
                    report.deferred += 1
                elif self._condemn(key, row, referenced, now):
                    report.bytes_deleted += row.size
                    report.deleted += self._delete_one(key, live)

    def _oldest_upload(self) -> int:
        # Uploads that begin from now on have at least the present epoch, which no mark exceeds.
        epochs = [
            row.epoch for _, body in self._index.rows(UPLOADS) if not (row := UPLOADS.decode(body)).done
        ]
        return min(epochs, default=1 << 63)

    def _condemn(self, key: Key, seen: Blob, referenced: Referenced, now: int) -> bool:
        def change(txn: Txn) -> bool:
            row = txn.get(BLOBS, *key)
            if row is None or row.dying or row.garbage != seen.garbage or row.epoch != seen.epoch:
                return False
            if not self._is_garbage(txn, key, referenced, now):
                # It was referred to by a way that did not take the mark away.
                txn.put(BLOBS, *key, replace(row, garbage=0, epoch=0))
                return False
            if not holdings.complete(txn, *key, row.size):
                chunks.ask_for_audit(txn)
            txn.put(BLOBS, *key, replace(row, dying=True))
            return True

        if not transact(self._index, change):
            return False
        if not self._held.holds(key[1]):
            return True
        # A reader came before the row said that the blob is dying; those who come later are told that it is gone.
        transact(self._index, lambda txn: self._reprieve(txn, key))
        return False

    def _reprieve(self, txn: Txn, key: Key) -> None:
        row = txn.get(BLOBS, *key)
        if row is not None and row.dying:
            txn.put(BLOBS, *key, replace(row, dying=False))

    def _delete_one(self, key: Key, live: dict[int, Intervals]) -> bool:
        def batch(txn: Txn) -> bool | None:
            row = txn.get(BLOBS, *key)
            if row is None or not row.dying:
                return False
            some = list(islice(txn.scan(BLOB_PARTS, *key), _PARTS))
            for place, part in some:
                # The mark took these rows away already, but one must never outlive the bytes it points to.
                chunks.unindex(txn, key[0], part, live)
                txn.delete(BLOB_PARTS, *place)
            if len(some) == _PARTS:
                return None
            for place in [place for place, _ in txn.scan(DAMAGES, *key)]:
                txn.delete(DAMAGES, *place)
            if row.md5:
                txn.delete(MD5S, key[0], row.md5, key[1])
            txn.delete(BLOBS, *key)
            return True

        while (ended := transact(self._index, batch)) is None:
            pass
        return ended


def _index_missing(txn: Txn, part: Part, domain: int) -> None:
    chunks.index_missing(txn, domain, part)


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some
