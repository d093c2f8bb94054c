"""What a worker has to answer from, whichever way a request comes in. Nothing here loads aiohttp: see :mod:`front`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from runstone.config import ServerOptions
from runstone.dialects.routing import Raw
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import Conflict, RunstoneError, UnknownPath
from runstone.server.access import AccessLog
from runstone.server.answers import Answers
from runstone.server.authentication import Authenticator
from runstone.server.commits import Commits
from runstone.server.fetches import Fetches
from runstone.server.hosts import Hosts
from runstone.server.logins import FailedLogins
from runstone.server.metrics import Metrics
from runstone.server.near import Near
from runstone.server.own import Own
from runstone.server.pages import Pages
from runstone.server.router import Endpoint, Match, segments_of
from runstone.server.sessions import Sessions
from runstone.server.signing import Signer
from runstone.server.spoken import Spoken
from runstone.server.throttle import Throttle

if TYPE_CHECKING:
    from runstone.domain.webhooks import Channel
    from runstone.domain.webhooks.courier import Courier

THREADS = 32
#: Paths whose meaning is remembered.
MAX_MATCHES = 4096
#: What every response says: content is what its type says it is, and no page of ours may run or be framed.
SECURITY = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox"),
    ("Referrer-Policy", "no-referrer"),
    ("Server", "runstone"),
)
REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}\Z")
_numbers = itertools.count(1)
#: What every request id of this process begins with.
ID_PREFIX = f"{os.getpid():x}-{time.time_ns() & 0xFFFF_FFFF:08x}-"


def new_request_id() -> str:
    """An id for a request that came without one: unique over processes and restarts of one machine."""
    return f"{ID_PREFIX}{next(_numbers):x}"


class Core:
    """The store with all that guards and serves it; also the :class:`Services` of handlers."""

    def __init__(self, store: Store, options: ServerOptions) -> None:
        self.store = store
        self.options = options
        self.metrics = Metrics()
        self.log = AccessLog(options.log_format, options.log_file)
        self.logins = FailedLogins(options.max_failed_logins)
        self.authenticator = Authenticator(store, self.logins, required=options.authenticates())
        self.signer = Signer(store, self.authenticator)
        self.sessions = Sessions(store, self.authenticator)
        self.fetches = Fetches(store)
        self.hosts = Hosts(options.host, options.allowed_hosts, options.cors_origins)
        self.throttle = Throttle(options.rate)
        self.near = Near(store)
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="domain")
        self.answers = Answers(store.index.last_commit, self.in_thread)
        store.private_webhooks = options.private_webhooks
        self._courier: Courier | None = None
        self._courier_lock = threading.Lock()
        self.own = Own(self)
        self.pages = Pages(self.sessions.reader)
        self.spoken = Spoken((self.own, self.sessions, self.pages))
        #: Set when the server stops: what is being answered is the last of its connection.
        self.draining = False
        self.commits = Commits(store.index.last_commit, lambda: self.draining)
        self._matches: dict[str, tuple[list[str], Match]] = {}
        self._claims: set[str] = set()
        self._claims_lock = threading.Lock()
        self.metrics.watch(lambda: {"log_dropped": self.log.dropped} | self.logins.counts())

    async def close(self) -> None:
        """Writes what is waiting, and lets the threads go. The store stays open."""
        await self.in_thread(self.fetches.flush)
        if self._courier is not None:
            await self.in_thread(self._courier.close)
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.log.close()

    @property
    def xet_reads(self) -> bool:
        """See :attr:`Services.xet_reads`."""
        return self.options.xet_reads

    def match(self, raw_path: str) -> tuple[list[str], Match]:
        """The decoded segments of a path and what it means; raises :class:`UnknownPath`."""
        found = self._matches.get(raw_path)
        if found is not None:
            return found
        segments = segments_of(raw_path)
        match = self.spoken.find(segments)
        if match is None:
            raise UnknownPath(
                f"there is nothing at /{'/'.join(segments):.500}; /api/v1/openapi.json lists what there is"
            )
        if len(self._matches) >= MAX_MATCHES:
            self._matches.clear()
        self._matches[raw_path] = segments, match
        return segments, match

    def get_courier(self) -> Courier:
        """What tells webhooks; loads it. Blocking."""
        with self._courier_lock:
            if self._courier is None:
                from runstone.domain.webhooks.courier import Courier

                self._courier = Courier(self.store, self._channels)
            return self._courier

    def _channels(self) -> list[Channel]:
        """What all dialects have to tell webhooks."""
        return [channel for dialect in self.spoken.complete() for channel in getattr(dialect, "channels", ())]

    def page_at(self, method: str, raw_path: str, accept: str) -> Match | None:
        """The web application, for a browser at an address that :meth:`match` does not know and no dialect claims."""
        if self.spoken.of_path(raw_path) is not None:
            return None
        return self.pages.shown(method, raw_path, accept)

    def problem_of(
        self, error: RunstoneError, request_id: str, endpoint: Endpoint | None = None, path: str = ""
    ) -> Raw:
        """An error in the shape of the dialect that was spoken, by its route or, failing that, its path."""
        if endpoint is not None:
            return endpoint.dialect.problem(error, request_id)
        return (self.spoken.of_path(path) or self.spoken.dialects[0]).problem(error, request_id)

    async def in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """See :meth:`Services.in_thread`."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, function, *args)

    @contextlib.contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """See :meth:`Services.alone`."""
        with self._claims_lock:
            if what in self._claims:
                raise Conflict(f"another request is busy with {what}; wait for it to end")
            self._claims.add(what)
        try:
            yield
        finally:
            with self._claims_lock:
                self._claims.discard(what)

    def sign(self, ctx: Context, methods: tuple[str, ...], path: str, seconds: float) -> str:
        """See :meth:`Services.sign`."""
        return self.signer.sign(ctx, methods, path, seconds)

    def token(self, ctx: Context, folder: str, seconds: float, *, read_only: bool = False) -> str:
        """See :meth:`Services.token`."""
        return self.signer.token(ctx, folder, seconds, read_only=read_only)

    @property
    def plan_grace(self) -> float:
        """See :meth:`Services.plan_grace`."""
        return self.options.plan_grace_seconds

    def is_near(self, token: str) -> bool:
        """See :meth:`Services.is_near`."""
        return self.near.is_near(token)

    def fetched(self, ctx: Context, version: int) -> None:
        """See :meth:`Services.fetched`."""
        self.fetches.add(ctx, version)
