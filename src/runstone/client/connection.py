"""One HTTP/1.1 connection, read and written without a copy where the kernel allows it.

The standard library's http.client brings the email parser and ssl, two thirds of the import budget of the whole client, and
reads through buffers; this is the part of RFC 9112 that a client of one known server needs. What a server sends is
hostile until checked: heads, chunk lines and trailers are bounded, and framing that can be read in two ways is refused.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from runstone.client.origin import Origin
from runstone.client.response import Response, parse_head
from runstone.errors import Broken, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_HEAD = 64 << 10
CONNECT_SECONDS = 10.0
MAX_INTERIM = 8
MAX_CHUNK_LINE = 256
_SEND_PIECE = 4 << 20


class FileBody:
    """A request body: ``length`` bytes of an open file from ``offset`` on, sent by the kernel where it can."""

    __slots__ = ("handle", "length", "offset", "sent")

    def __init__(self, handle: int, offset: int, length: int) -> None:
        self.handle, self.offset, self.length = handle, offset, length
        self.sent = 0


class Connection:
    """A connection to one origin, used by one thread at a time, one request after the other.

    ``timeout`` is the longest wait in seconds for the peer to take or to send anything. Every failure of the network is
    raised as :class:`Unreachable`, after which the connection is closed.
    """

    def __init__(self, origin: Origin, timeout: float, tls: Any = None) -> None:
        self.origin = origin
        self.timeout = timeout
        self.requests = 0
        self.idle_since = 0.0
        self.reusable = True
        self._held = b""
        try:
            self._socket = socket.create_connection((origin.host, origin.port), min(timeout, CONNECT_SECONDS))
        except OSError as error:
            raise Unreachable(f"cannot connect to {origin}: {error.strerror or error}") from error
        try:
            self._prepare(tls)
        except OSError as error:
            self.close()
            raise Unreachable(f"cannot connect to {origin}: {error}") from error

    def _prepare(self, tls: Any) -> None:
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A peer that is gone is noticed even where an answer may take hours.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.encrypted = tls is not None
        if tls is not None:
            self._socket = tls.wrap_socket(self._socket, server_hostname=self.origin.host)
            return
        # Waiting in the kernel rather than in poll() lets one recv fill a whole buffer (MSG_WAITALL).
        self._socket.settimeout(None)
        wait = struct.pack("ll", int(self.timeout), int(self.timeout % 1 * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)

    def close(self) -> None:
        """Closes the connection."""
        self.abort()
        self._socket.close()

    def abort(self) -> None:
        """Makes a call that waits on the connection fail, from any thread; its own thread then closes it."""
        self.reusable = False
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def is_stale(self) -> bool:
        """Whether the peer has closed, or sent what nobody asked for, while the connection lay idle."""
        if self._held or not self.reusable:
            return True
        # Under TLS session tickets may wait to be read, so readable does not mean closed.
        return not self.encrypted and self._is_readable()

    def send(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | FileBody = b""
    ) -> Response:
        """Sends a request and reads the head of its answer."""
        self.requests += 1
        length = body.length if isinstance(body, FileBody) else len(body)
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.origin.authority}"]
        lines += [f"{name}: {_checked(value)}" for name, value in headers.items()]
        if length or method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {length}")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        try:
            if isinstance(body, FileBody):
                self._socket.sendall(head)
                self._send_file(body)
            else:
                self._socket.sendall(head + body)
        except OSError as error:
            return self._answer_to_broken_request(method, error)
        return self._read_answer(method)

    def _answer_to_broken_request(self, method: str, error: OSError) -> Response:
        """A server that refuses a body says why and closes: its answer is worth more than the broken pipe."""
        self.reusable = False
        try:
            return self._read_answer(method)
        except Unreachable:
            raise self.failed("sending to", error) from error

    def _send_file(self, body: FileBody) -> None:
        while body.sent < body.length:
            if body.sent and self._answer_waits():
                self.reusable = False
                return
            piece = min(body.length - body.sent, _SEND_PIECE)
            if self.encrypted:
                data = os.pread(body.handle, piece, body.offset + body.sent)
                self._socket.sendall(data)
                moved = len(data)
            else:
                moved = os.sendfile(self._socket.fileno(), body.handle, body.offset + body.sent, piece)
            if not moved:
                raise OSError("the file became shorter while it was sent")
            body.sent += moved

    def _answer_waits(self) -> bool:
        return not self.encrypted and self._is_readable()

    def _is_readable(self) -> bool:
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        return bool(poller.poll(0))

    def _read_answer(self, method: str) -> Response:
        for _ in range(MAX_INTERIM):
            try:
                status, headers = parse_head(self._read_head())
            except ValueError as error:
                raise self.broken(str(error)) from None
            if status >= 200:
                return Response(self, method, status, headers)
        raise self.broken("too many interim answers")

    def _read_head(self) -> bytes:
        while True:
            end = self._held.find(b"\r\n\r\n")
            if end >= 0:
                head, self._held = self._held[:end], self._held[end + 4 :]
                return head
            if len(self._held) > MAX_HEAD:
                raise self.broken(f"the head of an answer is over {MAX_HEAD} bytes")
            self._held += self._receive()

    def read_line(self) -> bytes:
        """A line of chunk framing, without its end."""
        while (end := self._held.find(b"\r\n")) < 0:
            if len(self._held) > MAX_CHUNK_LINE:
                raise self.broken("a line of chunk framing is too long")
            self._held += self._receive()
        line, self._held = self._held[:end], self._held[end + 2 :]
        return line

    def _receive(self) -> bytes:
        try:
            data = self._socket.recv(16 << 10)
        except OSError as error:
            raise self.failed("reading from", error) from error
        if not data:
            raise self.failed("reading from", None)
        return data

    def read_into(self, view: memoryview) -> int:
        """Fills a buffer; fewer bytes only when the peer has closed."""
        wanted, filled = len(view), 0
        if self._held:
            filled = min(wanted, len(self._held))
            view[:filled] = self._held[:filled]
            self._held = self._held[filled:]
        flags = 0 if self.encrypted else socket.MSG_WAITALL
        while filled < wanted:
            try:
                got = self._socket.recv_into(view[filled:], wanted - filled, flags)
            except OSError as error:
                raise self.failed("reading from", error) from error
            if not got:
                break
            filled += got
        return filled

    def failed(self, doing: str, error: OSError | None) -> Unreachable:
        """Closes the connection; the error to raise."""
        self.close()
        if isinstance(error, BlockingIOError | TimeoutError):
            return Unreachable(f"{doing} {self.origin}: nothing moved for {self.timeout:g} s")
        return Unreachable(f"{doing} {self.origin}: {error or 'it closed the connection'}")

    def broken(self, why: str) -> Broken:
        """Closes the connection; the error to raise."""
        self.close()
        return Broken(f"the answer of {self.origin} cannot be read: {why}")


def _checked(value: str) -> str:
    if not value.isprintable() or not value.isascii():
        raise ValueError(f"{value!r:.80} cannot be the value of a header")
    return value
