"""Small files that arrive one by one and at the same time, stored together: one sync and one transaction for all that wait.

A client that sends a hundred thousand files pays for a few thousand durable writes instead of two hundred thousand.
"""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import Future

import msgspec

from runstone.domain import names
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import DigestMismatch, RunstoneError

#: What counts as small, and how much may wait: more is taken in one by one.
SMALL = 256 << 10
MAX_WAITING = 64 << 20
_MAX_FILES = 1000


class _Waiting(msgspec.Struct, frozen=True):
    ctx: Context
    namespace: str
    content: bytes
    md5: str
    done: Future[None]


class Gatherer:
    """Takes small files in for one store. Safe from threads; its own thread stores what waits, and ends when nothing does."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._bytes = 0
        self._worker: threading.Thread | None = None

    def has_room(self, size: int) -> bool:
        """Whether so many bytes more may wait."""
        return self._bytes + size <= MAX_WAITING

    def put(self, ctx: Context, namespace: str, content: bytes, md5: str) -> Future[None]:
        """Takes a file in whose MD5 (in hexadecimal digits) must be this one.

        The future is done when the file is durable and pinned, and raises what went wrong with it.
        """
        done: Future[None] = Future()
        with self._lock:
            self._bytes += len(content)
            self._waiting.append(_Waiting(ctx, namespace, content, md5, done))
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="runstone-gatherer", daemon=True)
                self._worker.start()
        return done

    def _work(self) -> None:
        while some := self._next():
            groups: dict[tuple[str, Context], list[_Waiting]] = {}
            for each in some:
                alike = Context(each.ctx.principal, each.ctx.purpose, each.ctx.region)
                groups.setdefault((each.namespace, alike), []).append(each)
            for (namespace, ctx), group in groups.items():
                self._store_group(namespace, ctx, group)
            with self._lock:
                self._bytes -= sum(len(each.content) for each in some)

    def _next(self) -> list[_Waiting]:
        with self._lock:
            some, self._waiting = self._waiting[:_MAX_FILES], self._waiting[_MAX_FILES:]
            if not some:
                self._worker = None
        return some

    def _store_group(self, namespace: str, ctx: Context, group: list[_Waiting]) -> None:
        # Who has gone away in the meantime is not waited for.
        kept = [
            each for each in group if each.done.set_running_or_notify_cancel() and self._is_announced(each)
        ]
        try:
            with self._store.index.read() as view:
                held = names.find_namespace(self._store, view, ctx, namespace, "write")
            if kept:
                contents = [each.content for each in kept]
                self._store.blobs.put_bytes(held.domain, ctx.principal.name, contents, md5=True)
        except Exception as error:  # whoever waits is told
            for each in kept:
                each.done.set_exception(error)
        else:
            for each in kept:
                each.done.set_result(None)

    def _is_announced(self, each: _Waiting) -> bool:
        found = hashlib.md5(each.content, usedforsecurity=False).hexdigest()
        if found != each.md5:
            each.done.set_exception(_differs(found, each.md5))
        return found == each.md5

    def close(self) -> None:
        """Waits until all that was taken in is stored."""
        worker = self._worker
        if worker is not None:
            worker.join()


def _differs(found: str, wanted: str) -> RunstoneError:
    return DigestMismatch(f"the file has the MD5 {found} and not {wanted}; send it again", md5=found)


def of(store: Store) -> Gatherer:
    """The gatherer of a store."""
    return store.part("gatherer", Gatherer)
