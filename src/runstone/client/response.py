"""The answer to a request, as HTTP/1.1 frames it: its head, and its body as it comes off the wire.

Framing that can be read in two ways is refused, and everything is bounded (RFC 9112, sections 6, 7 and 11.2).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runstone.client.connection import Connection

MAX_HEADERS = 200
_NO_BODY = frozenset({204, 304})


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
    if protocol not in ("HTTP/1.1", "HTTP/1.0") or not (
        status.isascii() and status.isdigit() and len(status) == 3
    ):
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
