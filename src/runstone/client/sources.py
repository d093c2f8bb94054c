"""Chunks that this host holds already, in other files of the same collection."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator

from runstone.client import verify
from runstone.client.cache import Cache
from runstone.client.local import wrapping
from runstone.client.partial import Partial
from runstone.client.plan import Content

Run = tuple[int, int, memoryview]

#: Chunks that are indexed at most: 64 GiB of files, some 200 MB of memory.
MAX_CHUNKS = 1_000_000


class Sources:
    """An index of the chunks of cached files, made when the first content is missing and not before.

    ``contents`` answers what the cache may hold, the likeliest first. Safe from threads.
    """

    def __init__(self, cache: Cache, contents: Callable[[], Iterable[Content]]) -> None:
        self._cache = cache
        self._contents = contents
        self._lock = threading.Lock()
        self._held: list[Content] | None = None
        #: Chunk hash to (number of the file << 32 | number of the chunk in it).
        self._index: dict[bytes, int] = {}

    def _build(self) -> list[Content]:
        with self._lock:
            if self._held is None:
                held: dict[str, Content] = {}
                for content in self._contents():
                    new = content.root not in held and len(self._index) + content.chunk_count <= MAX_CHUNKS
                    if new and self._cache.path_of(content).exists():
                        base = len(held) << 32
                        held[content.root] = content
                        for chunk in range(content.chunk_count):
                            self._index.setdefault(content.hash_of(chunk), base + chunk)
                self._held = list(held.values())
            return self._held

    def copies(self, partial: Partial, buffer: memoryview) -> Iterator[Run]:
        """The missing chunks of a partial file that other files have: (first, end, verified bytes in ``buffer``)."""
        held = self._build()
        found: dict[int, list[tuple[int, int]]] = {}
        for start, stop in partial.missing():
            for chunk in range(start, stop):
                place = self._index.get(partial.content.hash_of(chunk))
                if place is not None:
                    found.setdefault(place >> 32, []).append((chunk, place & 0xFFFFFFFF))
        for number, pairs in found.items():
            yield from self._copied(held[number], partial, pairs, buffer)

    def _copied(
        self, content: Content, partial: Partial, pairs: list[tuple[int, int]], buffer: memoryview
    ) -> Iterator[Run]:
        path = self._cache.find(content)
        if path is None:
            return
        with wrapping(f"reading {path}"):
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            for offset, first, end in _runs(content, partial, pairs):
                base = partial.offsets[first]
                view = buffer[: partial.offsets[end] - base]
                if verify.read_fully(handle, view, offset):
                    for start, stop in verify.good_runs(partial.content, first, end, view):
                        yield start, stop, view[partial.offsets[start] - base : partial.offsets[stop] - base]
        finally:
            os.close(handle)


def _runs(content: Content, partial: Partial, pairs: list[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Chunks that follow each other in both files, as (offset in the source, first, end) of one buffer at most."""
    offsets, at = content.offsets(), 0
    while at < len(pairs):
        first, source = pairs[at]
        end = at + 1
        while end < len(pairs) and pairs[end] == (first + end - at, source + end - at):
            end += 1
        for start, stop in verify.batches(partial.offsets, first, first + end - at):
            yield offsets[source + start - first], start, stop
        at = end
