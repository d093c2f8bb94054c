"""Connections: aiohttp's protocol with limits of our own, and errors in our own shape."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

from aiohttp import hdrs, web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.streams import StreamReader

from runstone.config import ServerOptions
from runstone.errors import AddressTooLong, HeaderTooLarge, Malformed, RequestTimeout, RunstoneError
from runstone.server.app import App
from runstone.server.core import SECURITY, Core, new_request_id
from runstone.server.hotlane import PREFIX, Lane
from runstone.server.nativelane import NativeLane
from runstone.server.requests import Request

_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s"
)
_BUSY_BODY = (
    b'{"type":"urn:runstone:error:busy","title":"Server is busy","status":503,'
    b'"detail":"this process has as many connections as it may; try again in a moment","code":"busy","instance":""}'
)
#: Seconds between two looks at connections that are slow to send a header.
LOOK = 1.0
_log = logging.getLogger("runstone.server")


class Connection(web.RequestHandler):
    """One connection. A header that does not come, or comes too slowly, ends it."""

    __slots__ = ("body", "header_bytes", "header_since", "host", "last", "loan", "mixed")

    def __init__(self, host: Server, **settings: Any) -> None:
        super().__init__(host, **settings)
        self.host = host
        #: When the header that is being waited for should have begun (loop time), or 0.
        self.header_since = 0.0
        self.header_bytes = 0
        #: aiohttp's parser may hold a part of the next header.
        self.mixed = False
        #: The client sends no more.
        self.last = False
        #: Of this connection to the native lane, or 0. While it lasts, uvloop reads nothing.
        self.loan = 0
        #: Of the last request that was read.
        self.body: StreamReader | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Counts the connection, or refuses it when there are too many."""
        super().connection_made(transport)
        self.header_since = self._loop.time()
        if not self.host.admit(self):
            cast(asyncio.Transport, transport).write(_BUSY % (len(_BUSY_BODY), _BUSY_BODY))
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forgets the connection."""
        self.host.loans.take(self)
        self.host.release(self)
        super().connection_lost(exc)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """The client sends no more, but may still read: what it asked for in full is answered before the connection ends."""
        # A body that breaks off here will never be whole; what it was sent to must not wait for it.
        whole = self.body is None or self.body.is_eof()
        self.last = whole and not self.is_waiting()
        return self.last or None

    def data_received(self, data: bytes) -> None:
        """Takes bytes in: to the hot lane if it has an answer to them, and to aiohttp if not."""
        lane = self.host.lane
        if lane is not None and not self.mixed and data.startswith(PREFIX) and self._may_be_hot():
            sent, data, known = lane.answer(data, self.peer)
            if sent:
                self._send_hot(sent)
                if not data:
                    if known:
                        # Not yet: what was written goes out at the end of this turn of the loop.
                        self._loop.call_soon(self._lend)
                    return
        # Where a header ended, the next request begins; anywhere else aiohttp's parser may hold a part of it.
        self.mixed = not data.endswith(b"\r\n\r\n")
        self._to_aiohttp(data)

    def _may_be_hot(self) -> bool:
        # While aiohttp waits for a header, no part of a body is still to come.
        return self.is_waiting() and not (self._paused or self._force_close or self._close or self._messages)

    def _send_hot(self, sent: list[bytes]) -> None:
        assert self.transport is not None
        self.transport.write(sent[0] if len(sent) == 1 else b"".join(sent))
        self.header_since, self.header_bytes = 0.0, 0
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout

    def _lend(self) -> None:
        transport = self.transport
        if self.loan or self.mixed or self.last or transport is None or transport.is_closing():
            return
        if self._may_be_hot() and not transport.get_write_buffer_size():
            self.host.loans.lend(self, transport)

    def come_back(self, data: bytes, unsent: bytes) -> None:
        """Goes on where the native lane stopped: with what it has not sent, and what it has not answered."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if unsent:
            transport.write(unsent)
        transport.resume_reading()
        if data:
            self.data_received(data)

    def _process_keepalive(self) -> None:
        last = self.host.loans.last_answer(self)
        self._next_keepalive_close_time = max(self._next_keepalive_close_time, last + self._keepalive_timeout)
        super()._process_keepalive()

    def peer(self) -> str:
        """The address of the client."""
        name = self.peername
        return str(name[0]) if isinstance(name, tuple) else ""

    def _to_aiohttp(self, data: bytes) -> None:
        before = self._request_count
        super().data_received(data)
        if self._request_count != before:
            self.header_since, self.header_bytes = 0.0, 0
            if self._messages:
                self.body = self._messages[-1][1]
        elif self.is_waiting():
            self.header_since = self.header_since or self._loop.time()
            self.header_bytes += len(data)
            limit = self.host.core.options.max_header_bytes
            if self.header_bytes > limit:
                self.end(HeaderTooLarge(f"the header is over the limit of {limit} bytes"))

    def is_waiting(self) -> bool:
        """Whether the next thing to come is a header: no request is being read, answered or waits to be."""
        if self._request_count == 0:
            return True
        return self._waiter is not None and not self._waiter.done()

    def owes(self) -> bool:
        """Whether a request waits that came behind the one that is being answered."""
        return bool(self._messages)

    def end_if_slow(self, now: float, allowed: float) -> None:
        """Ends the connection when its header has been due for longer than ``allowed`` seconds."""
        if self.header_since and now - self.header_since >= allowed and self.is_waiting():
            self.end(RequestTimeout(f"no complete header came within {allowed:g} s"))

    def end(self, error: RunstoneError) -> None:
        """Sends an error past aiohttp, and ends the connection."""
        if self.transport is not None:
            self.transport.write(_plain(self.host.core, error))
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A request that does not parse, or a defect of ours that no handler caught, as a problem."""
        if request.writer.output_size > 0:
            raise ConnectionError("a response has been begun, and cannot be replaced by an error")
        assert isinstance(request, Request)
        if not request.request_id:
            request.begin()
        if isinstance(exc, BadHttpMessage) or status == 400:
            error = _unreadable(exc, message, self.host.core.options)
        else:
            error = self.host.app.unexpected(request, exc or RuntimeError(message or "no reason was given"))
        response = self.host.app.problem(request, error)
        self.host.app.finish_header(request, response)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **details: Any) -> None:
        """aiohttp's own complaints go to our log."""
        _log.error(*args, **details)


