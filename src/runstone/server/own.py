"""What the server tells of itself: its health, its metrics, and the description of its interface."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from runstone.dialects.native.problem import problem
from runstone.dialects.native.wire import NoQuery
from runstone.dialects.routing import JSON, Call, Raw, Route
from runstone.errors import RunstoneError, StorageFailed
from runstone.server import metrics
from runstone.server.metrics import Board

if TYPE_CHECKING:
    from runstone.server.core import Core


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """A store that answers, and takes changes."""

    status: str
    store: str
    version: str
    log: int


class Own:
    """The server's own routes, as a dialect."""

    name = "server"
    prefixes: tuple[str, ...] = ("/health", "/metrics")

    def __init__(self, core: Core) -> None:
        self._core = core
        self._described: bytes | None = None
        self.board: Board | None = None

    def routes(self) -> Iterator[Route]:
        """See :meth:`Dialect.routes`."""
        yield Route(
            "GET",
            "/health",
            self.health,
            "Whether the store answers and takes changes.",
            answer=Health,
            open=True,
        )
        yield Route(
            "GET", "/metrics", self.metrics, "Counts, for Prometheus.", query=NoQuery, media_type="text/plain"
        )
        yield Route(
            "GET", "/api/v1/openapi.json", self.openapi, "This description.", query=NoQuery, open=True
        )

    def problem(self, error: RunstoneError, request_id: str) -> Raw:
        """See :meth:`Dialect.problem`."""
        return problem(error, request_id)

    def health(self, call: Call) -> Health:
        """Answers ``GET /health``; raises :class:`StorageFailed` while changes are refused."""
        from runstone import __version__

        store = call.store
        if store.index.failed is not None:
            raise StorageFailed(f"changes are refused: {store.index.failed}")
        return Health(status="ok", store=store.id, version=__version__, log=store.log.head().size)

    def metrics(self, call: Call) -> Raw:
        """Answers ``GET /metrics`` for all workers together."""
        index = call.store.index
        store = {
            "log_size": call.store.log.head().size,
            "commits": index.last_commit(),
            "index_bytes": index.used_bytes(),
            "writable": float(index.failed is None),
        }
        others = self.board.others() if self.board is not None else []
        text = metrics.render([self._core.metrics.snapshot(), *others], store)
        return Raw(text.encode(), metrics.MEDIA_TYPE)

    def openapi(self, call: Call) -> Raw:
        """Answers ``GET /api/v1/openapi.json``."""
        if self._described is None:
            from runstone.server.openapi import describe

            self._described = msgspec.json.encode(describe(self._core.spoken.dialects))
        return Raw(self._described, JSON)
