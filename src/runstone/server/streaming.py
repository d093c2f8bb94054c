"""Sending files: HTTP above, the native pump below, and nothing of the bytes in Python.

aiohttp keeps the connection, the header fields and the access log; the pump writes header and content to a
duplicate of the socket while the transport's own buffer is empty, and nobody else writes. On TLS, or on
anything that is not TCP, the bytes are copied through the transport.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from inspect import isawaitable
from typing import Any

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter

from runstone._native import pump as native
from runstone.errors import Corrupt
from runstone.server.ranges import Conditions, select
from runstone.server.representation import (
    STATUS,
    Body,
    Piece,
    Segment,
    compose,
    damaged,
    length_of,
    resolve,
    windows,
)

INLINE = 256 << 10
"""Up to this many bytes, extents are checked on the event loop: a thread's round trip would cost more."""
SMALL = 64 << 10
"""Up to this much content, if it lies in the page cache, is written by the event loop: the pump takes longer."""
COPY = 256 << 10
"""Bytes read and written at a time where the pump cannot be used."""

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_RESET = struct.pack("ii", 1, 0)
_DISK_ERRORS = (errno.EIO, errno.EBADMSG, errno.EUCLEAN, errno.ENODATA)

Damage = Callable[[Body, Corrupt], Awaitable[None] | None]


