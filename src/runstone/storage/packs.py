"""Packs as a process writes them: each leased to one upload at a time, so that new bytes of one blob lie together.

Bytes are appended past what the index accounts for, made durable, and then accounted for in the transaction that refers to
them. Accounted bytes are never written again, and the accounted size never shrinks: a stretch that nobody refers to stays free
until the collector gives it back. What lies past it after a crash is nobody's, and the next owner cuts it off.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from runstone.errors import RunstoneError, StorageFailed
from runstone.storage import chunks
from runstone.storage.backends.packs import BLOCK, PackBackend
from runstone.storage.chunks import transact
from runstone.storage.index import Index, Txn
from runstone.storage.tables import PACKS, Pack

#: A pack this large is given to no further upload. One large blob may make it larger.
FULL = 1 << 30
#: A blob of at least this many bytes starts on a block, so that it can be mapped where it lies.
LARGE = 64 << 10
_SMALL_ALIGNMENT = 16
_MAX_IDLE = 8

Signature = tuple[int, int, int, int]


def signature(stat: os.stat_result) -> Signature:
    """What changes when a file is replaced or written to: device, inode, time of change, size."""
    # The time of the inode's change and not that of the content's: the latter can be set back.
    return stat.st_dev, stat.st_ino, stat.st_ctime_ns, stat.st_size


class Changes:
    """Tells this process's own appends to a pack from changes that anybody else made to the file.

    A pack's *chain* stays the same while each of our appends finds the file as our last one left it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[int, tuple[Signature, int]] = {}
        self._chains = 0

    def before(self, pack: int, found: Signature) -> None:
        """Notes the state of a pack that we are about to change."""
        with self._lock:
            known = self._known.get(pack)
            if known is None or known[0] != found:
                self._chains += 1
                self._known[pack] = found, self._chains

    def after(self, pack: int, left: Signature) -> None:
        """Notes the state in which we left it."""
        with self._lock:
            self._known[pack] = left, self._known[pack][1]

    def chain(self, pack: int, found: Signature) -> int:
        """The chain of a pack in the state found, or 0 when that is not how we left it."""
        with self._lock:
            known = self._known.get(pack)
            return known[1] if known is not None and known[0] == found else 0

    def forget(self, pack: int) -> None:
        """Drops a pack that was removed, or released."""
        with self._lock:
            self._known.pop(pack, None)


@dataclass(slots=True)
class PackWriter:
    """The one writer of a pack. ``end`` is where the next byte goes, ``accounted`` what the index has of it."""

    pack: int
    handle: int
    domain: int
    created: int
    end: int
    accounted: int
    fresh: bool
    broken: bool = False


