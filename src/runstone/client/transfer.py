"""Brings missing contents into the cache: parallel ranges, each chunk verified as it lands, nothing else written.

Workers take runs of missing chunks from one list that all files share. A run is verified in pieces of a megabyte while they
are still in the processor's cache, and only then written to its place in the preallocated file. What does not verify
is asked for again, a bounded number of times.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from runstone._native.digests import check_chunks, verify_chunks
from runstone.client import verify
from runstone.client.cache import Cache
from runstone.client.eviction import make_room
from runstone.client.http import Http, retry_after
from runstone.client.lock import FileLock
from runstone.client.near import Piece, in_pieces
from runstone.client.partial import Partial
from runstone.client.plan import Content
from runstone.client.response import Response
from runstone.client.sources import Sources
from runstone.errors import Broken, Corrupt, StorageFailed, StorageFull, TryAgain

Progress = Callable[[int, int], None]
#: Runs of chunks (first, end), in order; None: all.
Runs = tuple[tuple[int, int], ...] | None

MAX_BAD = 3
MIN_SPAN = 4 << 20
MAX_SPAN = 64 << 20
MIN_BATCH = 128 << 10
BATCH_SECONDS = 0.01
BUSY_SECONDS = 0.05
MEASURE_SECONDS = 0.25
#: A connection is added while the last one made it faster by this factor.
GAIN = 1.1
#: What a request is worth in bytes when rates are compared, so that many small files count as well.
REQUEST_WORTH = 64 << 10


class Wanted(NamedTuple):
    """A content to bring, whole or in part, the URL path of a file that has it, and the pieces of that on this machine, if they are known."""

    content: Content
    url: str
    name: str
    runs: Runs = None
    pieces: tuple[Piece, ...] = ()

    @property
    def size(self) -> int:
        """The bytes that are wanted of it."""
        if self.runs is None:
            return self.content.size
        offsets = self.content.offsets()
        return sum(offsets[stop] - offsets[start] for start, stop in self.runs)


class _Active:
    """A content that this process is bringing: its lock, its partial file, and how often its chunks came damaged."""

    def __init__(self, wanted: Wanted, lock: FileLock, partial: Partial) -> None:
        self.wanted = wanted
        self.lock = lock
        self.partial = partial
        self.bad: Counter[int] = Counter()


class _Span(NamedTuple):
    """A run of chunks to bring: from the server, or from a file of this host, the cache's or the server's own, ``shift`` bytes further on in it."""

    active: _Active
    start: int
    stop: int
    source: Content | Piece | None = None
    shift: int = 0

    @property
    def size(self) -> int:
        offsets = self.active.partial.offsets
        return offsets[self.stop] - offsets[self.start]


class Transfer:
    """One run over a list of contents. ``fetched`` and ``reused`` count bytes from the server and from this host.

    At most ``connections`` are used; as many as make it faster. A content that another process is bringing is waited
    for, and taken over if that process dies.
    """

    def __init__(
        self,
        http: Http,
        cache: Cache,
        wanted: Iterable[Wanted],
        sources: Sources,
        *,
        connections: int = 8,
        headers: dict[str, str] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._http, self._cache, self._sources = http, cache, sources
        # Large files first: their spans keep all connections busy while small ones fill the gaps.
        self._waiting = deque(sorted(wanted, key=lambda item: -item.size))
        self._headers = headers or {}
        self._limit = max(connections, 1)
        self._progress = progress
        self._total = self._left = sum(item.size for item in self._waiting)
        self._spans: deque[_Span] = deque()
        self._active: set[_Active] = set()
        self._opening = 0
        self._workers: list[threading.Thread] = []
        self._running = 0
        self._error: BaseException | None = None
        self._stop = False
        self._changed = threading.Condition()
        self._requests = 0
        self._shares = True
        self.fetched = 0
        self.reused = 0
        #: What came damaged: the content, and from which byte to which.
        self.damaged: list[tuple[Wanted, int, int]] = []

    def run(self) -> None:
        """Brings everything, or raises the first error that cannot be helped; what was verified stays for the next try."""
        if not self._waiting:
            return
        try:
            for _ in range(min(2, self._limit)):
                self._add_worker()
            self._oversee()
        finally:
            self._end()
        if self._error is not None:
            raise self._error
        if self._progress:
            self._progress(self._total, self._total)

    def _end(self) -> None:
        with self._changed:
            self._stop = True
            self._changed.notify_all()
            running = self._running
        if running:
            self._http.abort()
        for worker in self._workers:
            worker.join()
        for active in self._active:
            active.partial.close()
            active.lock.release()
        self._active.clear()

    def _add_worker(self) -> None:
        worker = threading.Thread(target=self._work, name=f"runstone-fetch-{len(self._workers)}", daemon=True)
        self._workers.append(worker)
        with self._changed:
            self._running += 1
        worker.start()

    def _oversee(self) -> None:
        """Waits for the workers, tells the progress, and adds connections while that helps."""
        best, strikes, moved, since = 0.0, 0, 0, time.monotonic()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._error is not None or not self._running, MEASURE_SECONDS)
                if self._error is not None or not self._running:
                    return
                done, more = self._total - self._left, bool(self._spans or self._waiting)
                count = self.fetched + self._requests * REQUEST_WORTH
            if self._progress:
                self._progress(done, self._total)
            rate = (count - moved) / (time.monotonic() - since)
            moved, since = count, time.monotonic()
            if rate <= best * GAIN:
                strikes += 1
            elif more and strikes < 2 and len(self._workers) < self._limit:
                best, strikes = rate, 0
                self._add_worker()

    def _work(self) -> None:
        buffer = memoryview(bytearray(verify.BATCH))
        failures = 0
        try:
            while (span := self._next(buffer)) is not None:
                before = self.fetched
                try:
                    self._bring(span, buffer)
                    failures = 0
                except TryAgain as error:
                    if isinstance(error, StorageFull | StorageFailed):
                        raise
                    failures = failures + 1 if self.fetched == before else 1
                    if self._stop or failures > self._http.retries.times:
                        raise
                    self._pause(self._http.retries.wait(failures, error.details.get("retry_after")))
        except BaseException as error:  # whatever it is, the thread that asked raises it
            with self._changed:
                if self._error is None:
                    self._error = error
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stop or self._error is not None, seconds)

    def _next(self, buffer: memoryview) -> _Span | None:
        """The next run of chunks to bring, or None when there is nothing left to do."""
        while True:
            with self._changed:
                if self._stop or self._error is not None:
                    return None
                if self._spans:
                    return self._cut(self._spans.popleft())
                if not self._waiting:
                    if not self._active and not self._opening:
                        return None
                    self._changed.wait(BUSY_SECONDS)
                    continue
                wanted = self._waiting.popleft()
                self._opening += 1
            try:
                is_busy = self._open(wanted, buffer)
            finally:
                with self._changed:
                    self._opening -= 1
                    self._changed.notify_all()
            if is_busy:
                self._put_back(wanted)

    def _put_back(self, wanted: Wanted) -> None:
        with self._changed:
            self._waiting.append(wanted)
            if not self._spans and not self._stop:
                self._changed.wait(BUSY_SECONDS)

    def _cut(self, span: _Span) -> _Span:
        """A part of a run that leaves enough for the other workers; the rest goes back. The lock is held."""
        most = min(max(self._left // (2 * len(self._workers)), MIN_SPAN), MAX_SPAN)
        if span.size <= most + MIN_SPAN:
            return span
        stop = verify.batch_end(span.active.partial.offsets, span.start, span.stop, most)
        self._spans.appendleft(span._replace(start=stop))
        return span._replace(stop=stop)

    def _open(self, wanted: Wanted, buffer: memoryview) -> bool:
        """Begins to bring a content, with what this host has of it; True if another process is bringing it."""
        lock = self._cache.lock(wanted.content)
        if lock is None:
            return True
        try:
            if self._cache.find(wanted.content) is not None:
                lock.release(remove=True)
                self._count(reused=wanted.size)
                return False
            partial = self._begin(wanted)
        except BaseException:
            lock.release()
            raise
        active = _Active(wanted, lock, partial)
        with self._changed:
            self._active.add(active)
        self._count(reused=partial.resumed)
        if not partial.left:
            self._admit(active)
            return False
        stretches, lacking = self._sources.stretches(partial)
        near, lacking = in_pieces(wanted.pieces, partial.offsets, lacking)
        # What crosses the network first: it takes longest, and the rest is copied meanwhile.
        spans = [_Span(active, start, stop) for start, stop in lacking]
        spans += [
            _Span(active, start, stop, piece, piece.offset - piece.start) for piece, start, stop in near
        ]
        spans += [_Span(active, each.start, each.stop, each.content, each.shift) for each in stretches]
        with self._changed:
            self._spans.extend(spans)
            self._changed.notify_all()
        return False

    def _begin(self, wanted: Wanted) -> Partial:
        try:
            return self._cache.begin(wanted.content, wanted.runs)
        except StorageFull:
            if not make_room(self._cache, free=wanted.size):
                raise
        return self._cache.begin(wanted.content, wanted.runs)

    def _admit(self, active: _Active) -> None:
        if active.partial.is_whole:
            self._cache.admit(active.partial)
        else:
            active.partial.close()
        active.lock.release(remove=True)
        with self._changed:
            self._active.discard(active)

    def _count(self, *, fetched: int = 0, reused: int = 0) -> None:
        with self._changed:
            self.fetched += fetched
            self.reused += reused
            self._left -= fetched + reused

    def _bring(self, span: _Span, buffer: memoryview) -> None:
        """Asks for a run of chunks and takes in what verifies; what does not, or did not come, goes back to the list."""
        if span.source is not None:
            self._copy(span, span.source, buffer)
            return
        active, offsets = span.active, span.active.partial.offsets
        at = span.start
        try:
            response = self._ask(span)
            try:
                batch = MIN_BATCH
                while at < span.stop and not self._stop:
                    since = time.monotonic()
                    start, stop = at, verify.batch_end(offsets, at, span.stop, batch)
                    view = buffer[: offsets[stop] - offsets[start]]
                    response.read_into(view)
                    at = stop
                    self._take(active, start, stop, view)
                    batch = _next_batch(batch, time.monotonic() - since)
            finally:
                self._http.give_back(response)
        finally:
            if at < span.stop:
                with self._changed:
                    self._spans.appendleft(span._replace(start=at))
                    self._changed.notify()

    def _copy(self, span: _Span, source: Content | Piece, buffer: memoryview) -> None:
        """Takes a run of chunks in that another file has. What the cache has was verified before, so that only rot is looked for.

        Blocks are shared where the file system can (XFS, Btrfs). Else it goes through a buffer: copy_file_range takes two to five times as long then
        (measured on ext4). The blocks of a piece that is held do not change: they may be shared first, and looked at there.
        """
        if isinstance(source, Piece):
            first, end = self._share(span, source.handle)
            self._take_copies(span, (first, end), source.handle, buffer, verify_chunks, in_place=True)
            for run in ((span.start, first), (end, span.stop)):
                self._take_copies(span, run, source.handle, buffer, verify_chunks)
            return
        path = self._cache.find(source)
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if path is not None else -1
        except FileNotFoundError:  # evicted just now
            handle = -1
        if handle < 0:
            self._lack(span.active, span.start, span.stop)
            return
        try:
            # As many chunks as the file system lets two files share, without a look at them: they stay the ones that were verified.
            first, end = self._share(span, handle)
            if first < end:
                self._note_copy(span.active, first, end)
            for run in ((span.start, first), (end, span.stop)):
                self._take_copies(span, run, handle, buffer, check_chunks)
        finally:
            os.close(handle)

    def _share(self, span: _Span, handle: int) -> tuple[int, int]:
        """The run of chunks whose blocks the file system lets the two files share; it is in its place, and not noted yet."""
        shared = (
            span.active.partial.share(span.start, span.stop, handle, span.shift) if self._shares else None
        )
        if shared is None:
            self._shares = False
            return span.start, span.start
        return shared

    def _take_copies(
        self,
        span: _Span,
        run: tuple[int, int],
        handle: int,
        buffer: memoryview,
        check: verify.Check,
        *,
        in_place: bool = False,
    ) -> None:
        """Takes in those chunks of another file that pass a check; ``in_place`` when their blocks are shared already."""
        active, offsets = span.active, span.active.partial.offsets
        for start, stop in verify.batches(offsets, *run):
            view = buffer[: offsets[stop] - offsets[start]]
            expected = start
            if verify.read_fully(handle, view, offsets[start] + span.shift):
                for first, end in verify.good_runs(active.wanted.content, start, stop, view, check):
                    self._lack(active, expected, first)
                    piece = view[offsets[first] - offsets[start] : offsets[end] - offsets[start]]
                    self._note_copy(active, first, end, None if in_place else piece)
                    expected = end
            self._lack(active, expected, stop)

    def _note_copy(self, active: _Active, start: int, stop: int, data: memoryview | None = None) -> None:
        partial = active.partial
        done = partial.note(start, stop) if data is None else partial.write(start, stop, data)
        self._count(reused=partial.offsets[stop] - partial.offsets[start])
        if done:
            self._admit(active)

    def _lack(self, active: _Active, start: int, stop: int) -> None:
        """Puts chunks on the list of what the server is asked for."""
        if start < stop:
            with self._changed:
                self._spans.appendleft(_Span(active, start, stop))
                self._changed.notify()

    def _ask(self, span: _Span) -> Response:
        offsets, size = span.active.partial.offsets, span.active.wanted.content.size
        first, last = offsets[span.start], offsets[span.stop] - 1
        headers = (
            self._headers if last - first + 1 == size else self._headers | {"Range": f"bytes={first}-{last}"}
        )
        response = self._http.exchange("GET", span.active.wanted.url, headers=headers)
        with self._changed:
            self._requests += 1
        try:
            if response.status not in (200, 206):
                error = self._http.error_of(response)
                error.details.setdefault("retry_after", retry_after(response))
                raise error
            self._check_answer(response, first, last, size)
        except BaseException:
            response.connection.close()
            raise
        return response

    def _check_answer(self, response: Response, first: int, last: int, size: int) -> None:
        if response.status == 206:
            answered = response.headers.get("content-range", "")
            if answered != f"bytes {first}-{last}/{size}":
                raise Broken(
                    f"asked for bytes {first}-{last} of {size}, {self._http.origin} answered {answered!r:.80}"
                )
        elif last - first + 1 != size:
            raise Broken(f"{self._http.origin} answered a range with a whole file")
        if not response.chunked and response.left not in (None, last - first + 1):
            raise Broken(
                f"{self._http.origin} answered {response.left} bytes, and {last - first + 1} were asked for"
            )

    def _take(self, active: _Active, start: int, stop: int, data: memoryview) -> None:
        """Writes the chunks that verify; the others go back to the list, until they have come damaged too often."""
        offsets, done, expected = active.partial.offsets, False, start
        for first, end in verify.good_runs(active.wanted.content, start, stop, data):
            self._distrust(active, expected, first)
            piece = data[offsets[first] - offsets[start] : offsets[end] - offsets[start]]
            done = active.partial.write(first, end, piece)
            self._count(fetched=len(piece))
            expected = end
        self._distrust(active, expected, stop)
        if done:
            self._admit(active)

    def _distrust(self, active: _Active, start: int, stop: int) -> None:
        for chunk in range(start, stop):
            active.bad[chunk] += 1
            if active.bad[chunk] > MAX_BAD:
                offset = active.partial.offsets[chunk]
                raise Corrupt(
                    f"{active.wanted.name}: the chunk at byte {offset} came damaged {active.bad[chunk]} times from "
                    f"{self._http.origin}; nothing damaged was kept. Run 'runstone scrub' on the server",
                    path=active.wanted.name,
                    offset=offset,
                )
        if start < stop:
            self.damaged.append((active.wanted, active.partial.offsets[start], active.partial.offsets[stop]))
        self._lack(active, start, stop)


def _next_batch(batch: int, seconds: float) -> int:
    """Large batches on a fast line, where they cost least; small ones on a slow one, where a kill loses what is not written."""
    if seconds < BATCH_SECONDS / 2:
        return min(batch * 2, verify.BATCH)
    return max(batch // 2, MIN_BATCH) if seconds > BATCH_SECONDS else batch
