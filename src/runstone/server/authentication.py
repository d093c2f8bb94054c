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

_HINT = "send it as 'Authorization: Bearer hf_…', or as the password of Basic authentication"


class Authenticator:
    """Tells principals. What a key stands for is remembered until the next commit, of any process, or its expiry."""

    def __init__(self, store: Store, *, required: bool) -> None:
        self.store = store
        self.required = required

    def principal(self, authorization: str | None) -> Principal:
        """The principal of a request by its Authorization field; raises :class:`Unauthenticated`."""
        return self.principal_until(authorization)[0]

    def principal_until(self, authorization: str | None) -> tuple[Principal, int]:
        """The principal, and the time in microseconds until which it may be remembered (0: until the next commit)."""
        if not self.required:
            return self.store.cached("local", self._local), 0
        if authorization is None:
            raise Unauthenticated(f"this needs an API key; {_HINT}")
        # The key itself is kept nowhere, here neither.
        digest = sha256(authorization.encode("utf-8", "surrogateescape")).digest()
        found = self.store.cached(
            ("key", digest), lambda: keys.authenticate_until(self.store, key_of(authorization))
        )
        if found[1] and found[1] <= time.time_ns() // 1000:
            raise Unauthenticated("the API key has expired; ask for a new one")
        return found

    def _local(self) -> Principal:
        return keys.stand_in(self.store, accounts.OWNER)

    def stand_in(self, name: str, role: str) -> Principal:
        """The principal whom a signed address names, if it may still do anything; raises :class:`Unauthenticated`."""
        return self.store.cached(("stand-in", name, role), lambda: keys.stand_in(self.store, name, role))


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
