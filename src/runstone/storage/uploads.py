"""Uploads: blobs that arrive piece by piece, resume at any byte, and become present all at once.

One process at a time works on an upload, from a call that needs its state until :meth:`Uploads.checkpoint`, :meth:`Uploads.finish` or
:meth:`Uploads.abort`. Its hold is a lock that vanishes with it, so that after a crash another goes on from the last checkpoint.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from runstone.errors import (
    Conflict,
    Corrupt,
    DigestMismatch,
    Gone,
    Invalid,
    Missing,
    OffsetMismatch,
    RunstoneError,
    TooLarge,
)
from runstone.storage import chunks
from runstone.storage.chunks import transact
from runstone.storage.holdings import BlobInfo, Incoming, describe, require
from runstone.storage.index import Index, Txn
from runstone.storage.locks import Locks, number_of
from runstone.storage.openpacks import OpenPacks
from runstone.storage.packs import PackPool
from runstone.storage.sessions import Session
from runstone.storage.tables import PINS, UPLOADS, Upload

#: So many uploads that nobody is sending to are kept ready in memory.
_MAX_WAITING = 64


@dataclass(frozen=True, slots=True)
class UploadInfo:
    """An upload: how far it is (``offset``), what was announced, when it expires, and the blob it became (``done``)."""

    id: bytes
    domain: int
    owner: str
    offset: int
    size: int | None
    created: int
    expires: int
    done: bytes


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Bytes a blob may have, bytes between checkpoints, and for how many microseconds an upload and its pin are kept."""

    size: int = 1 << 44
    checkpoint: int = 64 << 20
    lifetime: int = 24 * 3600 * 1_000_000


