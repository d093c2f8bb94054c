"""Who asks, for what, and until when: every domain call takes a :class:`Context`."""

from __future__ import annotations

import time

import msgspec
from msgspec.structs import replace

from runstone.errors import TryAgain


class Principal(msgspec.Struct, frozen=True):
    """Who asks. ``user`` is 0 for the owner of a store opened in-process; ``admin`` may do everything.

    ``role`` limits what a key may do below what its user may (``reader``: read only); empty is no limit.
    """

    name: str
    user: int = 0
    admin: bool = False
    role: str = ""


#: Whoever opens the folder owns it, as with any file.
LOCAL = Principal("local", admin=True)


#: Whoever asks what anybody may.
NOBODY = Principal("")

#: Who comes without a key. No user can have the name.
ANONYMOUS = Principal("(anonymous)")


class Context(msgspec.Struct, frozen=True):
    """The circumstances of one call. ``deadline`` is on the monotonic clock; ``command_id`` makes one write idempotent."""

    principal: Principal = LOCAL
    purpose: str = ""
    region: str = ""
    request_id: str = ""
    consumer: str = ""
    reason: str = ""
    command_id: bytes = b""
    deadline: float | None = None

    @property
    def asker(self) -> tuple[Principal, str, str]:
        """What an answer depends on beside the store and the question: who asks, for what and where."""
        return self.principal, self.purpose, self.region

    def check_deadline(self) -> None:
        """Raises :class:`TryAgain` once the caller no longer waits."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise TryAgain("the request's deadline has passed; ask for less, or allow more time")

    def without_id(self) -> Context:
        """The same circumstances for the second write of a call, which needs an id of its own."""
        return replace(self, command_id=b"") if self.command_id else self
