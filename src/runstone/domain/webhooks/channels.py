"""What a dialect does for webhooks: words and signatures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec

from runstone.domain.store import Store
from runstone.domain.webhooks.events import Event


class Told(msgspec.Struct, frozen=True):
    """A message: what happened, in the channel's words, and the body of the request.

    It goes to the webhooks ``to`` (their ids), or to all of the channel that subscribe to ``event`` where it happened.
    """

    event: str
    body: bytes
    to: tuple[int, ...] | None = None


class Channel(Protocol):
    """The way a dialect tells of what happens. Webhooks name theirs."""

    name: str
    #: The kinds of events that it wants to see (``docs/webhooks.md`` lists them).
    kinds: frozenset[str]

    def tell(self, store: Store, event: Event) -> Iterable[Told]:
        """The messages that an event makes. Called once an event, or again after a crash; what it reads may have changed since."""

    def headers(self, delivery: str, secret: str, body: bytes, now: int) -> Mapping[str, str]:
        """Header fields of a request: content type, delivery id, signature. ``now`` is in seconds; ``secret`` may be empty."""
