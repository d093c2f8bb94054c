"""Commits of any process, waited for by any number of listeners: one look at the index serves them all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

#: Seconds between two looks, while anybody waits. A look reads a number from mapped memory.
LOOK = 0.005


class Commits:
    """Tells when ``last`` answers another number than before."""

    def __init__(self, last: Callable[[], int]) -> None:
        self._last = last
        self._waiting: set[asyncio.Future[None]] = set()
        self._looking: asyncio.Task[None] | None = None

    async def after(self, seen: int, seconds: float) -> int:
        """The last commit, once it is not ``seen`` any more, or when the time is over or :meth:`wake` is called."""
        now = self._last()
        if now != seen:
            return now
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(mine)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(self._look(now))
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(mine, seconds)
        finally:
            self._waiting.discard(mine)
        return self._last()

    async def _look(self, seen: int) -> None:
        while self._waiting:
            await asyncio.sleep(LOOK)
            now = self._last()
            if now != seen:
                seen = now
                self.wake()

    def wake(self) -> None:
        """Lets everybody look who waits."""
        for mine in self._waiting:
            if not mine.done():
                mine.set_result(None)
