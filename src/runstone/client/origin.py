"""The address of a server, and how names are written into URLs."""

from __future__ import annotations

import os
from typing import NamedTuple

from runstone.errors import Invalid

DEFAULT_PORTS = {"http": 80, "https": 443}
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPES = [chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in range(256)]


class Origin(NamedTuple):
    """Scheme, host and port of a server, and the path that its API lies under (empty, or ``/prefix``)."""

    scheme: str
    host: str
    port: int
    prefix: str

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.prefix}"


def parse(url: str | None) -> Origin:
    """The origin that a URL names, by default the one of ``RUNSTONE_URL``; raises :class:`Invalid`."""
    url = url or os.environ.get("RUNSTONE_URL", "")
    if not url:
        raise Invalid("no server was named: give its URL, or set RUNSTONE_URL")
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if (
        not separator
        or scheme not in DEFAULT_PORTS
        or not url.isascii()
        or not url.isprintable()
        or " " in url
    ):
        raise Invalid(f"{url!r} is not the URL of a server: it must begin with http:// or https://")
    authority, slash, path = rest.partition("/")
    if "@" in authority:
        raise Invalid("a server's URL must not hold a key; give it as key=, or set RUNSTONE_API_KEY")
    if "?" in rest or "#" in rest:
        raise Invalid(f"{url!r} is not the URL of a server: it must not hold '?' or '#'")
    host, port = _split_authority(authority, url)
    return Origin(scheme, host, port or DEFAULT_PORTS[scheme], (slash + path).rstrip("/"))


def _split_authority(authority: str, url: str) -> tuple[str, int]:
    if authority.startswith("["):
        host, bracket, tail = authority[1:].partition("]")
        port = tail[1:] if tail.startswith(":") else ""
        wrong = not bracket or (bool(tail) and not tail.startswith(":"))
    else:
        host, _, port = authority.partition(":")
        wrong = ":" in port
    number = int(port) if port.isdigit() and len(port) < 6 else 0
    if wrong or not host or (port and not 0 < number < 65536):
        raise Invalid(f"{url!r} is not the URL of a server: host or port cannot be read")
    return host.lower(), number


def quote(segment: str) -> str:
    """A name as one segment of a URL's path, percent-encoded."""
    try:
        encoded = segment.encode()
    except UnicodeEncodeError:
        raise Invalid(f"{segment!r} is not valid Unicode: it holds a lone surrogate") from None
    escaped = "".join([_ESCAPES[byte] for byte in encoded])
    # A segment of dots alone would be taken for a step in the path.
    return escaped.replace(".", "%2E") if escaped in (".", "..") else escaped


def quote_path(path: str) -> str:
    """A file's path as segments of a URL's path: its slashes stay."""
    return "/".join([quote(part) for part in path.split("/")])


def query(**values: object) -> str:
    """``?name=value&…`` of those values that are not None, or nothing."""
    pairs = [f"{name}={quote(_text(value))}" for name, value in values.items() if value is not None]
    return "?" + "&".join(pairs) if pairs else ""


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
