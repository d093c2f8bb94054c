"""Who a request is from: an API key over Bearer or Basic, a signed address, or, in local mode, the owner."""

from __future__ import annotations

import base64
import binascii
import time
from hashlib import sha256

from runstone.domain import accounts, keys
from runstone.domain.context import Principal
from runstone.domain.store import Store
from runstone.errors import Unauthenticated
from runstone.server.logins import FailedLogins

#: Keys that were good when they were last seen.
MAX_KNOWN = 10_000
_HINT = "send it as 'Authorization: Bearer hf_…', or as the password of Basic authentication"


class Authenticator:
    """Tells principals. What a key stands for is remembered until the next commit, of any process, or its expiry.

    ``logins`` counts wrong keys by address. An address with too many is refused before its key is looked up; not so a key that was good
    when it was seen last, or one client behind a proxy could lock the others out.
    """

    def __init__(self, store: Store, logins: FailedLogins, *, required: bool) -> None:
        self.store = store
        self.logins = logins
        self.required = required
        self._known: dict[bytes, None] = {}

    def principal(self, authorization: str | None, address: str) -> Principal:
        """The principal of a request by its Authorization field.

        Raises :class:`Unauthenticated`, and :class:`TooManyFailures` for an address that sent too many wrong keys.
        """
        if self.required and authorization is not None and _digest(authorization) not in self._known:
            self.logins.check(address)
        try:
            return self.principal_until(authorization)[0]
        except Unauthenticated:
            if authorization is not None:
                self._known.pop(_digest(authorization), None)
                self.logins.note(address)
            raise

    def principal_until(self, authorization: str | None) -> tuple[Principal, int]:
        """The principal, and the time in microseconds until which it may be remembered (0: until the next commit).

        Counts nothing, so it is for who asks :meth:`may_try` first, and leaves refusals to :meth:`principal`.
        """
        if not self.required:
            return self.store.cached("local", self._local), 0
        if authorization is None:
            raise Unauthenticated(f"this needs an API key; {_HINT}", given=False)
        digest = _digest(authorization)
        found = self.store.cached(("key", digest), lambda: self._look_up(authorization, digest))
        if found[1] and found[1] <= time.time_ns() // 1000:
            raise Unauthenticated("the API key has expired; ask for a new one")
        return found

    def may_try(self, authorization: str | None, address: str) -> bool:
        """Whether :meth:`principal` would look the key up."""
        known = authorization is None or not self.required or _digest(authorization) in self._known
        return known or not self.logins.refuses(address)

    def _look_up(self, authorization: str, digest: bytes) -> tuple[Principal, int]:
        found = keys.authenticate_until(self.store, key_of(authorization))
        if len(self._known) >= MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[digest] = None
        return found

    def _local(self) -> Principal:
        return keys.stand_in(self.store, accounts.OWNER)

    def stand_in(self, name: str, role: str) -> Principal:
        """The principal whom a signed address names, if it may still do anything; raises :class:`Unauthenticated`."""
        return self.store.cached(("stand-in", name, role), lambda: keys.stand_in(self.store, name, role))


def _digest(authorization: str) -> bytes:
    # The key itself is kept nowhere, here neither.
    return sha256(authorization.encode("utf-8", "surrogateescape")).digest()


def key_of(authorization: str) -> str:
    """The API key in an Authorization field; raises :class:`Unauthenticated`."""
    scheme, _, credentials = authorization.strip().partition(" ")
    credentials = credentials.strip()
    if scheme.lower() == "bearer":
        return credentials
    if scheme.lower() == "basic":
        try:
            _, separator, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            separator, password = "", ""
        if separator:
            return password
    raise Unauthenticated(f"the Authorization field holds no API key; {_HINT}")
