"""From a request to its answer: who asks, what for, and which function of a dialect answers.

Nothing here knows what a request means; whether it may be done is decided in the domain.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, cast
from urllib.parse import unquote_to_bytes

from aiohttp import web

from runstone.dialects.native.problem import members
from runstone.dialects.routing import Call, Download, Events, Raw, Reply, Stream, Work
from runstone.domain import limits
from runstone.domain.context import ANONYMOUS, NOBODY, Context, Principal
from runstone.errors import Busy, Corrupt, Invalid, Malformed, MethodNotAllowed, RunstoneError, UnknownPath
from runstone.server import codec, responses
from runstone.server.core import SECURITY, Core
from runstone.server.requests import Request, inflated
from runstone.server.router import Endpoint, Match
from runstone.server.signing import TOKEN, Signature
from runstone.server.streaming import Streamer

MAX_DEADLINE = 3600.0
MAX_KEY = 200
CLIENT_GONE = 499
_log = logging.getLogger("runstone.server")


class App:
    """Answers requests that aiohttp has read. Made on its event loop; :meth:`close` ends what it sends."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.metrics = core.metrics
        options = core.options
        self.streamer = Streamer(
            on_damage=self._on_damage, stall_seconds=options.stall_seconds, stall_bytes=options.stall_bytes
        )
        self.metrics.watch(self._gauges)

    async def close(self) -> None:
        """Ends downloads."""
        await self.streamer.close()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The response to a request; for :class:`aiohttp.web.Server`."""
        assert isinstance(request, Request)
        self.metrics.active += 1
        try:
            return await self._answer(request)
        finally:
            self.metrics.active -= 1

    async def _answer(self, request: Request) -> web.StreamResponse:
        request.begin()
        try:
            response = await self._dispatch(request)
        except RunstoneError as error:
            response = self.problem(request, error)
        except ConnectionError:
            # Whoever asked has gone: there is nobody to answer, only something to log.
            response = web.Response(status=CLIENT_GONE, reason="Client closed request")
            response.force_close()
        except Exception as error:
            response = self.problem(request, self.unexpected(request, error))
        if not response.prepared:
            self.finish_header(request, response)
        return response

    def unexpected(self, request: Request, error: BaseException) -> RunstoneError:
        """What a client is told of an error that nobody foresaw: where to find it in the log, and nothing else."""
        _log.error("request %s: %s %s", request.request_id, request.method, request.raw_path, exc_info=error)
        return RunstoneError(
            f"something went wrong here; the log of the server has it under {request.request_id}"
        )

    def problem(self, request: Request, error: RunstoneError) -> web.StreamResponse:
        """An error in the shape of the dialect that was spoken."""
        request.error_code = error.code
        raw = self.core.problem_of(error, request.request_id, request.endpoint, request.raw_path)
        response = responses.of_raw(raw)
        if isinstance(error, MethodNotAllowed):
            response.headers["Allow"] = ", ".join(error.details["allow"])
        if not request.content.is_eof() and request.body_exists:
            # The rest of the body would have to be read to get at the next request.
            response.force_close()
        return response

    def finish_header(self, request: Request, response: web.StreamResponse) -> None:
        """Sets the fields that every response has."""
        if self.core.draining:
            response.force_close()
        headers = response.headers
        headers["X-Request-Id"] = request.request_id
        for name, value in SECURITY:
            headers.setdefault(name, value)
        origin = request.headers.get("Origin")
        if origin is not None and self.core.hosts.shares_with(origin):
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = "*"
            headers.add("Vary", "Origin")

    async def _dispatch(self, request: Request) -> web.StreamResponse:
        method, headers = request.method, request.headers
        host = headers.get("Host")
        if host is not None or request.version >= (1, 1):
            self.core.hosts.check_host(host)
        segments, match = self._match(request)
        if method == "OPTIONS":
            return self._options(request, match)
        endpoint = match.endpoints.get(method)
        if endpoint is None:
            allow = sorted({*match.endpoints, "OPTIONS"})
            raise MethodNotAllowed(
                f"{request.raw_path} has no {method}; it has {', '.join(allow)}", allow=allow
            )
        request.endpoint = endpoint
        if self.metrics.active > self.core.options.max_requests:
            self.metrics.count("refused")
            raise Busy(
                f"this process answers {self.core.options.max_requests} requests already; try again in a moment"
            )
        self.core.hosts.check_origin(method, headers.get("Origin"), host)
        principal = self._principal(request, endpoint, segments)
        request.principal = principal.name
        self.core.throttle.take(principal.name)
        call = await self._call(request, endpoint, principal, match.names)
        route = endpoint.route
        if route.streams:
            self.metrics.uploads += 1
            try:
                found = await cast(Any, route.handler)(call)
            finally:
                self.metrics.uploads -= 1
                self.metrics.count("received_bytes", request.taken)
        elif route.remembered:
            found = await self.core.answers.of(route, call)
        elif route.blocking:
            found = await self.core.in_thread(route.handler, call)
        else:
            found = route.handler(call)
        return await self._respond(request, endpoint, call, found)

    def _match(self, request: Request) -> tuple[list[str], Match]:
        path, accept = request.raw_path, request.headers.get("Accept", "")
        home = self.core.page_at(request.method, path, accept) if path == "/" else None
        if home is not None:  # no other dialect has to be loaded to know that
            return [], home
        try:
            return self.core.match(path)
        except UnknownPath:
            page = self.core.page_at(request.method, path, accept)
            if page is None:
                raise
            return [], page

    def _options(self, request: Request, match: Match) -> web.StreamResponse:
        allow = ", ".join(sorted({*match.endpoints, "OPTIONS"}))
        response = web.Response(status=204, headers={"Allow": allow})
        origin, wanted = request.headers.get("Origin"), request.headers.get("Access-Control-Request-Method")
        if origin is not None and wanted is not None and self.core.hosts.shares_with(origin):
            response.headers["Access-Control-Allow-Methods"] = allow
            response.headers["Access-Control-Allow-Headers"] = request.headers.get(
                "Access-Control-Request-Headers", "*"
            )
            response.headers["Access-Control-Max-Age"] = "600"
        return response

    def _principal(self, request: Request, endpoint: Endpoint, segments: list[str]) -> Principal:
        route = endpoint.route
        if route.signed:
            given: Signature = codec.decode_query(request.raw_query, Signature)
            return self.core.signer.principal(request.method, segments, given)
        if route.open:
            return NOBODY
        authorization = request.headers.get("Authorization")
        if authorization is None and (session := self.core.sessions.given(request.headers)) is not None:
            return self.core.sessions.principal(session, request.method, request.headers)
        if authorization is None and route.anonymous and self.core.authenticator.required:
            return ANONYMOUS
        if route.token and (token := _token_in(authorization)):
            return self.core.signer.bearer(segments, token)
        return self.core.authenticator.principal(authorization, request.remote or "")

    async def _call(
        self, request: Request, endpoint: Endpoint, principal: Principal, names: dict[str, str]
    ) -> Call:
        route, headers, options = endpoint.route, request.headers, self.core.options
        accept = headers.get("Accept", "*/*")
        otherwise = any(kind in accept for kind in route.also_as)
        packed = route.answer is not None and not otherwise and codec.wants_packed(accept)
        query = None
        if not route.signed:
            raw = request.raw_query
            query = codec.decode_query(raw, route.query) if raw or route.query else None
            if query and route.query is None:
                raise Invalid(f"{route.method} {route.path} takes no query")
        call = Call(
            self.core.store,
            self._context(request, principal),
            self.core,
            request.method,
            names,
            query,
            None,
            headers,
            packed=packed,
        )
        if route.streams:
            call.content = request.pieces(options.stall_seconds, options.stall_bytes, encoded=route.encoded)
        elif route.body is not None or request.brings_body():
            limit = options.max_manifest if route.manifest else options.max_body
            content = await request.whole_body(limit, options.body_seconds)
            if content and request.encoding() == "gzip":
                content = await self.core.in_thread(inflated, content, limit)
            call.body = self._body(request, endpoint, content)
        return call

    def _body(self, request: Request, endpoint: Endpoint, content: bytes) -> Any:
        wanted = endpoint.route.body
        if wanted is None:
            if content:
                raise Invalid(f"{endpoint.route.method} {endpoint.route.path} takes no body")
            return None
        if not content and not request.brings_body():
            # What has a default for everything may be asked for with nothing.
            return codec.decode_body(b"{}", False, wanted)
        return codec.decode_body(content, codec.is_packed(request.headers.get("Content-Type", "")), wanted)

    def _context(self, request: Request, principal: Principal) -> Context:
        headers = request.headers
        consumer = _decoded(headers, "X-Runstone-Consumer")
        purpose = headers.get("X-Runstone-Purpose", "")
        return Context(
            principal=principal,
            purpose=limits.text(purpose, "X-Runstone-Purpose", 256),
            request_id=request.request_id,
            consumer=limits.text(consumer, "X-Runstone-Consumer", 256),
            reason=limits.text(
                _decoded(headers, "X-Runstone-Reason"), "X-Runstone-Reason", limits.MAX_REASON
            ),
            command_id=_command_id(request, principal),
            deadline=_deadline(headers.get("X-Runstone-Deadline")),
        )

    async def _respond(
        self, request: Request, endpoint: Endpoint, call: Call, found: Any
    ) -> web.StreamResponse:
        if isinstance(found, Download):
            headers = {
                "X-Request-Id": request.request_id,
                "Cache-Control": "private, no-cache",
                **found.headers,
            }
            headers.update(SECURITY)
            return await self.streamer.send(cast(web.Request, request), found.body, headers)
        if isinstance(found, Raw):
            return responses.of_raw(found)
        if isinstance(found, Reply):
            return responses.of_reply(found, call.packed)
        if isinstance(found, Work):
            return await responses.of_work(
                request,
                found,
                self.core.in_thread,
                lambda error: members(self._told(request, error), request.request_id),
                lambda response: self.finish_header(request, response),
            )
        if isinstance(found, Stream):
            return await responses.of_stream(
                request, found, self.core, lambda response: self.finish_header(request, response)
            )
        if isinstance(found, Events):
            return await responses.of_events(
                request, found, self.core, lambda response: self.finish_header(request, response)
            )
        return responses.of_value(found, endpoint.route.status, call.packed)

    def _told(self, request: Request, error: Exception) -> RunstoneError:
        return error if isinstance(error, RunstoneError) else self.unexpected(request, error)

    def finished(self, request: Request, response: web.StreamResponse) -> None:
        """Counts and logs an exchange whose last byte has been handed over."""
        endpoint, headers = request.endpoint, request.headers
        route = endpoint.route.path if endpoint is not None else "-"
        sent, seconds = response.body_length, time.perf_counter() - request.began
        self.metrics.observe(route, request.method, response.status, seconds, sent)
        if self.core.log.enabled:
            self.core.log.write(
                id=request.request_id,
                principal=request.principal,
                peer=request.remote,
                method=request.method,
                path=request.raw_path,
                status=response.status,
                bytes=sent,
                duration_ms=round(seconds * 1000, 3),
                consumer=headers.get("X-Runstone-Consumer"),
                error=request.error_code,
            )

    async def _on_damage(self, body: Any, error: Corrupt) -> None:
        _log.error("damaged bytes are not served: %s", error.message)
        await self.core.in_thread(self._withdraw, body)

    def _withdraw(self, body: Any) -> None:
        from runstone.domain import integrity

        # What the pump met on its own account (a file that is too short, a disk that fails) is not known to the store yet.
        try:
            body.segments(0, body.size)
        except Corrupt:
            pass  # it is recorded now
        except RunstoneError as error:
            _log.error("what is damaged cannot be recorded: %s", error.message)
        for name in integrity.withdraw(self.core.store):
            _log.error("%s is withdrawn", name)

    def _gauges(self) -> dict[str, float]:
        streams: dict[str, float] = {
            f"streams_{name}": value for name, value in self.streamer.gauges().items()
        }
        return streams | {"log_dropped": self.core.log.dropped, "answers_again": self.core.answers.again}


def _token_in(authorization: str | None) -> str:
    """The bearer token in an Authorization field, if it holds one and not a key."""
    scheme, _, credentials = (authorization or "").partition(" ")
    found = credentials.strip()
    return found if scheme.lower() == "bearer" and found.startswith(TOKEN) else ""


_UNIQUE = re.compile(r"[0-9a-f]{32}(-[0-9]{1,9})?\Z")


def _decoded(headers: Mapping[str, str], name: str) -> str:
    """A field of free text, which is sent as percent-encoded UTF-8; empty when it is absent."""
    try:
        return unquote_to_bytes(headers.get(name, "")).decode()
    except UnicodeError:
        raise Malformed(f"{name} is not UTF-8 once it is percent-decoded") from None


def _command_id(request: Request, principal: Principal) -> bytes:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return b""
    if not 0 < len(key) <= MAX_KEY:
        raise Invalid(f"an Idempotency-Key has 1 to {MAX_KEY} characters, not {len(key)}")
    # A key of 128 random bits names one change, whoever brings it: what one process left undelivered another delivers under its own key.
    who = "" if _UNIQUE.match(key) else principal.name
    text = "\0".join((who, request.method, request.raw_path, key))
    return sha256(text.encode("utf-8", "surrogateescape")).digest()[:16]


def _deadline(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MAX_DEADLINE:
        raise Invalid(f"X-Runstone-Deadline is a number of seconds up to {MAX_DEADLINE:g}, not {text!r:.80}")
    return time.monotonic() + seconds
