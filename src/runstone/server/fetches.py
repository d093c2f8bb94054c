"""Who fetched what: taken note of at once, written to the lineage now and then, many together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from msgspec.structs import replace

from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import RunstoneError

MAX_WAITING = 10_000
_log = logging.getLogger("runstone.server")


class Fetches:
    """Fetches that are not in the lineage yet. What a crash loses is a note, never data."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, str, int], Context] = {}
        #: Called before what was noted is written: what others have noted and not told.
        self.before_flush: list[Callable[[], None]] = []

    def add(self, ctx: Context, version: int) -> None:
        """Takes note of a fetch by the context's consumer; again and again counts once until it is written."""
        plain = replace(ctx, command_id=b"", deadline=None)
        with self._lock:
            if len(self._waiting) < MAX_WAITING:
                self._waiting.setdefault((ctx.principal.name, ctx.consumer, version), plain)

    def flush(self) -> int:
        """Writes what was noted; how much. Blocking."""
        for tell in self.before_flush:
            tell()
        with self._lock:
            taken, self._waiting = self._waiting, {}
        if not taken:
            return 0
        from runstone.domain import content

        written = 0
        for (_, consumer, version), ctx in taken.items():
            try:
                content.note_fetch(self._store, ctx, version)
                written += 1
            except RunstoneError as error:
                _log.warning("a fetch by %s is not in the lineage: %s", consumer, error.message)
        return written
