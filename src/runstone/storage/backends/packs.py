"""The blob back end: append-only pack files, each with one writer at a time over all processes.

A pack is raw bytes and nothing else, so that a stretch of it can be sent with ``sendfile`` and mapped as it lies. What the bytes
are is known only to the index. A remote back end keeps finished packs as objects, with the local packs as its cache.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from runstone.errors import RunstoneError, StorageFailed, StorageFull
from runstone.storage import filesystem

#: What a file system frees at best when a hole is punched, and the alignment of a large blob's first byte.
BLOCK = 4096
_IOV_MAX = 1024
_PUNCH_HOLE, _KEEP_SIZE = 0x02, 0x01
_SYNC_FILE_RANGE_WRITE = 2
#: ``struct flock`` of 64-bit Linux (type, whence, start, length, pid), for locks on ranges of a pack per open file description.
LOCK = struct.Struct("hhqqi4x")
_CANNOT_PUNCH = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM)


class PackBackend(Protocol):
    """What packs are kept in. A handle is an open file descriptor that the caller closes.

    Every call raises :class:`StorageFull` when there is no room and :class:`StorageFailed` on any other fault, naming the pack.
    """

    def path(self, pack: int) -> Path:
        """Where a pack lies on this machine, if it is there."""

    def create(self, pack: int) -> int:
        """Creates an empty pack and answers a handle that owns it; raises FileExistsError when the id is taken."""

    def claim(self, pack: int) -> int | None:
        """A handle that owns an existing pack, or None when another writer owns it or it is gone."""

    def open(self, pack: int) -> int:
        """A handle for reading; raises FileNotFoundError."""

    def stat(self, pack: int) -> os.stat_result:
        """The state of the file that now bears the pack's name; raises FileNotFoundError."""

    def append(self, pack: int, handle: int, buffers: Sequence[memoryview], offset: int) -> None:
        """Writes all the bytes of the buffers at an offset; short writes are continued."""

    def cut(self, pack: int, handle: int, size: int) -> None:
        """Drops what lies past ``size``."""

    def flush(self, handle: int, offset: int, length: int) -> None:
        """Asks for bytes to be written soon, so that a later sync waits less. Promises nothing."""

    def sync(self, pack: int, handle: int, *, name: bool) -> None:
        """Makes the pack's bytes durable; with ``name``, the file's name too."""

    def punch(self, pack: int, offset: int, length: int) -> bool:
        """Gives the space of a stretch back, which then reads as zeros. False where the file system cannot.

        Raises BlockingIOError while another process has locked a part of it for reading (:data:`LOCK`).
        """

    def remove(self, pack: int) -> None:
        """Deletes a pack; a missing one is no error."""

    def packs(self) -> Iterator[int]:
        """The ids of the packs that exist."""


