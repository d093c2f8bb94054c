"""The hot lane: resolving a name, answered before aiohttp sees the request.

aiohttp's parser, task and response take several times as long as the question itself. So when a connection is between requests and what
arrived is exactly one or more plain ``GET /api/v1/resolve/…`` requests, they are answered here: by the same authentication, the same
domain function (and so the same policy), the same limits, log and counts. Only answers of 200 come from here. Whatever is not understood
at once, or would be refused, goes to aiohttp untouched; a test holds both ways to give the same answers.

An answer is remembered, by a digest of the request as it came, until the next commit of any process or until its key expires.
"""

from __future__ import annotations

import re
import time
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from aiohttp.helpers import rfc822_formatted_time

from runstone.dialects.native import versions
from runstone.dialects.routing import JSON, Call
from runstone.domain.context import Context
from runstone.server import codec, responses
from runstone.server.requests import REQUEST_ID, new_request_id
from runstone.server.router import segments_of

if TYPE_CHECKING:
    from runstone.server.app import App

PREFIX = b"GET /api/v1/resolve/"
_END = b"\r\n\r\n"
_MAX_HEAD = 4096
_MAX_ANSWERS = 8192
_LINE = re.compile(rb"GET (/api/v1/resolve/[A-Za-z0-9._~/-]+) HTTP/1\.1\Z")
_FIELD = re.compile(rb"([A-Za-z-]+): ?([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)\Z")
#: Fields that mean nothing to this route, beside those that are looked at.
_IGNORED = frozenset({b"user-agent", b"accept-encoding", b"accept-language", b"traceparent", b"tracestate"})


class Answer(NamedTuple):
    """A response around its request id and date, when it stops being one, and what the log says of it."""

    before: bytes
    between: bytes
    after: bytes
    until: int
    request_id: str
    principal: str
    path: str


class Lane:
    """Answers hot requests of all connections of a worker."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._last_commit = app.store.index.last_commit
        self._commit = -1
        self._answers: dict[bytes, Answer] = {}
        match = app.router.find(segments_of("/api/v1/resolve/n/p/c/v"))
        assert match is not None
        self._route = match.endpoints["GET"].route
        self._observe = app.metrics.observer(self._route.path, "GET", 200)

    def answer(self, data: bytes, peer: str | None) -> tuple[list[bytes], bytes]:
        """The responses to the hot requests that ``data`` begins with, and what is left of it."""
        sent: list[bytes] = []
        app = self._app
        if app.draining or app.metrics.active >= app.options.max_requests:
            return sent, data
        while data.startswith(PREFIX):
            end = data.find(_END, 0, _MAX_HEAD)
            if end < 0:
                break
            began = time.perf_counter()
            head = data if end + 4 == len(data) else data[: end + 4]
            found = self._find(head)
            if found is None:
                break
            request_id = found.request_id or new_request_id()
            response = b"".join(
                (found.before, request_id.encode(), found.between, rfc822_formatted_time().encode(), found.after)
            )
            sent.append(response)
            seconds = time.perf_counter() - began
            self._observe(seconds, len(response))
            if app.log.enabled:
                self._write_log(found, request_id, peer, len(response), seconds)
            data = data[len(head) :]
        return sent, data

    def _find(self, head: bytes) -> Answer | None:
        commit = self._last_commit()
        if commit != self._commit:
            self._answers.clear()
            self._commit = commit
        # A digest, because the head holds the key, which is kept nowhere.
        digest = blake2b(head, digest_size=16).digest()
        found = self._answers.get(digest)
        try:
            if found is None:
                found = self._make(head)
                if found is None:
                    return None
                if not found.request_id:
                    if len(self._answers) >= _MAX_ANSWERS:
                        self._answers.clear()
                    self._answers[digest] = found
            elif found.until and found.until <= time.time_ns() // 1000:
                return None
            self._app.throttle.take(found.principal)
        except Exception:
            # Whatever is wrong, the other way meets it again, and tells the client. The throttle counts no request that it refuses.
            return None
        return found

    def _make(self, head: bytes) -> Answer | None:
        line, *lines = head[:-4].split(b"\r\n")
        target = _LINE.match(line)
        fields = _fields(lines)
        if target is None or fields is None:
            return None
        app, path = self._app, target[1].decode()
        app.hosts.check_host(fields.get("host"))
        if codec.wants_packed(fields.get("accept", "*/*")):
            return None
        match = app.router.find(segments_of(path))
        if match is None or match.endpoints["GET"].route is not self._route:
            return None
        principal, until = app.authenticator.principal_until(fields.get("authorization"))
        request_id = fields.get("x-request-id", "")
        call = Call(app.store, Context(principal), app, "GET", match.names, None, None, {})
        body = codec.encode_json(versions.resolve(call))
        before = f"HTTP/1.1 200 OK\r\nContent-Type: {JSON}\r\nCache-Control: no-store\r\nX-Request-Id: "
        common = "".join(f"\r\n{name}: {value}" for name, value in responses.SECURITY)
        between = f"{common}\r\nContent-Length: {len(body)}\r\nDate: "
        return Answer(
            before.encode(), between.encode(), b"\r\n\r\n" + body, until, request_id, principal.name, path
        )

    def _write_log(self, found: Answer, request_id: str, peer: str | None, size: int, seconds: float) -> None:
        self._app.log.write(
            id=request_id,
            principal=found.principal,
            peer=peer,
            method="GET",
            path=found.path,
            status=200,
            bytes=size,
            duration_ms=round(seconds * 1000, 3),
        )


def _fields(lines: list[bytes]) -> dict[str, str] | None:
    """The header fields that matter; None when there is one that aiohttp had better see."""
    found: dict[str, str] = {}
    for line in lines:
        field = _FIELD.match(line)
        if field is None:
            return None
        name = field[1].lower()
        if name in _IGNORED:
            continue
        value = field[2].decode()
        if name == b"connection" and value.lower() == "keep-alive":
            continue
        if name == b"x-request-id" and not REQUEST_ID.match(value):
            return None
        if name not in (b"host", b"accept", b"authorization", b"x-request-id") or name.decode() in found:
            return None
        found[name.decode()] = value
    return found
