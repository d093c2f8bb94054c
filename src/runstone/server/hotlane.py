"""The hot lane: the questions that are asked most, answered before aiohttp sees the request.

aiohttp's parser, task and response take several times as long as the question itself. So when a connection is between requests and what
arrived is exactly one or more plain requests of a route that is hot (see :class:`~runstone.dialects.routing.Route`: resolving a name, the
plan of a fetch, a model version by its alias), or whose answer is known already, they are answered here: by the same authentication, the
same handler (and so the same policy), the same limits, log and counts. Only answers of 200 and 304 come from here, and only such as need not
wait for a disk. Whatever is not understood at once, or would be refused, goes to aiohttp untouched; a test holds both ways to give the same
answers.

An answer is remembered, by a digest of the request as it came, until the next commit of any process, until its key expires, or for a minute.
While it is, a native thread gives it on the connections that have asked for it (see :mod:`nativelane`), and Python sees those requests only
in their counts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from runstone._native.digests import blake3
from runstone.dialects.routing import JSON, MSGPACK, Call, Raw, Route
from runstone.domain import limits
from runstone.domain.context import NOBODY, Context
from runstone.server import codec
from runstone.server.access import AccessLog
from runstone.server.core import ID_PREFIX, REQUEST_ID, SECURITY, Core, new_request_id
from runstone.server.metrics import BUCKETS, Metrics
from runstone.server.nativelane import NativeLane

PREFIX = b"GET /"
_END = b"\r\n\r\n"
_MAX_HEAD = 4096
_MAX_ANSWERS = 8192
#: Longer bodies gain nothing here; and all that are remembered together.
_MAX_BODY = 64 << 10
_MAX_BYTES = 32 << 20
#: The longest that an answer is remembered, in microseconds: what is signed in it must be young.
_LONGEST = 60_000_000
_LINE = re.compile(rb"GET (/[A-Za-z0-9._~-][A-Za-z0-9._~/-]*)(?:\?([A-Za-z0-9._~%+=&@-]+))? HTTP/1\.1\Z")
_FIELD = re.compile(rb"([A-Za-z-]+): ?([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)\Z")
#: Fields that mean nothing here, and those that are looked at for every route.
_IGNORED = frozenset({b"user-agent", b"accept-encoding", b"accept-language", b"traceparent", b"tracestate"})
_KNOWN = frozenset({"host", "accept", "authorization", "x-request-id", "x-runstone-consumer"})
#: Fields of an answer whose place is fixed.
_REASONS = {200: "OK", 304: "Not Modified"}


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
    """A response around its request id and date, when it stops being one, and what the log and the lineage say of it."""

    before: bytes
    between: bytes
    after: bytes
    until: int
    request_id: str
    principal: str
    consumer: str
    path: str
    route: str
    status: int
    fetches: tuple[tuple[Context, int], ...]

    def write_log(
        self, log: AccessLog, request_id: str, peer: str, size: int, seconds: float, moment: float = 0.0
    ) -> None:
        """Logs that this was answered."""
        log.write(
            moment,
            id=request_id,
            principal=self.principal,
            peer=peer,
            method="GET",
            path=self.path,
            status=self.status,
            bytes=size,
            duration_ms=round(seconds * 1000, 3),
            consumer=self.consumer or None,
        )


class _Noting:
    """The services of a handler whose answer is remembered: what it has noted is noted again with each answer."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.noted: list[tuple[Context, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    def fetched(self, ctx: Context, version: int) -> None:
        """See :meth:`Services.fetched`."""
        self.noted.append((ctx, version))


class _Fields(dict[str, str]):
    """Header fields by name in lower case, asked for in any case."""

    def get(self, name: str, otherwise: Any = None) -> Any:
        """The field of a name."""
        return super().get(name.lower(), otherwise)


class _Count(msgspec.Struct):
    """Requests of one route and status that took less than the first bucket of the histogram, their time and bytes."""

    requests: int = 0
    seconds: float = 0.0
    sent: int = 0


