"""A server on a thread of this process: for tests, notebooks, and programs that bring their own main loop."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType

from msgspec.structs import replace

from runstone.config import ServerOptions
from runstone.domain.store import Store
from runstone.server import listening, worker


class Background:
    """``with Background(options) as server``: answers at ``server.url`` until the block ends.

    ``store`` is the open store that it answers from; a caller that brings one keeps it, else it is opened and closed here.
    """

    def __init__(self, options: ServerOptions, store: Store | None = None) -> None:
        self._bound = listening.bind(options.host, options.port)
        self.options = replace(options, port=self._bound.getsockname()[1])
        self.url = listening.url_of(self._bound)
        self._own_store = store is None
        try:
            self.store = store if store is not None else worker.open_store(options)
        except BaseException:
            self._bound.close()
            raise
        self.worker: worker.Worker | None = None
        self._failed: BaseException | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="runstone server", daemon=True)

    def __enter__(self) -> Background:
        self._thread.start()
        self._ready.wait()
        if self._failed is not None:
            raise self._failed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops as a server does on SIGTERM; a second call does nothing."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
            if self._own_store:
                self.store.close()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=worker.new_loop) as runner, self._bound:
            self.loop = runner.get_loop()
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._stopping = asyncio.Event()
        try:
            self.worker = worker.Worker(self.store, self.options, self._bound)
            await self.worker.start()
            self.connections = await self.worker.loaded()
        except BaseException as error:
            self._failed = error
            return
        finally:
            self._ready.set()
        await self._stopping.wait()
        await self.worker.stop()
