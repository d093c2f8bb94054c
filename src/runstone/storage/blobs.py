"""The blobs of one store: one door to packs, chunks, uploads, reading, collection and scrubbing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from runstone.errors import RunstoneError
from runstone.storage import damages, holdings, md5s
from runstone.storage.backends.packs import LocalPacks, PackBackend
from runstone.storage.batches import Batches
from runstone.storage.gc import Collector, Referenced, is_referenced
from runstone.storage.holdings import BlobInfo, Rows
from runstone.storage.index import Index, View
from runstone.storage.locks import Locks
from runstone.storage.openpacks import OpenPacks
from runstone.storage.packs import PackPool
from runstone.storage.reading import BlobReader, Chunks, Held, Reader
from runstone.storage.scrub import Progress, Scrubber, ScrubReport
from runstone.storage.space import Report
from runstone.storage.state import State
from runstone.storage.tables import DAMAGES
from runstone.storage.uploads import UploadInfo, UploadLimits, Uploads
from runstone.storage.xorbs import Xorbs


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
        self.held = Held(self.locks)
        self.reader = Reader(index, self.packs, self.held, clock)
        self.uploads = Uploads(index, self.pool, self.packs, self.locks, clock, limits or UploadLimits())
        self.batches = Batches(index, self.pool, self.packs, self.uploads, clock)
        self.xorbs = Xorbs(index, self.pool, self.packs, self.uploads, self.batches, clock)
        self.collector = Collector(index, self.pool, self.packs, self.held, self.uploads, self.locks, clock)
        self.scrubber = Scrubber(index, self.packs, self.reader, clock)

    def begin(
        self,
        domain: int,
        owner: str,
        size: int | None = None,
        sha256: bytes | None = None,
        *,
        md5: bool = False,
    ) -> bytes:
        """See :meth:`Uploads.begin`."""
        return self.uploads.begin(domain, owner, size, sha256, md5=md5)

    def upload(self, upload: bytes) -> UploadInfo:
        """See :meth:`Uploads.state`."""
        return self.uploads.state(upload)

    def write(self, upload: bytes, offset: int, data: bytes | bytearray | memoryview) -> int:
        """See :meth:`Uploads.write`."""
        return self.uploads.write(upload, offset, data)

    def checkpoint(self, upload: bytes) -> int:
        """See :meth:`Uploads.checkpoint`."""
        return self.uploads.checkpoint(upload)

    def finish(self, upload: bytes, sha256: bytes | None = None, size: int | None = None) -> BlobInfo:
        """See :meth:`Uploads.finish`."""
        info = self.uploads.finish(upload, sha256, size)
        self._heal()
        return info

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
    ) -> list[BlobInfo]:
        """See :meth:`Batches.put`."""
        stored = self.batches.put(domain, owner, files, progress, md5=md5)
        self._heal()
        return stored

    def put_bytes(
        self, domain: int, owner: str, contents: Sequence[bytes], *, md5: bool = False
    ) -> list[BlobInfo]:
        """See :meth:`Batches.put_bytes`."""
        stored = self.batches.put_bytes(domain, owner, contents, md5=md5)
        self._heal()
        return stored

    def _heal(self) -> None:
        # New bytes may be the ones that a damaged blob lacks.
        with self.index.read() as view:
            known = view.count(DAMAGES)
        if known:
            damages.heal(self.index, self.packs)

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

    def md5s(self, domain: int, digests: Iterable[bytes]) -> dict[bytes, bytes]:
        """See :func:`md5s.of_many`."""
        return md5s.of_many(self.index, self.reader, domain, digests)

    def with_md5(self, rows: Rows, domain: int, md5: bytes) -> list[bytes]:
        """See :func:`md5s.find`."""
        return md5s.find(rows, domain, md5)

    def open(self, domain: int, sha256: bytes) -> BlobReader:
        """See :meth:`Reader.open`; for segments, windows and mappings."""
        return self.reader.open(domain, sha256)

    def read(self, domain: int, sha256: bytes, start: int = 0, stop: int | None = None) -> bytes:
        """See :meth:`BlobReader.read`."""
        with self.open(domain, sha256) as blob:
            return blob.read(start, stop)

    def map(self, domain: int, sha256: bytes, start: int = 0, stop: int | None = None) -> memoryview | None:
        """See :meth:`BlobReader.map`."""
        with self.open(domain, sha256) as blob:
            return blob.map(start, stop)

    def chunks(self, domain: int, sha256: bytes, start: int = 0, stop: int | None = None) -> Chunks:
        """See :meth:`BlobReader.chunks`."""
        with self.open(domain, sha256) as blob:
            return blob.chunks(start, stop)

    def guard(self, domain: int, blobs: Mapping[bytes, int], owner: str = "") -> Callable[[State], None]:
        """See :func:`holdings.guard`."""
        return holdings.guard(domain, blobs, owner)

    def collect(
        self, *, grace_seconds: float, referenced: Referenced = is_referenced, now: int | None = None
    ) -> Report:
        """See :meth:`Collector.collect`."""
        report = self.collector.collect(grace_seconds=grace_seconds, referenced=referenced, now=now)
        self.xorbs.prune()
        return report

    def without_collection(self) -> contextlib.AbstractContextManager[None]:
        """See :meth:`Collector.suspended`."""
        return self.collector.suspended()

    def scrub(
        self, *, deep: bool = False, limit_rate: float | None = None, progress: Progress | None = None
    ) -> ScrubReport:
        """See :meth:`Scrubber.scrub`."""
        return self.scrubber.scrub(deep=deep, limit_rate=limit_rate, progress=progress)

    def repair(self, domain: int, sha256: bytes, source: Iterable[bytes], owner: str = "repair") -> BlobInfo:
        """Takes a damaged blob in again from good bytes, and heals other blobs that shared the damaged ones."""
        info = self.stat(domain, sha256)
        upload = self.begin(domain, owner, info.size, sha256)
        try:
            at = 0
            for piece in source:
                at = self.write(upload, at, piece)
            return self.finish(upload)
        except BaseException:
            with contextlib.suppress(RunstoneError):
                self.abort(upload)
            raise

    def damaged(self, view: View) -> Iterator[damages.DamagedBlob]:
        """See :func:`damages.damaged`."""
        return damages.damaged(view)

    def close(self) -> None:
        """Checkpoints the uploads in progress and closes what is open."""
        self.uploads.close()
        self.pool.close()
        self.packs.close()
        self.locks.close()
