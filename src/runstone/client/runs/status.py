"""How a delivery stands, and how it tells of that: once in a while, never by an exception."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    import logging

State = Literal["starting", "delivering", "waiting", "denied", "done"]
TELL_SECONDS = 600.0


class Status(msgspec.Struct, kw_only=True):
    """How a run's delivery stands in this process.

    ``state``: ``starting`` until the store took the run; ``delivering``; ``waiting`` while it is away; ``denied`` while it refuses the
    key or the run; ``done`` when everything was delivered and the run is finished. ``pending`` are bytes of the journal that are
    not delivered; ``delivered`` and ``rejected`` count calls of ``log`` that the store took and refused, ``dropped`` records of any kind that
    found no room here. ``error`` is the last trouble, ``volatile`` why records lie in memory only, ``journal`` the journal's directory.
    """

    state: State = "starting"
    pending: int = 0
    delivered: int = 0
    rejected: int = 0
    dropped: int = 0
    error: str = ""
    volatile: str = ""
    journal: str = ""


class Teller:
    """Says something through ``logging`` (logger ``runstone``), each topic at most once in :data:`TELL_SECONDS`."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._told: dict[str, float] = {}

    def warn(self, topic: str, message: str) -> None:
        """A warning about a topic, unless there was one just now."""
        now = time.monotonic()
        if now - self._told.get(topic, -TELL_SECONDS) >= TELL_SECONDS:
            self._told[topic] = now
            logger().warning("run %s: %s", self._what, message)

    def settled(self, topic: str, message: str) -> None:
        """Says that what was warned of is over, if it was; the next trouble is told at once."""
        if self._told.pop(topic, None) is not None:
            logger().warning("run %s: %s", self._what, message)


def logger() -> logging.Logger:
    """Where everything is said. A training without trouble never loads ``logging`` for it."""
    import logging

    return logging.getLogger("runstone")
