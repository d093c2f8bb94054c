"""Locks between processes that vanish with their holder: single bytes of one file, locked per open file description."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path

from runstone.errors import StorageFailed
from runstone.storage import filesystem

#: type, whence, start, length, pid: ``struct flock`` of 64-bit Linux.
_FLOCK = struct.Struct("hhqqi4x")
#: The byte that a collection holds. Uploads hold one derived from their random id, below the following.
COLLECTION = 0
#: Who reads a blob shares a byte derived from its digest, and the byte of the repair that came last when the blob was opened.
_BLOBS, _REPAIRS = 1 << 62, (1 << 62) + (1 << 61)


class Locks:
    """Locks on numbered bytes. Between the threads of one process its owner must keep order itself."""

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

    def share(self, number: int) -> None:
        """Takes a lock together with others. Nobody takes these for itself alone, so it is always to be had."""
        try:
            self._set(fcntl.F_RDLCK, number)
        except OSError as error:
            raise StorageFailed(f"the lock file: {error.strerror}; close some readers") from error

    def is_held(self, number: int, count: int = 1) -> bool:
        """Whether some other process, or other :class:`Locks`, holds one of ``count`` locks, exclusively or shared."""
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, number, count, 0)
        found = _FLOCK.unpack(fcntl.fcntl(self._handle, fcntl.F_OFD_GETLK, asked))
        return bool(found[0] != fcntl.F_UNLCK)

    def release(self, number: int) -> None:
        """Gives a lock back; those of a closed file are back already."""
        if self._handle >= 0:
            self._set(fcntl.F_UNLCK, number)

    def _set(self, kind: int, number: int) -> None:
        fcntl.fcntl(self._handle, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, number, 1, 0))

    def close(self) -> None:
        """Gives every lock back."""
        handle, self._handle = self._handle, -1
        os.close(handle)


def number_of_blob(sha256: bytes) -> int:
    """The byte for the readers of a blob, in any domain. Where two blobs share one, the readers of one keep both."""
    return _BLOBS + (int.from_bytes(sha256[:8], "big") >> 3)


def number_of_repair(epoch: int) -> int:
    """The byte for the readers that began after the repair of an epoch and before the next."""
    return _REPAIRS + epoch


def number_of(upload: bytes) -> int:
    """The byte for an upload's random id; 62 bits of it, so that no two uploads share one by chance."""
    return max(1, int.from_bytes(upload[:8], "big") >> 2)
