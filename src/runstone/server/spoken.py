"""The dialects that a server speaks, and which of their routes are loaded: those of a path that somebody asked for."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence

from runstone import dialects
from runstone.dialects.routing import Dialect, Part
from runstone.server.router import Match, Router


class Spoken:
    """What answers a path; safe from threads."""

    def __init__(self, own: Sequence[Dialect]) -> None:
        """``own`` are the server's own, whose routes are there from the start."""
        #: All of them, the native one first; those of other packages once a path is asked for that no other has.
        self.dialects: list[Dialect] = [*dialects.shipped(), *own]
        self._router = Router()
        for dialect in own:
            self._router.add(dialect, dialect.routes())
        self._waiting: list[tuple[re.Pattern[str], Dialect, Part]] = [
            (re.compile(part.claims), dialect, part)
            for dialect in self.dialects
            for part in getattr(dialect, "parts", ())
        ]
        self._complete = False
        self._lock = threading.Lock()

    def find(self, segments: list[str]) -> Match | None:
        """What a path means; ``segments`` are decoded."""
        self._load(f"/{'/'.join(segments)}")
        found = self._router.find(segments)
        if found is None and not self._complete:
            self.complete()
            found = self._router.find(segments)
        return found

    def complete(self) -> list[Dialect]:
        """All dialects, also those that other packages bring."""
        with self._lock:
            if not self._complete:
                for dialect in dialects.brought():
                    self._router.add(dialect, dialect.routes())
                    self.dialects.append(dialect)
                self._complete = True
        return self.dialects

    def of_path(self, path: str) -> Dialect | None:
        """The dialect whose path this is, whether or not there is anything at it."""
        return next((dialect for dialect in self.dialects if path.startswith(dialect.prefixes)), None)

    def _load(self, path: str) -> None:
        if not any(claims.match(path) for claims, _, _ in self._waiting):
            return
        with self._lock:
            for waiting in [each for each in self._waiting if each[0].match(path)]:
                _, dialect, part = waiting
                self._router.add(dialect, tuple(part.routes()))
                self._waiting = [each for each in self._waiting if each is not waiting]
