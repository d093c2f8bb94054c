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
from collections.abc import Callable
from hashlib import sha256

import msgspec

from runstone.dialects.native import versions
from runstone.dialects.routing import JSON, Call
from runstone.domain.context import Context
from runstone.server import codec
from runstone.server.core import REQUEST_ID, SECURITY, Core, new_request_id
from runstone.server.metrics import BUCKETS, Metrics
from runstone.server.router import segments_of

PREFIX = b"GET /api/v1/resolve/"
_END = b"\r\n\r\n"
_MAX_HEAD = 4096
_MAX_ANSWERS = 8192
_LINE = re.compile(rb"GET (/api/v1/resolve/[A-Za-z0-9._~/-]+) HTTP/1\.1\Z")
_FIELD = re.compile(rb"([A-Za-z-]+): ?([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)\Z")
#: Fields that mean nothing to this route, beside those that are looked at.
_IGNORED = frozenset({b"user-agent", b"accept-encoding", b"accept-language", b"traceparent", b"tracestate"})


# Not strftime's own: those are in the language of the locale.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_date = (0, b"")


def http_date() -> bytes:
    """The Date field of a response that is made now."""
    global _date
    now = int(time.time())
    if now != _date[0]:
        t = time.gmtime(now)
        _date = (
            now,
            time.strftime(f"{_DAYS[t.tm_wday]}, %d {_MONTHS[t.tm_mon - 1]} %Y %H:%M:%S GMT", t).encode(),
        )
    return _date[1]


class Answer(msgspec.Struct, frozen=True):
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

    def __init__(self, core: Core) -> None:
        self._core = core
        self._last_commit = core.store.index.last_commit
        self._commit = -1
        self._answers: dict[bytes, Answer] = {}
        match = core.router.find(segments_of("/api/v1/resolve/n/p/c/v"))
        assert match is not None
        self._route = match.endpoints["GET"].route
        #: Requests that took less than the first bucket of the histogram, their time and bytes; and all of them ever.
        self._quick, self._seconds, self._sent, self._hot = 0, 0.0, 0, 0
        core.metrics.watch(lambda: self._tell(core.metrics))

    def answer(self, data: bytes, peer: Callable[[], str]) -> tuple[list[bytes], bytes]:
        """The responses to the hot requests that ``data`` begins with, and what is left of it; ``peer`` tells the client's address."""
        sent: list[bytes] = []
        core, at = self._core, 0
        if core.draining or core.metrics.active >= core.options.max_requests:
            return sent, data
        while data.startswith(PREFIX, at):
            end = data.find(_END, at, at + _MAX_HEAD) + 4
            if end < 4:
                break
            began = time.perf_counter()
            found = self._find(data[at:end], peer)
            if found is None:
                break
            request_id = found.request_id or new_request_id()
            response = b"".join((found.before, request_id.encode(), found.between, http_date(), found.after))
            sent.append(response)
            at = end
            seconds = time.perf_counter() - began
            self._count(seconds, len(response))
            if core.log.enabled:
                self._write_log(found, request_id, peer(), len(response), seconds)
        return sent, data[at:]

    def _count(self, seconds: float, size: int) -> None:
        self._hot += 1
        if seconds > BUCKETS[0]:
            self._core.metrics.observe(self._route.path, "GET", 200, seconds, size)
        else:
            self._quick += 1
            self._seconds += seconds
            self._sent += size

    def _tell(self, metrics: Metrics) -> dict[str, float]:
        """Adds what was counted here to the counts of all requests, before they are told."""
        metrics.observe_many(self._route.path, "GET", 200, self._quick, self._seconds, self._sent)
        self._quick, self._seconds, self._sent = 0, 0.0, 0
        return {"hot_requests": self._hot}

    def _find(self, head: bytes, peer: Callable[[], str]) -> Answer | None:
        commit = self._last_commit()
        if commit != self._commit:
            self._answers.clear()
            self._commit = commit
        # A digest, because the head holds the key, which is kept nowhere.
        digest = sha256(head).digest()
        found = self._answers.get(digest)
        try:
            if found is None:
                found = self._make(head, peer)
                if found is None:
                    return None
                if not found.request_id:
                    if len(self._answers) >= _MAX_ANSWERS:
                        self._answers.clear()
                    self._answers[digest] = found
            elif found.until and found.until <= time.time_ns() // 1000:
                return None
            self._core.throttle.take(found.principal)
        except Exception:
            # Whatever is wrong, the other way meets it again, and tells the client. The throttle counts no request that it refuses.
            return None
        return found

    def _make(self, head: bytes, peer: Callable[[], str]) -> Answer | None:
        line, *lines = head[:-4].split(b"\r\n")
        target = _LINE.match(line)
        fields = _fields(lines)
        if target is None or fields is None:
            return None
        core, path = self._core, target[1].decode()
        core.hosts.check_host(fields.get("host"))
        if codec.wants_packed(fields.get("accept", "*/*")):
            return None
        match = core.router.find(segments_of(path))
        if match is None or match.endpoints["GET"].route is not self._route:
            return None
        authorization = fields.get("authorization")
        if not core.authenticator.may_try(authorization, peer()):
            return None
        principal, until = core.authenticator.principal_until(authorization)
        request_id = fields.get("x-request-id", "")
        call = Call(core.store, Context(principal), core, "GET", match.names, None, None, {})
        body = codec.encode_json(versions.resolve(call))
        before = f"HTTP/1.1 200 OK\r\nContent-Type: {JSON}\r\nCache-Control: no-store\r\nX-Request-Id: "
        common = "".join(f"\r\n{name}: {value}" for name, value in SECURITY)
        between = f"{common}\r\nContent-Length: {len(body)}\r\nDate: "
        return Answer(
            before.encode(), between.encode(), b"\r\n\r\n" + body, until, request_id, principal.name, path
        )

    def _write_log(self, found: Answer, request_id: str, peer: str, size: int, seconds: float) -> None:
        self._core.log.write(
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
