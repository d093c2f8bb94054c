"""What is done now and then while a server runs."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from runstone.errors import RunstoneError
from runstone.server.core import Core
from runstone.server.metrics import Board

if TYPE_CHECKING:
    from runstone.domain.webhooks.courier import Courier

LOCK = "UPKEEP"
#: Seconds between two looks at the clock, and over how many of them the longest delay is told.
TICK, WINDOW = 0.25, 40
_log = logging.getLogger("runstone.server")


class UpkeepLock:
    """Held by the one process, of all that serve a data directory, that does the upkeep."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.held = False

    def take(self) -> bool:
        """Takes the lock if it is free, or was taken before."""
        if not self.held:
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self.held = True
        return True

    def close(self) -> None:
        """Lets it go."""
        os.close(self._handle)


async def keep_up(core: Core, lock: UpkeepLock) -> None:
    """Every ``upkeep_seconds``: writes fetches to the lineage, and, in one process, expires what is due, purges abandoned drafts, notes crashed
    runs and compacts series."""
    core.metrics.watch(lambda: _behind(core))
    while True:
        await asyncio.sleep(core.options.upkeep_seconds)
        try:
            await core.in_thread(once, core, lock)
        except RunstoneError as error:
            _log.warning("upkeep: %s", error.message)
        except Exception:
            _log.exception("upkeep")


def once(core: Core, lock: UpkeepLock) -> bool:
    """One round of upkeep; whether this process is the one that does all of it. Blocking."""
    from runstone.domain import abandoned, maintenance
    from runstone.domain.runs import columns, liveness, series

    core.fetches.flush()
    if core.store.index.failed is not None or not lock.take():
        return False
    core.store.index.check_readers()
    core.store.blobs.uploads.sweep(core.store.blobs.clock())
    maintenance.expire(core.store)
    abandoned.purge(core.store)
    liveness.mark_crashed(core.store)
    series.compact(core.store)
    columns.tables(core.store).maintain()
    core.get_courier().forget()
    return True


def _behind(core: Core) -> dict[str, float]:
    from runstone.domain.runs import columns

    return {"columns_behind": columns.tables(core.store).behind}


async def tell(core: Core, lock: UpkeepLock) -> None:
    """In one process: tells webhooks what happens, soon after it did."""
    pause = TICK
    courier: Courier | None = None
    while True:
        await asyncio.sleep(pause)
        pause = TICK
        courier = courier or await core.in_thread(core.get_courier)
        if courier.idle() or core.store.index.failed is not None or not lock.take():
            continue
        try:
            await core.in_thread(courier.work)
        except Exception as error:
            pause = core.options.upkeep_seconds
            _log.warning(
                "webhooks wait %g s: %s", pause, error, exc_info=not isinstance(error, RunstoneError)
            )


async def watch_lag(core: Core, board: Board | None) -> None:
    """Measures how late the event loop runs what is due, and leaves this worker's counts for the others."""
    delays = [0.0] * WINDOW
    turn = 0
    while True:
        before = time.monotonic()
        await asyncio.sleep(TICK)
        delays[turn % WINDOW] = max(0.0, time.monotonic() - before - TICK)
        core.metrics.lag = max(delays)
        turn += 1
        if board is not None and turn % 4 == 0:
            board.leave(core.metrics.snapshot())
