"""Journals whose process is gone, delivered by another one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from runstone.client.http import Retries
from runstone.client.runs.batches import Encode
from runstone.client.runs.courier import Courier, Tell
from runstone.client.runs.records import read, scan
from runstone.client.runs.segment import Segment
from runstone.client.runs.sink import Sink
from runstone.client.runs.spool import Head, Place, default_spool, fallbacks, journals
from runstone.client.runs.status import Teller
from runstone.errors import RunstoneError, TryAgain

Connect = Callable[[Head], Sink]
_DAMAGED = ".damaged"


@dataclass(slots=True)
class Delivered:
    """What became of one journal: counts of calls of ``log``; ``error`` says why it still waits, or is empty."""

    journal: Path
    run: str
    destination: str
    delivered: int = 0
    rejected: int = 0
    error: str = ""


class Orphan:
    """A journal that its process left, claimed by this one until :meth:`release`."""

    def __init__(self, place: Place, sink: Sink, encode: Encode, warn: Tell) -> None:
        self.place = place
        self._segments: list[Segment] = place.segments()
        self.courier = Courier(
            place,
            sink,
            lambda start: scan(self._segments, start),
            encode=encode,
            cut=None,
            warn=warn,
        )
        self._warn = warn

    def step(self) -> bool:
        """Delivers a stretch; False when all is delivered, and then the journal is removed."""
        if self.courier.step():
            return True
        damaged = self._is_damaged()
        self._close()
        if damaged:
            kept = self.place.path.with_name(f"{self.place.path.name}{_DAMAGED}")
            self._warn("damaged", f"a record within {self.place.path} is damaged; the rest is in {kept}")
            self.place.path.rename(kept)
            self.place.release()
        else:
            self.place.remove()
        return False

    def _is_damaged(self) -> bool:
        """Whether there are records behind the last whole one: a torn record has no successor."""
        later = [segment for segment in self._segments if segment.base > self.courier.position]
        return any(read(segment, segment.base) is not None for segment in later)

    def release(self) -> None:
        """Lets the journal go, for the next one who finds it."""
        self._close()
        self.place.release()

    def _close(self) -> None:
        for segment in self._segments:
            segment.close()


def claimed(spool: Path, wanted: Callable[[Head], bool]) -> Iterator[Place]:
    """Claims journals that were left, one after the other; the caller lets each go."""
    for path in journals(spool):
        if path.name.endswith(_DAMAGED):
            continue
        place = Place.claim(path)
        if place is None:
            continue
        if wanted(place.head):
            yield place
        else:
            place.release()


def deliver(
    spool: Path | None = None,
    connect: Connect | None = None,
    *,
    encode: Encode | None = None,
    retries: Retries | None = None,
) -> list[Delivered]:
    """Delivers every journal of a spool whose process is gone; what became of each.

    ``spool`` is by default the user's, and where journals go when that cannot be written. ``connect`` gives the sink of a journal's
    destination, by default a server's with the key of ``RUNSTONE_API_KEY``; it raises :class:`RunstoneError` for one that it cannot
    reach. A store that is away is tried again as ``retries`` say, and then left.
    """
    connect = connect or _to_server
    found: list[Delivered] = []
    sinks: dict[str, Sink] = {}
    away: dict[str, str] = {}
    try:
        for place in _all_claimed([spool] if spool else [default_spool(), *fallbacks()]):
            head = place.head
            told = Delivered(place.path, head.spec.path, head.destination)
            found.append(told)
            if head.destination in away:
                told.error = away[head.destination]
                place.release()
                continue
            try:
                sink = sinks.get(head.destination) or sinks.setdefault(head.destination, connect(head))
                orphan = Orphan(place, sink, encode or default_encode, Teller(head.spec.path).warn)
            except RunstoneError as error:
                told.error = error.message
                place.release()
                continue
            if _deliver_one(orphan, told, retries or Retries()):
                away[head.destination] = told.error
    finally:
        for sink in sinks.values():
            sink.close()
    return found


def _all_claimed(spools: list[Path]) -> Iterator[Place]:
    for spool in spools:
        yield from claimed(spool, lambda head: True)


def _deliver_one(orphan: Orphan, told: Delivered, retries: Retries) -> bool:
    """Delivers a journal or lets it go; whether the store is away, so that others need not try."""
    attempt, is_away = 0, False
    while True:
        try:
            more = orphan.step()
            attempt = 0
        except TryAgain as error:
            attempt += 1
            if attempt > retries.times:
                told.error, is_away = error.message, True
                break
            time.sleep(retries.wait(attempt, error.details.get("retry_after")))
            continue
        except Exception as error:  # the other journals are delivered all the same
            told.error = str(error) or type(error).__name__
            break
        finally:
            told.delivered, told.rejected = orphan.courier.delivered, orphan.courier.rejected
        if not more:
            return False
    orphan.release()
    return is_away


def _to_server(head: Head) -> Sink:
    from runstone.client.runs.remote import RemoteSink  # only who delivers needs sockets

    return RemoteSink.connect(head.destination)


def default_encode(rows: list[tuple[int, int, dict[str, object]]]) -> bytes:
    """A points batch of rows, by the kernel."""
    from runstone._native.points import encode_rows

    return encode_rows(rows)
