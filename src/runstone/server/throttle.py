"""How many requests a principal may make."""

from __future__ import annotations

import time
from math import ceil

from runstone.errors import Overloaded

MAX_BUCKETS = 10_000


class Throttle:
    """A token bucket for each principal: ``rate`` a second, and ten seconds' worth at once. A rate of 0 never refuses."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._burst = max(1.0, rate * 10)
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, principal: str) -> None:
        """Counts a request; raises :class:`Overloaded` when there were too many."""
        if not self._rate:
            return
        now = time.monotonic()
        tokens, since = self._buckets.pop(principal, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        allowed = tokens >= 1
        if len(self._buckets) >= MAX_BUCKETS:
            # The one that has been quiet longest has most likely a full bucket anyway.
            del self._buckets[next(iter(self._buckets))]
        self._buckets[principal] = (tokens - allowed, now)
        if not allowed:
            wait = ceil((1 - tokens) / self._rate)
            raise Overloaded(
                f"{principal} makes over {self._rate:g} requests a second; wait {wait} s", retry_after=wait
            )