class Loans:
    """The connections that the native lane has, if there is one."""

    def __init__(self, lane: Lane | None) -> None:
        self._lane = lane
        self._native: NativeLane | None = None
        self._lent: dict[int, Connection] = {}
        self._ended = False

    def lend(self, connection: Connection, transport: asyncio.Transport) -> None:
        """Lends a connection that waits for a request and has nothing to send."""
        native = self._native or self._start()
        if native is None:
            return
        handle = transport.get_extra_info("socket").fileno()
        transport.pause_reading()
        try:
            connection.loan = native.lane.lend(handle, connection.peer().encode())
        except OSError:
            transport.resume_reading()
        else:
            self._lent[connection.loan] = connection

    def _start(self) -> NativeLane | None:
        if self._lane is not None and self._lane.native is not None and not self._ended:
            self._native = self._lane.native
            asyncio.get_running_loop().add_reader(self._native.lane.fileno(), self._take_back)
        return self._native

    def take(self, connection: Connection) -> None:
        """Takes a connection back that ends."""
        loan, connection.loan = connection.loan, 0
        if loan and self._native is not None:
            self._native.lane.take(loan)
            self._lent.pop(loan, None)

    def last_answer(self, connection: Connection) -> float:
        """When a connection was last answered while it was lent, in the loop's time; or 0."""
        if not connection.loan or self._native is None:
            return 0.0
        return self._native.lane.last_answer(connection.loan)

    def _take_back(self) -> None:
        assert self._native is not None
        for loan, data, unsent in self._native.lane.returned():
            connection = self._lent.pop(loan, None)
            if connection is not None:
                connection.loan = 0
                connection.come_back(data, unsent)
        if self._native.has_records:
            self._native.settle()

    def end(self) -> None:
        """Takes every connection back, for good. A second call does nothing."""
        native, self._ended = self._native, True
        if native is not None:
            native.lane.close()
            asyncio.get_running_loop().remove_reader(native.lane.fileno())
            self._take_back()
            native.settle()
            self._native = None


