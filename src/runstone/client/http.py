"""The client's HTTP: pooled connections, retries, and answers as values or as the errors they stand for."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar
from weakref import WeakSet

import msgspec

from runstone import errors
from runstone.client.connection import Connection, FileBody
from runstone.client.origin import Origin
from runstone.client.response import Response
from runstone.errors import Broken, Invalid, RunstoneError, TryAgain, Unreachable

T = TypeVar("T")

MSGPACK = "application/msgpack"
MAX_ANSWER = 256 << 20
MAX_PROBLEM = 1 << 20
MAX_REDIRECTS = 5
MAX_IDLE = 16
IDLE_SECONDS = 45.0
ANSWER_SECONDS = 300.0
_PASSING = frozenset({429, 502, 503, 504})
_BY_STATUS: dict[int, type[RunstoneError]] = {
    400: errors.Malformed,
    401: errors.Unauthenticated,
    403: errors.Denied,
    404: errors.Missing,
    409: errors.Conflict,
    410: errors.Gone,
    412: errors.Conflict,
    413: errors.TooLarge,
    416: errors.RangeUnsatisfiable,
    422: errors.Invalid,
    429: errors.Overloaded,
    507: errors.StorageFull,
}


class Retries(msgspec.Struct, frozen=True):
    """How often a request is tried again, and how long is waited in between, in seconds.

    The wait doubles from ``first`` up to ``longest`` and half of it is random, so that clients do not come back in step.
    A server's Retry-After is obeyed up to ``patience``.
    """

    times: int = 4
    first: float = 0.1
    longest: float = 5.0
    patience: float = 60.0

    def wait(self, attempt: int, asked: float | None) -> float:
        """How long to wait before attempt number ``attempt`` (1 is the first one that repeats)."""
        jitter = int.from_bytes(os.urandom(2), "little") / 65536
        if asked is not None:
            return min(asked, self.patience) * (1 + jitter / 4)
        return float(min(self.first * 2 ** (attempt - 1), self.longest)) * (0.5 + jitter / 2)


class Http:
    """Requests to one store, from any number of threads.

    ``origin`` is the address that answers now. When it cannot be connected to, ``fallbacks``, other addresses of the same store, are tried
    in order, and the one that can stays. ``key`` is sent as a bearer token to these only. A redirect is followed on its own origin only.
    """

    def __init__(
        self,
        origin: Origin,
        key: str = "",
        *,
        timeout: float = 30.0,
        retries: Retries | None = None,
        headers: dict[str, str] | None = None,
        fallbacks: Sequence[Origin] = (),
    ) -> None:
        self.origin = origin
        self._origins = (origin, *fallbacks)
        self.key = key
        self.timeout = timeout
        self.retries = retries or Retries()
        self._headers = {"User-Agent": "runstone", "Accept-Encoding": "identity"} | (headers or {})
        if key:
            if not key.isascii() or not key.isprintable():
                raise Invalid("the API key holds characters that no key has")
            self._headers["Authorization"] = f"Bearer {key}"
        self._tls = _tls_context() if any(one.scheme == "https" for one in self._origins) else None
        self._idle: list[Connection] = []
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._made: WeakSet[Connection] = WeakSet()
        self._aborted = False

    def abort(self) -> None:
        """Breaks off every exchange, in any thread, and refuses new ones."""
        with self._lock:
            self._aborted = True
            made = list(self._made)
        for connection in made:
            connection.abort()

    def _connect(self) -> Connection:
        connection = self._connect_to_first()
        with self._lock:
            self.origin = connection.origin
            self._made.add(connection)
            aborted = self._aborted
        if aborted:
            raise connection.failed("asking", InterruptedError("broken off"))
        return connection

    def _connect_to_first(self) -> Connection:
        """A connection to the first address, from the one that answered last on, that can be connected to."""
        at = self._origins.index(self.origin)
        failed: Unreachable | None = None
        for origin in (*self._origins[at:], *self._origins[:at]):
            try:
                return Connection(origin, self.timeout, self._tls if origin.scheme == "https" else None)
            except Unreachable as error:
                failed = failed or error
        assert failed is not None
        raise failed

    def sibling(self, timeout: float | None = None, *, without: str = "") -> Http:
        """The same origin and key over connections of its own, which can be broken off without harm to these.

        ``without`` names a header field that is left out of its requests.
        """
        first = self.origin
        others = [origin for origin in self._origins if origin != first]
        other = Http(first, self.key, timeout=timeout or self.timeout, retries=self.retries, fallbacks=others)
        other._headers = {name: value for name, value in self._headers.items() if name != without}
        return other

    def close(self) -> None:
        """Closes the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> Connection:
        with self._lock:
            if self._process != os.getpid():  # forked: the sockets are the parent's
                self._idle, self._process = [], os.getpid()
            now = time.monotonic()
            while self._idle:
                connection = self._idle.pop()
                if now - connection.idle_since < IDLE_SECONDS and not connection.is_stale():
                    return connection
                connection.close()
        return self._connect()

    def give_back(self, response: Response) -> None:
        """Ends an exchange; its connection serves the next one if the body was read to its end."""
        response.close()
        connection = response.connection
        if not connection.reusable:
            connection.close()
            return
        connection.idle_since = time.monotonic()
        with self._lock:
            if len(self._idle) < MAX_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def exchange(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        body: bytes | FileBody = b"",
    ) -> Response:
        """Sends one request, once, and answers whatever the server does; the caller gives the response back.

        ``path`` lies under the origin's prefix. A kept connection that turns out closed is replaced by a new one.
        """
        fields = self._headers | (headers or {})
        connection = self._take()
        try:
            return connection.send(method, connection.origin.prefix + path, fields, body)
        except Broken:
            raise
        except Unreachable:
            started = isinstance(body, FileBody) and body.sent > 0
            if connection.requests == 1 or started or not is_repeatable(method, fields):
                raise
        connection = self._connect()
        return connection.send(method, connection.origin.prefix + path, fields, body)

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        accept: tuple[int, ...] = (),
    ) -> Response:
        """A request whose answer is a success or a status in ``accept``; anything else is raised as its error.

        A write gets an ``Idempotency-Key``, so that it may be repeated like a read: after a broken connection, and when
        the server says that its trouble will pass.
        """
        fields = dict(headers or {})
        if method not in ("GET", "HEAD"):
            fields.setdefault("Idempotency-Key", os.urandom(16).hex())
        for attempt in range(1, self.retries.times + 2):
            last = attempt > self.retries.times
            try:
                response = self._follow(method, path, fields, body)
            except Unreachable:
                if last:
                    raise
                time.sleep(self.retries.wait(attempt, None))
                continue
            if response.status < 300 or response.status in accept:
                return response
            error, asked = self.error_of(response), retry_after(response)
            if last or response.status not in _PASSING or (asked or 0) > self.retries.patience:
                raise error
            time.sleep(self.retries.wait(attempt, asked))
        raise AssertionError("a loop of attempts ends in an answer or an error")

    def _follow(self, method: str, path: str, fields: dict[str, str], body: bytes) -> Response:
        for _ in range(MAX_REDIRECTS):
            response = self.exchange(method, path, headers=fields, body=body)
            if response.status not in (301, 302, 303, 307, 308) or method not in ("GET", "HEAD"):
                return response
            self.give_back(response)
            path = self._redirected(response.headers.get("location", ""))
        raise Broken(f"{self.origin} redirects without end")

    def _redirected(self, location: str) -> str:
        here = f"{self.origin.scheme}://{self.origin.authority}/"
        if location.startswith(here):
            location = location[len(here) - 1 :]
        local = location.startswith("/") and not location.startswith("//")
        if not local or not location.startswith(self.origin.prefix + "/") or not location.isprintable():
            raise Invalid(
                f"{self.origin} redirects to {location!r:.200}, which is elsewhere; it was not followed"
            )
        return location[len(self.origin.prefix) :].replace(" ", "%20")

    def call(
        self,
        method: str,
        path: str,
        answer: type[T],
        *,
        value: Any = None,
        headers: dict[str, str] | None = None,
    ) -> T:
        """A request with a value for a body, and its answer decoded as ``answer``; both as MessagePack."""
        fields = {"Accept": MSGPACK} | (headers or {})
        body = b""
        if value is not None:
            body = encoded(value)
            fields["Content-Type"] = MSGPACK
        response = self.request(method, path, headers=fields, body=body)
        return self.decoded(response, answer)

    def decoded(self, response: Response, answer: type[T]) -> T:
        """The body of a response as a value, in the representation that it says it has."""
        content = self.body_of(response)
        if not content and answer is type(None):
            return None
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            if kind == MSGPACK:
                return msgspec.msgpack.decode(content, type=answer)
            return msgspec.json.decode(content, type=answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Broken(f"{self.origin} answered what is not a {answer}: {error}") from None

    def body_of(self, response: Response, limit: int = MAX_ANSWER) -> bytes:
        """The whole body; its connection is given back."""
        try:
            return response.read(limit, ANSWER_SECONDS)
        finally:
            self.give_back(response)

    def pieces_of(self, response: Response) -> Iterator[bytes]:
        """The body piece by piece, however long it is; its connection is given back at the end."""
        try:
            buffer = bytearray(256 << 10)
            while size := response.read_into(memoryview(buffer)):
                yield bytes(buffer[:size])
        finally:
            self.give_back(response)

    def error_of(self, response: Response) -> RunstoneError:
        """The error that a response stands for; its connection is given back."""
        try:
            content = self.body_of(response, MAX_PROBLEM)
        except Unreachable:
            content = b""
        return problem(
            response.status, content, f"{self.origin} answered {response.status}", retry_after(response)
        )


def encoded(value: Any) -> bytes:
    """A value as MessagePack; raises :class:`Invalid` for what no server takes."""
    try:
        return msgspec.msgpack.encode(value)
    except (OverflowError, TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"this cannot be sent to a server: {error}") from None


def problem(status: int, content: bytes, otherwise: str, wait: float | None = None) -> RunstoneError:
    """The error that problem JSON (RFC 9457) describes, with its other members as details; ``otherwise`` is the message of last resort."""
    try:
        members = msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        members = {}
    cls = errors.by_code().get(str(members.pop("code", "")))
    if cls is None or cls is RunstoneError:
        cls = _BY_STATUS.get(status, TryAgain if status in _PASSING else RunstoneError)
    message = members.pop("detail", None)
    request = members.pop("instance", None)
    for known in ("type", "title", "status"):
        members.pop(known, None)
    error = cls(message if isinstance(message, str) and message else otherwise)
    error.details.update(members)
    if request:
        error.details["request_id"] = request
    if wait is not None:
        error.details["retry_after"] = wait
    return error


def retry_after(response: Response) -> float | None:
    """The seconds that a response asks to wait; a date is left to our own schedule."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 8 else None


def is_repeatable(method: str, headers: dict[str, str]) -> bool:
    """Whether a request that may have been carried out can be sent again."""
    return (
        method in ("GET", "HEAD", "PUT", "DELETE")
        or "Idempotency-Key" in headers
        or "Upload-Offset" in headers
    )


def _tls_context() -> Any:
    import ssl  # 20 ms that plain HTTP need not wait for

    return ssl.create_default_context()
