"""What handlers answer, as HTTP responses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from aiohttp import web

from runstone.dialects.routing import EVENTS, JSON, LINES, MSGPACK, Events, Progress, Raw, Reply, Stream, Work
from runstone.errors import RunstoneError, TryAgain
from runstone.server.codec import encode_json, encode_packed

if TYPE_CHECKING:
    from runstone.server.core import Core

#: Seconds between two lines of progress.
PROGRESS = 0.25
#: Seconds after which a silent stream of events says that it is there.
KEEP_ALIVE = 15.0


def of_value(value: Any, status: int, packed: bool) -> web.Response:
    """A value in the form that was asked for."""
    body = encode_packed(value) if packed else encode_json(value)
    headers = {"Content-Type": MSGPACK if packed else JSON, "Cache-Control": "no-store"}
    return web.Response(body=body, status=status, headers=headers)


def of_reply(reply: Reply, packed: bool) -> web.Response:
    """A value with a status and header fields."""
    response = of_value(reply.value, reply.status, packed)
    response.headers.update(reply.headers)
    return response


def of_raw(raw: Raw) -> web.Response:
    """Content as it is."""
    headers = {"Cache-Control": "no-store", **raw.headers}
    if raw.media_type:
        headers["Content-Type"] = raw.media_type
    return web.Response(body=raw.content or None, status=raw.status, headers=headers)


async def of_work(
    request: web.BaseRequest,
    work: Work,
    in_thread: Callable[..., Any],
    problem: Callable[[Exception], Any],
    headers: Callable[[web.StreamResponse], None],
) -> web.StreamResponse:
    """Runs long work and sends what it tells, a JSON value a line. It is stopped when the client goes away."""
    loop = asyncio.get_running_loop()
    told: asyncio.Queue[bytes | None] = asyncio.Queue()
    teller = _Teller(loop, told, work.told)
    response = web.StreamResponse(headers={"Content-Type": LINES, "Cache-Control": "no-store"})
    headers(response)
    await response.prepare(request)
    running = asyncio.ensure_future(in_thread(_run, work, teller))
    running.add_done_callback(lambda _: told.put_nowait(None))
    try:
        while (line := await told.get()) is not None:
            await response.write(line)
    except BaseException:
        teller.stopped = True
        raise
    try:
        last = work.ended(running.result())
    except RunstoneError as error:
        last = work.failed(error) if work.failed is not None else {"error": problem(error)}
    except Exception as error:
        last = {"error": problem(error)}
    await response.write(encode_json(last) + b"\n")
    return response


async def of_stream(
    request: web.BaseRequest,
    stream: Stream,
    core: Core,
    headers: Callable[[web.StreamResponse], None],
) -> web.StreamResponse:
    """Sends pieces as they are made, no faster than the client takes them."""
    response = web.StreamResponse(
        headers={"Content-Type": stream.media_type, "Cache-Control": "no-store", **stream.headers}
    )
    headers(response)
    try:
        piece = await core.in_thread(next, stream.pieces, None)
        await response.prepare(request)
        while piece is not None:
            await response.write(piece)
            piece = await core.in_thread(next, stream.pieces, None)
    except Exception as error:
        if response.prepared and request.transport is not None:
            # Half an answer must not look like a whole one.
            request.transport.abort()
            raise ConnectionResetError("an answer broke off") from error
        raise
    finally:
        if isinstance(stream.pieces, Generator):
            await core.in_thread(stream.pieces.close)
    return response


async def of_events(
    request: web.BaseRequest,
    events: Events,
    core: Core,
    headers: Callable[[web.StreamResponse], None],
) -> web.StreamResponse:
    """Sends events as they happen, and a comment now and then, so that a connection that is dead is noticed on either side."""
    response = web.StreamResponse(headers={"Content-Type": EVENTS, "Cache-Control": "no-store"})
    headers(response)
    after = events.after
    found, place = await core.in_thread(events.read, after)
    await response.prepare(request)
    await response.write(b": here\n\n")
    spoke, seen = time.monotonic(), -1
    while not core.draining:
        for seq, kind, value in found:
            await response.write(
                b"id: %d\nevent: %s\ndata: %s\n\n" % (seq, kind.encode(), encode_json(value))
            )
        if found:
            spoke = time.monotonic()
        elif time.monotonic() - spoke > KEEP_ALIVE:
            # Names the place too: a listener in a project where nothing happens must not read a long log again when it comes back.
            await response.write(b"id: %d\n: still here\n\n" % place)
            spoke = time.monotonic()
        if place == after:
            seen = await core.commits.after(seen, KEEP_ALIVE)
        after = place
        found, place = await core.in_thread(events.read, after)
    return response


def _run(work: Work, tell: Progress) -> Any:
    return work.run(tell)


class _Teller:
    """Progress from a thread to the event loop, a line at most every :data:`PROGRESS` seconds."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        told: asyncio.Queue[bytes | None],
        shown: Callable[[int, int], Any],
    ) -> None:
        self._loop, self._told, self._shown = loop, told, shown
        self._next = 0.0
        self.stopped = False

    def __call__(self, done: int, total: int) -> None:
        if self.stopped:
            raise TryAgain("nobody waits for this any more")
        now = time.monotonic()
        if now >= self._next:
            self._next = now + PROGRESS
            line = encode_json(self._shown(done, total)) + b"\n"
            self._loop.call_soon_threadsafe(self._told.put_nowait, line)
