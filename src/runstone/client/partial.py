"""A file on its way into the cache: preallocated at its final size, with a journal of the chunks that are in it.

The journal is a magic number and then pairs of u32 (first chunk, chunk after the last). A pair is appended after its
bytes were written, so a process that is killed leaves a journal that claims no more than the page cache holds; a power
cut may leave one that claims too much. So whoever goes on from a journal verifies what it claims.
"""

from __future__ import annotations

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


class Partial:
    """The open partial file of a content; the caller holds the lock of that content.

    ``left`` is the number of chunks that are missing, ``resumed`` the bytes that an earlier process had brought.
    Raises :class:`StorageFull` when there is no room for the whole file.
    """

    def __init__(self, directory: Path, content: Content) -> None:
        self.content = content
        self.offsets = content.offsets()
        self.path = directory / content.root
        self.journal_path = directory / f"{content.root}.journal"
        self.resumed = 0
        self.left = content.chunk_count
        self._have = bytearray(content.chunk_count)
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
        os.posix_fallocate(self._handle, 0, self.content.size)

    def _resume(self) -> None:
        try:
            journal = self.journal_path.read_bytes()
        except FileNotFoundError:
            journal = b""
        if os.fstat(self._handle).st_size != self.content.size or not journal.startswith(MAGIC):
            self.journal_path.unlink(missing_ok=True)
            os.ftruncate(self._handle, 0)
            return
        claimed = bytearray(self.content.chunk_count)
        body = journal[len(MAGIC) :]
        for start, stop in _PAIR.iter_unpack(body[: len(body) - len(body) % _PAIR.size]):
            if start < stop <= self.content.chunk_count:
                claimed[start:stop] = b"\1" * (stop - start)
        for start, stop in verify.verified_runs(self._handle, self.content, self.offsets, _runs(claimed, 1)):
            self._mark(start, stop)
            self.resumed += self.offsets[stop] - self.offsets[start]

    def _mark(self, start: int, stop: int) -> None:
        self.left -= self._have.count(0, start, stop)
        self._have[start:stop] = b"\1" * (stop - start)

    def missing(self) -> list[tuple[int, int]]:
        """The runs of chunks that are not here yet."""
        return list(_runs(self._have, 0))

    def write(self, start: int, stop: int, data: memoryview) -> bool:
        """Puts verified chunks in their place, from any thread; True for the call that completes the file.

        Raises :class:`StorageFull` or :class:`StorageFailed`.
        """
        offset, written = self.offsets[start], 0
        with wrapping(f"{len(data)} bytes in {self.path}"):
            while written < len(data):
                written += os.pwrite(self._handle, data[written:], offset + written)
            if self._journal >= 0:
                os.write(self._journal, _PAIR.pack(start, stop))
        with self._lock:
            self._mark(start, stop)
            return not self.left

    def finish(self) -> Path:
        """Closes the complete file, read-only; where it lies. Its journal is gone."""
        assert self.left == 0
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
