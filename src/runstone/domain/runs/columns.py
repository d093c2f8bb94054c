"""The columnar copies of the runs of a store's projects, opened when they are asked about and bounded in number."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from runstone.domain.runs import table
from runstone.domain.store import Store
from runstone.storage.index import View
from runstone.storage.tables import RUN_CHANGES

if TYPE_CHECKING:
    from runstone.storage.columns.table import ColumnTable

#: Raised when the rows of runs get other fields: columns of another shape are made anew.
SHAPE = 2
#: How many projects are held open: those that were asked about last.
MAX_OPEN = 64
#: So many changes of a project that nobody has asked about are taken into its columns by the upkeep.
EAGER = 256
#: Seconds between two lines of the log about columns that are being made.
TELL = 2.0
_log = logging.getLogger("runstone.columns")


class Tables:
    """The columns of the projects of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folder = store.path / "columns" / f"runs-{SHAPE}"
        self._held: dict[int, ColumnTable] = {}
        self._asked: set[int] = set()
        self._sealed: dict[int, int] = {}
        self._lock = threading.Lock()
        #: How many log entries the columns that are being made are behind; 0 while none are.
        self.behind = 0

    def of(self, project: int) -> ColumnTable:
        """The columns of a project's runs, with all that changed until now."""
        held = self._opened(project)
        self._asked.add(project)
        held.refresh(self._telling(project))
        return held

    def _opened(self, project: int) -> ColumnTable:
        from runstone.storage.columns.table import ColumnTable

        with self._lock:
            # A dict keeps the order of insertion, so the first is the one that was asked about longest ago.
            held = self._held.pop(project, None)
            if held is None:
                held = ColumnTable(self._folder / f"{project:x}", table.Runs(self._store, project))
            self._held[project] = held
            while len(self._held) > MAX_OPEN:
                oldest = next(iter(self._held))
                del self._held[oldest]
                self._asked.discard(oldest)
            return held

    def maintain(self, steps: int = 16) -> None:
        """Takes in what changed in any project, so that a question finds columns, and seals and merges what is due, a bounded piece of it.

        Columns of another shape are dropped. How far a long piece of work is, is logged and told by :attr:`behind`.
        """
        self._drop_others()
        with self._store.index.read() as view:
            latest = _latest_changes(view)
        try:
            for project, seq in latest.items():
                if project in self._held or self._is_far_behind(project):
                    self._maintain(project, seq, steps)
        finally:
            self.behind = 0

    def _is_far_behind(self, project: int) -> bool:
        changes = table.Runs(self._store, project).changes(self._sealed.get(project, -1), EAGER)
        return len(changes) == EAGER

    def _maintain(self, project: int, seq: int, steps: int) -> None:
        held, telling = self._opened(project), self._telling(project)

        def told(place: int) -> None:
            self.behind = max(seq - place, 0)
            telling(place)

        held.refresh(told)
        if held.state.waiting() >= EAGER and not self._is_asked(project):
            held.seal()
        for _ in range(steps):
            if not held.maintain():
                break
        self._sealed[project] = held.sealed_seq()

    def _telling(self, project: int) -> Callable[[int], None]:
        """What logs how far columns are that take long to make."""
        begun = time.monotonic()

        def told(place: int) -> None:
            nonlocal begun
            if time.monotonic() - begun > TELL:
                begun = time.monotonic()
                with self._store.index.read() as view:
                    last = view.last(RUN_CHANGES, project)
                seq = last[0][1] if last else place
                _log.info("making columns of project %d: as of log entry %d of %d", project, place, seq)

        return told

    def _is_asked(self, project: int) -> bool:
        """Whether somebody has asked about a project since this process opened it: then its rows may wait in memory."""
        return project in self._asked

    def _drop_others(self) -> None:
        for folder in self._folder.parent.glob("*"):
            if folder != self._folder:
                shutil.rmtree(folder, ignore_errors=True)


def _latest_changes(view: View) -> dict[int, int]:
    """The log entry of the latest change to a run of each project that has had one."""
    found: dict[int, int] = {}
    first = next(view.scan(RUN_CHANGES), None)
    while first is not None:
        project = first[0][0]
        last = view.last(RUN_CHANGES, project)
        assert last is not None
        found[project] = last[0][1]
        first = next(view.scan(RUN_CHANGES, after=(project + 1,)), None)
    return found


def tables(store: Store) -> Tables:
    """The columns of a store; loads numpy on first use."""
    return store.part("columns", Tables)
