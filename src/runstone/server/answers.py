"""Answers that hold until something changes: asked again before the next commit, by whomever with the same rights, they are not made again.

Who asks while the same answer is being made waits for it. An answer is given only if no commit, of any process, came between the moment
at which its making began and the moment at which it is asked for: so whoever has written something finds it in what is answered next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from runstone.dialects.routing import JSON, MSGPACK, Call, Raw, Route
from runstone.domain.context import Principal
from runstone.server.codec import encode_json, encode_packed

#: Larger answers and questions, and more than so many bytes of all together, are not held.
MAX_ANSWER = 1 << 20
MAX_ASKED = 64 << 10
MAX_BYTES = 16 << 20
#: What an answer takes beside its bytes and those of its question.
_OVERHEAD = 1 << 10
_pack = msgspec.msgpack.Encoder().encode


class _Key(NamedTuple):
    """What an answer depends on beside the store."""

    method: str
    path: str
    asker: tuple[Principal, str, str]
    packed: bool
    asked: bytes
    fields: tuple[str | None, ...]


class Answers:
    """The answers of one worker since the last commit; for one event loop."""

    def __init__(self, latest: Callable[[], int], in_thread: Callable[..., Any]) -> None:
        self._latest, self._in_thread = latest, in_thread
        self._commit = -1
        self._held: dict[_Key, asyncio.Future[Raw]] = {}
        self._bytes = 0
        #: How many were given without being made.
        self.again = 0

    async def of(self, route: Route, call: Call) -> Any:
        """What a blocking handler answers; encoded, if the answer may be given to others."""
        key = _key(route, call)
        if key is None:
            return await self._in_thread(route.handler, call)
        commit = self._latest()
        if commit != self._commit:
            self._forget(commit)
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = asyncio.ensure_future(self._in_thread(_encoded, route, call))
            held.add_done_callback(lambda made: self._made(key, made))
        else:
            self.again += 1
        # Nobody who goes away takes the answer from the others.
        return await asyncio.shield(held)

    def known(self, route: Route, call: Call) -> Raw | None:
        """What :meth:`of` answers without making it, or None."""
        if self._latest() != self._commit or (key := _key(route, call)) is None:
            return None
        held = self._held.get(key)
        if held is None or not held.done() or held.cancelled() or held.exception() is not None:
            return None
        return held.result()

    def _made(self, key: _Key, made: asyncio.Future[Raw]) -> None:
        failed = made.cancelled() or made.exception() is not None
        if self._held.get(key) is not made:
            return
        size = 0 if failed else len(made.result().content)
        if not 0 < size <= MAX_ANSWER:
            del self._held[key]
            return
        self._bytes += size + len(key.asked) + _OVERHEAD
        if self._bytes > MAX_BYTES:
            self._forget(self._commit)

    def _forget(self, commit: int) -> None:
        self._commit, self._bytes = commit, 0
        self._held.clear()


def _key(route: Route, call: Call) -> _Key | None:
    """What an answer depends on beside the store; None of one that is for its client alone."""
    if call.ctx.deadline is not None:
        return None
    accept = call.headers.get("Accept", "")
    if any(kind in accept for kind in route.also_as):
        return None
    try:
        asked = _pack((call.path, call.query, call.body))
    except (UnicodeEncodeError, OverflowError):
        return None
    if len(asked) > MAX_ASKED:
        return None
    fields = tuple(call.headers.get(name) for name in route.fields)
    return _Key(route.method, route.path, call.ctx.asker, call.packed, asked, fields)


def _encoded(route: Route, call: Call) -> Raw:
    found = route.handler(call)
    if isinstance(found, Raw):
        return found
    content = encode_packed(found) if call.packed else encode_json(found)
    return Raw(content, MSGPACK if call.packed else JSON, route.status)
