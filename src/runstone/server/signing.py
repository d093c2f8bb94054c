"""Addresses that may be called without credentials until they expire.

The signature is HMAC-SHA256 under a secret of the store, over the methods, the path, the time of expiry, the principal and the role
that caps it, each on a line of its own. It is the path as it is meant that is signed, not its spelling: clients may escape more or less.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import time
from collections.abc import Sequence
from hashlib import sha256
from urllib.parse import quote, urlencode

import msgspec

from runstone.domain.context import Context, Principal
from runstone.domain.store import Store
from runstone.errors import Denied, Invalid, Unauthenticated
from runstone.server.authentication import Authenticator

MAX_SECONDS = 7 * 86_400
SECRET = "urls"


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of a signed address. ``expires`` is in seconds since 1970."""

    expires: int
    by: str
    methods: str
    signature: str
    role: str = ""


class Signer:
    """Signs addresses and checks them."""

    def __init__(self, store: Store, authenticator: Authenticator) -> None:
        self._secret = store.secret(SECRET, lambda: secrets.token_bytes(32))
        self._authenticator = authenticator

    def sign(self, ctx: Context, methods: tuple[str, ...], path: str, seconds: float) -> str:
        """An address of ``path`` that stands for the context's principal; raises :class:`Invalid` over :data:`MAX_SECONDS`."""
        if not 0 < seconds <= MAX_SECONDS:
            raise Invalid(f"an address may hold for at most {MAX_SECONDS} seconds, not {seconds}")
        fields = {
            "expires": str(int(time.time() + seconds)),
            "by": ctx.principal.name,
            "methods": ".".join(methods),
            "role": ctx.principal.role,
        }
        fields["signature"] = self._mac(
            canonical(path), fields["expires"], fields["by"], fields["methods"], fields["role"]
        )
        return f"{path}?{urlencode({name: value for name, value in fields.items() if value})}"

    def principal(self, method: str, segments: Sequence[str], given: Signature) -> Principal:
        """Whom a signed request stands for; raises :class:`Denied` when forged, late or for another method."""
        path = "/" + "/".join(quote(segment, safe="") for segment in segments)
        expected = self._mac(path, str(given.expires), given.by, given.methods, given.role)
        if not hmac.compare_digest(expected.encode(), given.signature.encode("utf-8", "surrogateescape")):
            raise Denied("the signature of this address does not fit it; ask for a new address")
        if given.expires <= time.time():
            raise Denied("this address has expired; ask for a new one")
        if method not in given.methods.split("."):
            raise Denied(f"this address may be called by {given.methods.replace('.', ' and ')} only")
        try:
            return self._authenticator.stand_in(given.by, given.role)
        except Unauthenticated as error:
            raise Denied(f"whoever signed this address may do nothing any more: {error.message}") from None

    def _mac(self, *lines: str) -> str:
        text = "\n".join(("runstone-url-1", *lines))
        mac = hmac.digest(self._secret, text.encode("utf-8", "surrogateescape"), sha256)
        return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def canonical(path: str) -> str:
    """A path with every segment escaped in the one way that signatures are made over."""
    from runstone.server.router import segments_of

    return "/" + "/".join(quote(segment, safe="") for segment in segments_of(path))