class _Lease:
    """Closes the body when its last reader has let go: threads outlive a cancelled task."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self._readers = 1

    def hold(self, future: asyncio.Future[Any]) -> None:
        self._readers += 1
        future.add_done_callback(lambda _: self.release())

    def release(self) -> None:
        self._readers -= 1
        if self._readers == 0:
            self.body.close()


class _CutShort(Exception):
    """The content cannot be finished, and what was sent of it must not pass for the whole."""

    def __init__(self, damage: Corrupt | None = None) -> None:
        super().__init__()
        self.damage = damage


class _Response(web.StreamResponse):
    """A response whose header can be kept back for whoever writes the content."""

    def __init__(self, request: web.Request, status: int) -> None:
        super().__init__(status=status)
        self._version = request.version
        self.keeps_head = False
        self.head = b""

    async def _write_headers(self) -> None:
        if not self.keeps_head:
            await super()._write_headers()
            return
        lines = [f"HTTP/{self._version.major}.{self._version.minor} {self.status} {self.reason}"]
        lines += (f"{name}: {value}" for name, value in self.headers.items())
        if any(map(_CONTROL.search, lines)):
            raise ValueError("a header field contains a control character")
        self.head = ("\r\n".join(lines) + "\r\n\r\n").encode()


class Streamer:
    """Answers requests for files. One per server process, used on one event loop.

    ``on_damage`` is called, and awaited if need be, when a body proves damaged: by its own check, by a file
    that is too short, or by a disk that cannot be read. Before the first byte the error is raised as well;
    after it the connection is reset.
    """

    def __init__(
        self,
        *,
        on_damage: Damage | None = None,
        stall_seconds: float = 30.0,
        stall_bytes: int = 65536,
        lanes: int = 2,
    ) -> None:
        self._on_damage = on_damage
        self._stall_seconds, self._stall_bytes = stall_seconds, stall_bytes
        self._pump = native.Pump(stall_seconds=stall_seconds, stall_bytes=stall_bytes, lanes=lanes)
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="streaming")
        self._jobs: dict[int, asyncio.Future[tuple[int, int]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._copying = self._copied = self._copies_stalled = self._copies_hung_up = self._damaged = 0

    async def send(
        self, request: web.Request, body: Body, extra_headers: Mapping[str, str] | None = None
    ) -> web.StreamResponse:
        """Answers a GET or HEAD for ``body``, with ranges and preconditions, and closes the body.

        ``extra_headers`` may replace Content-Type and Content-Disposition; naming a field that describes the
        bytes is a ValueError. Raises Corrupt when the body proves damaged before its first byte is sent.
        """
        lease = _Lease(body)
        try:
            return await self._answer(request, lease, extra_headers or {})
        finally:
            lease.release()

    async def close(self) -> None:
        """Cuts off what is still being sent and ends the threads."""
        loop = asyncio.get_running_loop()
        if self._loop is not None:
            self._loop.remove_reader(self._pump.fileno())
            self._loop = None
        await loop.run_in_executor(None, self._pump.close)
        self._collect()
        await loop.run_in_executor(None, self._threads.shutdown)

    def gauges(self) -> dict[str, int]:
        """Downloads now (``active``; of them ``waiting`` for the peer, ``loading`` from disk), and totals.

        ``bytes`` counts those handed to sockets, ``copied_bytes`` the part of them that went through the
        transport, ``loaded_bytes`` those that had to come from a disk first; the others count downloads.
        """
        stats = self._pump.stats()
        return {
            "active": stats["active"] + self._copying,
            "waiting": stats["waiting"],
            "loading": stats["loading"],
            "bytes": stats["sent"] + self._copied,
            "copied_bytes": self._copied,
            "loaded_bytes": stats["loaded"],
            "stalled": stats["stalled"] + self._copies_stalled,
            "hung_up": stats["hung_up"] + self._copies_hung_up,
            "short": stats["short_file"],
            "cancelled": stats["cancelled"],
            "failed": stats["failed"],
            "damaged": self._damaged,
        }

    async def _answer(
        self, request: web.Request, lease: _Lease, extra: Mapping[str, str]
    ) -> web.StreamResponse:
        body = lease.body
        selection = select(
            _conditions(request), size=body.size, etag=body.etag, last_modified=body.last_modified
        )
        response = _Response(request, STATUS[selection.outcome])
        pieces = compose(response, body, selection, extra)
        if request.method == hdrs.METH_HEAD or not pieces:
            return response
        rest = windows(pieces)
        try:
            segments = await self._resolve(lease, next(rest))
        except Corrupt as error:
            await self._report(body, error)
            raise
        if sum(map(length_of, pieces)) <= SMALL and (content := _read_cached(segments)) is not None:
            segments = [content]
        else:
            response.keeps_head = _is_plain_tcp(request.transport)
        send = self._hand_over if response.keeps_head else self._copy
        try:
            await send(request, response, lease, segments, rest)
        except _CutShort as cut:
            response.force_close()
            _reset(request.transport)
            if cut.damage is not None:
                await self._report(body, cut.damage)
        except BaseException:
            if request.writer.output_size:
                _reset(request.transport)
            raise
        return response

    async def _report(self, body: Body, error: Corrupt) -> None:
        self._damaged += 1
        if self._on_damage is not None and isawaitable(waiting := self._on_damage(body, error)):
            await waiting

    def _resolve(self, lease: _Lease, window: list[Piece]) -> asyncio.Future[list[bytes | Segment]]:
        """The segments of a window, as a future: the next window is checked while this one is sent."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[bytes | Segment]]
        if sum(map(length_of, window)) > INLINE:
            future = loop.run_in_executor(self._threads, resolve, lease.body, window)
        else:
            future = loop.create_future()
            try:
                future.set_result(resolve(lease.body, window))
            except Exception as error:
                future.set_exception(error)
        lease.hold(future)
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        return future

    async def _hand_over(
        self,
        request: web.Request,
        response: _Response,
        lease: _Lease,
        segments: list[bytes | Segment],
        rest: Iterator[list[Piece]],
    ) -> None:
        """Lets the pump send the header and all windows."""
        writer = await response.prepare(request)
        transport = request.transport
        if writer is None or transport is None:
            raise _CutShort
        await self._flush(transport, writer)
        # No await from here to the duplicate: a closed transport's descriptor may be somebody else's.
        if transport.is_closing():
            raise _CutShort
        # Ours for the whole response: aiohttp closes its own when the peer has sent its last request, but the
        # peer may go on reading.
        with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as own:
            segments = [response.head, *segments]
            try:
                while segments:
                    window = next(rest, None)
                    following = None if window is None else self._resolve(lease, window)
                    await self._pump_out(own.fileno(), lease, segments, writer)
                    segments = [] if following is None else await following
            except BaseException as error:
                if writer.output_size:
                    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                if isinstance(error, Corrupt):
                    raise _CutShort(error) from error
                raise

    async def _flush(self, transport: asyncio.WriteTransport, writer: AbstractStreamWriter) -> None:
        """Waits until all that aiohttp wrote for earlier requests is in the socket."""
        if transport.get_write_buffer_size() == 0:
            return
        low, high = transport.get_write_buffer_limits()
        try:
            transport.set_write_buffer_limits(0)
            async with asyncio.timeout(self._stall_seconds):
                await writer.drain()
        except (ConnectionError, TimeoutError):
            raise _CutShort from None
        finally:
            if not transport.is_closing():
                transport.set_write_buffer_limits(high, low)

    async def _pump_out(
        self, sock_fd: int, lease: _Lease, segments: list[bytes | Segment], writer: AbstractStreamWriter
    ) -> None:
        """One job of the pump. When cancelled, it leaves the job to end, and the body to close, later."""
        loop = asyncio.get_running_loop()
        job = self._pump.submit(sock_fd, segments)
        if self._loop is None:
            self._loop = loop
            loop.add_reader(self._pump.fileno(), self._collect)
        # At once: it is how aiohttp knows that after an error no other response can be sent in its place.
        writer.output_size += 1
        ended: asyncio.Future[tuple[int, int]] = loop.create_future()
        self._jobs[job] = ended
        lease.hold(ended)
        try:
            status, sent = await asyncio.shield(ended)
        except asyncio.CancelledError:
            self._pump.cancel(job)
            raise
        writer.output_size += sent - 1
        if status == native.DONE:
            return
        if status == native.SHORT_FILE:
            raise _CutShort(damaged(lease.body, "a stored file ends too early"))
        if -status in _DISK_ERRORS:
            raise _CutShort(damaged(lease.body, os.strerror(-status)))
        if status < 0:
            raise OSError(-status, os.strerror(-status))
        raise _CutShort

    def _collect(self) -> None:
        for job, status, sent in self._pump.drain():
            ended = self._jobs.pop(job)
            if not ended.done():
                ended.set_result((status, sent))

    async def _copy(
        self,
        request: web.Request,
        response: _Response,
        lease: _Lease,
        segments: list[bytes | Segment],
        rest: Iterator[list[Piece]],
    ) -> None:
        """Sends header and content through the transport, under a stall rule like the pump's."""
        self._copying += 1
        try:
            await response.prepare(request)
            while segments:
                for segment in segments:
                    await self._copy_segment(response, lease, segment)
                window = next(rest, None)
                segments = [] if window is None else await self._resolve(lease, window)
        except Corrupt as error:
            raise _CutShort(error) from error
        except ConnectionError:
            self._copies_hung_up += 1
            raise _CutShort from None
        finally:
            self._copying -= 1

    async def _copy_segment(self, response: _Response, lease: _Lease, segment: bytes | Segment) -> None:
        if isinstance(segment, bytes):
            await self._write(response, segment)
            return
        fd, offset, length = segment
        loop = asyncio.get_running_loop()
        while length:
            reading = loop.run_in_executor(self._threads, os.pread, fd, min(length, COPY), offset)
            lease.hold(reading)
            try:
                data = await reading
            except OSError as error:
                raise damaged(lease.body, str(error)) from error
            if not data:
                raise damaged(lease.body, "a stored file ends too early")
            await self._write(response, data)
            offset += len(data)
            length -= len(data)

    async def _write(self, response: _Response, data: bytes) -> None:
        try:
            async with asyncio.timeout(self._stall_seconds * max(1.0, len(data) / self._stall_bytes)):
                await response.write(data)
        except TimeoutError:
            self._copies_stalled += 1
            raise _CutShort from None
        self._copied += len(data)


