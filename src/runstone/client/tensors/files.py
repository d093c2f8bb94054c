"""Files of a version that hold tensors, open and mapped on this host."""

from __future__ import annotations

import bisect
import ctypes
import mmap
import os
import threading
from collections.abc import Sequence
from typing import NamedTuple

from runstone.client.local import wrapping
from runstone.client.near import Piece
from runstone.client.tensors.safetensors import Tensor
from runstone.errors import Invalid, StorageFailed

#: What is a multiple of it from the beginning of a file has that alignment in memory too, wherever it lies: enough for any element.
ALIGNMENT = 16


class OpenFile:
    """A file that lies in one piece, or in several; mapped on first use, and for as long as anything views it.

    What lies in two pieces, or is not aligned where it lies, is copied into memory, on first use. The file owns the descriptors of its pieces.
    """

    def __init__(self, path: str, size: int, pieces: Sequence[Piece]) -> None:
        self.path, self.size = path, size
        self._pieces = tuple(pieces)
        self._starts = [piece.start for piece in pieces]
        self._copies: dict[tuple[int, int], Piece] = {}
        self._views: dict[tuple[Piece, bool], memoryview] = {}
        self._lock = threading.Lock()

    @property
    def is_whole(self) -> bool:
        """Whether nothing has to be copied."""
        return not self.is_scattered(0, self.size)

    def is_scattered(self, offset: int, length: int) -> bool:
        """Whether a range has to be copied."""
        return bool(length) and self._piece_of(offset, length) is None

    def piece(self, offset: int, length: int) -> Piece:
        """A piece that holds a range whole: of the file, or a copy. Raises :class:`StorageFull`."""
        found = self._piece_of(offset, length)
        if found is not None:
            return found
        with self._lock:
            if (offset, length) not in self._copies:
                self._copies[offset, length] = Piece(offset, self._copy(offset, length), 0, length)
            return self._copies[offset, length]

    def _piece_of(self, offset: int, length: int) -> Piece | None:
        if not self._pieces:
            raise Invalid(f"{self.path} was closed")
        piece = self._pieces[bisect.bisect_right(self._starts, offset) - 1]
        whole = offset + length <= piece.start + piece.length
        return piece if whole and (piece.offset - piece.start) % ALIGNMENT == 0 else None

    def _copy(self, offset: int, length: int) -> int:
        """A descriptor of memory that holds a range."""
        with wrapping(f"{length} bytes of {self.path}, copied into memory"):
            handle = os.memfd_create("runstone", os.MFD_CLOEXEC)
            try:
                at, end = offset, offset + length
                while at < end:
                    piece = self._pieces[bisect.bisect_right(self._starts, at) - 1]
                    within = at - piece.start
                    count = min(end - at, piece.length - within)
                    moved = os.sendfile(handle, piece.handle, piece.offset + within, count)
                    if not moved:
                        raise StorageFailed(f"{self.path} was cut short while it was read")
                    at += moved
            except BaseException:
                os.close(handle)
                raise
        return handle

    def view(self, offset: int, length: int, *, private: bool = False) -> memoryview:
        """A range of the file: shared and read-only, or ``private``, where what is written stays in this process."""
        if not length:
            return memoryview(b"")
        piece = self.piece(offset, length)
        if (piece, private) not in self._views:
            self._views[piece, private] = self._map(piece, private)
        return self._views[piece, private][offset - piece.start : offset - piece.start + length]

    def _map(self, piece: Piece, private: bool) -> memoryview:
        begin = piece.offset // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if private else 0)
        flags = mmap.MAP_PRIVATE if private else mmap.MAP_SHARED
        before = piece.offset - begin
        try:
            mapped = mmap.mmap(piece.handle, before + piece.length, flags, protection, offset=begin)
        except OSError as error:
            raise StorageFailed(f"{self.path} cannot be mapped: {error.strerror}") from error
        return memoryview(mapped)[before:]

    def bytes_of(self, tensor: Tensor, *, private: bool = False) -> memoryview:
        """The bytes of a tensor in this file."""
        return self.view(tensor.offset, tensor.length, private=private)

    def place_of(self, tensor: Tensor) -> Place:
        """Where the bytes of a tensor lie."""
        piece = self.piece(tensor.offset, tensor.length)
        offset = piece.offset + tensor.offset - piece.start
        return Place(piece.handle, offset, tensor.length, tensor.dtype, tensor.shape)

    def lock(self, tensor: Tensor) -> None:
        """Keeps the pages of a tensor in memory for as long as they are mapped; raises :class:`StorageFailed` where that is not allowed."""
        import numpy

        data = self.bytes_of(tensor)
        if not len(data):
            return
        address = int(numpy.frombuffer(data, numpy.uint8).ctypes.data)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(len(data))):
            why = os.strerror(ctypes.get_errno())
            raise StorageFailed(
                f"{len(data)} bytes of {self.path} cannot be locked in memory: {why}; see ulimit -l"
            )

    def close(self) -> None:
        """Closes the descriptors; what views the file keeps its mapping."""
        handles = {piece.handle for piece in (*self._pieces, *self._copies.values())}
        self._pieces, self._starts, self._copies, self._views = (), [], {}, {}
        for handle in handles:
            os.close(handle)


class Place(NamedTuple):
    """Where a tensor lies, for who reads it itself: ``length`` bytes from ``offset`` on in the open file ``handle``."""

    handle: int
    offset: int
    length: int
    dtype: str
    shape: tuple[int, ...]
