"""The blobs of one store: one door to packs, chunks, uploads, reading, collection and scrubbing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from runstone.errors import RunstoneError
from runstone.storage import damages, holdings
from runstone.storage.backends.packs import LocalPacks, PackBackend
from runstone.storage.batches import Batch, Batches
from runstone.storage.holdings import BlobInfo
from runstone.storage.index import Index, View
from runstone.storage.locks import Locks
from runstone.storage.openpacks import OpenPacks
from runstone.storage.packs import PackPool
from runstone.storage.reading import Chunks, Held, OpenBlob, Reader
from runstone.storage.state import State
from runstone.storage.uploads import UploadInfo, UploadLimits, Uploads


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


class Blobs:
    """Blobs in packs under ``directory / "packs"``, with their rows in ``index``.

    Everything is synchronous and safe from threads; several processes may use one directory. Times are microseconds, digests raw bytes.
    A ``domain`` is a residency domain: nothing is shared between two of them.
    """

    def __init__(
        self,
        index: Index,
        directory: Path,
        *,
        clock: Callable[[], int] = now,
        limits: UploadLimits | None = None,
        backend: PackBackend | None = None,
    ) -> None:
        self.index = index
        self.clock = clock
        self.backend: PackBackend = backend or LocalPacks(directory / "packs")
        self.locks = Locks(directory / "packs" / "lock")
        self.pool = PackPool(index, self.backend, clock)
        self.packs = OpenPacks(self.backend, self.pool.changes)
        self.held = Held()
        self.reader = Reader(index, self.packs, self.held, clock)
        self.uploads = Uploads(index, self.pool, self.packs, self.locks, clock, limits or UploadLimits())
        self.batches = Batches(index, self.pool, self.packs, self.uploads, clock)

    def begin(
        self, domain: int, owner: str, size: int | None = None, sha256: bytes | None = None, *, md5: bool = False
    ) -> bytes:
        """See :meth:`Uploads.begin`."""
        return self.uploads.begin(domain, owner, size, sha256, md5=md5)

    def status(self, upload: bytes) -> UploadInfo:
        """See :meth:`Uploads.status`."""
        return self.uploads.status(upload)

    def write(self, upload: bytes, offset: int, data: bytes | bytearray | memoryview) -> int:
        """See :meth:`Uploads.write`."""
        return self.uploads.write(upload, offset, data)

    def checkpoint(self, upload: bytes) -> int:
        """See :meth:`Uploads.checkpoint`."""
        return self.uploads.checkpoint(upload)

    def finish(self, upload: bytes, sha256: bytes | None = None, size: int | None = None) -> BlobInfo:
        """See :meth:`Uploads.finish`."""
        return self.uploads.finish(upload, sha256, size)

    def abort(self, upload: bytes) -> None:
        """See :meth:`Uploads.abort`."""
        self.uploads.abort(upload)

    def put_many(
        self,
        domain: int,
        owner: str,
        files: Iterable[Path],
        progress: Callable[[int], object] | None = None,
        *,
        md5: bool = False,
    ) -> Batch:
        """See :meth:`Batches.put`."""
        return self.batches.put(domain, owner, files, progress, md5=md5)

    def put(self, domain: int, owner: str, data: bytes, *, md5: bool = False) -> BlobInfo:
        """Stores bytes that are in memory."""
        upload = self.begin(domain, owner, len(data), md5=md5)
        try:
            self.write(upload, 0, data)
            return self.finish(upload)
        except BaseException:
            with contextlib.suppress(RunstoneError):
                self.abort(upload)
            raise

    def stat(self, domain: int, sha256: bytes) -> BlobInfo:
        """See :meth:`Reader.stat`."""
        return self.reader.stat(domain, sha256)

    def open(self, domain: int, sha256: bytes) -> OpenBlob:
        """See :meth:`Reader.open`; for segments, windows and mappings."""
        return self.reader.open(domain, sha256)

    def read(self, domain: int, sha256: bytes, start: int = 0, stop: int | None = None) -> bytes:
        """See :meth:`OpenBlob.read`."""
        with self.open(domain, sha256) as blob:
            return blob.read(start, stop)

    def map(self, domain: int, sha256: bytes, start: int = 0, stop: int | None = None) -> memoryview | None:
        """See :meth:`OpenBlob.map`."""
        with self.open(domain, sha256) as blob:
            return blob.map(start, stop)

    def chunk_records(self, domain: int, sha256: bytes, start: int = 0, stop: int | None = None) -> Chunks:
        """See :meth:`OpenBlob.chunk_records`."""
        with self.open(domain, sha256) as blob:
            return blob.chunk_records(start, stop)

    def guard(
        self, domain: int, blobs: Iterable[tuple[bytes, int]], uploads: Iterable[bytes] = ()
    ) -> Callable[[State], None]:
        """See :func:`holdings.guard`."""
        return holdings.guard(domain, blobs, uploads)

    def damaged(self, view: View) -> Iterator[damages.DamagedBlob]:
        """See :func:`damages.damaged`."""
        return damages.damaged(view)

    def close(self) -> None:
        """Checkpoints the uploads in progress and closes what is open."""
        self.uploads.close()
        self.pool.close()
        self.packs.close()
        self.locks.close()
