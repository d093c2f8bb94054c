"""Locks between processes of one host: ``flock`` on files, which the kernel lets go when a process dies."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from runstone.errors import TryAgain

_SHORTEST, _LONGEST = 0.002, 0.1


class FileLock:
    """A lock on a file of its own, held from when it is made until :meth:`release`.

    The file is made if need be, and may be removed by the holder only (``release(remove=True)``).
    """

    __slots__ = ("handle", "path")

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self.handle = handle

    @classmethod
    def try_acquire(cls, path: Path, *, shared: bool = False) -> FileLock | None:
        """The lock, or None while another process (or another lock of this one) holds it."""
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                return None
            except BaseException:
                os.close(handle)
                raise
            if _is_same(handle, path):
                return cls(path, handle)
            os.close(handle)  # its last holder removed the file between our open and our lock

    @classmethod
    def acquire(cls, path: Path, *, shared: bool = False, seconds: float = 60.0) -> FileLock:
        """The lock, waited for; raises :class:`TryAgain` after ``seconds``."""
        deadline, pause = time.monotonic() + seconds, _SHORTEST
        while (lock := cls.try_acquire(path, shared=shared)) is None:
            if time.monotonic() > deadline:
                raise TryAgain(f"another process has held {path} for over {seconds:g} s")
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST)
        return lock

    def release(self, *, remove: bool = False) -> None:
        """Lets the lock go; a second time does nothing."""
        handle, self.handle = self.handle, -1
        if handle < 0:
            return
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(handle)

    def __enter__(self) -> FileLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _is_same(handle: int, path: Path) -> bool:
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(handle)
    return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)
