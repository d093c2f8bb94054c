from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from calling import Caller, Process

from runstone.domain import keys
from runstone.domain.context import Context
from runstone.server.background import Background


@pytest.fixture
def guarded(background: Callable[..., Background]) -> Background:
    return background(auth="on")


@pytest.fixture
def owner(guarded: Background) -> Caller:
    key = keys.create(guarded.store, Context(), "local", "test").key
    return Caller(guarded.url, key)


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_local_mode_takes_anybody_for_the_owner(caller: Caller):
    for headers in (
        {},
        {"Authorization": "Bearer hf_" + "x" * 48},
        {"Authorization": "nonsense"},
        basic("a", "b"),
    ):
        answer = caller.get("/api/v1/whoami", headers=headers)
        assert answer.expect(200) == {"name": "local", "admin": True, "role": "", "namespaces": ["local"]}


def test_a_key_over_bearer_and_basic(owner: Caller):
    assert owner.get("/api/v1/whoami").expect(200)["name"] == "local"
    for user in ("", "api", "local", "anything:else"[:8]):
        assert (
            owner.with_key("").get("/api/v1/whoami", headers=basic(user, owner.key)).expect(200)["name"]
            == "local"
        )
    lower = {"Authorization": f"bearer  {owner.key} "}
    assert owner.with_key("").get("/api/v1/whoami", headers=lower).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer hf_short"},
        {"Authorization": "Bearer hf_" + "x" * 48},
        {"Authorization": "Bearer hf_" + "é" * 48},
        {"Authorization": "Digest x"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + base64.b64encode(b"no colon").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:x").decode()},
        basic("local", ""),
    ],
)
def test_without_a_good_key_nothing_is_told(guarded: Background, headers: dict[str, str]):
    caller = Caller(guarded.url)
    encoded: Any = {name: value.encode() for name, value in headers.items()}
    for path in ("/api/v1/whoami", "/api/v1/resolve/local/p/m/prod", "/metrics"):
        answer = caller.get(path, headers=encoded)
        assert (answer.status, answer.code) == (401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert caller.get("/health", headers=encoded).status == 200
    assert caller.get("/api/v1/openapi.json", headers=encoded).status == 200


def test_a_revoked_key_ends_at_once(owner: Caller):
    made = owner.post("/api/v1/users/local/keys", {"name": "second"}).expect(201)
    second = owner.with_key(made["key"])
    assert second.get("/api/v1/whoami").status == 200
    owner.delete(f"/api/v1/keys/{made['info']['id']}").expect(204)
    assert second.get("/api/v1/whoami").status == 401
    assert owner.get("/api/v1/whoami").status == 200


def test_a_key_expires_though_nothing_else_happens(owner: Caller):
    expires = time.time_ns() // 1000 + 1_500_000
    made = owner.post("/api/v1/users/local/keys", {"name": "brief", "expires": expires}).expect(201)
    brief = owner.with_key(made["key"])
    resolve = "/api/v1/resolve/local/p/m/prod"
    owner.put_version("local/p/m", {"a": b"1"}, aliases=["prod"])
    assert [brief.get(resolve).status for _ in range(3)] == [200] * 3
    time.sleep(max(0.0, expires / 1e6 - time.time()) + 0.05)
    answer = brief.get(resolve)
    assert (answer.status, answer.code) == (401, "unauthenticated")
    assert "expired" in answer.json["detail"]


def test_a_disabled_user_ends_at_once(owner: Caller):
    owner.post("/api/v1/users", {"name": "ann"}).expect(201)
    ann = owner.with_key(owner.post("/api/v1/users/ann/keys", {"name": "k"}).expect(201)["key"])
    assert ann.get("/api/v1/whoami").expect(200)["admin"] is False
    owner.patch("/api/v1/users/ann", {"disabled": True}).expect(200)
    assert ann.get("/api/v1/whoami").status == 401


def test_rights_are_those_of_the_user_and_its_key(owner: Caller):
    owner.post("/api/v1/users", {"name": "ann"}).expect(201)
    ann = owner.with_key(owner.post("/api/v1/users/ann/keys", {"name": "k"}).expect(201)["key"])
    reading = owner.with_key(
        owner.post("/api/v1/users/ann/keys", {"name": "r", "role": "reader"}).expect(201)["key"]
    )
    owner.put_version("local/p/m", {"a": b"1"}, aliases=["prod"])
    ann.put_version("ann/p/m", {"a": b"1"}, aliases=["prod"])
    assert ann.get("/api/v1/resolve/local/p/m/prod").code == "missing"
    assert ann.get("/api/v1/collections/local/p/m/versions/prod/files/a").code == "missing"
    assert reading.get("/api/v1/resolve/ann/p/m/prod").status == 200
    assert reading.put("/api/v1/collections/ann/p/m/aliases/prod", {"version": "1"}).code == "denied"
    assert ann.post("/api/v1/admin/gc").code == "denied"
    assert ann.get("/api/v1/log").code == "denied"
    assert ann.post("/api/v1/users", {"name": "bob"}).code == "denied"
    owner.put("/api/v1/namespaces/local/members/ann", {"role": "reader"}).expect(200)
    assert ann.get("/api/v1/resolve/local/p/m/prod").status == 200
    owner.delete("/api/v1/namespaces/local/members/ann").expect(204)
    assert ann.get("/api/v1/resolve/local/p/m/prod").code == "missing"


def test_off_loopback_a_key_is_needed_and_the_first_is_told_once(process: Callable[..., Process]):
    server = process("--host", "0.0.0.0")
    found = [re.search(r"hf_[A-Za-z0-9]{40,}", line) for line in server.lines]
    key = next(match[0] for match in found if match)
    server.url = server.url.replace("0.0.0.0", "127.0.0.1")
    assert server.caller().get("/api/v1/whoami").status == 401
    assert server.caller(key).get("/api/v1/whoami").expect(200)["name"] == "local"
    assert server.stop() == 0
    server.close()
    again = process("--host", "0.0.0.0")
    assert not [line for line in again.lines if "hf_" in line]
    again.url = again.url.replace("0.0.0.0", "127.0.0.1")
    assert again.caller(key).get("/api/v1/whoami").status == 200


def test_authentication_can_be_asked_for_on_loopback(process: Callable[..., Process]):
    server = process("--auth", "on")
    assert any("hf_" in line for line in server.lines)
    assert server.caller().get("/api/v1/whoami").status == 401


def test_a_key_is_in_no_log_and_no_error(process: Callable[..., Process]):
    server = process("--auth", "on", "--log-format", "json", RUNSTONE_LOG_FORMAT="json")
    key = next(match[0] for line in server.lines if (match := re.search(r"hf_\w+", line)))
    assert server.caller(key).get("/api/v1/whoami").status == 200
    assert server.caller(key + "x").get("/api/v1/whoami").status == 401
    assert key.encode() not in server.caller(key).get("/nothing/" + "x").content
    server.stop()
    server.close()
    assert len(server.errors) == 3
    assert key not in "".join(server.errors)
