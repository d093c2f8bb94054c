"""Which Host and Origin fields are answered.

A page that a browser loaded from elsewhere can make its own name resolve to this machine (DNS rebinding) and then speak to a server
that trusts whoever is local. It cannot make the browser send another Host than its own, so only known ones are answered.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable

from runstone.config import is_loopback
from runstone.errors import CrossOrigin, Malformed, Misdirected

LOCAL = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:/@\s]+))(?::[0-9]{0,5})?\Z")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Hosts:
    """The hosts and origins of one server."""

    def __init__(self, bound: str, allowed: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        given = {"*" if host == "*" else _bare(host.lower()) or host.strip("[]").lower() for host in allowed}
        self._any = "*" in given
        self._names = {*LOCAL, bound.strip("[]").lower(), *given}
        self._addresses = not is_loopback(bound)
        if self._addresses:
            self._names.add(socket.gethostname().lower())
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)
        self._good: set[str] = set()

    def check_host(self, host: str | None) -> None:
        """Raises :class:`Misdirected` for a host that this server does not answer for."""
        if host in self._good:
            return
        if host is None:
            raise Malformed("the request has no Host field")
        name = _bare(host.strip().lower())
        if not (self._any or name in self._names or (self._addresses and _is_address(name))):
            raise Misdirected(
                f"this server does not answer for the host {host!r:.200}; "
                "if it should, start it with RUNSTONE_ALLOWED_HOSTS naming the host"
            )
        if len(self._good) < 1000:
            self._good.add(host)

    def check_origin(self, method: str, origin: str | None, host: str | None) -> None:
        """Raises :class:`CrossOrigin` when a page from elsewhere asks for a change: a browser sends it without asking us first."""
        if origin is None or method in _SAFE or self.shares_with(origin):
            return
        _, separator, own = origin.partition("://")
        if not separator or host is None or own.lower() != host.strip().lower():
            raise CrossOrigin(
                f"pages of {origin!r:.200} may not change anything here; if they should, name it in RUNSTONE_CORS_ORIGINS"
            )

    def shares_with(self, origin: str) -> bool:
        """Whether pages of an origin may read answers (CORS)."""
        return "*" in self._origins or origin.lower() in self._origins


def _bare(host: str) -> str:
    """A host without its port and brackets; empty for what is none."""
    found = _HOST.match(host)
    return (found[1] or found[2]) if found else ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
