"""A server in this process, or as a parent of worker processes."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

from msgspec.structs import replace

from runstone.config import ServerOptions
from runstone.domain import accounts, keys
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.server import listening, worker


def serve(options: ServerOptions) -> int:
    """See :func:`runstone.server.serve`."""
    bound = listening.bind(options.host, options.port)
    with bound:
        options = replace(options, port=bound.getsockname()[1])
        store = worker.open_store(options)
        if options.authenticates():
            _announce_first_key(store)
        if options.workers > 1:
            from runstone.server.supervisor import supervise

            store.close()
            return supervise(options, bound)
        with asyncio.Runner(loop_factory=worker.new_loop) as runner:
            runner.run(
                worker.run(store, options, bound, ready=lambda: announce(options, listening.url_of(bound)))
            )
        store.close()
    if threading.active_count() > 1:
        # Work that nobody waits for any more; the store is closed to it, and the interpreter would wait for its thread.
        sys.stdout.flush()
        os._exit(0)
    return 0


def announce(options: ServerOptions, url: str) -> None:
    """Tells that the server answers, and where."""
    print(f"runstone listening on {url}  data {options.data}", flush=True)


def _announce_first_key(store: Store) -> None:
    if not keys.anything(store):
        made = keys.create(store, Context(), accounts.OWNER, "first key")
        print(f"first API key, of user {accounts.OWNER}, shown this once: {made.key}", flush=True)
