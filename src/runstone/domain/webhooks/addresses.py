"""Which addresses a server may call on somebody's behalf: only https, and no host in a private network, unless it was told otherwise."""

from __future__ import annotations

import ipaddress
import socket
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from runstone.domain import limits
from runstone.domain.store import Store
from runstone.errors import Invalid, Unreachable

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class Target(NamedTuple):
    """An address taken apart, and the socket addresses that its host has now."""

    secure: bool
    host: str
    port: int
    path: str
    sockets: tuple[tuple[str, int], ...]


def checked(store: Store, url: str) -> str:
    """An address that may be called, by its looks; where its host is, is looked up when it is called."""
    parts = _parts(url)
    schemes = ("https", "http") if store.private_webhooks else ("https",)
    if parts.scheme not in schemes:
        raise Invalid(f"address {url!r} must begin with {' or '.join(f'{each}://' for each in schemes)}")
    if not parts.hostname:
        raise Invalid(f"address {url!r} names no host")
    if parts.username is not None or parts.password is not None:
        raise Invalid(f"address of {parts.hostname} must not hold a user or password: it is shown to others")
    if not store.private_webhooks:
        _refuse_private_literal(parts.hostname)
    return url


def resolve(store: Store, url: str) -> Target:
    """The target of an address. Every address of its host is checked, and exactly those are to be connected to: no name is looked up twice.

    Raises :class:`Invalid` for one that must not be called, and :class:`Unreachable` when the host has no address.
    """
    parts = _parts(checked(store, url))
    secure, host = parts.scheme == "https", parts.hostname or ""
    port = parts.port or (443 if secure else 80)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"{host} has no address: {error}") from None
    hosts = tuple(dict.fromkeys(str(each[4][0]) for each in found))
    if not store.private_webhooks:
        for each in hosts:
            if not is_public(ipaddress.ip_address(each.partition("%")[0])):
                raise Invalid(
                    f"{host} is {each}, which is not a public address; this server does not call it"
                )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(secure, host, port, path, tuple((each, port) for each in hosts))


def is_public(address: _Address) -> bool:
    """Whether an address is one of the public network, also when it is an IPv4 address in the clothes of IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


def _refuse_private_literal(host: str) -> None:
    try:
        public = is_public(ipaddress.ip_address(host))
    except ValueError:
        public = host != "localhost" and not host.endswith(".localhost")
    if not public:
        raise Invalid(f"{host} is not a public address; this server does not call it")


def _parts(url: str) -> SplitResult:
    limits.required_text(url, "address", limits.MAX_URL)
    if not url.isascii() or any(ord(character) <= 32 for character in url):
        raise Invalid(f"address {url!r} must be ASCII without spaces")
    try:
        parts = urlsplit(url)
        if parts.port is not None:
            limits.size(parts.port, "port")
    except ValueError as error:
        raise Invalid(f"address {url!r} cannot be read: {error}") from None
    return parts