class Server(web.Server):
    """The connections of a worker."""

    def __init__(self, app: App, lane: Lane | None) -> None:
        options = app.core.options
        super().__init__(
            app.answer,
            request_factory=self._request,
            keepalive_timeout=options.idle_seconds,
            max_line_size=options.max_line,
            # Unequal, so that an error tells which limit was passed.
            max_field_size=options.max_header + (options.max_header == options.max_line),
            max_headers=options.max_headers,
            access_log_class=_Logger,
            access_log=_AppHolder(app),
            auto_decompress=False,
            lingering_time=2.0,
            read_bufsize=256 << 10,
        )
        self.app, self.core, self.lane = app, app.core, lane
        self.loans = Loans(lane)
        self._settings = self._kwargs
        self._open: set[Connection] = set()

    def __call__(self) -> Connection:
        """A protocol for a new connection."""
        return Connection(self, loop=self._loop, **self._settings)

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> Request:
        return Request(message, payload, protocol, writer, task, self._loop)

    def admit(self, connection: Connection) -> bool:
        """Counts a connection in; False when it is one too many."""
        self._open.add(connection)
        self.core.metrics.connections = len(self._open)
        if len(self._open) <= self.core.options.max_connections:
            return True
        self.core.metrics.count("refused")
        return False

    def release(self, connection: Connection) -> None:
        """Counts a connection out."""
        self._open.discard(connection)
        self.core.metrics.connections = len(self._open)

    async def drain(self, seconds: float) -> bool:
        """Ends connections as they have nothing more to answer; whether all had within ``seconds``."""
        self.loans.end()
        until = self._loop.time() + seconds
        while self._open and self._loop.time() < until:
            for connection in list(self._open):
                if connection.is_waiting():
                    connection.force_close()
            await asyncio.sleep(0.02)
        return not self._open

    async def end_slow_headers(self) -> None:
        """Ends connections that send no header, or send it too slowly, for as long as the task lives."""
        while True:
            await asyncio.sleep(min(LOOK, self.core.options.header_seconds / 4))
            now = self._loop.time()
            for connection in list(self._open):
                connection.end_if_slow(now, self.core.options.header_seconds)


class _AppHolder(logging.Logger):
    """What aiohttp hands to the class below as its log."""

    def __init__(self, app: App) -> None:
        super().__init__("runstone.access")
        self.app = app


class _Logger(AbstractAccessLogger):
    """Called by aiohttp when the last byte of a response has been handed over, or the connection was lost."""

    def __init__(self, logger: logging.Logger, log_format: str) -> None:
        assert isinstance(logger, _AppHolder)
        self._app = logger.app

    @property
    def enabled(self) -> bool:
        """Always: the metrics are counted here too."""
        return True

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Counts and logs one exchange."""
        assert isinstance(request, Request)
        self._app.finished(request, response)
        connection = request.protocol
        if isinstance(connection, Connection) and connection.last and not connection.owes():
            connection.close()


def _unreadable(exc: BaseException | None, message: str | None, options: ServerOptions) -> RunstoneError:
    if isinstance(exc, LineTooLong):
        if exc.args[1] == options.max_line:
            return AddressTooLong(f"the address is over the limit of {options.max_line} bytes")
        return HeaderTooLarge(f"a field of the header is over the limit of {options.max_header} bytes")
    lines = (message or str(exc)).strip().splitlines()
    return Malformed(f"the request does not parse: {lines[0].rstrip(':') if lines else 'it is not HTTP'}")


def _plain(core: Core, error: RunstoneError) -> bytes:
    """A response written past aiohttp, on a connection that has no request."""
    raw = core.problem_of(error, new_request_id())
    fields = {
        "Content-Type": raw.media_type,
        "Content-Length": str(len(raw.content)),
        hdrs.CONNECTION: "close",
        **raw.headers,
        **dict(SECURITY),
    }
    lines = [f"HTTP/1.1 {raw.status} {error.title}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw.content
