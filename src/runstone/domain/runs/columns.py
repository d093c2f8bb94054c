"""The columnar copies of the runs of a store's projects, opened when they are asked about and bounded in number."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING

from runstone.domain.runs import table
from runstone.domain.store import Store

if TYPE_CHECKING:
    from runstone.storage.columns.table import ColumnTable

#: Raised when the rows of runs get other fields: columns of another shape are made anew.
SHAPE = 2
#: How many projects are held open: those that were asked about last.
MAX_OPEN = 64


class Tables:
    """The columns of the projects of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folder = store.path / "columns" / f"runs-{SHAPE}"
        self._held: dict[int, ColumnTable] = {}
        self._lock = threading.Lock()

    def of(self, project: int) -> ColumnTable:
        """The columns of a project's runs, with all that changed until now."""
        held = self._opened(project)
        held.refresh()
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
                del self._held[next(iter(self._held))]
            return held

    def maintain(self, steps: int = 16) -> None:
        """Seals and merges what is due, a bounded piece of it, and drops columns of another shape."""
        for folder in self._folder.parent.glob("*"):
            if folder != self._folder:
                shutil.rmtree(folder, ignore_errors=True)
        for held in list(self._held.values()):
            held.refresh()
            for _ in range(steps):
                if not held.maintain():
                    break


def tables(store: Store) -> Tables:
    """The columns of a store; loads numpy on first use."""
    return store.part("columns", Tables)
