"""Bit rot: one bit of a file turned over, at a random place that really holds data, and back again.

The write goes through the page cache, so a process that has the file mapped sees it at once. A flip in a free
page or a gap of an LMDB ``data.mdb`` is harmless; ``lmdb_pages`` tells which bytes are not.
"""

from __future__ import annotations

import bisect
import errno
import itertools
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from .lmdb_pages import bookkeeping_byte_ranges, used_byte_ranges

__all__ = [
    "Place",
    "bookkeeping_byte_ranges",
    "data_extents",
    "flip",
    "flipped",
    "lies_in",
    "random_places",
    "used_byte_ranges",
]

Range = tuple[int, int]


class Place(NamedTuple):
    """One bit of one file; bit 0 is the least significant."""

    path: Path
    offset: int
    bit: int


def flip(path: Path | str, offset: int, bit: int) -> None:
    """Turns one bit over, in place. The file keeps its length, its permissions and its times.

    Works on a read-only file for root only. Raises ValueError for a place outside the file.
    """
    if not 0 <= bit < 8:
        raise ValueError(f"{bit} is no bit of a byte")
    handle = os.open(path, os.O_RDWR)
    try:
        before = os.fstat(handle)
        byte = os.pread(handle, 1, offset)
        if not byte:
            raise ValueError(f"{path} has {before.st_size} bytes, none at {offset}")
        os.pwrite(handle, bytes([byte[0] ^ 1 << bit]), offset)
        # Rot does not move a file's times: what trusts them must not be told.
        os.utime(handle, ns=(before.st_atime_ns, before.st_mtime_ns))
    finally:
        os.close(handle)


@contextmanager
def flipped(place: Place) -> Iterator[Place]:
    """Has one bit turned over inside the context and turns it back after, if the file is still there."""
    flip(*place)
    try:
        yield place
    finally:
        if place.path.exists() and place.offset < place.path.stat().st_size:
            flip(*place)


def data_extents(path: Path | str) -> list[Range]:
    """Lists the parts of a file that hold data, as (offset, length): not its holes or reservations."""
    extents = []
    handle = os.open(path, os.O_RDONLY)
    try:
        end = os.fstat(handle).st_size
        start = 0
        while start < end:
            try:
                start = os.lseek(handle, start, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    break
                raise
            stop = os.lseek(handle, start, os.SEEK_HOLE)
            extents.append((start, stop - start))
            start = stop
    finally:
        os.close(handle)
    return extents


def random_places(paths: Iterable[Path | str], n: int, seed: int) -> list[Place]:
    """Chooses n bits, every bit of data in the files equally likely; same files, same seed, same places.

    Raises ValueError if the files hold no data.
    """
    extents = [(Path(path), *extent) for path in sorted(map(Path, paths)) for extent in data_extents(path)]
    ends = list(itertools.accumulate(length for _, _, length in extents))
    if not ends:
        raise ValueError("no data to flip a bit of")
    chance = random.Random(seed)
    places = []
    for _ in range(n):
        at = chance.randrange(ends[-1])
        which = bisect.bisect_right(ends, at)
        path, start, length = extents[which]
        places.append(Place(path, start + at - (ends[which] - length), chance.randrange(8)))
    return places


def lies_in(ranges: Sequence[Range], offset: int) -> bool:
    """Tells whether an offset lies in one of the ranges, which are sorted and apart."""
    which = bisect.bisect_right(ranges, offset, key=lambda each: each[0]) - 1
    return which >= 0 and offset < sum(ranges[which])
