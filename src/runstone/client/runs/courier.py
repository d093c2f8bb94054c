"""Delivers one journal, stretch after stretch: whoever holds its place, in whatever process, does the same."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator

import msgspec

from runstone.client.runs.batches import Encode, Request, Stretch, create_id, requests
from runstone.client.runs.records import Record
from runstone.client.runs.sink import Sink
from runstone.client.runs.spool import Place, Rejected
from runstone.errors import Conflict, Gone, Invalid, Missing, RunstoneError

#: Errors of a request that the same request will always meet.
REFUSALS = (Missing, Conflict, Gone, Invalid)

Tell = Callable[[str, str], None]


class NotCreated(Exception):
    """The store refuses to make the run, or to take it up again: nothing of the journal can be delivered until that changes."""

    def __init__(self, error: RunstoneError) -> None:
        super().__init__(error.message)
        self.error = error


class Courier:
    """Brings a journal to a sink.

    ``records`` gives the journal's records from a position on. ``cut`` ends the stretch that is being written; None for a journal
    that nobody writes any more. ``warn`` is told of what is lost.
    """

    def __init__(
        self,
        place: Place,
        sink: Sink,
        records: Callable[[int], Iterator[Record]],
        *,
        encode: Encode,
        cut: Callable[[], int] | None,
        warn: Tell,
    ) -> None:
        self.place, self.sink = place, sink
        #: Everything before it was delivered or rejected.
        self.position = place.delivered()
        self.delivered = 0
        self.rejected = 0
        self.created = False
        self._records, self._encode, self._cut, self._warn = records, encode, cut, warn
        self._waiting: deque[Request] = deque()
        self._end = self.position

    def create(self) -> None:
        """Makes the run, once. Raises what the sink does, and :class:`NotCreated` for a refusal."""
        if self.created:
            return
        head = self.place.head
        try:
            self.sink.create(head.spec, create_id(head.id))
        except REFUSALS as error:
            raise NotCreated(error) from error
        self.created = True

    def step(self) -> bool:
        """Delivers one stretch; False if there was none. Raises what the sink does, and then goes on where it was."""
        self.create()
        if not self._waiting and self._end == self.position and not self._take():
            return False
        while self._waiting:
            self._send(self._waiting[0])
            self._waiting.popleft()
        self.place.set_delivered(self._end)
        self.position = self._end
        return True

    def _take(self) -> bool:
        head = self.place.head
        stretch = Stretch(self.position)
        stretch.extend(self._records(stretch.end), head.stretch)
        if not stretch.complete and self._cut is not None:
            end = self._cut()
            stretch.extend(self._records(stretch.end), head.stretch)
            if not stretch.complete:
                self._warn("damaged", f"{end - stretch.end} bytes of {self.place.path} cannot be read back")
                stretch.end = end
        if stretch.end == self.position:
            return False
        self._waiting.extend(requests(head.spec, head.id, stretch.records, self._encode))
        self._end = stretch.end
        return True

    def _send(self, request: Request) -> None:
        try:
            request.send(self.sink)
        except REFUSALS as error:
            self._reject(request, error)
        else:
            self.delivered += request.points

    def _reject(self, request: Request, error: RunstoneError) -> None:
        rejected = Rejected(
            id=request.id.hex(),
            kind=request.kind,
            time=time.time_ns() // 1000,
            code=error.code,
            reason=error.message,
            content=request.content(),
        )
        where = self.place.path / "rejected"
        try:
            self.place.reject(rejected)
        except (OSError, msgspec.EncodeError, TypeError, ValueError) as why:
            self._warn("rejected", f"the store refused {request.kind}: {error.message}; and {where}: {why}")
        else:
            self._warn(
                "rejected", f"the store refused {request.kind}: {error.message}; what it was is in {where}"
            )
        self.rejected += request.points
