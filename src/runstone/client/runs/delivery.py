"""The thread that delivers a run's journal while the training goes on, and journals that others left.

It never raises into the training and never ends before it is told to: trouble is told of once in a while, and tried again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue

import msgspec

from runstone.client.http import Retries
from runstone.client.runs.batches import Encode
from runstone.client.runs.courier import Courier, NotCreated
from runstone.client.runs.journal import Journal
from runstone.client.runs.orphans import Orphan, claimed
from runstone.client.runs.records import CUT
from runstone.client.runs.sink import Sink
from runstone.client.runs.spool import Head, Place
from runstone.client.runs.status import Status, Teller
from runstone.errors import Denied, RunstoneError, TryAgain


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How often things are done, in seconds. ``interval`` is the longest that a point waits for a batch to fill.

    ``retries`` says how long is waited after trouble (its ``times`` has no meaning here: there is no end to trying), ``denied`` how long
    after a refusal of the key or the run. ``beat`` is the longest silence, ``sweep`` how often journals that were left are looked for.
    """

    interval: float = 1.0
    retries: Retries = Retries(first=0.5, longest=60.0, patience=3600.0)
    denied: float = 60.0
    beat: float = 30.0
    sweep: float = 60.0


class Delivery:
    """Delivers one run's journal, in a thread that :meth:`start` starts. ``tick`` is called there whenever it wakes.

    ``is_finished`` says that nothing will be added any more: once all is delivered the journal is removed and the thread ends.
    """

    def __init__(
        self,
        journal: Journal,
        place: Place,
        connect: Callable[[], Sink],
        *,
        encode: Encode,
        pace: Pace,
        status: Status,
        tick: Callable[[], None],
    ) -> None:
        self.journal, self.place = journal, place
        self.status = status
        self.is_finished = False
        self.tell = Teller(place.head.spec.path)
        self._connect, self._encode, self._pace, self._tick = connect, encode, pace, tick
        self._courier: Courier | None = None
        self._orphan: Orphan | None = None
        self._orphans: Iterator[Place] | None = None
        self._swept = False
        self._done = False
        # A queue that a signal handler may put into while the thread it interrupted does.
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._moved = threading.Condition()
        self._target = 0
        self._hurry = False
        self._attempt = 0
        self._not_before = self._asked_until = 0.0
        self._sent = self._swept_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="runstone-delivery", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Has the thread look at once; safe from signal handlers."""
        self._wakes.put(None)

    @property
    def delivered(self) -> int:
        """The position up to which everything was delivered or rejected."""
        return self._courier.position if self._courier is not None else 0

    def flush(self, position: int, timeout: float, *, patience: float | None = None) -> bool:
        """Waits until everything before a position is delivered; False after ``timeout`` seconds, or ``patience`` of trouble."""
        return self._wait(lambda: self.delivered >= position, position, timeout, patience)

    def finish(self, timeout: float, patience: float) -> bool:
        """Waits until all is delivered and the thread has ended; the caller has set ``is_finished``."""
        return self._wait(lambda: self._done, self.journal.end, timeout, patience)

    def _wait(self, is_so: Callable[[], bool], position: int, timeout: float, patience: float | None) -> bool:
        start = time.monotonic()
        with self._moved:
            self._target = max(self._target, position)
            self._hurry = True
            self.wake()
            while not is_so() and self._thread.is_alive():
                spent = time.monotonic() - start
                in_trouble = self.status.state in ("waiting", "denied")
                if spent >= timeout or (patience is not None and in_trouble and spent >= patience):
                    break
                self._moved.wait(min(timeout - spent, 0.1))
            return is_so()

    def stop(self) -> None:
        """Has the thread end where it is; what is not delivered stays in the journal."""
        self._done = True
        self.wake()

    def _run(self) -> None:
        while not self._done:
            try:
                pause = self._turn(time.monotonic())
            except Exception as error:  # whatever it is, the training goes on, and so does this
                pause = self._troubled(error)
            with self._moved:
                self.status.pending = self.journal.end - self.delivered
                self.status.volatile = self.journal.volatile
                self._moved.notify_all()
            if not self._done:
                self._pause(pause)
        if self._courier is not None:
            self._courier.sink.close()

    def _pause(self, seconds: float) -> None:
        with suppress(Empty):
            self._wakes.get(timeout=max(seconds, 0.0))
            while True:
                self._wakes.get_nowait()

    def _turn(self, now: float) -> float:
        """Does what there is to do; how many seconds to wait before the next turn."""
        self._tick()
        with suppress(OSError):
            self.journal.prepare()
        if now < self._not_before and (not self._hurry or now < self._asked_until):
            return min(self._not_before - now, self._pace.interval)
        self._hurry = False
        courier = self._opened()
        if not courier.created:
            courier.create()
            self._went_well(courier)
        pending = self.journal.end - courier.position
        if pending and (self._is_urgent(pending) or now - self._sent >= self._pace.interval):
            self._deliver(courier, now)
            return 0.0
        if self._is_time_to_sweep(now):
            return self._sweep()
        if self.is_finished and not pending:
            self._complete()
            return 0.0
        if now - self._sent >= self._pace.beat:
            self._sent = now
            courier.sink.beat(self.place.head.spec, time.time_ns() // 1000)
            self._went_well(courier)
        return self._pace.interval - (now - self._sent) if pending else self._pace.interval

    def _opened(self) -> Courier:
        if self._courier is None:
            sink = self._connect()
            self._courier = Courier(
                self.place,
                sink,
                self.journal.records,
                encode=self._encode,
                cut=self._cut,
                warn=self.tell.warn,
            )
        return self._courier

    def _cut(self) -> int:
        # Without its end in the journal nothing may be sent: another process could take the stretch to be longer.
        return self.journal.append(CUT, b"")

    def _is_urgent(self, pending: int) -> bool:
        return pending >= self.place.head.stretch or self.is_finished or self._target > self.delivered

    def _deliver(self, courier: Courier, now: float) -> None:
        self._sent = now
        before = courier.position
        courier.step()
        if courier.position > before:
            if self.journal.frees(courier.position):
                self.place.set_delivered(courier.position, durable=True)
            self.journal.release(courier.position)
        self._went_well(courier)

    def _went_well(self, courier: Courier) -> None:
        self._attempt, self._not_before = 0, 0.0
        status = self.status
        status.state, status.error = "delivering", ""
        status.delivered, status.rejected = courier.delivered, courier.rejected
        self.tell.settled("away", "the store is back; what waited is being delivered")

    def _troubled(self, error: Exception) -> float:
        """Notes trouble; how many seconds to wait."""
        self._attempt += 1
        asked = error.details.get("retry_after") if isinstance(error, RunstoneError) else None
        pause = self._pace.retries.wait(min(self._attempt, 32), asked)
        denied = isinstance(error, Denied | NotCreated)
        if denied:
            pause = max(pause, self._pace.denied)
        self._not_before = time.monotonic() + pause
        self.status.state = "denied" if denied else "waiting"
        self.status.error = str(error) or type(error).__name__
        if self._courier is not None:
            self.status.delivered, self.status.rejected = self._courier.delivered, self._courier.rejected
        if asked is not None:
            self._asked_until = self._not_before
        self.tell.warn(
            "away",
            f"not delivered: {self.status.error}; what is logged is kept in {self.place.path}, and is delivered when that "
            "is over, by this process or by the next one on this host",
        )
        return min(pause, self._pace.interval)

    # Journals that others left

    def _is_time_to_sweep(self, now: float) -> bool:
        if self.is_finished and not self._swept:
            # Once more, and only for this run: what children of this process left.
            self._swept = True
            self._end_sweep()
            return True
        return self._orphans is not None or now - self._swept_at >= self._pace.sweep

    def _sweep(self) -> float:
        """Delivers one stretch of a journal that was left, so that the run's own never waits for long."""
        if self._orphans is None:
            self._orphans = claimed(self.place.path.parent.parent, self._is_ours)
        try:
            if self._orphan is None:
                place = next(self._orphans, None)
                if place is None:
                    self._end_sweep()
                    return 0.0
                self._orphan = Orphan(place, self._opened().sink, self._encode, self.tell.warn)
            if not self._orphan.step():
                self._orphan = None
        except Exception as error:  # trouble with another's journal is none of this run's
            self.tell.warn("orphan", f"a journal that was left is not delivered yet: {error}")
            if isinstance(error, TryAgain):
                self._end_sweep()
            else:  # the next one may fare better
                self._drop_orphan()
        return 0.0

    def _is_ours(self, head: Head) -> bool:
        own = self.place.head
        if head.destination != own.destination:
            return False
        return not self.is_finished or head.spec.path == own.spec.path

    def _end_sweep(self) -> None:
        self._drop_orphan()
        self._orphans = None
        self._swept_at = time.monotonic()

    def _drop_orphan(self) -> None:
        orphan, self._orphan = self._orphan, None
        if orphan is not None:
            orphan.release()

    def _complete(self) -> None:
        """All is delivered, and nothing will be added."""
        self._end_sweep()
        self.journal.close()
        self.place.remove()
        self.status.state = "done"
        self._done = True
