"""Console output as lines: what was printed in pieces is put together, and a progress line is one line, rewritten."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from runstone.client.runs.records import LINE, Line, encode

#: A longer line is several lines.
MAX_LINE = 32 << 10


@dataclass(slots=True)
class _Stream:
    number: int = 0
    held: str = ""
    level: str = ""
    #: The text of the unfinished line that was journaled last.
    told: str = ""


class Console:
    """The streams of a process. ``append`` takes the records.

    A line is recorded when it ends. One that has not, as a progress bar has not, is recorded by :meth:`tick` as it stands then, under the
    number that it keeps: later records of that number replace it.
    """

    def __init__(self, append: Callable[[int, bytes], object]) -> None:
        self._append = append
        self._streams: dict[str, _Stream] = {}
        self._lock = threading.RLock()

    def write(self, text: str, stream: str, level: str) -> None:
        """Takes what was printed, in whatever pieces."""
        with self._lock:
            state = self._streams.setdefault(stream, _Stream())
            state.level = level
            *whole, state.held = (state.held + text).split("\n")
            for line in whole:
                self._end(stream, state, _shown(line))
            # What was overwritten is gone. Carriage returns at the end have overwritten nothing yet.
            state.held = _shown(state.held) + ("\r" if state.held.endswith("\r") else "")
            while len(state.held) > MAX_LINE:
                piece, state.held = state.held[:MAX_LINE], state.held[MAX_LINE:]
                self._end(stream, state, piece)

    def _end(self, stream: str, state: _Stream, line: str) -> None:
        for at in range(0, len(line) or 1, MAX_LINE):
            self._record(stream, state, line[at : at + MAX_LINE])
            state.number += 1
        state.told = ""

    def _record(self, stream: str, state: _Stream, text: str) -> None:
        text = text.encode("utf-8", "replace").decode()
        line = Line(stream, state.number, state.level, time.time_ns() // 1000, text)
        self._append(LINE, encode(line))

    def tick(self) -> None:
        """Records the unfinished lines that changed."""
        with self._lock:
            for stream, state in self._streams.items():
                text = _shown(state.held)
                if text and text != state.told:
                    self._record(stream, state, text)
                    state.told = text

    def after_fork(self, append: Callable[[int, bytes], object]) -> None:
        """In a child: a lock that nobody holds, and lines from the first on, for its own journal."""
        self._append, self._streams, self._lock = append, {}, threading.RLock()


def _shown(line: str) -> str:
    """What a terminal shows of a line in which the cursor went back to its beginning."""
    return line.rstrip("\r").rpartition("\r")[2]
