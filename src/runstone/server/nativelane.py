"""The hot lane's native half: a thread that answers what the other half has answered before, with no Python in between.

A connection is lent to it after a request of it was hot, and comes back with the first bytes that it has no answer to. See ``ext/hotlane_impl.h``.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from runstone._native.hotlane import HotLane
from runstone.server.core import Core

if TYPE_CHECKING:
    from runstone.server.hotlane import Answer

#: What the ids of requests that are answered here have behind the prefix of this process.
_MARK = "h"


class NativeLane:
    """The answers that the native thread has, and what it tells of those that it gave."""

    def __init__(self, core: Core, lane: HotLane, prefix: str) -> None:
        self.lane = lane
        #: Whether requests wait to be logged now and then.
        self.has_records = core.log.enabled
        self._core = core
        self._prefix = prefix
        self._lock = threading.Lock()
        self._tag = 0
        self._counts: dict[tuple[str, int], list[float]] = {}
        self._answers: dict[int, Answer] = {}
        #: Digests of the requests that it answers.
        self.told: set[bytes] = set()

    @classmethod
    def start(cls, core: Core, prefix: str) -> NativeLane | None:
        """Starts the thread; None where every request has to be counted before it is answered, or the store cannot be watched."""
        word = None if core.options.rate else core.store.index.commit_word()
        if word is None:
            return None
        path, offset = word
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            lane = HotLane(handle, offset, f"{prefix}{_MARK}".encode(), keep_records=core.log.enabled)
        except OSError:
            return None
        finally:
            os.close(handle)
        return cls(core, lane, f"{prefix}{_MARK}")

    def forget(self, commit: int) -> None:
        """Forgets all answers, once what was answered is told; the next ones are of this commit."""
        self.lane.forget(commit)
        with self._lock:
            self._settle()
            self._answers.clear()
        self.told.clear()

    def remember(self, digest: bytes, found: Answer) -> None:
        """Gives the thread an answer, if it takes it."""
        self._tag += 1
        self._answers[self._tag] = found
        parts = (found.before, found.between, found.after)
        if self.lane.remember(digest, *parts, found.until, self._tag):
            self.told.add(digest)
        else:
            # One that has expired is replaced only when what it counted has been told.
            self.told.discard(digest)
            self.settle()
            del self._answers[self._tag]

    def settle(self) -> None:
        """Tells the counts, the lineage and the log of what was answered since the last time. May be called from any thread."""
        with self._lock:
            self._settle()

    def _settle(self) -> None:
        core = self._core
        for tag, number, at, ns, sent, peer in self.lane.records():
            found = self._answers[tag]
            found.write_log(core.log, f"{self._prefix}{number:x}", peer.decode(), sent, ns / 1e9, at / 1e6)
        for tag, requests, ns, sent in self.lane.counts():
            found = self._answers[tag]
            count = self._counts.setdefault((found.route, found.status), [0, 0.0, 0])
            count[0] += requests
            count[1] += ns / 1e9
            count[2] += sent
            for ctx, version in found.fetches:
                core.fetched(ctx, version)

    def taken(self) -> dict[tuple[str, int], list[float]]:
        """Requests, seconds and bytes by route and status, since the last call."""
        with self._lock:
            self._settle()
            counts, self._counts = self._counts, {}
        return counts