class PackPool:
    """The packs that this process owns, idle or leased; safe from threads."""

    def __init__(self, index: Index, backend: PackBackend, clock: Callable[[], int]) -> None:
        self._index = index
        self.backend = backend
        self.changes = Changes()
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: list[PackWriter] = []
        self._broken: list[PackWriter] = []

    def lease(self, domain: int, prefer: tuple[int, int] | None = None) -> PackWriter:
        """A writer of a pack of a domain, for one upload. ``prefer`` is a (pack, end) to go on with, if it still ends there."""
        if prefer is not None:
            writer = self.take(prefer[0]) or self._claim(prefer[0], domain)
            if writer is not None and writer.end == prefer[1]:
                return writer
            if writer is not None:
                self.release(writer)
        return self._take_idle(domain) or self._claim_any(domain) or self._create(domain)

    def _take_idle(self, domain: int) -> PackWriter | None:
        while True:
            with self._lock:
                fit = [writer for writer in self._idle if writer.domain == domain]
                if not fit:
                    return None
                self._idle.remove(fit[-1])
            if self._is_whole(fit[-1]):
                return fit[-1]
            self._close(fit[-1])

    def _is_whole(self, writer: PackWriter) -> bool:
        # What somebody deleted, replaced or cut short behind our back must not take new bytes.
        try:
            named = self.backend.stat(writer.pack)
        except FileNotFoundError:
            return False
        ours = os.fstat(writer.handle)
        return (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino) and ours.st_size >= writer.accounted

    def take(self, pack: int) -> PackWriter | None:
        """The writer of a pack if it is idle here."""
        with self._lock:
            for place, writer in enumerate(self._idle):
                if writer.pack == pack:
                    return self._idle.pop(place)
        return None

    def _claim_any(self, domain: int) -> PackWriter | None:
        with self._index.read() as view:
            open_packs = [
                pack
                for (pack,), row in view.scan(PACKS)
                if row.domain == domain and not row.sealed and row.size < FULL
            ]
        for pack in open_packs:
            writer = self._claim(pack, domain)
            if writer is not None:
                return writer
        return None

    def _claim(self, pack: int, domain: int) -> PackWriter | None:
        handle = self.backend.claim(pack)
        if handle is None:
            return None
        # Only the owner changes the row, so it is read after the pack has become ours.
        with self._index.read() as view:
            row = view.get(PACKS, pack)
        size = os.fstat(handle).st_size
        if row is None or row.sealed or row.domain != domain or size < row.size:
            os.close(handle)
            return None
        # What lies past the accounted size is overwritten, and cut off when the pack is given back.
        return PackWriter(pack, handle, domain, row.created, row.size, row.size, fresh=False)

    def _create(self, domain: int) -> PackWriter:
        while True:
            pack = int.from_bytes(os.urandom(8), "big")
            try:
                handle = self.backend.create(pack)
            except FileExistsError:
                continue
            return PackWriter(pack, handle, domain, self._clock(), 0, 0, fresh=True)

    def append(self, writer: PackWriter, buffers: Sequence[memoryview], length: int, offset: int) -> None:
        """Writes buffers of ``length`` bytes at ``offset``, which is ``end`` or somewhat past it, and moves ``end``."""
        if writer.broken:
            raise StorageFailed(f"pack {writer.pack:016x}: an earlier write failed; send the upload again")
        self.changes.before(writer.pack, signature(os.fstat(writer.handle)))
        try:
            self.backend.append(writer.pack, writer.handle, buffers, offset)
        except StorageFailed:
            writer.broken = True
            raise
        self.changes.after(writer.pack, signature(os.fstat(writer.handle)))
        writer.end = offset + length
        self.backend.flush(writer.handle, offset, length)

    def sync(self, writer: PackWriter) -> None:
        """Makes a writer's bytes durable. After a failure nobody knows what is on the disk: the pack takes no more."""
        if writer.end == writer.accounted and not writer.fresh:
            return
        try:
            self.backend.sync(writer.pack, writer.handle, name=writer.fresh)
            if not self._is_whole(writer):
                raise StorageFailed(
                    f"pack {writer.pack:016x} was removed or cut short while it was written to; try again"
                )
        except RunstoneError:
            writer.broken = True
            raise
        writer.fresh = False

    def account(self, txn: Txn, writer: PackWriter) -> None:
        """Accounts, in a transaction, for all that was synced; call :meth:`accounted` once it is durable."""
        txn.put(PACKS, writer.pack, Pack(writer.end, writer.domain, writer.created))

    def accounted(self, writer: PackWriter) -> None:
        """Says that the transaction that accounted for a writer's bytes is durable."""
        writer.accounted = writer.end

    def rewind(self, writer: PackWriter) -> None:
        """Forgets the bytes that nothing accounts for."""
        if writer.broken:
            return
        if os.fstat(writer.handle).st_size > writer.accounted:
            # The index has the last word: who was to say that a transaction is durable may have been interrupted first.
            with self._index.read() as view:
                writer.accounted = max(writer.accounted, chunks.pack_size(view, writer.pack))
            self.backend.cut(writer.pack, writer.handle, writer.accounted)
            self.changes.before(writer.pack, signature(os.fstat(writer.handle)))
        writer.end = writer.accounted

    def release(self, writer: PackWriter) -> None:
        """Gives a writer back; bytes that nothing accounts for are dropped."""
        if not writer.broken:
            try:
                self.rewind(writer)
            except RunstoneError:
                writer.broken = True
        if writer.broken:
            self._retire(writer)
            return
        with self._lock:
            keep = writer.end < FULL and len(self._idle) < _MAX_IDLE
            if keep:
                self._idle.append(writer)
        if not keep:
            self._close(writer)

    def _retire(self, writer: PackWriter) -> None:
        # Sealed in the index, so that no process appends to it again. Where even that fails, the lock is kept for as long as
        # this process lives.
        try:
            transact(self._index, lambda txn: self._seal(txn, writer))
        except RunstoneError:
            with self._lock:
                self._broken.append(writer)
            return
        self._close(writer)

    def _seal(self, txn: Txn, writer: PackWriter) -> None:
        size = max(writer.accounted, chunks.pack_size(txn, writer.pack))
        txn.put(PACKS, writer.pack, Pack(size, writer.domain, writer.created, sealed=True))

    def discard(self, writer: PackWriter) -> None:
        """Closes the writer of a pack that has been removed."""
        self._close(writer)

    def _close(self, writer: PackWriter) -> None:
        self.changes.forget(writer.pack)
        os.close(writer.handle)

    def own(self, pack: int) -> PackWriter | None:
        """The writer of a pack that nobody is writing to, for its removal; one without a row counts as empty."""
        writer = self.take(pack)
        if writer is not None:
            return writer
        handle = self.backend.claim(pack)
        if handle is None:
            return None
        with self._index.read() as view:
            row = view.get(PACKS, pack)
        size, domain, created = (row.size, row.domain, row.created) if row else (0, 0, 0)
        return PackWriter(pack, handle, domain, created, size, size, fresh=False)

    def close(self) -> None:
        """Gives up every pack that is not leased."""
        with self._lock:
            writers, self._idle = self._idle + self._broken, []
            self._broken = []
        for writer in writers:
            self._close(writer)


