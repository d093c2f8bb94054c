"""Wrong API keys: counted for each address, so that nobody can go on trying."""

from __future__ import annotations

import ipaddress
import time
from math import ceil

from runstone.errors import TooManyFailures

MAX_ADDRESSES = 10_000
PERIOD = 60.0


class FailedLogins:
    """A token bucket for each address: ``limit`` wrong keys at once, and as many a minute after. A limit of 0 never refuses.

    It counts for this process. Of more than :data:`MAX_ADDRESSES` those are forgotten that failed longest ago.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buckets: dict[str, tuple[float, float]] = {}
        self._failed = self._refused = 0

    def refuses(self, address: str) -> bool:
        """Whether an address has to wait before it may try another key."""
        return bool(self._buckets) and self._tokens(group_of(address), time.monotonic()) < 1

    def check(self, address: str) -> None:
        """Raises :class:`TooManyFailures` for an address that has to wait."""
        if not self._buckets:
            return
        tokens = self._tokens(group_of(address), time.monotonic())
        if tokens < 1:
            self._refused += 1
            wait = ceil((1 - tokens) * PERIOD / self._limit)
            raise TooManyFailures(
                f"too many wrong API keys came from {address}; wait {wait} s, and send one that is good",
                retry_after=wait,
            )

    def note(self, address: str) -> None:
        """Counts a wrong key."""
        self._failed += 1
        if not self._limit:
            return
        group, now = group_of(address), time.monotonic()
        tokens = self._tokens(group, now)
        self._buckets.pop(group, None)
        if len(self._buckets) >= MAX_ADDRESSES:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[group] = (max(0.0, tokens - 1), now)

    def _tokens(self, group: str, now: float) -> float:
        tokens, since = self._buckets.get(group, (float(self._limit), now))
        return min(self._limit, tokens + (now - since) * self._limit / PERIOD)

    def counts(self) -> dict[str, float]:
        """Wrong keys, and requests that were refused for having come after too many of them."""
        return {"logins_failed": self._failed, "logins_refused": self._refused}


def group_of(address: str) -> str:
    """What counts as one address: of IPv6 the first 64 bits, since a host has all the others to itself."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((parsed, 64), strict=False))
