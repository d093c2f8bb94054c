"""Sessions of browsers: a cookie that stands for an API key, which itself is never kept in a browser.

The cookie holds the key's number, when it ends, a random number, and an HMAC-SHA256 of these under a secret of the store. Nothing is
kept here of it, so every worker knows it, and it dies with its key: a session can do what the key can, and no more. A browser sends the
cookie by itself, so a change that comes with it must also bring a token that only pages of this server can read.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import time
from collections.abc import Iterator, Mapping
from hashlib import sha256

import msgspec

from runstone.dialects.native.problem import problem
from runstone.dialects.native.wire import NoQuery
from runstone.dialects.routing import Call, Raw, Reply, Route
from runstone.domain import keys
from runstone.domain.context import Principal
from runstone.domain.store import Store
from runstone.errors import Denied, Invalid, RunstoneError, Unauthenticated
from runstone.server.authentication import Authenticator, key_of

PATH = "/api/v1/session"
SECRET = "sessions"
#: A session that is used is renewed when half of this is over.
SECONDS = 86_400
TOKEN = "X-CSRF-Token"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Who is signed in. ``csrf`` goes with every change as ``X-CSRF-Token``; ``local`` says that this server asks for no key."""

    name: str
    admin: bool
    role: str
    local: bool
    csrf: str
    expires: int


class Session(msgspec.Struct, frozen=True):
    """A cookie that was made here: the number of the key, and the second since 1970 in which it ends."""

    key: int
    expires: int
    cookie: str


class Sessions:
    """Makes and checks sessions; its routes are a dialect's."""

    name = "server"
    prefixes: tuple[str, ...] = (PATH,)

    def __init__(self, store: Store, authenticator: Authenticator) -> None:
        self._store = store
        self._authenticator = authenticator
        # Cookies are shared by all ports of a host, and so by all servers of a machine.
        self.cookie = f"runstone_{store.id[:8]}"

    def routes(self) -> Iterator[Route]:
        """See :meth:`Dialect.routes`."""
        yield Route("GET", PATH, self.show, "Who is signed in.", query=NoQuery, answer=SessionInfo)
        yield Route(
            "POST",
            PATH,
            self.begin,
            "Signs a browser in: answers a cookie that stands for the API key of the request.",
            answer=SessionInfo,
            status=201,
            blocking=True,
        )
        yield Route("DELETE", PATH, self.end, "Signs a browser out.", status=204, open=True)

    def problem(self, error: RunstoneError, request_id: str) -> Raw:
        """See :meth:`Dialect.problem`."""
        return problem(error, request_id)

    def given(self, headers: Mapping[str, str]) -> Session | None:
        """The session that a request brings, if it is one of ours that has not ended."""
        if not self._authenticator.required:
            return None
        for part in headers.get("Cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == self.cookie:
                return self._checked(value)
        return None

    def principal(self, session: Session, method: str, headers: Mapping[str, str]) -> Principal:
        """Whom a session stands for; raises :class:`Unauthenticated` when its key is gone, :class:`Denied` without the token."""
        found, expires = self._store.cached(
            ("session", session.key), lambda: keys.of_number(self._store, session.key)
        )
        if expires and expires <= time.time_ns() // 1000:
            raise Unauthenticated("the API key of this session has expired; sign in with a new one")
        given = headers.get(TOKEN, "").encode("utf-8", "surrogateescape")
        if method not in _SAFE and not hmac.compare_digest(self._token(session).encode(), given):
            raise Denied(f"a change by a signed-in page needs its token in {TOKEN}; load the page again")
        return found

    def show(self, call: Call) -> Reply:
        """Answers ``GET /session``, with a new cookie when half of the time is over."""
        return self._shown(call.ctx.principal, self.given(call.headers), call.headers)

    def reader(self, headers: Mapping[str, str]) -> Reply:
        """Who is signed in where a page is opened, as :meth:`show` has it; None for nobody."""
        session = self.given(headers)
        try:
            if session is not None:
                return self._shown(self.principal(session, "GET", headers), session, headers)
            if not self._authenticator.required:
                return Reply(self._info(self._authenticator.principal(None, ""), None))
        except Unauthenticated:
            pass  # the key is gone: the page asks for another
        return Reply(None)

    def _shown(self, principal: Principal, session: Session | None, headers: Mapping[str, str]) -> Reply:
        if session is not None and session.expires - time.time() < SECONDS / 2:
            return self._signed_in(principal, headers, session.key, 200)
        return Reply(self._info(principal, session))

    def begin(self, call: Call) -> Reply:
        """Answers ``POST /session``."""
        if not self._authenticator.required:
            return Reply(self._info(call.ctx.principal, None), 201)
        authorization = call.headers.get("Authorization")
        if authorization is None:
            raise Invalid("to sign in, send the API key as 'Authorization: Bearer hf_…'")
        key = keys.number_of(self._store, key_of(authorization))
        return self._signed_in(call.ctx.principal, call.headers, key, 201)

    def end(self, call: Call) -> Raw:
        """Answers ``DELETE /session``; anybody may be signed out, for another site's page cannot ask."""
        return Raw(status=204, headers={"Set-Cookie": self._set(call.headers, "", 0)})

    def _signed_in(self, principal: Principal, headers: Mapping[str, str], key: int, status: int) -> Reply:
        session = self._make(key)
        cookie = {"Set-Cookie": self._set(headers, session.cookie, SECONDS)}
        return Reply(self._info(principal, session), status, cookie)

    def _info(self, principal: Principal, session: Session | None) -> SessionInfo:
        return SessionInfo(
            name=principal.name,
            admin=principal.admin,
            role=principal.role,
            local=not self._authenticator.required,
            csrf=self._token(session) if session else "",
            expires=session.expires * 1_000_000 if session else 0,
        )

    def _set(self, headers: Mapping[str, str], value: str, seconds: int) -> str:
        secure = "; Secure" if headers.get("Origin", "").startswith("https://") else ""
        return f"{self.cookie}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"

    def _make(self, key: int) -> Session:
        expires = int(time.time()) + SECONDS
        text = f"{key}.{expires}.{secrets.token_urlsafe(12)}"
        return Session(key, expires, f"{text}.{self._mac('cookie', text)}")

    def _checked(self, cookie: str) -> Session | None:
        text, _, mac = cookie.rpartition(".")
        expected = self._mac("cookie", text)
        if not hmac.compare_digest(expected.encode(), mac.encode("utf-8", "surrogateescape")):
            return None
        key, expires, _ = text.split(".")
        return Session(int(key), int(expires), cookie) if int(expires) > time.time() else None

    def _token(self, session: Session) -> str:
        return self._mac("token", session.cookie)

    def _mac(self, *lines: str) -> str:
        secret = self._store.secret(SECRET, lambda: secrets.token_bytes(32))
        text = "\n".join(("runstone-session-1", *lines))
        mac = hmac.digest(secret, text.encode("utf-8", "surrogateescape"), sha256)
        return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
