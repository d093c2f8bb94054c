"""Sessions of browsers: what the cookie may do, when it ends, and what other pages cannot do with it."""

import http.client
import json
from urllib.parse import urlsplit

import pytest

import runstone
from runstone.domain import keys
from runstone.domain.context import LOCAL, Context
from runstone.server.background import Background
from runstone.server.sessions import Sessions


@pytest.fixture
def secured(start):
    return start(auth="on")


@pytest.fixture
def key(secured):
    return keys.create(secured.store, Context(principal=LOCAL), "local", "browser").key


def call(server: Background, method: str, path: str, body=None, **headers: str):
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    content = json.dumps(body) if body is not None else None
    if content is not None:
        given["Content-Type"] = "application/json"
    connection.request(method, path, content, given)
    answer = connection.getresponse()
    answer.content = answer.read()
    connection.close()
    return answer


def sign_in(server: Background, key: str) -> tuple[str, str]:
    """The cookie of a new session, and its token."""
    answer = call(server, "POST", "/api/v1/session", Authorization=f"Bearer {key}")
    assert answer.status == 201, answer.content
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/" in cookie
    assert key not in cookie
    return cookie.partition(";")[0], json.loads(answer.content)["csrf"]


def test_a_session_does_what_its_key_may(secured, key):
    cookie, token = sign_in(secured, key)
    assert json.loads(call(secured, "GET", "/api/v1/whoami", Cookie=cookie).content)["name"] == "local"
    assert json.loads(call(secured, "GET", "/api/v1/session", Cookie=cookie).content)["csrf"] == token
    made = call(secured, "POST", "/api/v1/namespaces", {"name": "lab"}, Cookie=cookie, X_CSRF_Token=token)
    assert made.status == 201


@pytest.mark.parametrize("token", [None, "", "x", "{other}"])
def test_a_change_needs_the_token_of_its_session(secured, key, token):
    cookie, _ = sign_in(secured, key)
    headers = {} if token is None else {"X_CSRF_Token": token.format(other=sign_in(secured, key)[1])}
    answer = call(secured, "POST", "/api/v1/namespaces", {"name": "lab"}, Cookie=cookie, **headers)
    assert answer.status == 403 and b"X-CSRF-Token" in answer.content


def test_a_page_of_another_site_cannot_change_anything(secured, key):
    cookie, token = sign_in(secured, key)
    answer = call(
        secured,
        "POST",
        "/api/v1/namespaces",
        {"name": "lab"},
        Cookie=cookie,
        X_CSRF_Token=token,
        Origin="https://evil.example",
    )
    assert answer.status == 403


def test_a_session_ends_with_its_key(secured, key):
    cookie, _ = sign_in(secured, key)
    with runstone.connect(secured.url, key=key) as store:
        number = next(each.id for each in store.keys("local") if each.name == "browser")
        store.revoke_key(number)
    assert call(secured, "GET", "/api/v1/whoami", Cookie=cookie).status == 401


def test_signing_out_takes_the_cookie_away(secured, key):
    cookie, _ = sign_in(secured, key)
    answer = call(secured, "DELETE", "/api/v1/session", Cookie=cookie)
    assert answer.status == 204 and "Max-Age=0" in answer.headers["Set-Cookie"]


def test_a_cookie_that_was_not_made_here_is_nobody(secured, key):
    cookie, _ = sign_in(secured, key)
    name, _, value = cookie.partition("=")
    number, expires, rest = value.split(".", 2)
    for forged in (
        f"{number}.{int(expires) + 1}.{rest}",
        f"{int(number) + 1}.{expires}.{rest}",
        "",
        "x",
        value[:-1],
        "a.b.c.d",
    ):
        assert call(secured, "GET", "/api/v1/whoami", Cookie=f"{name}={forged}").status == 401, forged


def test_a_session_ends_in_time_and_is_renewed_when_half_of_it_is_over(secured, key, monkeypatch):
    cookie, _ = sign_in(secured, key)
    assert "Set-Cookie" not in call(secured, "GET", "/api/v1/session", Cookie=cookie).headers
    monkeypatch.setattr("runstone.server.sessions.SECONDS", 86_400 * 3)
    assert "Set-Cookie" in call(secured, "GET", "/api/v1/session", Cookie=cookie).headers
    monkeypatch.setattr("runstone.server.sessions.SECONDS", -1)
    ended, _ = sign_in(secured, key)
    assert call(secured, "GET", "/api/v1/whoami", Cookie=ended).status == 401


def test_wrong_keys_sign_nobody_in_and_are_counted(start):
    server = start(auth="on", max_failed_logins=3)
    statuses = [
        call(server, "POST", "/api/v1/session", Authorization="Bearer hf_" + "a" * 40).status
        for _ in range(5)
    ]
    assert statuses == [401, 401, 401, 429, 429]


def test_local_mode_signs_in_by_itself(server):
    found = json.loads(call(server, "GET", "/api/v1/session").content)
    assert (found["name"], found["local"], found["csrf"]) == ("local", True, "")


def test_servers_of_one_machine_keep_their_cookies_apart(tmp_path, secured):
    with runstone.open(tmp_path / "other") as library:
        assert Sessions(library.store, None).cookie != secured.worker.core.sessions.cookie
