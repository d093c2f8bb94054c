"""A bar for long work, on standard error: only on a terminal, and only once the work has taken a moment."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Any, Literal

Unit = Literal["bytes", "entries"]
#: Work that is done sooner shows no bar, and does not pay for the library that draws it.
PATIENCE = 0.4


class Progress:
    """Called with (done, total); draws rate and time left. Use as a context manager; safe from threads."""

    def __init__(self, doing: str, unit: Unit = "bytes") -> None:
        self._doing, self._unit = doing, unit
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._bar: Any = None
        self._task: Any = None
        self._quiet = not sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        """Says how far the work is."""
        if self._quiet:
            return
        with self._lock:
            if self._bar is None:
                if time.monotonic() - self._began < PATIENCE:
                    return
                self._draw()
            self._bar.update(self._task, completed=done, total=total or None)

    def _draw(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            ProgressColumn,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.progress import Progress as Bar

        amounts: list[ProgressColumn] = (
            [DownloadColumn(), TransferSpeedColumn()]
            if self._unit == "bytes"
            else [MofNCompleteColumn(), TaskProgressColumn(show_speed=True)]
        )
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            *amounts,
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(self._doing, total=None)
        self._bar.start()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
