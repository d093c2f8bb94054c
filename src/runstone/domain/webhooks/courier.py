"""The courier: reads the log on, puts messages down, and sends what is due. One process of all that serve a store has it at work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from runstone.domain.store import Store
from runstone.domain.webhooks import events, queue
from runstone.domain.webhooks.channels import Channel, Told
from runstone.domain.webhooks.events import Event
from runstone.domain.webhooks.queue import Due
from runstone.errors import RunstoneError
from runstone.storage.index import View
from runstone.storage.tables import HEAD, WEBHOOKS, Head

THREADS = 8
#: Log entries that are looked at in one read transaction, and after how many without news the place is written down.
PIECE, OFTEN = 1000, 100_000
_log = logging.getLogger("runstone.webhooks")


class Courier:
    """Sends in threads of its own, to each webhook one message at a time, so that a slow receiver holds up nobody else.

    ``channels`` answers the channels of all dialects; it is called when there are webhooks.
    """

    def __init__(self, store: Store, channels: Callable[[], Iterable[Channel]]) -> None:
        self._store, self._load = store, channels
        self._channels: dict[str, Channel] | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._place: int | None = None
        self._busy: set[int] = set()
        self._lock = threading.Lock()
        self._seen = -1
        self._next = 0
        self._closing = False

    def idle(self) -> bool:
        """Whether nothing has happened since :meth:`work` was called, and no message is due."""
        if 0 < self._next <= queue.now():
            return False
        return self._store.index.last_commit() == self._seen

    def work(self) -> int:
        """Takes in what happened, and begins to send what is due; to how many webhooks. Blocking."""
        seen = self._store.index.last_commit()
        with self._store.index.read() as view:
            oldest = next((number for (number,), _ in view.scan(WEBHOOKS)), 0)
            if oldest and self._place is None:
                self._place = queue.read_up_to(view)
        if oldest:
            self._read(oldest)
        # Before sending begins: whoever ends meanwhile takes it back, so that what was passed over as busy is looked at again.
        self._seen = seen
        return self._begin()

    def forget(self) -> None:
        """Drops the messages of webhooks that were taken away."""
        queue.forget(self._store)

    def close(self) -> None:
        """Waits for what is being sent; what is not is sent by whoever comes next."""
        self._closing = True
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def _channel(self, name: str) -> Channel | None:
        if self._channels is None:
            self._channels = {channel.name: channel for channel in self._load()}
        return self._channels.get(name)

    def _read(self, oldest: int) -> None:
        """Puts down what is told of the log's new entries; nothing before the oldest webhook concerns anybody."""
        assert self._place is not None
        written = self._place
        self._place = max(self._place, oldest - 1)
        while True:
            told: list[tuple[Event, str, Told]] = []
            with self._store.index.read() as view:
                stop = min((view.get(HEAD, 0) or Head()).size, self._place + 1 + PIECE)
                found = self._events(view, stop)
            if stop == self._place + 1:
                return
            told = [(event, *each) for event in found for each in self._words(event)]
            if told or stop - 1 - written > OFTEN:
                queue.take_in(self._store, told, stop - 1)
                written = stop - 1
            self._place = stop - 1

    def _events(self, view: View, stop: int) -> list[Event]:
        assert self._place is not None
        self._channel("")
        wanted = frozenset().union(*(channel.kinds for channel in (self._channels or {}).values()))
        return list(events.read(view, self._place + 1, stop, wanted))

    def _words(self, event: Event) -> Iterator[tuple[str, Told]]:
        for name, channel in (self._channels or {}).items():
            if event.kind in channel.kinds:
                try:
                    yield from [(name, told) for told in channel.tell(self._store, event)]
                except RunstoneError as error:  # what it was about is gone
                    _log.info("%s of log entry %d is not told: %s", event.kind, event.seq, error.message)
                except Exception:
                    _log.exception("%s of log entry %d is not told", event.kind, event.seq)

    def _begin(self) -> int:
        with self._store.index.read() as view:
            found, self._next = queue.due(view, queue.now())
        begun = 0
        for message in found:
            with self._lock:
                if message.webhook.id in self._busy:
                    continue
                self._busy.add(message.webhook.id)
            if self._threads is None:
                self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="webhooks")
            self._threads.submit(self._send, message)
            begun += 1
        return begun

    def _send(self, message: Due) -> None:
        """Sends a message and what else is due to its webhook, up to the first that fails."""
        webhook, more = message.webhook.id, True
        try:
            while more:
                ended = queue.send(self._store, message, self._channel(message.webhook.channel))
                if ended.state != "delivered":
                    _log.info("webhook %d: %s (%s)", webhook, ended.state, ended.answer[:200])
                    break
                with self._store.index.read() as view:
                    found = queue.due_to(view, webhook, queue.now())
                more = found is not None and not self._closing
                message = found or message
        except Exception:
            _log.exception("webhook %d", webhook)
        finally:
            with self._lock:
                self._busy.discard(webhook)
                self._seen = -1  # what became due to it meanwhile was passed over