class LocalPacks:
    """Packs as files ``<2 hex>/<16 hex>.pack`` under a directory; ownership is ``flock`` on the file."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, pack: int) -> Path:
        """Where a pack lies."""
        name = f"{pack:016x}"
        return self.directory / name[:2] / f"{name}.pack"

    def create(self, pack: int) -> int:
        """See :meth:`PackBackend.create`."""
        path = self.path(pack)
        with wrapped(f"pack {pack:016x}: cannot be created"):
            filesystem.make_directory(path.parent)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        # The collector removes files that have neither a row nor an owner, and may have come in between.
        if _own(handle) and os.fstat(handle).st_nlink:
            return handle
        os.close(handle)
        raise FileExistsError(errno.EEXIST, "taken while it was being created", str(path))

    def claim(self, pack: int) -> int | None:
        """See :meth:`PackBackend.claim`."""
        try:
            handle = os.open(self.path(pack), os.O_RDWR)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise storage_error(error, f"pack {pack:016x}: cannot be opened") from error
        if _own(handle) and os.fstat(handle).st_nlink:
            return handle
        os.close(handle)
        return None

    def open(self, pack: int) -> int:
        """See :meth:`PackBackend.open`."""
        with wrapped(f"pack {pack:016x}: cannot be opened"):
            return os.open(self.path(pack), os.O_RDONLY)

    def stat(self, pack: int) -> os.stat_result:
        """See :meth:`PackBackend.stat`."""
        with wrapped(f"pack {pack:016x}: cannot be examined"):
            return self.path(pack).stat()

    def append(self, pack: int, handle: int, buffers: Sequence[memoryview], offset: int) -> None:
        """See :meth:`PackBackend.append`."""
        left = list(buffers)
        try:
            while left:
                written = os.pwritev(handle, left[:_IOV_MAX], offset)
                offset += written
                left = _skip(left, written)
        except OSError as error:
            raise storage_error(error, f"pack {pack:016x}: writing at {offset}") from error

    def cut(self, pack: int, handle: int, size: int) -> None:
        """See :meth:`PackBackend.cut`."""
        with wrapped(f"pack {pack:016x}: cannot be cut to {size} bytes"):
            os.ftruncate(handle, size)

    def flush(self, handle: int, offset: int, length: int) -> None:
        """See :meth:`PackBackend.flush`."""
        _libc("sync_file_range", 3)(handle, offset, length, _SYNC_FILE_RANGE_WRITE)

    def sync(self, pack: int, handle: int, *, name: bool) -> None:
        """See :meth:`PackBackend.sync`."""
        with wrapped(f"pack {pack:016x}: cannot be made durable"):
            os.fdatasync(handle)
            if name:
                filesystem.fsync_directory(self.path(pack).parent)

    def punch(self, pack: int, offset: int, length: int) -> bool:
        """See :meth:`PackBackend.punch`."""
        with wrapped(f"pack {pack:016x}: cannot be opened"):
            handle = os.open(self.path(pack), os.O_RDWR)
        try:
            # Held until the handle is closed: whoever maps the range in place has locked it first.
            fcntl.fcntl(handle, fcntl.F_OFD_SETLK, LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, offset, length, 0))
            return _punch(pack, handle, offset, length)
        finally:
            os.close(handle)

    def remove(self, pack: int) -> None:
        """See :meth:`PackBackend.remove`."""
        path = self.path(pack)
        with wrapped(f"pack {pack:016x}: cannot be removed"):
            path.unlink(missing_ok=True)
            filesystem.fsync_directory(path.parent)

    def packs(self) -> Iterator[int]:
        """See :meth:`PackBackend.packs`."""
        for path in sorted(self.directory.glob("??/????????????????.pack")):
            with contextlib.suppress(ValueError):
                yield int(path.stem, 16)


@contextlib.contextmanager
def wrapped(doing: str) -> Iterator[None]:
    """Turns an OSError into one of ours; that a file is missing or present already is for the caller to judge."""
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        raise storage_error(error, doing) from error


def storage_error(error: OSError, doing: str) -> RunstoneError:
    """The error for an OSError met while ``doing`` something."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageFull(f"{doing}: {error.strerror}; free some space and try again")
    return StorageFailed(f"{doing}: {error.strerror or error}; check the disk")


def _own(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _skip(buffers: list[memoryview], written: int) -> list[memoryview]:
    for place, buffer in enumerate(buffers):
        if written < len(buffer):
            return [buffer[written:], *buffers[place + 1 :]]
        written -= len(buffer)
    return []


def _punch(pack: int, handle: int, offset: int, length: int) -> bool:
    # Only whole blocks are freed; a part of one would be zeroed for nothing.
    start, stop = -(-offset // BLOCK) * BLOCK, (offset + length) // BLOCK * BLOCK
    if stop <= start or not _holds_data(handle, start, stop):
        return True
    import ctypes

    if _libc("fallocate", 4)(handle, _PUNCH_HOLE | _KEEP_SIZE, start, stop - start) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT_PUNCH:
        return False
    raise storage_error(
        OSError(code, os.strerror(code)), f"pack {pack:016x}: cannot free {length} bytes at {offset}"
    )


def _holds_data(handle: int, start: int, stop: int) -> bool:
    try:
        return os.lseek(handle, start, os.SEEK_DATA) < stop
    except OSError as error:
        return error.errno != errno.ENXIO


@functools.cache
def _libc(name: str, kind: int) -> Callable[..., Any]:
    # Loaded on first use: ctypes takes longer to import than the store takes to open.
    import ctypes

    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    wide = ctypes.c_int64
    function.restype = ctypes.c_int
    if kind == 3:
        function.argtypes = (ctypes.c_int, wide, wide, ctypes.c_uint)
    else:
        function.argtypes = (ctypes.c_int, ctypes.c_int, wide, wide)
    return function  # type: ignore[no-any-return]
