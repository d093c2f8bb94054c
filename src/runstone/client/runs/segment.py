"""Segments: the preallocated files that a journal is written into, through a memory map where that is safe.

A store to a mapped page whose file has no block behind it ends in SIGBUS and takes the training with it. So a segment is
mapped only on file systems where ``posix_fallocate`` holds the blocks back; elsewhere it is written with ``pwrite``, which can
refuse. Both go through the page cache: what was written outlives the process, not a power cut.
"""

from __future__ import annotations

import errno
import mmap
import os
import time
from pathlib import Path

SUFFIX = ".segment"
PAGE = 4096
_TOUCHED = 64 * PAGE
#: File systems on which a block that was allocated can be written again without another one.
MAPPABLE = frozenset({"ext2", "ext3", "ext4", "xfs", "tmpfs", "ramfs", "f2fs", "overlay"})


class Segment:
    """A stretch of a journal: ``size`` bytes from position ``base`` on, zeros where nothing was written.

    One of three: a mapped file, a file, or (``path`` is None) memory of this process only.
    """

    __slots__ = ("base", "handle", "map", "path", "size")

    def __init__(self, base: int, size: int, path: Path | None, handle: int, map: mmap.mmap | None) -> None:
        self.base, self.size = base, size
        self.path, self.handle, self.map = path, handle, map

    @classmethod
    def create(cls, path: Path, base: int, size: int, *, mapped: bool) -> Segment:
        """A new file of zeros whose blocks are allocated; raises OSError and leaves nothing behind."""
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, size)
            return cls(base, size, path, handle, mmap.mmap(handle, size) if mapped else None)
        except BaseException:
            path.unlink(missing_ok=True)
            os.close(handle)
            raise

    @classmethod
    def in_memory(cls, base: int, size: int) -> Segment:
        """A segment that no other process will ever see: for when the disk has no room."""
        return cls(base, size, None, -1, mmap.mmap(-1, size))

    @classmethod
    def open(cls, path: Path) -> Segment:
        """A segment that another process left, to be read; raises OSError, and ValueError for a foreign name."""
        base = int(path.name.removesuffix(SUFFIX), 16)
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return cls(base, os.fstat(handle).st_size, path, handle, None)

    def touch(self) -> None:
        """Brings every page in, so that the first writer of a page does not wait for it; before anything is written."""
        if self.map is not None:
            for at in range(0, self.size, PAGE):
                self.map[at] = 0
                if at % _TOUCHED == 0:
                    time.sleep(0)  # lets whoever waits for the interpreter have it

    def write(self, at: int, data: bytes) -> None:
        """Writes inside the segment; raises OSError where it is not mapped."""
        if self.map is not None:
            self.map[at : at + len(data)] = data
        elif os.pwrite(self.handle, data, at) < len(data):
            raise OSError(errno.ENOSPC, "the segment was written in part")

    def read(self, at: int, length: int) -> bytes:
        """The bytes from ``at`` on; fewer at the segment's end."""
        if self.map is not None:
            return self.map[at : at + length]
        return os.pread(self.handle, max(min(length, self.size - at), 0), at)

    def close(self, *, remove: bool = False) -> None:
        """Lets map and file go; a second time does nothing."""
        map_, self.map = self.map, None
        handle, self.handle = self.handle, -1
        if map_ is not None:
            map_.close()
        if handle >= 0:
            os.close(handle)
        if remove and self.path is not None:
            self.path.unlink(missing_ok=True)


def is_mappable(directory: Path) -> bool:
    """Whether the file system of a directory is one of :data:`MAPPABLE`; no where the kernel does not tell."""
    try:
        mounts = Path("/proc/self/mountinfo").read_bytes().splitlines()
        device = directory.stat().st_dev
    except OSError:
        return False
    number = f"{os.major(device)}:{os.minor(device)}".encode()
    for line in mounts:
        fields, _, tail = line.partition(b" - ")
        if fields.split(b" ")[2] == number:
            return tail.split(b" ")[0].decode("ascii", "replace") in MAPPABLE
    return False


def path_of(directory: Path, base: int) -> Path:
    """Where the segment that begins at a position lies."""
    return directory / f"{base:016x}{SUFFIX}"


def found_in(directory: Path) -> list[Path]:
    """The segment files of a journal's directory, by position."""
    return sorted(path for path in directory.iterdir() if path.name.endswith(SUFFIX))