class Lane:
    """Answers hot requests of all connections of a worker."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._last_commit = core.store.index.last_commit
        self._commit = -1
        self._answers: dict[bytes, Answer] = {}
        self._bytes = 0
        self._counts: dict[tuple[str, int], _Count] = {}
        self._hot = 0
        self.native: NativeLane | None = None
        self._native_tried = False
        core.metrics.watch(lambda: self._tell(core.metrics))

    def answer(self, data: bytes, peer: Callable[[], str]) -> tuple[list[bytes], bytes, bool]:
        """The responses to the hot requests that ``data`` begins with, what is left of it, and whether the native thread knows the last one.

        ``peer`` tells the client's address.
        """
        sent: list[bytes] = []
        core, at, known = self._core, 0, False
        if core.draining or core.metrics.active >= core.options.max_requests:
            return sent, data, known
        while data.startswith(PREFIX, at):
            end = data.find(_END, at, at + _MAX_HEAD) + 4
            if end < 4:
                break
            began = time.perf_counter()
            found, known = self._find(data[at:end], peer)
            if found is None:
                break
            request_id = found.request_id or new_request_id()
            response = b"".join((found.before, request_id.encode(), found.between, http_date(), found.after))
            sent.append(response)
            at = end
            seconds = time.perf_counter() - began
            self._count(found, seconds, len(response))
            if core.log.enabled:
                found.write_log(core.log, request_id, peer(), len(response), seconds)
        return sent, data[at:], known

    def _count(self, found: Answer, seconds: float, size: int) -> None:
        self._hot += 1
        if seconds > BUCKETS[0]:
            self._core.metrics.observe(found.route, "GET", found.status, seconds, size)
            return
        count = self._counts.get((found.route, found.status))
        if count is None:
            count = self._counts[found.route, found.status] = _Count()
        count.requests += 1
        count.seconds += seconds
        count.sent += size

    def _tell(self, metrics: Metrics) -> dict[str, float]:
        """Adds what was counted here to the counts of all requests, before they are told."""
        counts, self._counts = self._counts, {}
        for (route, status), count in counts.items():
            metrics.observe_many(route, "GET", status, count.requests, count.seconds, count.sent)
        for (route, status), (requests, seconds, size) in (
            self.native.taken() if self.native else {}
        ).items():
            self._hot += int(requests)
            metrics.observe_many(route, "GET", status, int(requests), seconds, int(size))
        return {"hot_requests": self._hot}

    def _find(self, head: bytes, peer: Callable[[], str]) -> tuple[Answer | None, bool]:
        commit = self._last_commit()
        if commit != self._commit:
            self._commit = commit
            self._forget()
        # A digest, because the head holds the key, which is kept nowhere.
        digest = blake3(head)
        found = self._answers.get(digest)
        try:
            if found is None or found.until <= time.time_ns() // 1000:
                found = self._make(head, peer)
                if found is None:
                    return None, False
                self._remember(digest, found)
            self._core.throttle.take(found.principal)
        except Exception:
            # Whatever is wrong, the other way meets it again, and tells the client. The throttle counts no request that it refuses.
            return None, False
        for ctx, version in found.fetches:
            self._core.fetched(ctx, version)
        return found, self.native is not None and digest in self.native.told

    def _forget(self) -> None:
        self._answers.clear()
        self._bytes = 0
        if self.native is not None:
            self.native.forget(self._commit)

    def _remember(self, digest: bytes, found: Answer) -> None:
        if found.request_id:
            return
        if len(self._answers) >= _MAX_ANSWERS or self._bytes > _MAX_BYTES:
            self._forget()
        self._answers[digest] = found
        self._bytes += len(found.after)
        if self.native is None and not self._native_tried:
            self._start_native()
        if self.native is not None:
            self.native.remember(digest, found)

    def _start_native(self) -> None:
        self._native_tried = True
        self.native = NativeLane.start(self._core, ID_PREFIX)
        if self.native is not None:
            self.native.forget(self._commit)
            self._core.fetches.before_flush.append(self.native.settle)

    def _make(self, head: bytes, peer: Callable[[], str]) -> Answer | None:
        line, *lines = head[:-4].split(b"\r\n")
        target = _LINE.match(line)
        if target is None:
            return None
        core, path, raw = self._core, target[1].decode(), (target[2] or b"").decode()
        match = core.match(path)[1]
        route = match.endpoints["GET"].route if "GET" in match.endpoints else None
        if route is None or not _is_hot(route) or (raw and route.query is None):
            return None
        fields = _fields(lines, route)
        if fields is None:
            return None
        core.hosts.check_host(fields.get("host"))
        principal, until = NOBODY, 0
        if not route.open:
            authorization = fields.get("authorization")
            if not core.authenticator.may_try(authorization, peer()):
                return None
            principal, until = core.authenticator.principal_until(authorization)
        consumer = limits.text(
            unquote_to_bytes(fields.get("x-runstone-consumer", "")).decode(), "X-Runstone-Consumer", 256
        )
        noting = _Noting(core)
        packed = route.answer is not None and codec.wants_packed(fields.get("accept", "*/*"))
        query = codec.decode_query(raw, route.query) if raw or route.query else None
        ctx = Context(principal, consumer=consumer)
        call = Call(core.store, ctx, noting, "GET", match.names, query, None, fields, packed=packed)
        found = route.hot(call) if route.hot is not None else core.answers.known(route, call)
        if found is None:
            return None
        if not isinstance(found, Raw):
            encode = codec.encode_packed if packed else codec.encode_json
            found = Raw(encode(found), headers={"Content-Type": MSGPACK if packed else JSON})
        if len(found.content) > _MAX_BODY:
            return None
        before, between = _frame(found)
        longest = time.time_ns() // 1000 + _LONGEST
        return Answer(
            before=before,
            between=between,
            after=b"\r\n\r\n" + found.content,
            until=min(until or longest, longest),
            request_id=fields.get("x-request-id", ""),
            principal=principal.name,
            consumer=fields.get("x-runstone-consumer", ""),
            path=path,
            route=route.path,
            status=found.status,
            fetches=tuple(noting.noted),
        )


def _frame(raw: Raw) -> tuple[bytes, bytes]:
    """The head of a response up to its request id, and from there to its date."""
    first = [f"HTTP/1.1 {raw.status} {_REASONS[raw.status]}"]
    own = {"Cache-Control": "no-store", **raw.headers}
    if raw.media_type:
        own["Content-Type"] = raw.media_type
    elif "Content-Type" in own:
        own = {"Content-Type": own.pop("Content-Type"), **own}  # as of a value
    first += [f"{name}: {value}" for name, value in own.items()]
    then = [f"{name}: {value}" for name, value in SECURITY]
    if raw.status != 304:
        then.append(f"Content-Length: {len(raw.content)}")
    return ("\r\n".join([*first, "X-Request-Id: "])).encode(), ("\r\n".join(["", *then, "Date: "])).encode()


def _is_hot(route: Route) -> bool:
    """Whether a route may be answered here: by somebody who shows a key, or anybody."""
    return (route.hot is not None or route.remembered) and not (
        route.signed or route.token or route.anonymous
    )


def _fields(lines: list[bytes], route: Route) -> _Fields | None:
    """The header fields that matter to a route; None when there is one that aiohttp had better see."""
    found = _Fields()
    known = _KNOWN.union(name.lower() for name in route.fields)
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
        if name.decode() not in known or name.decode() in found:
            return None
        found[name.decode()] = value
    return found
