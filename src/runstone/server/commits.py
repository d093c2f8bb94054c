"""Commits as a worker's listeners wait for them: one look at the index serves all, however many listen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

#: Seconds between two looks for a commit, which may be another process's; a look reads a number from mapped memory.
LOOK = 0.005


class Commits:
    """The commits of one index; for one event loop."""

    def __init__(self, latest: Callable[[], int], ending: Callable[[], bool]) -> None:
        self._latest, self._ending = latest, ending
        self._waiting: set[asyncio.Future[None]] = set()
        self._looking: asyncio.Task[None] | None = None

    async def after(self, seen: int, seconds: float) -> int:
        """Waits for a commit after ``seen``, but not for longer than some seconds, nor when the server ends; the latest commit."""
        now = self._latest()
        if now != seen or self._ending():
            return now
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(self._look(now))
        try:
            await asyncio.wait([waiter], timeout=seconds)
        finally:
            self._waiting.discard(waiter)
        return self._latest()

    async def _look(self, seen: int) -> None:
        while self._waiting:
            await asyncio.sleep(LOOK)
            now = self._latest()
            if now != seen or self._ending():
                seen = now
                for waiter in self._waiting:
                    if not waiter.done():
                        waiter.set_result(None)
                self._waiting.clear()
