"""The space of packs: what of it is referred to, and how the rest is given back to the file system."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial

from runstone.errors import RunstoneError
from runstone.storage import chunks
from runstone.storage.chunks import transact
from runstone.storage.index import Index
from runstone.storage.intervals import Intervals
from runstone.storage.openpacks import OpenPacks
from runstone.storage.packs import PackPool
from runstone.storage.parts import extents
from runstone.storage.reading import Held
from runstone.storage.tables import BLOB_PARTS, PACKS, UPLOAD_PARTS, Part


@dataclass(slots=True)
class Report:
    """What a collection did: blobs marked, brought back by re-indexing, deleted, and left for an upload or a reader.

    ``bytes_deleted`` is the size of the deleted blobs, ``bytes_freed`` what the file system has more of afterwards. ``bytes_deferred`` are
    free but in use by readers. ``can_punch`` is false where the file system can free nothing but whole packs.
    """

    marked: int = 0
    reindexed: int = 0
    deleted: int = 0
    deferred: int = 0
    uploads_expired: int = 0
    pins_expired: int = 0
    bytes_deleted: int = 0
    bytes_freed: int = 0
    bytes_deferred: int = 0
    packs_removed: int = 0
    ranges_punched: int = 0
    can_punch: bool = True
    failures: list[str] = field(default_factory=list)


class Space:
    """The packs of one store, as the collector sees them."""

    def __init__(self, index: Index, pool: PackPool, packs: OpenPacks, held: Held) -> None:
        self._index, self._pool, self._packs, self._held = index, pool, packs, held

    def live(self) -> dict[int, Intervals]:
        """What blobs and uploads refer to, by pack: what must not be freed."""
        ranges: dict[int, list[tuple[int, int]]] = {}
        for _, body in self._index.rows(UPLOAD_PARTS, batch=64):
            _collect(ranges, UPLOAD_PARTS.decode(body))
        return self._of_blobs(ranges, frozenset())

    def kept(self, without: AbstractSet[tuple[int, bytes]]) -> dict[int, Intervals]:
        """What blobs, but for some, refer to, by pack: what rows of the chunk index may point into."""
        return self._of_blobs({}, without)

    def _of_blobs(
        self, ranges: dict[int, list[tuple[int, int]]], without: AbstractSet[tuple[int, bytes]]
    ) -> dict[int, Intervals]:
        for key, body in self._index.rows(BLOB_PARTS, batch=64):
            if BLOB_PARTS.key.unpack(key)[:2] not in without:
                _collect(ranges, BLOB_PARTS.decode(body))
        return {pack: Intervals(found) for pack, found in ranges.items()}

    def free(self, report: Report, oldest_upload: Callable[[], int]) -> None:
        """Frees what nobody refers to. ``oldest_upload`` answers the epoch of the oldest upload under way."""
        chunks.audit(self._index, partial(self.kept, frozenset()))
        with self._index.read() as view:
            repaired, since = chunks.repair_epoch(view), chunks.generation(view)
            sizes = {pack: row.size for (pack,), row in view.scan(PACKS)}
        # Asked for after the epoch was read: an upload that began in between began after the repair.
        if repaired > oldest_upload():
            report.failures.append(
                "an upload that began before a repair is under way; space is freed after it has ended"
            )
            return
        if self._held.holds_from_before(repaired):
            report.failures.append(
                "a reader that began before a repair is under way; space is freed after it has ended"
            )
            return
        live = self.live()
        with self._index.read() as view:
            if chunks.generation(view) != since:
                report.failures.append(
                    "blobs were repaired or found damaged meanwhile; space is freed by the next collection"
                )
                return
        for pack, size in sizes.items():
            try:
                self._free_pack(report, pack, size, live.get(pack, Intervals()))
            except RunstoneError as error:
                report.failures.append(error.message)
        self._remove_strays(report, set(sizes))

    def _free_pack(self, report: Report, pack: int, size: int, live: Intervals) -> None:
        try:
            before = self._pool.backend.stat(pack).st_blocks
        except FileNotFoundError:
            before = 0
        if not live and self._remove_pack(pack, size):
            report.packs_removed += 1
            report.bytes_freed += before * 512
            return
        if not before:
            return

        def punch(start: int, stop: int) -> None:
            try:
                freed = self._pool.backend.punch(pack, start, stop - start)
            except BlockingIOError:
                report.bytes_deferred += stop - start
                return
            if freed:
                report.ranges_punched += 1
            else:
                report.can_punch = False

        for start, stop in live.gaps(0, size):
            left_out = self._held.free(pack, start, stop, punch)
            report.bytes_deferred += left_out
        report.bytes_freed += max(0, before - self._pool.backend.stat(pack).st_blocks) * 512

    def _remove_pack(self, pack: int, size: int) -> bool:
        if self._held.free(pack, 0, max(size, 1), lambda start, stop: None):
            return False
        writer = self._pool.own(pack)
        if writer is None and self._exists(pack):
            return False
        try:
            if writer is not None and writer.accounted != size:
                return False
            transact(self._index, lambda txn: txn.delete(PACKS, pack))
            self._packs.forget(pack)
            self._pool.backend.remove(pack)
        finally:
            if writer is not None:
                self._pool.discard(writer)
        return True

    def _exists(self, pack: int) -> bool:
        try:
            self._pool.backend.stat(pack)
        except FileNotFoundError:
            return False
        return True

    def _remove_strays(self, report: Report, known: set[int]) -> None:
        # Files of uploads that ended, or processes that died, before anything referred to them.
        for pack in self._pool.backend.packs():
            if pack in known:
                continue
            writer = self._pool.own(pack)
            if writer is None:
                continue
            try:
                with self._index.read() as view:
                    stray = view.get(PACKS, pack) is None
                if stray:
                    blocks = os.fstat(writer.handle).st_blocks
                    self._pool.backend.remove(pack)
                    report.packs_removed += 1
                    report.bytes_freed += blocks * 512
            except RunstoneError as error:
                report.failures.append(error.message)
            finally:
                self._pool.discard(writer)


def _collect(ranges: dict[int, list[tuple[int, int]]], part: Part) -> None:
    for pack, offset, length in extents(part):
        ranges.setdefault(pack, []).append((offset, offset + length))
