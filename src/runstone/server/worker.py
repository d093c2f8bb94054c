"""One worker: a store, an event loop, a port. A server has one in its own process, or several as processes of their own."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from runstone.config import ServerOptions
from runstone.domain import accounts
from runstone.domain.store import Store
from runstone.server import listening, upkeep
from runstone.server.core import Core
from runstone.server.front import Front
from runstone.server.metrics import Board

if TYPE_CHECKING:
    from runstone.server.connections import Server

#: What a worker process ends with when it could not start.
FAILED_TO_START = 3


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker process is told by its parent: descriptors it inherits, and which worker it is.

    ``lifeline`` reads as ended when the parent is gone; a line is written to ``ready`` once the worker listens.
    """

    options: ServerOptions
    number: int
    workers: int
    board: int
    ready: int
    lifeline: int


class Worker:
    """Answers requests on a bound socket until it is stopped."""

    def __init__(
        self, store: Store, options: ServerOptions, bound: socket.socket, board: Board | None = None
    ) -> None:
        self.core = Core(store, options)
        self.core.own.board = board
        self.front = Front(self.core)
        self._bound = bound
        self._lock = upkeep.UpkeepLock(store.path)
        self._board = board
        self._tasks: list[asyncio.Task[None]] = []
        self._listener: asyncio.AbstractServer | None = None
        self._loading: asyncio.Task[Server] | None = None

    async def start(self) -> None:
        """Listens."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self.front, sock=self._bound, backlog=listening.BACKLOG)
        self.core.near.announce(self._bound.getsockname()[1])
        self._loading = loop.create_task(self.front.load())
        jobs = (
            upkeep.keep_up(self.core, self._lock),
            self._tell(),
            upkeep.watch_lag(self.core, self._board),
            self._end_slow_headers(),
        )
        self._tasks = [loop.create_task(job) for job in jobs]

    async def loaded(self) -> Server:
        """The connections, once everything that answers them is loaded."""
        assert self._loading is not None
        return await self._loading

    async def _tell(self) -> None:
        await self.loaded()
        await upkeep.tell(self.core, self._lock)

    async def _end_slow_headers(self) -> None:
        await (await self.loaded()).end_slow_headers()

    async def stop(self) -> None:
        """Takes no more connections, answers what was asked for ``shutdown_seconds`` at most, and lets everything go."""
        self.core.draining = True
        if self._listener is not None:
            self._listener.close()
        self.core.near.withdraw()
        connections = await self.loaded()
        await connections.drain(self.core.options.shutdown_seconds)
        await connections.shutdown(1.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await connections.app.close()
        await self.core.close()
        self._lock.close()


def new_loop() -> asyncio.AbstractEventLoop:
    """The event loop of a server."""
    import uvloop

    return uvloop.new_event_loop()


def open_store(options: ServerOptions) -> Store:
    """The store of a server, made if there is none."""
    store = Store(Path(options.data).expanduser())
    try:
        accounts.bootstrap(store)
    except BaseException:
        store.close()
        raise
    return store


async def run(
    store: Store,
    options: ServerOptions,
    bound: socket.socket,
    *,
    ready: Callable[[], None],
    board: Board | None = None,
    lifeline: int = -1,
) -> None:
    """Serves until SIGTERM or SIGINT, or until the lifeline ends. A second signal does not wait for anybody."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopping.is_set():
            os._exit(1)
        stopping.set()

    def orphaned() -> None:
        loop.remove_reader(lifeline)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if lifeline >= 0:
        loop.add_reader(lifeline, orphaned)
    worker = Worker(store, options, bound, board)
    await worker.start()
    ready()
    await worker.loaded()
    # What lives until the end need not be looked at again by the collector.
    gc.collect()
    gc.freeze()
    await stopping.wait()
    await worker.stop()


def main(argument: str) -> None:
    """A worker process."""
    task = msgspec.json.decode(argument, type=Assignment)
    options = task.options
    board = Board(task.board, task.workers, task.number)
    try:
        store = open_store(options)
        bound = listening.join(options.host, options.port)
    except Exception as error:
        print(f"runstone worker {task.number}: {error}", file=sys.stderr, flush=True)
        sys.exit(FAILED_TO_START)

    def ready() -> None:
        with suppress(OSError):
            os.write(task.ready, b"ready\n")
            os.close(task.ready)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(run(store, options, bound, ready=ready, board=board, lifeline=task.lifeline))
    store.close()


if __name__ == "__main__":
    main(sys.argv[1])
