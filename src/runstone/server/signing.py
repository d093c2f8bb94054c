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

from runstone.domain.context import ANONYMOUS, Context, Principal
from runstone.domain.store import Store
from runstone.errors import Denied, Invalid, Unauthenticated
from runstone.server.authentication import Authenticator

MAX_SECONDS = 7 * 86_400
SECRET = "urls"


#: How a bearer token begins; no API key does.
TOKEN = "rst_"


class _Token(msgspec.Struct, frozen=True, array_like=True):
    """What a bearer token says: until when (seconds since 1970), for whom, capped at which role, and for what lies under which path."""

    expires: int
    by: str
    role: str
    folder: str


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
            return self._stands_for(given.by, given.role)
        except Unauthenticated as error:
            raise Denied(f"whoever signed this address may do nothing any more: {error.message}") from None

    def token(self, ctx: Context, folder: str, seconds: float, *, read_only: bool = False) -> str:
        """A bearer token for what lies under a path, which stands for the context's principal."""
        role = "reader" if read_only else ctx.principal.role
        said = _Token(int(time.time() + seconds), ctx.principal.name, role, canonical(folder))
        text = base64.urlsafe_b64encode(msgspec.json.encode(said)).rstrip(b"=").decode()
        return f"{TOKEN}{text}.{self._mac(text, kind='token')}"

    def bearer(self, segments: Sequence[str], token: str) -> Principal:
        """Whom a bearer token stands for; raises :class:`Unauthenticated` when forged, late or for another path."""
        text, _, mac = token.removeprefix(TOKEN).partition(".")
        expected = self._mac(text, kind="token")
        if not hmac.compare_digest(expected.encode(), mac.encode("utf-8", "surrogateescape")):
            raise Unauthenticated("the token is not one of this server; ask for a new one")
        said = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=_Token)
        path = "/" + "/".join(quote(segment, safe="") for segment in segments)
        if said.expires <= time.time():
            raise Unauthenticated("the token has expired; ask for a new one")
        if not path.startswith(said.folder + "/"):
            raise Unauthenticated(f"the token is good under {said.folder} only")
        return self._stands_for(said.by, said.role)

    def _stands_for(self, name: str, role: str) -> Principal:
        return ANONYMOUS if name == ANONYMOUS.name else self._authenticator.stand_in(name, role)

    def _mac(self, *lines: str, kind: str = "url") -> str:
        text = "\n".join((f"runstone-{kind}-1", *lines))
        mac = hmac.digest(self._secret, text.encode("utf-8", "surrogateescape"), sha256)
        return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def canonical(path: str) -> str:
    """A path with every segment escaped in the one way that signatures are made over."""
    from runstone.server.router import segments_of

    return "/" + "/".join(quote(segment, safe="") for segment in segments_of(path))