class Uploads:
    """The uploads of one store; safe from threads."""

    def __init__(
        self,
        index: Index,
        pool: PackPool,
        packs: OpenPacks,
        locks: Locks,
        clock: Callable[[], int],
        limits: UploadLimits,
    ) -> None:
        self._index, self._pool, self._packs, self._locks = index, pool, packs, locks
        self._clock = clock
        self.limits = limits
        self._lock = threading.Lock()
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()
        #: Changed without the lock: one that is forgotten is let go of by the garbage collector, whenever it comes.
        self._held: set[bytes] = set()
        self._tidy = threading.Lock()
        self._tidied = 0
        self._tidying_now: Session | None = None

    def begin(
        self,
        domain: int,
        owner: str,
        size: int | None = None,
        sha256: bytes | None = None,
        *,
        md5: bool = False,
    ) -> bytes:
        """Begins an upload, durably; its id. ``size`` and ``sha256`` are what the bytes must turn out to be."""
        if size is not None and size < 0:
            raise Invalid(f"a blob cannot have {size} bytes")
        if size is not None and size > self.limits.size:
            raise TooLarge(f"a blob may have {self.limits.size} bytes, not {size}", limit=self.limits.size)
        if sha256 is not None and len(sha256) != 32:
            raise Invalid(f"a SHA-256 has 32 bytes, not {len(sha256)}")
        return self.announce(domain, owner, size, sha256 or b"", md5=md5)

    def announce(
        self, domain: int, owner: str, size: int | None = None, sha256: bytes = b"", *, md5: bool = False
    ) -> bytes:
        """Writes an upload's row. From then on what is garbage later stays on the disk until the upload has ended."""
        return self._announce(os.urandom(16), domain, owner, size, sha256, md5)

    def hold(self, domain: int, owner: str, *, md5: bool = False) -> bytes:
        """Announces an upload that this process is at work on until :meth:`unhold`: for as long as it lives it does not expire."""
        upload = os.urandom(16)
        self._held.add(upload)
        try:
            if not self._locks.acquire(number_of(upload)):
                raise _busy(upload)
            return self._announce(upload, domain, owner, None, b"", md5)
        except BaseException:
            self.unhold(upload)
            raise

    def unhold(self, upload: bytes) -> None:
        """Ends the hold on an upload, whose row is gone by now or may expire; a second call does nothing."""
        try:
            self._held.remove(upload)
        except KeyError:
            return
        self._locks.release(number_of(upload))

    def _announce(
        self, upload: bytes, domain: int, owner: str, size: int | None, sha256: bytes, md5: bool
    ) -> bytes:
        now = self._clock()

        def change(txn: Txn) -> None:
            row = Upload(domain, owner, now, now + self.limits.lifetime, 0, size, sha256, md5)
            counters = {"epoch": chunks.epoch(txn), "generation": chunks.generation(txn)}
            txn.put(UPLOADS, upload, replace(row, **counters))

        transact(self._index, change)
        return upload

    def state(self, upload: bytes) -> UploadInfo:
        """How far an upload is; raises :class:`Missing`."""
        with self._index.read() as view:
            row = view.get(UPLOADS, upload)
        if row is None:
            raise _unknown(upload)
        with self._lock:
            session = self._sessions.get(upload)
            offset = session.offset if session is not None and session.owned else row.offset
        return UploadInfo(upload, row.domain, row.owner, offset, row.size, row.created, row.expires, row.done)

    def write(self, upload: bytes, offset: int, data: bytes | bytearray | memoryview) -> int:
        """Takes in the bytes at ``offset``; the offset after them.

        Raises :class:`OffsetMismatch` when they do not continue the upload (``details["offset"]``: where it stands),
        :class:`TooLarge`, :class:`Conflict` while somebody else is sending, and :class:`StorageFull` or
        :class:`StorageFailed`, after which the upload goes on from its last checkpoint.
        """
        with self._working(upload) as session:
            if offset != session.offset:
                raise OffsetMismatch(
                    f"upload {upload.hex()} stands at {session.offset}, not at {offset}; go on from there",
                    offset=session.offset,
                )
            stop, row = offset + len(data), session.row
            limit = self.limits.size if row.size is None else row.size
            if stop > limit:
                what = "the limit is" if row.size is None else "the size announced is"
                raise TooLarge(f"upload {upload.hex()} would have {stop} bytes; {what} {limit}", limit=limit)
            with self._dropped_on_error(session):
                session.take(memoryview(data).cast("B"))
                if session.offset - row.offset >= self.limits.checkpoint:
                    session.checkpoint(self._clock() + self.limits.lifetime)
            return session.offset

    def checkpoint(self, upload: bytes) -> int:
        """Makes durable what has arrived, and lets others go on with the upload; the offset."""
        with self._working(upload) as session:
            with self._dropped_on_error(session):
                session.checkpoint(self._clock() + self.limits.lifetime)
            self._let_go(session)
            return session.offset

    def finish(self, upload: bytes, sha256: bytes | None = None, size: int | None = None) -> BlobInfo:
        """Makes the blob present, durable and pinned; what it is. A second call answers the same.

        Raises :class:`DigestMismatch` when the bytes are not the announced ones, and then keeps nothing of them.
        """
        with self._index.read() as view:
            row = view.get(UPLOADS, upload)
            if row is not None and row.done:
                return describe(row.domain, row.done, require(view, row.domain, row.done))
        with self._working(upload) as session:
            with self._dropped_on_error(session):
                blob = session.finish()
                try:
                    _require_announced(upload, blob, session.row, sha256, size)
                    now = self._clock()
                    session.store(blob, now, now + self.limits.lifetime)
                except (DigestMismatch, Corrupt):
                    session.abort()
                    raise
            domain = session.row.domain
            self._forget(session)
        with self._index.read() as view:
            return describe(domain, blob.sha256, require(view, domain, blob.sha256))

    def abort(self, upload: bytes) -> None:
        """Ends an upload and frees its bytes; one that was finished only loses its pin. Raises :class:`Missing`."""
        with self._index.read() as view:
            row = view.get(UPLOADS, upload)
        if row is not None and row.done:
            transact(self._index, lambda txn: self._forget_finished(txn, upload, row))
            return
        with self._working(upload, expired=True) as session:
            with self._dropped_on_error(session):
                session.abort()
            self._forget(session)

    def _forget_finished(self, txn: Txn, upload: bytes, row: Upload) -> None:
        txn.delete(PINS, row.domain, row.done, upload)
        txn.delete(UPLOADS, upload)

    def sweep(self, now: int) -> int:
        """Aborts the uploads that have expired and that nobody is sending to; how many."""
        self._drop_stale()
        expired = [
            UPLOADS.key.unpack(key)[0]
            for key, body in self._index.rows(UPLOADS)
            if UPLOADS.decode(body).expires <= now
        ]
        swept = 0
        for upload in expired:
            with contextlib.suppress(Conflict, Missing):
                self._sweep_one(upload)
                swept += 1
        return swept

    def _drop_stale(self) -> None:
        # Uploads that ended, or went on, in another process: what is kept for them here still holds a pack.
        with self._lock:
            waiting = [session for session in self._sessions.values() if not session.owned]
        for session in waiting:
            with self._tidying(session) as idle:
                if idle:
                    with self._index.read() as view:
                        row = view.get(UPLOADS, session.id)
                    if row is None or not session.is_at(row):
                        self._forget(session)

    def _sweep_one(self, upload: bytes) -> None:
        with self._lock:
            session = self._sessions.get(upload)
        if upload in self._held:
            raise _busy(upload)
        if session is not None and session.owned and session.lock.acquire(blocking=False):
            # A sender that has been silent for a day is gone.
            try:
                session.reset()
                self._let_go(session)
            finally:
                session.lock.release()
        self.abort(upload)

    @contextlib.contextmanager
    def _working(self, upload: bytes, *, expired: bool = False) -> Iterator[Session]:
        while (session := self._taken(upload)) is None:
            time.sleep(0.001)
        try:
            if not session.owned:
                self._own(session, expired)
            yield session
        finally:
            if session.owned and session.offset == session.row.offset:
                self._let_go(session)
            session.lock.release()
            self._trim()

    def _taken(self, upload: bytes) -> Session | None:
        """The session of an upload, locked; None while somebody tidies it up, which is no reason to turn a sender away."""
        with self._lock:
            session = self._sessions.get(upload)
            if session is None:
                session = self._sessions[upload] = Session(self._index, self._pool, self._packs, upload)
            self._sessions.move_to_end(upload)
            tidied, tidying = self._tidied, self._tidying_now is session
            if session.lock.acquire(blocking=False):
                return session
        if tidying or self._tidied != tidied:
            return None
        raise _busy(upload)

    @contextlib.contextmanager
    def _tidying(self, session: Session) -> Iterator[bool]:
        """Locks a session that nobody is sending to, to drop what is kept for it; False if somebody is sending after all."""
        with self._tidy:
            self._tidying_now = session
            self._tidied += 1
            locked = session.lock.acquire(blocking=False)
            try:
                yield locked and not session.owned
            finally:
                if locked:
                    session.lock.release()
                self._tidying_now = None

    def _own(self, session: Session, expired: bool) -> None:
        if not self._locks.acquire(number_of(session.id)):
            raise _busy(session.id)
        session.owned = True
        try:
            with self._index.read() as view:
                row = view.get(UPLOADS, session.id)
            if row is None:
                raise _unknown(session.id)
            if row.done:
                raise Conflict(f"upload {session.id.hex()} is finished; begin another")
            if row.expires <= self._clock() and not expired:
                raise Gone(f"upload {session.id.hex()} has expired; begin again")
            session.load(row, bare=expired)
        except BaseException:
            self._forget(session)
            raise

    @contextlib.contextmanager
    def _dropped_on_error(self, session: Session) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._forget(session)
            raise

    def _let_go(self, session: Session) -> None:
        if session.owned:
            session.owned = False
            self._locks.release(number_of(session.id))

    def _forget(self, session: Session) -> None:
        session.reset()
        self._let_go(session)
        with self._lock:
            self._sessions.pop(session.id, None)

    def _trim(self) -> None:
        with self._lock:
            waiting = [session for session in self._sessions.values() if not session.owned]
        for session in waiting[: max(0, len(waiting) - _MAX_WAITING)]:
            with self._tidying(session) as idle:
                if idle:
                    self._forget(session)

    def close(self) -> None:
        """Checkpoints what can be, and lets every upload go."""
        with self._lock:
            sessions = list(self._sessions.values())
        for session in sessions:
            with session.lock:
                if session.owned:
                    with contextlib.suppress(RunstoneError):
                        session.checkpoint(self._clock() + self.limits.lifetime)
                self._forget(session)
        self._held.clear()


def _require_announced(
    upload: bytes, blob: Incoming, row: Upload, sha256: bytes | None, size: int | None
) -> None:
    for wanted in (size, row.size):
        if wanted is not None and wanted != blob.size:
            raise DigestMismatch(
                f"upload {upload.hex()} has {blob.size} bytes and not {wanted}; send it again", size=blob.size
            )
    for digest in (sha256, row.sha256):
        if digest and digest != blob.sha256:
            raise DigestMismatch(
                f"upload {upload.hex()} has the SHA-256 {blob.sha256.hex()} and not {digest.hex()}; send it again",
                sha256=blob.sha256.hex(),
            )


def _busy(upload: bytes) -> Conflict:
    return Conflict(f"upload {upload.hex()} is being written to by another request; wait until it has ended")


def _unknown(upload: bytes) -> Missing:
    return Missing(f"there is no upload {upload.hex()}; begin one")
