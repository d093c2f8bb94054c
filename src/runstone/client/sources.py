"""Chunks that this host holds already, in other files of the same collection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple

from runstone.client.cache import Cache
from runstone.client.partial import Partial
from runstone.client.plan import Content

Run = tuple[int, int]


class Stretch(NamedTuple):
    """Chunks ``start`` to ``stop`` of a file that is brought lie in another one too, ``shift`` bytes further on."""

    content: Content
    shift: int
    start: int
    stop: int


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

    def stretches(self, partial: Partial) -> tuple[list[Stretch], list[Run]]:
        """Where other files have the missing chunks of a partial file, and the runs of chunks that none has."""
        held = self._build()
        found: list[Stretch] = []
        lacking: list[Run] = []
        offsets = [content.offsets() for content in held]
        for start, stop in partial.missing():
            for chunk in range(start, stop):
                place = self._index.get(partial.content.hash_of(chunk))
                if place is None:
                    _extend_run(lacking, chunk)
                    continue
                number = place >> 32
                shift = offsets[number][place & 0xFFFFFFFF] - partial.offsets[chunk]
                last = found[-1] if found else None
                same = last is not None and last.stop == chunk and last.shift == shift
                if last is not None and same and last.content is held[number]:
                    found[-1] = last._replace(stop=chunk + 1)
                else:
                    found.append(Stretch(held[number], shift, chunk, chunk + 1))
        return found, lacking


def _extend_run(runs: list[Run], chunk: int) -> None:
    if runs and runs[-1][1] == chunk:
        runs[-1] = runs[-1][0], chunk + 1
    else:
        runs.append((chunk, chunk + 1))
