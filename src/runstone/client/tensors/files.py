"""Files of a version that hold tensors, open and mapped on this host."""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import NamedTuple

from runstone.client.tensors.safetensors import Tensor
from runstone.errors import StorageFailed


class OpenFile:
    """A file at ``start`` of an open descriptor; mapped on first use, and for as long as anything views it."""

    def __init__(self, path: str, size: int, handle: int, start: int = 0) -> None:
        self.path, self.size, self.handle, self.start = path, size, handle, start
        self._views: dict[bool, memoryview] = {}

    def view(self, *, private: bool = False) -> memoryview:
        """The whole file: shared and read-only, or ``private``, where what is written stays in this process."""
        if private not in self._views:
            begin = self.start // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
            protection = mmap.PROT_READ | (mmap.PROT_WRITE if private else 0)
            flags = mmap.MAP_PRIVATE if private else mmap.MAP_SHARED
            length = self.start - begin + self.size
            if not self.size:
                return memoryview(b"")
            try:
                mapped = mmap.mmap(self.handle, length, flags, protection, offset=begin)
            except OSError as error:
                raise StorageFailed(f"{self.path} cannot be mapped: {error.strerror}") from error
            self._views[private] = memoryview(mapped)[self.start - begin :]
        return self._views[private]

    def bytes_of(self, tensor: Tensor, *, private: bool = False) -> memoryview:
        """The bytes of a tensor in this file."""
        return self.view(private=private)[tensor.offset : tensor.offset + tensor.length]

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
        """Closes the descriptor; what views the file keeps its mapping."""
        handle, self.handle = self.handle, -1
        self._views = {}
        if handle >= 0:
            os.close(handle)


class Place(NamedTuple):
    """Where a tensor lies, for who reads it itself: ``length`` bytes from ``offset`` on in the open file ``handle``."""

    handle: int
    offset: int
    length: int
    dtype: str
    shape: tuple[int, ...]
