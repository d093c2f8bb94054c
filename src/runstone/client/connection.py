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
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from runstone.client.origin import Origin
from runstone.errors import TryAgain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_HEAD = 64 << 10
CONNECT_SECONDS = 10.0
MAX_HEADERS = 200
MAX_INTERIM = 8
MAX_CHUNK_LINE = 256
_SEND_PIECE = 4 << 20
_NO_BODY = frozenset({204, 304})


class Unreachable(TryAgain):
    """The server could not be reached, or broke off, or stalled."""

    code, title = "unreachable", "Server unreachable"


class Broken(Unreachable):
    """What the server sent is not an answer that this client can read."""

    code, title = "broken_answer", "Answer cannot be read"


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

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes | FileBody = b"") -> Response:
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


class Response:
    """The answer to a request: its head is here, its body still on the wire. Read the body to its end, or close.

    ``headers`` have lower-case names; lines of one name are joined by a comma.
    """

    def __init__(self, connection: Connection, method: str, status: int, headers: dict[str, str]) -> None:
        self.connection = connection
        self.status = status
        self.headers = headers
        #: Bytes that are left of the body or, if chunked, of the chunk; None: until the connection closes.
        self.left: int | None = 0
        self.chunked = False
        self.done = False
        if "close" in headers.get("connection", "").lower():
            connection.reusable = False
        if method == "HEAD" or status in _NO_BODY:
            self.done = True
        else:
            self._frame()

    def _frame(self) -> None:
        coding, length = self.headers.get("transfer-encoding"), self.headers.get("content-length")
        if coding is not None:
            if coding.lower() != "chunked" or length is not None:
                raise self.connection.broken(f"transfer coding {coding!r}")
            self.chunked = True
        elif length is not None:
            if not length.isascii() or not length.isdigit() or len(length) > 18:
                raise self.connection.broken(f"content length {length!r}")
            self.left = int(length)
            self.done = self.left == 0
        else:
            self.left = None
            self.connection.reusable = False

    def read_into(self, view: memoryview) -> int:
        """Fills a buffer; fewer bytes at the end of the body. Raises :class:`Unreachable` if it ends too early."""
        if self.chunked:
            return self._read_chunked(view)
        wanted = len(view) if self.left is None else min(len(view), self.left)
        got = self.connection.read_into(view[:wanted])
        if self.left is None:
            self.done = got < wanted
        else:
            self.left -= got
            self.done = self.left == 0
            if got < wanted:
                raise self.connection.failed("reading from", None)
        return got

    def _read_chunked(self, view: memoryview) -> int:
        filled = 0
        while filled < len(view) and not self.done:
            if not self.left:
                self._next_chunk()
                continue
            piece = min(self.left, len(view) - filled)
            if self.connection.read_into(view[filled : filled + piece]) < piece:
                raise self.connection.failed("reading from", None)
            filled += piece
            self.left -= piece
            if not self.left and self.connection.read_line():
                raise self.connection.broken("a chunk is longer than it says")
        return filled

    def _next_chunk(self) -> None:
        size = self.connection.read_line().partition(b";")[0].strip()
        try:
            if not 0 < len(size) < 16 or not size.isalnum():
                raise ValueError
            self.left = int(size, 16)
        except ValueError:
            raise self.connection.broken(f"chunk size {size!r:.40}") from None
        if self.left == 0:
            for _ in range(MAX_HEADERS):
                if not self.connection.read_line():
                    self.done = True
                    return
            raise self.connection.broken("too many trailers")

    def read(self, limit: int, seconds: float | None = None) -> bytes:
        """The whole body; raises :class:`Broken` past ``limit`` bytes, :class:`Unreachable` past ``seconds``."""
        deadline = None if seconds is None else time.monotonic() + seconds
        announced = None if self.chunked else self.left
        if announced is not None and announced > limit:
            raise self.connection.broken(f"a body of {announced} bytes is over the limit of {limit}")
        parts, total = [], 0
        while not self.done:
            buffer = bytearray(min(1 << 20, announced - total if announced else 1 << 16))
            got = self.read_into(memoryview(buffer))
            total += got
            parts.append(bytes(buffer[:got]) if got < len(buffer) else buffer)
            if total > limit:
                raise self.connection.broken(f"a body is over the limit of {limit} bytes")
            if deadline is not None and time.monotonic() > deadline:
                raise self.connection.failed("reading from", TimeoutError())
        return b"".join(parts)

    def lines(self, limit: int) -> Iterator[bytes]:
        """The lines of the body as they come, none over ``limit`` bytes."""
        held = b""
        while not self.done:
            held += self._read_some()
            *whole, held = held.split(b"\n")
            yield from whole
            if len(held) > limit:
                raise self.connection.broken(f"a line is over the limit of {limit} bytes")
        if held:
            yield held

    def _read_some(self) -> bytes:
        """What one chunk holds, or a piece of it: it came in one go, so that nothing more is waited for."""
        if self.chunked and not self.left:
            self._next_chunk()
        wanted = 1 if self.left is None else min(self.left, 64 << 10)
        buffer = bytearray(wanted)
        return bytes(buffer[: self.read_into(memoryview(buffer))])

    def close(self) -> None:
        """Ends the exchange: what is left of a body is not waited for, the connection closes with it."""
        if not self.done:
            self.connection.close()


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers of an answer's head; raises ValueError."""
    lines = head.decode("latin-1").split("\r\n")
    protocol, _, rest = lines[0].partition(" ")
    status = rest[:3]
    if protocol not in ("HTTP/1.1", "HTTP/1.0") or not (status.isascii() and status.isdigit() and len(status) == 3):
        raise ValueError(f"{lines[0]!r:.80} is not the first line of an HTTP/1.1 answer")
    if len(lines) > MAX_HEADERS:
        raise ValueError(f"an answer has {len(lines)} headers and the limit is {MAX_HEADERS}")
    headers: dict[str, str] = {"connection": "close"} if protocol == "HTTP/1.0" else {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        if not colon or not name or name != name.strip() or "\n" in line or "\r" in line or "\0" in line:
            raise ValueError(f"{line!r:.80} is not a header")
        if name in headers and name == "content-length" and headers[name] != value:
            raise ValueError("an answer gives two content lengths")
        joins = name in headers and name != "content-length"
        headers[name] = f"{headers[name]}, {value}" if joins else value
    return int(status), headers


def _checked(value: str) -> str:
    if not value.isprintable() or not value.isascii():
        raise ValueError(f"{value!r:.80} cannot be the value of a header")
    return value
