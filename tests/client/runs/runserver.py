"""A server of runs as their clients see it: a real one over HTTP, which remembers what it accepted and can be made to fail."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field

import msgspec
from aiohttp import web

from runstone._native.points import decode_rows

POINTS_TYPE = "application/vnd.runstone.points"


@dataclass
class Accepted:
    """A request that was carried out: its kind, its run, and its value (of points, the rows)."""

    kind: str
    run: str
    id: str
    value: object


@dataclass
class RunServer:
    """Accepts every id once. ``fault`` is what happens to requests (of ``fault_kind``, or all): a status, ``hang``, or ``cut``.

    ``cut`` carries the request out and closes the connection in place of an answer.
    """

    port: int = 0
    fault: int | str = 0
    fault_kind: str = ""
    fault_headers: dict[str, str] = field(default_factory=dict)
    accepted: list[Accepted] = field(default_factory=list)
    arrivals: Counter[str] = field(default_factory=Counter)
    bodies: dict[str, bytes] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    faults: int = 0
    beats: int = 0

    def start(self) -> RunServer:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), name="run-server")
        self._thread.start()
        assert ready.wait(10)
        return self

    def stop(self) -> None:
        """Dies: nothing listens any more, and open connections are gone."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    __enter__ = start

    def __exit__(self, *exc: object) -> None:
        if self._thread.is_alive():
            self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _serve(self, ready: threading.Event) -> None:
        asyncio.run(self._main(ready))

    async def _main(self, ready: threading.Event) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/api/v1/lineage", self._handle)
        app.router.add_route("*", "/api/v1/runs/{namespace}/{project}", self._handle)
        app.router.add_route("*", "/api/v1/runs/{namespace}/{project}/{run}", self._handle)
        app.router.add_route("*", "/api/v1/runs/{namespace}/{project}/{run}/{kind}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.01)
        await runner.setup()
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        await web.SockSite(runner, listening).start()
        ready.set()
        await self._stopping.wait()
        await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        kind = request.match_info.get("kind") or ("update" if request.method == "PATCH" else "create")
        if request.path == "/api/v1/lineage":
            kind = "edge"
        fails = self.fault and self.fault_kind in ("", kind)
        if fails and self.fault == "hang":
            self.faults += 1
            await asyncio.sleep(60)
        if fails and isinstance(self.fault, int):
            self.faults += 1
            await request.read()
            return web.json_response({"detail": "told to"}, status=self.fault, headers=self.fault_headers)
        body = await request.read()
        self._accept(kind, request, body)
        if fails:
            self.faults += 1
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({})

    def _accept(self, kind: str, request: web.Request, body: bytes) -> None:
        if kind == "heartbeat":
            self.beats += 1
            return
        id_ = request.headers["Idempotency-Key"]
        assert len(bytes.fromhex(id_.partition("-")[0])) == 16
        self.arrivals[id_] += 1
        if id_ in self.bodies:
            if self.bodies[id_] != body:
                self.changed.append(id_)
            return
        self.bodies[id_] = body
        if kind == "points":
            assert request.content_type == POINTS_TYPE
            value: object = decode_rows(body)
        else:
            value = msgspec.msgpack.decode(body)
        self.accepted.append(Accepted(kind, request.match_info.get("run", ""), id_, value))

    def of(self, kind: str) -> list:
        """The values of what was accepted of a kind, in order."""
        return [each.value for each in self.accepted if each.kind == kind]

    def rows(self) -> list[tuple[int, int, dict]]:
        """Every row of every batch, in the order of the batches."""
        return [row for batch in self.of("points") for row in batch]

    def values(self, key: str) -> list:
        """The values of one key, in order of arrival and then of step."""
        return [
            row[2][key] for batch in self.of("points") for row in sorted(batch, key=lambda r: r[0]) if key in row[2]
        ]  # fmt: skip
