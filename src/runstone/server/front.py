"""The protocol of new connections: the hot lane at once, aiohttp as soon as it is loaded.

Importing aiohttp takes longer than everything else that a start takes, and resolving a name does not need it. So a server listens
first, and loads it in a thread; connections that need it before it is there wait.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from runstone.server.core import Core
from runstone.server.hotlane import PREFIX, Lane

if TYPE_CHECKING:
    from runstone.server.connections import Server

#: Bytes that a waiting connection takes in before it makes the client wait.
ROOM = 64 << 10


class Front:
    """Makes the protocol of each new connection; pass it to ``loop.create_server``."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.lane = Lane(core) if core.options.hot_lane else None
        self.server: Server | None = None
        self.waiting: set[Waiting] = set()

    def __call__(self) -> asyncio.Protocol:
        """A protocol for a new connection."""
        return Waiting(self) if self.server is None else self.server()

    async def load(self) -> Server:
        """Loads aiohttp, and hands the waiting connections over to it."""
        await asyncio.get_running_loop().run_in_executor(None, _import)
        from runstone.server.app import App
        from runstone.server.connections import Server

        self.server = Server(App(self.core), self.lane)
        for connection in list(self.waiting):
            connection.hand_over(self.server)
        return self.server


def _import() -> None:
    import runstone.server.connections  # noqa: F401 - loading it is the purpose


class Waiting(asyncio.Protocol):
    """A connection before aiohttp is there."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._held = b""
        self._ended = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Joins those that wait, unless the wait ended while the connection was being made."""
        self._transport = cast(asyncio.Transport, transport)
        if self._front.server is not None:
            self.hand_over(self._front.server)
        else:
            self._front.waiting.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Leaves those that wait."""
        self._front.waiting.discard(self)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Answers hot requests, and keeps the rest for aiohttp."""
        assert self._transport is not None
        lane = self._front.lane
        if lane is not None and not self._held and data.startswith(PREFIX):
            sent, data, _ = lane.answer(data, self._peer)
            self._transport.writelines(sent)
        self._held += data
        if len(self._held) > ROOM:
            self._transport.pause_reading()

    def _peer(self) -> str:
        assert self._transport is not None
        return str(self._transport.get_extra_info("peername")[0])

    def eof_received(self) -> bool:
        """The client sends no more; it may still be owed an answer."""
        self._ended = True
        return True

    def hand_over(self, server: Server) -> None:
        """Makes aiohttp's protocol that of the connection, and tells it what has happened so far."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._front.waiting.discard(self)
        connection = server()
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if len(self._held) > ROOM:
            transport.resume_reading()
        if self._held:
            connection.data_received(self._held)
        if self._ended and not connection.eof_received():
            transport.close()
