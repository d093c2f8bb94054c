"""A project's events from a server (server-sent events, WHATWG HTML, section 9.2), for as long as one listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType

import msgspec

from runstone.client.response import Response
from runstone.errors import Broken, Unreachable
from runstone.types import Event

MAX_LINE = 1 << 20


class Listening(Iterator[Event]):
    """An iterator without end. A connection that breaks is made again from the last place. Close it, or use it as a context manager."""

    def __init__(self, listen: Callable[[int | None], Response], after: int | None) -> None:
        """``listen`` asks for what comes after a log entry; it is called at once, so that nothing is missed from here on."""
        self._listen, self._place = listen, after
        self._response = listen(after)
        self._lines = self._response.lines(MAX_LINE)

    def __next__(self) -> Event:
        while True:
            try:
                for line in self._lines:
                    name, _, value = line.partition(b": ")
                    if name == b"id":
                        self._place = int(value)
                    elif name == b"data":
                        return msgspec.json.decode(value, type=Event)
            except (ValueError, msgspec.DecodeError) as error:
                self.close()
                raise Broken(f"the server sent what is not an event: {error}") from None
            except Unreachable:
                pass  # asked again below, which says so if nobody answers
            self.close()
            self._response = self._listen(self._place)
            self._lines = self._response.lines(MAX_LINE)

    def close(self) -> None:
        """Ends the listening, and its connection: an answer that came to its end serves no other request."""
        self._response.close()
        self._response.connection.close()

    def __enter__(self) -> Listening:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