def _conditions(request: web.Request) -> Conditions:
    def value(name: str) -> str | None:
        lines = request.headers.getall(name, None)
        return None if lines is None else ", ".join(lines)

    return Conditions(
        method=request.method,
        if_match=value(hdrs.IF_MATCH),
        if_unmodified_since=value(hdrs.IF_UNMODIFIED_SINCE),
        if_none_match=value(hdrs.IF_NONE_MATCH),
        if_modified_since=value(hdrs.IF_MODIFIED_SINCE),
        if_range=value(hdrs.IF_RANGE),
        range=value(hdrs.RANGE),
    )


def _read_cached(segments: list[bytes | Segment]) -> bytes | None:
    """The bytes, if none of them has to come from a disk; None also for a fault that the pump will report."""
    parts: list[bytes | bytearray] = []
    for segment in segments:
        if isinstance(segment, bytes):
            parts.append(segment)
            continue
        fd, offset, length = segment
        part = bytearray(length)
        try:
            if os.preadv(fd, [part], offset, os.RWF_NOWAIT) != length:
                return None
        except OSError:
            return None
        parts.append(part)
    return b"".join(parts)


def _is_plain_tcp(transport: asyncio.Transport | None) -> bool:
    if transport is None or transport.get_extra_info("sslcontext") is not None:
        return False
    plain = transport.get_extra_info("socket")
    return plain is not None and plain.family in (socket.AF_INET, socket.AF_INET6)


def _reset(transport: asyncio.Transport | None) -> None:
    """Ends the connection in a way that the peer cannot take for the end of the content."""
    if transport is None or transport.is_closing():
        return
    plain = transport.get_extra_info("socket")
    if plain is not None and plain.family in (socket.AF_INET, socket.AF_INET6):
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
