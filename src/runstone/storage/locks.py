"""Locks between processes that vanish with their holder: single bytes of one file, locked per open file description."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path

from runstone.storage import filesystem

#: type, whence, start, length, pid: ``struct flock`` of 64-bit Linux.
_FLOCK = struct.Struct("hhqqi4x")
#: The byte that a collection holds. Uploads hold one derived from their random id.
COLLECTION = 0


class Locks:
    """Exclusive locks on numbered bytes. Between the threads of one process its owner must keep order itself."""

    def __init__(self, path: Path) -> None:
        filesystem.make_directory(path.parent)
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def acquire(self, number: int) -> bool:
        """Takes a lock if no other process, and no other :class:`Locks`, holds it."""
        try:
            self._set(fcntl.F_WRLCK, number)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

    def release(self, number: int) -> None:
        """Gives a lock back."""
        self._set(fcntl.F_UNLCK, number)

    def _set(self, kind: int, number: int) -> None:
        fcntl.fcntl(self._handle, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, number, 1, 0))

    def close(self) -> None:
        """Gives every lock back."""
        os.close(self._handle)


def number_of(upload: bytes) -> int:
    """The byte for an upload's random id; 62 bits of it, so that no two uploads share one by chance."""
    return max(1, int.from_bytes(upload[:8], "big") >> 2)
