"""Files sent to a server: streamed by the kernel, resumed where they broke off, also by another process.

The SHA-256 that the server must have found is computed beside the sending, from the page cache, so that neither a flipped
bit nor a file that changes meanwhile becomes a version.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from runstone._native.digests import blake3, sha256
from runstone.client.connection import FileBody
from runstone.client.http import Http
from runstone.client.local import wrapping
from runstone.client.lock import FileLock
from runstone.errors import (
    Conflict,
    DigestMismatch,
    Gone,
    Invalid,
    Missing,
    OffsetMismatch,
    TryAgain,
    Unreachable,
)
from runstone.types import FileEntry, UploadInfo

Progress = Callable[[int, int], None]
T = TypeVar("T")

PARALLEL = 4
TELL_SECONDS = 0.2
_PIECE = 1 << 20
#: Files from this size on are remembered while they are sent; a smaller one is soon sent again.
REMEMBERED = 4 << 20
_UPLOADS = "/api/v1/uploads"


class _Finished(msgspec.Struct):
    size: int
    sha256: str


class Uploads:
    """Uploads of some files into a namespace. ``states`` is a directory where they are remembered until :meth:`forget`."""

    def __init__(self, http: Http, namespace: str, states: Path, progress: Progress | None = None) -> None:
        self._http, self._namespace, self._states = http, namespace, states
        self._progress = progress
        self._lock = threading.Lock()
        self._stop = False
        self._sent = 0
        self._bodies: set[FileBody] = set()
        self._kept: list[Path] = []
        self._error: BaseException | None = None

    def send(self, files: Sequence[tuple[str, Path]]) -> list[FileEntry]:
        """Sends files, several at a time; their entries, in order. The first error ends it; what was sent is resumed next time."""
        found: list[FileEntry | None] = [None] * len(files)
        todo = deque(enumerate(files))
        total = sum(path.stat().st_size for _, path in files)
        workers = [
            threading.Thread(
                target=self._work, args=(todo, found), name=f"runstone-put-{number}", daemon=True
            )
            for number in range(min(PARALLEL, len(files)))
        ]
        for worker in workers:
            worker.start()
        try:
            for worker in workers:
                while worker.is_alive():
                    worker.join(TELL_SECONDS)
                    if self._progress:
                        self._progress(self._done(), total)
        except BaseException:
            self._stop = True
            self._http.abort()
            raise
        finally:
            for worker in workers:
                worker.join()
        if self._error is not None:
            raise self._error
        return [entry for entry in found if entry is not None]

    def _done(self) -> int:
        with self._lock:
            return self._sent + sum(body.sent for body in self._bodies)

    def _work(self, todo: deque[tuple[int, tuple[str, Path]]], found: list[FileEntry | None]) -> None:
        try:
            while not self._stop:
                try:
                    number, (name, path) = todo.popleft()
                except IndexError:
                    return
                found[number] = self._send_one(name, path)
        except BaseException as error:  # the thread that asked raises it
            with self._lock:
                self._error = self._error or error
            self._stop = True

    def _send_one(self, name: str, path: Path) -> FileEntry:
        with wrapping(f"reading {path}"):
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        before = os.fstat(handle)
        digest = _Digest(handle, before.st_size)
        try:
            finished = self._send_handle(path, handle, before, digest)
            _require_unchanged(path, before, os.fstat(handle))
        finally:
            digest.join()
            os.close(handle)
        return FileEntry(path=name, size=finished.size, sha256=finished.sha256)

    def _send_handle(self, path: Path, handle: int, held: os.stat_result, digest: _Digest) -> _Finished:
        state = self._remembered(path, held) if held.st_size >= REMEMBERED else None
        try:
            upload = self._resumed(state, held.st_size) or self._begun(state, held.st_size)
            self._send_rest(upload, handle, held.st_size)
            return self._finish(upload, held.st_size, digest)
        except DigestMismatch as error:
            if state is not None:
                os.ftruncate(state.handle, 0)
            _require_unchanged(path, held, os.fstat(handle))
            raise DigestMismatch(f"{path} did not arrive as it is: {error.message}; put it again") from error
        finally:
            if state is not None:
                state.release()

    def _finish(self, upload: UploadInfo, size: int, digest: _Digest) -> _Finished:
        announced = {"size": size, "sha256": digest.result()}
        path = f"{_UPLOADS}/{upload.id}/finish"
        return self._when_free(lambda: self._http.call("POST", path, _Finished, value=announced))

    def _when_free(self, ask: Callable[[], T]) -> T:
        """What the server answers once it is done with a request of this upload that broke off: until then it refuses others."""
        deadline, attempt = time.monotonic() + self._http.retries.patience, 0
        while True:
            try:
                return ask()
            except Conflict as error:
                attempt += 1
                if type(error) is not Conflict or self._stop or time.monotonic() > deadline:
                    raise
                time.sleep(self._http.retries.wait(attempt, None))

    def _remembered(self, path: Path, held: os.stat_result) -> FileLock | None:
        """The state file of an upload, under its lock; None if another process sends the same file just now."""
        place = (
            f"{path.resolve()}\0{held.st_size}\0{held.st_mtime_ns}\0{self._http.origin}\0{self._namespace}"
        )
        with wrapping(f"remembering uploads in {self._states}"):
            lock = FileLock.try_acquire(self._states / blake3(os.fsencode(place)).hex()[:32])
        if lock is not None:
            with self._lock:
                self._kept.append(lock.path)
        return lock

    def _resumed(self, state: FileLock | None, size: int) -> UploadInfo | None:
        known = os.pread(state.handle, 64, 0).decode("ascii", "replace") if state else ""
        if not known.isalnum():
            return None
        try:
            offset = self._offset(known)
        except (Missing, Gone, Conflict, Invalid):
            return None
        return UploadInfo(id=known, offset=offset, size=size, expires=0) if offset <= size else None

    def _begun(self, state: FileLock | None, size: int) -> UploadInfo:
        upload = self._http.call(
            "POST", _UPLOADS, UploadInfo, value={"namespace": self._namespace, "size": size}
        )
        if state is not None:
            os.pwrite(state.handle, upload.id.encode(), 0)
        return upload

    def _offset(self, upload: str) -> int:
        response = self._http.request("HEAD", f"{_UPLOADS}/{upload}")
        self._http.give_back(response)
        return _offset_of(response.headers)

    def _send_rest(self, upload: UploadInfo, handle: int, size: int) -> None:
        """Sends what the server lacks, in one stream; after a break, from where the server says it stands."""
        offset, failures = upload.offset, 0
        with self._lock:
            self._sent += offset
        while offset < size:
            if self._stop:
                raise TryAgain("the upload was broken off")
            try:
                reached = self._when_free(lambda: self._send_from(upload.id, handle, offset, size))  # noqa: B023
            except TryAgain as error:
                failures += 1
                if self._stop or failures > self._http.retries.times:
                    raise
                time.sleep(self._http.retries.wait(failures, error.details.get("retry_after")))
                reached = self._offset(upload.id)
            except OffsetMismatch:
                failures += 1
                if failures > self._http.retries.times:
                    raise
                reached = self._offset(upload.id)
            if reached > offset:
                failures = 0
            with self._lock:
                self._sent += reached - offset
            offset = reached

    def _send_from(self, upload: str, handle: int, offset: int, size: int) -> int:
        body = FileBody(handle, offset, size - offset)
        with self._lock:
            self._bodies.add(body)
        try:
            response = self._http.exchange(
                "PATCH",
                f"{_UPLOADS}/{upload}",
                headers={"Upload-Offset": str(offset), "Content-Type": "application/octet-stream"},
                body=body,
            )
        finally:
            with self._lock:
                self._bodies.discard(body)
        if response.status != 204:
            raise self._http.error_of(response)
        self._http.give_back(response)
        return _offset_of(response.headers)

    def forget(self) -> None:
        """Removes the states: the version that the files were sent for is committed."""
        for path in self._kept:
            path.unlink(missing_ok=True)


class _Digest:
    """The SHA-256 of an open file; of a large one, computed beside its sending."""

    def __init__(self, handle: int, size: int) -> None:
        self._handle, self._size = handle, size
        self._error: OSError | None = None
        self._hex = ""
        self._thread: threading.Thread | None = None
        if size > _PIECE:
            self._thread = threading.Thread(target=self._read, name="runstone-digest", daemon=True)
            self._thread.start()

    def _read(self) -> None:
        import hashlib  # only who sends large files waits for its import

        hasher, offset = hashlib.sha256(), 0
        try:
            while data := os.pread(self._handle, _PIECE, offset):
                hasher.update(data)
                offset += len(data)
        except OSError as error:
            self._error = error
        self._hex = hasher.hexdigest()

    def join(self) -> None:
        """Waits until the file is not read any more."""
        if self._thread is not None:
            self._thread.join()

    def result(self) -> str:
        """The digest in hexadecimal."""
        self.join()
        with wrapping("reading a file that is being sent"):
            if self._error is not None:
                raise self._error
            if self._thread is None:
                return sha256(os.pread(self._handle, self._size, 0)).hex()
        return self._hex


def _offset_of(headers: dict[str, str]) -> int:
    text = headers.get("upload-offset", "")
    if not text.isascii() or not text.isdigit() or len(text) > 16:
        raise Unreachable(f"the server answered the upload offset {text!r:.40}")
    return int(text)


def _require_unchanged(path: Path, before: os.stat_result, after: os.stat_result) -> None:
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise Conflict(f"{path} was changed while it was sent; put it again when it is complete")
