"""Many files taken in at once: one sync of the pack and one transaction at the end, small files side by side in one pack."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from runstone.errors import Conflict, Missing, RunstoneError, TooLarge, TryAgain
from runstone.storage import chunks, holdings
from runstone.storage.chunks import transact
from runstone.storage.holdings import BlobInfo, Incoming, describe, require
from runstone.storage.index import Index, Txn
from runstone.storage.ingestion import Ingestion
from runstone.storage.openpacks import OpenPacks
from runstone.storage.packs import Lease, PackPool
from runstone.storage.sessions import Moved, confirm
from runstone.storage.tables import PINS, UPLOADS, Part, Pin
from runstone.storage.uploads import Uploads

_SLAB = 4 << 20
#: A larger file is an upload of its own, with checkpoints, so that the rows kept in memory (1 MB per GiB) stay few.
_LARGE_FILE = 4 << 30
#: What is stored in one transaction at most.
_MAX_BYTES = 8 << 30
_MAX_FILES = 10_000
_ATTEMPTS = 10


class Batches:
    """Takes in batches of files for one store."""

    def __init__(
        self, index: Index, pool: PackPool, packs: OpenPacks, uploads: Uploads, clock: Callable[[], int]
    ) -> None:
        self._index, self._pool, self._packs, self._uploads, self._clock = index, pool, packs, uploads, clock

    def put(
        self,
        domain: int,
        owner: str,
        files: Iterable[Path],
        progress: Callable[[int], object] | None = None,
        *,
        md5: bool = False,
    ) -> list[BlobInfo]:
        """Stores files, durably and pinned; what they became, in their order. On an error nothing of the files not yet stored is kept.

        ``progress`` is called with the number of bytes read since the last call. Raises :class:`Missing` for a file that is not
        there, :class:`Conflict` for one that changes while it is read, :class:`StorageFull` and :class:`StorageFailed`.
        """
        buffer = memoryview(bytearray(_SLAB))
        holder = self._uploads.hold(domain, owner, md5=md5)
        lease, waiting, digests = Lease(self._pool, domain), _Waiting(), list[bytes]()
        try:
            for path in files:
                handle = _open(path)
                try:
                    size, changed = _state(handle)
                    if size > self._uploads.limits.size:
                        limit = self._uploads.limits.size
                        raise TooLarge(f"{path} has {size} bytes; a blob may have {limit}", limit=limit)
                    pieces = _watched(_pieces(handle, buffer, size), progress)
                    if size > _LARGE_FILE:
                        digests.append(self._upload(domain, owner, size, pieces, md5))
                    else:
                        waiting.add(self._take(lease, size, pieces, md5))
                        digests.append(waiting.blobs[-1].sha256)
                    if _state(handle) != (size, changed):
                        raise Conflict(f"{path} changed while it was read; put it again when it is at rest")
                finally:
                    os.close(handle)
                if waiting.full:
                    self._store(lease, holder, owner, waiting)
                    waiting = _Waiting()
            self._store(lease, holder, owner, waiting, last=True)
        except BaseException:
            self.give_up(lease, holder)
            raise
        self._end(lease, holder)
        with self._index.read() as view:
            return [describe(domain, digest, require(view, domain, digest)) for digest in digests]

    def put_bytes(
        self, domain: int, owner: str, contents: Sequence[bytes], *, md5: bool = False
    ) -> list[BlobInfo]:
        """Stores contents that are in memory, durably and pinned; what they became, in their order. All of them, or none."""
        holder = self._uploads.hold(domain, owner, md5=md5)
        lease, waiting = Lease(self._pool, domain), _Waiting()
        try:
            for content in contents:
                waiting.add(self._take(lease, len(content), iter((memoryview(content),)), md5))
            self._store(lease, holder, owner, waiting, last=True)
        except BaseException:
            self.give_up(lease, holder)
            raise
        self._end(lease, holder)
        with self._index.read() as view:
            return [
                describe(domain, blob.sha256, require(view, domain, blob.sha256)) for blob in waiting.blobs
            ]

    def _take(self, lease: Lease, size: int, pieces: Iterator[memoryview], md5: bool) -> Incoming:
        ingestion = Ingestion(self._index, lease, size=size, md5=md5)
        for piece in pieces:
            ingestion.take(piece)
        ingestion.finish()
        sha256, xet, digest = ingestion.digests()
        return Incoming(sha256, xet, digest, ingestion.received, ingestion.all_parts())

    def _upload(self, domain: int, owner: str, size: int, pieces: Iterator[memoryview], md5: bool) -> bytes:
        upload = self._uploads.begin(domain, owner, size, md5=md5)
        try:
            at = 0
            for piece in pieces:
                at = self._uploads.write(upload, at, piece)
            return self._uploads.finish(upload).sha256
        except BaseException:
            with contextlib.suppress(RunstoneError):
                self._uploads.abort(upload)
            raise

    def store_alone(
        self, lease: Lease, holder: bytes, owner: str, blob: Incoming, also: Callable[[Txn], object]
    ) -> None:
        """Stores one blob that was taken in under an announced upload, which ends, with what ``also`` writes in the same transaction."""
        waiting = _Waiting()
        waiting.add(blob)
        try:
            self._store(lease, holder, owner, waiting, last=True, also=also)
        except BaseException:
            self.give_up(lease, holder)
            raise
        self._end(lease, holder)

    def _store(
        self,
        lease: Lease,
        holder: bytes,
        owner: str,
        waiting: _Waiting,
        *,
        last: bool = False,
        also: Callable[[Txn], object] | None = None,
    ) -> None:
        lease.sync()
        now = self._clock()
        expires = now + self._uploads.limits.lifetime
        with self._index.read() as view:
            row = view.get(UPLOADS, holder)
        if row is None:
            raise _gone()
        since, indexed = row.generation, True

        def change(txn: Txn) -> bool:
            if txn.get(UPLOADS, holder) is None:
                raise _gone()  # what it looked up may have been freed since
            if chunks.generation(txn) != since:
                raise Moved
            new = False
            for blob in waiting.blobs:
                blob.indexed = indexed
                new |= holdings.keep(txn, lease, blob, now)
                txn.put(PINS, lease.domain, blob.sha256, holder, Pin(expires, owner))
            if new:
                lease.account(txn)
            if last:
                txn.delete(UPLOADS, holder)
            if also is not None:
                also(txn)
            return new

        for _ in range(_ATTEMPTS):
            since, indexed = confirm(self._index, self._packs, lease, waiting.parts(), since)
            try:
                new = transact(self._index, change)
                break
            except Moved:
                continue
        else:
            raise TryAgain("the store is changing too fast to finish the batch; try again")
        if new:
            lease.accounted()
        # Of bytes that turned out to be here already the collector may free the new copy: nothing more may refer to it.
        lease.recent.clear()
        for blob in waiting.blobs:
            holdings.index_rest(self._index, lease, blob.sha256)

    def _end(self, lease: Lease, holder: bytes) -> None:
        lease.release()
        self._uploads.unhold(holder)

    def give_up(self, lease: Lease, holder: bytes) -> None:
        """Drops what was taken in under an announced upload, and the upload."""
        lease.release()
        with contextlib.suppress(RunstoneError):  # what failed is being raised, and the row expires by itself
            transact(self._index, lambda txn: txn.delete(UPLOADS, holder))
        self._uploads.unhold(holder)


class _Waiting:
    """Blobs that were taken in and are stored together."""

    def __init__(self) -> None:
        self.blobs: list[Incoming] = []
        self._size = 0

    def add(self, blob: Incoming) -> None:
        self.blobs.append(blob)
        self._size += blob.size

    @property
    def full(self) -> bool:
        return self._size >= _MAX_BYTES or len(self.blobs) >= _MAX_FILES

    def parts(self) -> Iterator[tuple[int, Part]]:
        for blob in self.blobs:
            yield from blob.parts


def _gone() -> Conflict:
    return Conflict("the batch was ended by somebody else; put the files again")


def _open(path: Path) -> int:
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise Missing(f"{path}: {error.strerror}") from error
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    return handle


def _state(handle: int) -> tuple[int, int]:
    found = os.fstat(handle)
    return found.st_size, found.st_mtime_ns


def _pieces(handle: int, buffer: memoryview, size: int) -> Iterator[memoryview]:
    # A file that grows as fast as it is read has no end.
    done = 0
    while done <= size and (count := os.readv(handle, [buffer])):
        done += count
        yield buffer[:count]


def _watched(pieces: Iterator[memoryview], progress: Callable[[int], object] | None) -> Iterator[memoryview]:
    for piece in pieces:
        yield piece
        if progress is not None:
            progress(len(piece))
