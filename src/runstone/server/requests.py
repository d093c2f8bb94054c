"""A request as this server sees it: what becomes known of it on the way, and its body in pieces."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from aiohttp import web

from runstone.errors import ExpectationFailed, Malformed, RequestTimeout, TooLarge, UnsupportedMedia
from runstone.server.core import REQUEST_ID, new_request_id

if TYPE_CHECKING:
    from runstone.server.router import Endpoint

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def inflated(content: bytes, limit: int) -> bytes:
    """What was compressed with gzip, if it is of at most ``limit`` bytes."""
    inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        found = inflate.decompress(content, limit + 1)
    except zlib.error as error:
        raise Malformed(f"the body is not gzip: {error}") from None
    if len(found) > limit:
        raise TooLarge(f"the body has over {limit} bytes once it is inflated, the limit here")
    if not inflate.eof or inflate.unused_data:
        raise Malformed("the body is not one whole stream of gzip")
    return found


class Request(web.BaseRequest):
    """aiohttp's request, and what the log and the metrics tell of it afterwards."""

    ATTRS = web.BaseRequest.ATTRS | {"request_id", "endpoint", "principal", "error_code", "began", "taken"}
    request_id: str = ""
    endpoint: Endpoint | None = None
    principal: str = ""
    error_code: str = ""
    #: The event loop's own clock counts milliseconds.
    began: float = 0.0
    #: Bytes of a body that was taken in piece by piece.
    taken: int = 0

    def begin(self) -> str:
        """Begins the exchange, and gives it an id: the client's own if it sent one that can be echoed."""
        given = self._headers.get("X-Request-Id")
        self.began = time.perf_counter()
        self.request_id = given if given is not None and REQUEST_ID.match(given) else new_request_id()
        return self.request_id

    @property
    def raw_path(self) -> str:
        """The path as it came, without the query."""
        return self._rel_url.raw_path

    @property
    def raw_query(self) -> str:
        """The query as it came."""
        return self._rel_url.raw_query_string

    def encoding(self) -> str:
        """How the body is encoded."""
        return self._headers.get("Content-Encoding", "identity").lower()

    def brings_body(self) -> bool:
        """Whether a body comes with the request, even an empty one of unknown length."""
        return self.body_exists and self._headers.get("Content-Length") != "0"

    async def ready_for_body(self, limit: int | None, *, encoded: bool = False) -> None:
        """Checks what is announced of the body, and tells a waiting client to send it."""
        encoding = self.encoding()
        if not encoded and encoding != "identity" and not (encoding == "gzip" and limit is not None):
            raise UnsupportedMedia(
                f"the body must come without a Content-Encoding, or as gzip where it is a document, not {encoding!r:.80}"
            )
        announced = self.content_length
        if limit is not None and announced is not None and announced > limit:
            raise TooLarge(f"the body has {announced} bytes and the limit here is {limit}")
        expected = self._headers.get("Expect")
        if expected is None or self.version < (1, 1):
            return
        if expected.lower() != "100-continue":
            raise ExpectationFailed(
                f"the expectation {expected!r:.80} is not known here; only 100-continue is"
            )
        transport = self.transport
        if transport is not None and self.body_exists and not self.content.is_eof():
            transport.write(_CONTINUE)

    async def whole_body(self, limit: int, seconds: float) -> bytes:
        """The body, of at most ``limit`` bytes and within ``seconds``."""
        await self.ready_for_body(limit)
        pieces, size = [], 0
        try:
            async with asyncio.timeout(seconds):
                while piece := await self._piece():
                    size += len(piece)
                    if size > limit:
                        raise TooLarge(f"the body has over {limit} bytes, the limit here")
                    pieces.append(piece)
        except TimeoutError:
            raise RequestTimeout(f"the body did not arrive within {seconds:g} s") from None
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def pieces(
        self, stall_seconds: float, stall_bytes: int, *, encoded: bool = False
    ) -> AsyncIterator[bytes]:
        """The body as it comes, ``encoded`` if it may be. No more is taken from the network than is waited for."""
        await self.ready_for_body(None, encoded=encoded)
        waited, moved = 0.0, 0
        clock = time.monotonic
        while True:
            began = clock()
            try:
                async with asyncio.timeout(stall_seconds):
                    piece = await self._piece()
            except TimeoutError:
                raise RequestTimeout(f"no byte of the body came for {stall_seconds:g} s") from None
            if not piece:
                return
            # Only the time that the client let us wait counts: a slow disk of ours is not its fault.
            waited, moved = waited + clock() - began, moved + len(piece)
            if waited > stall_seconds:
                if moved < stall_bytes:
                    raise RequestTimeout(
                        f"fewer than {stall_bytes} bytes of the body came in {stall_seconds:g} s"
                    )
                waited, moved = 0.0, 0
            self.taken += len(piece)
            yield piece

    async def _piece(self) -> bytes:
        try:
            return await self.content.readany()
        except web.RequestPayloadError as error:
            raise Malformed(f"the body breaks off or is wrongly framed: {error}") from None
