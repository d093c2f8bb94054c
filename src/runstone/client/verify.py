"""Which chunks of a local file are what they should be."""

from __future__ import annotations

import bisect
import os
from collections.abc import Callable, Iterable, Iterator

from runstone._native.digests import verify_chunks
from runstone.client.plan import Content

Check = Callable[[memoryview, bytes], int]

#: Bytes that are read, verified and written in one go: chunks back to back that stay in the second-level cache.
BATCH = 1 << 20


def batches(offsets: list[int], start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Cuts a run of chunks into runs of at most :data:`BATCH` bytes; no chunk is as long as that."""
    while start < stop:
        end = batch_end(offsets, start, stop, BATCH)
        yield start, end
        start = end


def batch_end(offsets: list[int], start: int, stop: int, limit: int) -> int:
    """The end of a run of chunks from ``start`` that takes at most ``limit`` bytes, or is one chunk."""
    return max(bisect.bisect_right(offsets, offsets[start] + limit, start, stop + 1) - 1, start + 1)


def good_runs(
    content: Content, start: int, stop: int, data: memoryview, check: Check = verify_chunks
) -> Iterator[tuple[int, int]]:
    """The runs of chunks of ``data`` (chunks ``start`` to ``stop``, back to back) whose BLAKE3 is the right one.

    With ``check_chunks`` it is their xxh3, three times as fast: that tells rot, in bytes that were verified before.
    """
    at = 0
    while start < stop:
        wrong = check(data[at:], content.records(start, stop))
        if wrong < 0:
            yield start, stop
            return
        if wrong:
            yield start, start + wrong
        passed = content.records(start, start + wrong + 1)
        at += sum(int.from_bytes(passed[i + 40 : i + 44], "little") for i in range(0, len(passed), 44))
        start += wrong + 1


def verified_runs(
    handle: int, content: Content, offsets: list[int], runs: Iterable[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Of the given runs of chunks, those parts that an open file really holds; what is unreadable is not held."""
    buffer = memoryview(bytearray(BATCH))
    for start, stop in runs:
        for first, end in batches(offsets, start, stop):
            view = buffer[: offsets[end] - offsets[first]]
            if read_fully(handle, view, offsets[first]):
                yield from good_runs(content, first, end, view)


def read_fully(handle: int, view: memoryview, offset: int) -> bool:
    """Fills a buffer from a place in a file; False if the file ends before, or the disk cannot read it."""
    filled = 0
    try:
        while filled < len(view):
            got = os.preadv(handle, [view[filled:]], offset + filled)
            if not got:
                return False
            filled += got
    except OSError:
        return False
    return True


def is_whole(handle: int, content: Content) -> bool:
    """Whether an open file is exactly these bytes."""
    if os.fstat(handle).st_size != content.size:
        return False
    found = verified_runs(handle, content, content.offsets(), [(0, content.chunk_count)])
    return sum(stop - start for start, stop in found) == content.chunk_count
