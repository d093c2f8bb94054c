"""What one process has of a run: its journal, and the thread that delivers it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from runstone.client.runs.batches import STRETCH, Encode
from runstone.client.runs.delivery import Delivery, Pace
from runstone.client.runs.journal import LIMIT, Full, Journal
from runstone.client.runs.orphans import default_encode
from runstone.client.runs.records import FINISH, LINE, Finish, Line, encode
from runstone.client.runs.sink import RunSpec, Sink
from runstone.client.runs.spool import FORMAT, Head, Place, default_spool, fallbacks
from runstone.client.runs.status import Status
from runstone.errors import RunstoneError

#: The stream that tells, among a run's console lines, what its process had to drop.
OWN_STREAM = "runstone"


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run is logged. ``connect`` makes a new sink; ``destination`` names its store for whoever delivers a journal that was left.

    ``spool`` is a directory (:func:`default_spool`), ``limit`` the bytes that a journal may hold, ``durable`` has :meth:`Run.log` wait until the
    store has the point, up to ``durable_seconds``. ``system`` is the seconds between samples of the machine, 0 for none.
    """

    connect: Callable[[], Sink]
    destination: str
    spool: Path | None = None
    limit: int = LIMIT
    durable: bool = False
    durable_seconds: float = 60.0
    system: float = 0.0
    environment: bool = True
    pace: Pace = field(default_factory=Pace)
    encode: Encode = default_encode


class Outbox:
    """A new journal for a run, and its delivery. Nothing here raises for what the store or the disk does, once it is made."""

    def __init__(self, spec: RunSpec, options: Options, tick: Callable[[], None]) -> None:
        self.pid = os.getpid()
        self.status = Status()
        self._tick = tick
        self._place, elsewhere = _placed(spec, options)
        self.spec = self._place.head.spec
        self.status.journal = str(self._place.path)
        self._journal = Journal(self._place.path, limit=options.limit)
        self._delivery = Delivery(
            self._journal,
            self._place,
            options.connect,
            encode=options.encode,
            pace=options.pace,
            status=self.status,
            tick=self._on_tick,
        )
        self._next_wake = STRETCH
        self._counting = threading.RLock()
        self._dropped_since = 0
        self._told_dropped = 0
        if elsewhere:
            self._delivery.tell.warn("spool", f"{elsewhere}; this run's journal is in {self._place.path}")
        self._delivery.start()

    def append(self, kind: int, payload: bytes) -> int:
        """Adds a record to the journal; the position behind it, or 0 if there was no room."""
        try:
            end = self._journal.append(kind, payload)
        except Full as full:
            self._drop(full)
            return 0
        if end >= self._next_wake:
            self._next_wake = end + STRETCH
            self._delivery.wake()
        return end

    def _drop(self, full: Full) -> None:
        self._count_dropped(1)
        self._delivery.tell.warn(
            "full", f"no room for what is logged, which is dropped and counted: {full.why}"
        )

    def _count_dropped(self, count: int) -> None:
        with self._counting:
            self._dropped_since = self._dropped_since or time.time_ns() // 1000
            self.status.dropped += count

    def _on_tick(self) -> None:
        self._tick()
        if lost := self._journal.take_lost():
            self._count_dropped(lost)
        with self._counting:
            self._tell_dropped()

    def _tell_dropped(self) -> None:
        """Adds a console line about what was dropped, once there is room for it."""
        dropped = self.status.dropped
        if dropped == self._told_dropped:
            return
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self._dropped_since // 1_000_000))
        text = (
            f"{dropped - self._told_dropped} records (what was logged, printed or changed) were dropped "
            f"since {since}: there was no room"
        )
        line = Line(OWN_STREAM, dropped, "warning", time.time_ns() // 1000, text)
        with suppress(Full):
            self._journal.append(LINE, encode(line))
            self._told_dropped, self._dropped_since = dropped, 0
            self._delivery.tell.warn("dropped", text)

    def wait(self, position: int, timeout: float) -> None:
        """Waits until the store has everything before a position; says so when that takes too long."""
        if not self._delivery.flush(position, timeout):
            why = self.status.error or "out of time"
            self._delivery.tell.warn(
                "durable", f"not in the store after {timeout:g} s, but in the journal: {why}"
            )

    def flush(self, timeout: float, patience: float | None = None) -> bool:
        """Waits until the store has everything that was added so far."""
        self._tick()
        return self._delivery.flush(self._journal.end, timeout, patience=patience)

    def seal(self) -> None:
        """Takes what is still held back; nothing more will be asked for."""
        self._tick()
        self._tick = _nothing

    def finish(self, state: str, timeout: float, patience: float) -> bool:
        """Ends the journal, and waits until all of it is delivered; False if it waits for the next process of this host."""
        self._on_tick()
        self.append(FINISH, encode(Finish(time.time_ns() // 1000, state)))
        self._delivery.is_finished = True
        if self._delivery.finish(timeout, patience):
            return True
        self._delivery.tell.warn(
            "unfinished",
            f"{self._journal.end - self._delivery.delivered} bytes are not delivered yet ({self.status.error or 'out of time'}); "
            f"they wait in {self._place.path}",
        )
        return False

    def abandon(self) -> None:
        """In a forked child: lets go of what is the parent's, and touches none of it."""
        self._place.release()


def _nothing() -> None:
    pass


def _placed(spec: RunSpec, options: Options) -> tuple[Place, str]:
    """A place in the spool or, where that cannot be had, in a fallback, and then why; raises the spool's fault if there is none."""
    spool = options.spool or default_spool()
    try:
        return Place.create(spool, _head(spec, options)), ""
    except RunstoneError as error:
        for other in fallbacks():
            with suppress(RunstoneError):
                return Place.create(other, _head(spec, options)), error.message
        raise


def _head(spec: RunSpec, options: Options) -> Head:
    id_ = os.urandom(16).hex()
    return Head(
        format=FORMAT,
        id=id_,
        destination=options.destination,
        stretch=STRETCH,
        created=time.time_ns() // 1000,
        pid=os.getpid(),
        spec=msgspec.structs.replace(spec, process=id_),
    )
