"""The gate in front of the index: many transactions at once, or one change of its map."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class Gate:
    """Many inside, or one alone. Who waits to be alone holds back those who come after."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._inside = 0
        self._closed = False

    def acquire_shared(self) -> None:
        """Goes in, as one of many."""
        with self._changed:
            while self._closed:
                self._changed.wait()
            self._inside += 1

    def release_shared(self) -> None:
        """Goes out."""
        with self._changed:
            self._inside -= 1
            if self._closed and not self._inside:
                self._changed.notify_all()

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Inside as one of many, for a block."""
        self.acquire_shared()
        try:
            yield
        finally:
            self.release_shared()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Inside alone, for a block. Who is inside already must not ask for it."""
        with self._changed:
            while self._closed:
                self._changed.wait()
            self._closed = True
            while self._inside:
                self._changed.wait()
        try:
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()
