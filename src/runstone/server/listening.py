"""The port of a server: taken once, and shared only with its own workers."""

from __future__ import annotations

import errno
import socket

from runstone.errors import Conflict, Invalid

BACKLOG = 1024
_ATTEMPTS = 20


def bind(host: str, port: int) -> socket.socket:
    """A listening socket on a port that nobody else has (0: any); raises :class:`Conflict` when somebody does."""
    for _ in range(_ATTEMPTS):
        try:
            return _bind(host, port or _free_port(host))
        except Conflict:
            if port:
                raise
    raise Conflict(f"{host} has no free port")


def _bind(host: str, port: int) -> socket.socket:
    bound = _new(host, port)
    try:
        bound.bind(_address(host, port))
        # Between servers that may reuse a recently closed port, only listening makes it one's own.
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise _refusal(error, host, port) from None
    return bound


def _free_port(host: str) -> int:
    # The kernel takes back a port of its own choice when its socket stops listening, which is what share() must do.
    with _new(host, 0) as probe:
        probe.bind(_address(host, 0))
        port: int = probe.getsockname()[1]
        return port


def share(bound: socket.socket) -> None:
    """Keeps the port of :func:`bind` for workers of this user, which take it by :func:`join`; listens no more itself.

    Linux looks at the options of all sockets of a port at each later bind. So the port is never let go of in between, and stays
    closed to others whether or not a worker listens: they lack SO_REUSEPORT, and this socket lacks SO_REUSEADDR.
    """
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    bound.shutdown(socket.SHUT_RDWR)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def join(host: str, port: int) -> socket.socket:
    """Another socket on a port that this server's parent process holds."""
    joined = _new(host, port)
    try:
        joined.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        joined.bind(_address(host, port))
    except OSError as error:
        joined.close()
        raise _refusal(error, host, port) from None
    return joined


def url_of(bound: socket.socket) -> str:
    """The address under which a bound socket is reached."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _new(host: str, port: int) -> socket.socket:
    made = socket.socket(_found(host, port)[0], socket.SOCK_STREAM)
    # Without it a port stays unusable for a minute after a server with open connections ended.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setblocking(False)
    return made


def _address(host: str, port: int) -> tuple[str, int]:
    return _found(host, port)[1]


def _found(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise Invalid(f"host {host!r} cannot be bound: {error}") from None
    family, _, _, _, address = found[0]
    return family, (str(address[0]), port)


def _refusal(error: OSError, host: str, port: int) -> Exception:
    if error.errno == errno.EADDRINUSE:
        return Conflict(
            f"port {port} of {host} is in use by another server; stop it, or choose another --port"
        )
    if error.errno == errno.EACCES:
        return Invalid(
            f"port {port} may only be bound by the administrator of this machine; choose one from 1024 on"
        )
    return Invalid(f"{host} port {port} cannot be bound: {error.strerror or error}")
