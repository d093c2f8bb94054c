"""One request to somebody else's server: to the addresses that were checked, bounded in time and size, and never redirected."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from functools import cache

import msgspec

from runstone.domain.store import Store
from runstone.domain.webhooks import addresses
from runstone.domain.webhooks.addresses import Target
from runstone.errors import Unreachable

#: The whole of a request may take so long, connecting to one address so long, and so many addresses of a host are tried.
SECONDS, CONNECT_SECONDS, ADDRESSES = 30.0, 10.0, 3
#: Of an answer, so much is read and kept.
MAX_ANSWER = 4096


class Answer(msgspec.Struct, frozen=True):
    """What the other server answered: status, the beginning of the body, and the seconds that it wants to be left alone."""

    status: int
    body: str
    retry_after: float = 0.0


def post(
    store: Store, url: str, body: bytes, headers: Mapping[str, str], *, seconds: float = SECONDS
) -> Answer:
    """Sends a body to an address.

    Raises :class:`Invalid` for an address that must not be called, and :class:`Unreachable` when no answer came.
    """
    target = addresses.resolve(store, url)
    with _Deadline(seconds) as deadline:
        connection = _Connection(target, deadline)
        try:
            connection.request("POST", target.path, body, {"User-Agent": "runstone", **headers})
            response = connection.getresponse()
            text = response.read(MAX_ANSWER).decode("utf-8", "replace").replace("\0", "")
            if deadline.over:  # a connection that was ended looks like the end of the answer
                raise TimeoutError
            return Answer(response.status, text, _seconds(response.headers.get("Retry-After")))
        except (OSError, http.client.HTTPException) as error:
            why = f"no answer in {seconds:g} s" if deadline.over else f"{type(error).__name__}: {error}"
            raise Unreachable(f"{target.host}:{target.port} gave no answer ({why.rstrip(': ')})") from None
        finally:
            connection.close()


class _Deadline:
    """Ends sockets when its time is over, whatever they wait for: a peer that sends a byte now and then holds nobody up."""

    def __init__(self, seconds: float) -> None:
        self.over = False
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def watch(self, plain: socket.socket) -> None:
        """Watches a socket, below TLS."""
        with self._lock:
            self._sockets.append(plain.dup())
        if self.over:
            self._end()

    def _end(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            self.over = True
            for each in self._sockets:
                each.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._timer.cancel()
        with self._lock:
            for each in self._sockets:
                each.close()


class _Connection(http.client.HTTPConnection):
    """A connection to the first of the target's addresses that answers."""

    def __init__(self, target: Target, deadline: _Deadline) -> None:
        super().__init__(target.host, target.port)
        self.default_port = 443 if target.secure else 80
        self._target, self._deadline = target, deadline

    def connect(self) -> None:
        """Connects to an address that was checked; its name is not looked up again."""
        self.sock = _first(self._target)
        self._deadline.watch(self.sock)
        self.sock.settimeout(SECONDS)
        if self._target.secure:
            self.sock = _tls().wrap_socket(self.sock, server_hostname=self._target.host)


def _first(target: Target) -> socket.socket:
    last = OSError("it has no address")
    for address in target.sockets[:ADDRESSES]:
        try:
            return socket.create_connection(address, CONNECT_SECONDS)
        except OSError as error:
            last = error
    raise last


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _seconds(text: str | None) -> float:
    """A Retry-After in seconds; one that is a date, or no number, counts as absent."""
    try:
        return max(0.0, min(float(text or 0), 86_400.0))
    except ValueError:
        return 0.0