@dataclass(slots=True)
class Lease:
    """One upload's right to append to a pack, taken with its first new byte. ``ranges`` is what it wrote: (pack, start, stop).

    ``recent`` remembers where its own new chunks went, which the index does not know yet.
    """

    pool: PackPool
    domain: int
    ranges: list[tuple[int, int, int]] = field(default_factory=list)
    recent: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    writer: PackWriter | None = None

    def take(self) -> PackWriter:
        """The writer, leased now if it was not."""
        if self.writer is None:
            prefer = (self.ranges[-1][0], self.ranges[-1][2]) if self.ranges else None
            self.writer = self.pool.lease(self.domain, prefer)
        return self.writer

    def append(self, buffers: Sequence[memoryview], length: int, offset: int) -> None:
        """Writes buffers at ``offset`` of the leased pack and notes the range as its own."""
        writer = self.take()
        start = writer.end
        self.pool.append(writer, buffers, length, offset)
        if self.ranges and self.ranges[-1][0] == writer.pack and self.ranges[-1][2] == start:
            self.ranges[-1] = writer.pack, self.ranges[-1][1], writer.end
        else:
            self.ranges.append((writer.pack, offset, writer.end))

    def sync(self) -> None:
        """Makes what was written durable."""
        if self.writer is not None:
            self.pool.sync(self.writer)

    def account(self, txn: Txn) -> None:
        """Accounts in a transaction for what was written."""
        if self.writer is not None and self.writer.end > self.writer.accounted:
            self.pool.account(txn, self.writer)

    def accounted(self) -> None:
        """Says that the transaction is durable."""
        if self.writer is not None:
            self.pool.accounted(self.writer)

    def own_ranges(self) -> list[tuple[int, int, int]]:
        """What was written and accounted for; the rest is cut off when the pack is given back, and may be another's from then on."""
        end = {self.writer.pack: self.writer.accounted} if self.writer is not None else {}
        return [(pack, start, min(stop, end.get(pack, stop))) for pack, start, stop in self.ranges]

    def release(self) -> None:
        """Gives the pack back, without what was not accounted for."""
        writer, self.writer = self.writer, None
        if writer is not None:
            self.pool.release(writer)


def aligned(end: int, size: int | None) -> int:
    """Where a blob of ``size`` bytes (None: not known) may start in a pack that ends at ``end``."""
    step = BLOCK if size is None or size >= LARGE else _SMALL_ALIGNMENT
    return -(-end // step) * step
