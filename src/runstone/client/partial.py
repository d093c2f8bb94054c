"""A file on its way into the cache: preallocated at its final size, with a journal of the chunks that are in it.

The journal is a magic number and then pairs of u32 (first chunk, chunk after the last). A pair is appended after its
bytes were written, so a process that is killed leaves a journal that claims no more than the page cache holds; a power
cut may leave one that claims too much. So whoever goes on from a journal verifies what it claims.
"""

from __future__ import annotations

import bisect
import errno
import fcntl
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

from runstone.client import verify
from runstone.client.local import wrapping
from runstone.client.plan import Content

MAGIC = b"RSPART01"
_PAIR = struct.Struct("<II")
#: Shorter stretches are copied: a file of many small extents is slower to read than to write.
MIN_SHARED = 256 << 10
#: Of ``linux/fs.h``; takes source, its offset, a length, and an offset here.
_FICLONERANGE = 0x4020940D
_CANNOT = frozenset(
    {errno.EXDEV, errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EPERM, errno.ENOSYS, errno.EBADF}
)


class Partial:
    """The open partial file of a content; the caller holds the lock of that content.

    ``left`` is the number of chunks that are missing of those that are wanted (of the ``runs``, or all), ``resumed`` the bytes of them that an
    earlier process had brought. Raises :class:`StorageFull` when there is no room for them.
    """

    def __init__(
        self, directory: Path, content: Content, runs: tuple[tuple[int, int], ...] | None = None
    ) -> None:
        self.content = content
        self.offsets = content.offsets()
        self.path = directory / content.root
        self.journal_path = directory / f"{content.root}.journal"
        self.resumed = 0
        self._runs = ((0, content.chunk_count),) if runs is None else runs
        self.left = sum(stop - start for start, stop in self._runs)
        self._have = bytearray(content.chunk_count)
        self._wanted = bytearray(content.chunk_count)
        for start, stop in self._runs:
            self._wanted[start:stop] = b"\1" * (stop - start)
        self._lock = threading.Lock()
        self._journal = -1
        with wrapping(f"{content.size} bytes in {directory}"):
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                # What comes in one piece is not worth resuming, nor a journal.
                if content.size > verify.BATCH:
                    self._resume()
                    self._reserve()
                    self._open_journal()
            except BaseException:
                self.discard()
                raise

    def _open_journal(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._journal = os.open(self.journal_path, flags, 0o600)
        if not os.fstat(self._journal).st_size:
            os.write(self._journal, MAGIC)

    def _reserve(self) -> None:
        held = os.fstat(self._handle)
        if held.st_size == self.content.size and held.st_blocks * 512 >= held.st_size:
            return
        os.ftruncate(self._handle, self.content.size)
        for start, stop in self._runs:
            if stop > start:
                offset = self.offsets[start]
                os.posix_fallocate(self._handle, offset, self.offsets[stop] - offset)

    def _resume(self) -> None:
        try:
            journal = self.journal_path.read_bytes()
        except FileNotFoundError:
            journal = b""
        if os.fstat(self._handle).st_size != self.content.size or not journal.startswith(MAGIC):
            # Not cut: a process may have mapped what was in it.
            self.journal_path.unlink(missing_ok=True)
            return
        claimed = bytearray(self.content.chunk_count)
        body = journal[len(MAGIC) :]
        for start, stop in _PAIR.iter_unpack(body[: len(body) - len(body) % _PAIR.size]):
            if start < stop <= self.content.chunk_count:
                claimed[start:stop] = b"\1" * (stop - start)
        for start, stop in verify.verified_runs(self._handle, self.content, self.offsets, _runs(claimed, 1)):
            for chunk in range(start, stop):
                if self._wanted[chunk]:
                    self.resumed += self.offsets[chunk + 1] - self.offsets[chunk]
            self._mark(start, stop)

    def _mark(self, start: int, stop: int) -> None:
        self._have[start:stop] = b"\1" * (stop - start)
        self.left -= self._wanted.count(1, start, stop)
        self._wanted[start:stop] = bytes(stop - start)

    def missing(self) -> list[tuple[int, int]]:
        """The runs of chunks that are wanted and not here yet."""
        return list(_runs(self._wanted, 1))

    @property
    def is_whole(self) -> bool:
        """Whether every chunk is here, not just those that are wanted."""
        return 0 not in self._have

    def write(self, start: int, stop: int, data: memoryview) -> bool:
        """Puts verified chunks in their place, from any thread; True for the call that completes the file.

        Raises :class:`StorageFull` or :class:`StorageFailed`.
        """
        offset, written = self.offsets[start], 0
        with wrapping(f"{len(data)} bytes in {self.path}"):
            while written < len(data):
                written += os.pwrite(self._handle, data[written:], offset + written)
        return self.note(start, stop)

    def note(self, start: int, stop: int) -> bool:
        """Notes that chunks are in their place, from any thread; True for the call that completes the file."""
        if self._journal >= 0:
            with wrapping(f"writing {self.journal_path}"):
                os.write(self._journal, _PAIR.pack(start, stop))
        with self._lock:
            self._mark(start, stop)
            return not self.left

    def share(self, start: int, stop: int, handle: int, shift: int) -> tuple[int, int] | None:
        """Takes whole blocks of an open file, in which these chunks lie ``shift`` bytes further on, without a copy: the file system shares them.

        The run of chunks that is in its place now and can be noted, which may be empty; None where the file system cannot. Bytes of other
        chunks are not touched.
        """
        block = os.fstatvfs(self._handle).f_bsize
        first, last = -(-self.offsets[start] // block) * block, self.offsets[stop] // block * block
        if shift % block or last - first < MIN_SHARED:
            return start, start
        with wrapping(f"sharing {last - first} bytes with {self.path}"):
            try:
                wanted = struct.pack("=qQQQ", handle, first + shift, last - first, first)
                fcntl.ioctl(self._handle, _FICLONERANGE, wanted)
            except OSError as error:
                if error.errno in _CANNOT:
                    return None
                raise
        begin = bisect.bisect_left(self.offsets, first, start, stop + 1)
        return begin, max(begin, bisect.bisect_right(self.offsets, last, start, stop + 1) - 1)

    def finish(self) -> Path:
        """Closes the complete file, read-only; where it lies. Its journal is gone."""
        assert self.is_whole
        with wrapping(f"finishing {self.path}"):
            os.fchmod(self._handle, 0o444)
            journaled = self._journal >= 0
            self.close()
            if journaled:
                self.journal_path.unlink(missing_ok=True)
        return self.path

    def close(self) -> None:
        """Lets the files go; what they hold stays, for whoever goes on."""
        handles, self._handle, self._journal = (self._handle, self._journal), -1, -1
        for handle in handles:
            if handle >= 0:
                os.close(handle)

    def discard(self) -> None:
        """Closes and removes the files."""
        self.close()
        self.path.unlink(missing_ok=True)
        self.journal_path.unlink(missing_ok=True)


def _runs(flags: bytearray, value: int) -> Iterator[tuple[int, int]]:
    """The runs of a value in a row of flags."""
    other = 1 - value
    start = flags.find(value)
    while start >= 0:
        stop = flags.find(other, start)
        if stop < 0:
            stop = len(flags)
        yield start, stop
        start = flags.find(value, stop)
