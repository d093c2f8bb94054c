"""Wrong API keys: how many an address may send, and who is not held up by it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from calling import Caller, Process

from runstone.domain import keys
from runstone.domain.context import Context
from runstone.errors import TooManyFailures
from runstone.server import logins
from runstone.server.background import Background
from runstone.server.logins import FailedLogins, group_of

WRONG = "hf_" + "x" * 48
HOT = "/api/v1/resolve/local/p/m/1"


def new_key(server: Background) -> str:
    return keys.create(server.store, Context(), "local", "test").key


def test_an_address_that_tries_too_many_keys_has_to_wait(background: Callable[..., Background]):
    server = background(auth="on", max_failed_logins=3)
    known = Caller(server.url, new_key(server))
    known.put_version("local/p/m", {"a": b"1"})
    for _ in range(3):
        assert Caller(server.url, WRONG).get("/api/v1/whoami").code == "unauthenticated"
    # A key that would be good is not looked up either: a guess that is right tells nothing.
    fresh = Caller(server.url, new_key(server))
    for path in ("/api/v1/whoami", HOT):
        for caller in (Caller(server.url, WRONG), fresh):
            answer = caller.get(path)
            assert (answer.status, answer.code) == (429, "too_many_failures")
            assert 1 <= int(answer.headers["Retry-After"]) <= 20
            assert "127.0.0.1" in answer.json["detail"]
    assert known.get("/api/v1/whoami").status == known.get(HOT).status == 200
    assert Caller(server.url).get("/api/v1/whoami").code == "unauthenticated"
    assert Caller(server.url).get("/health").status == 200
    told = known.get("/metrics").content.decode()
    assert "\nrunstone_logins_failed_total 3\n" in told
    assert "\nrunstone_logins_refused_total 4\n" in told


def test_a_key_that_was_good_and_is_no_more_is_a_wrong_one(background: Callable[..., Background]):
    server = background(auth="on", max_failed_logins=2)
    made = keys.create(server.store, Context(), "local", "test")
    caller = Caller(server.url, made.key)
    assert caller.get("/api/v1/whoami").status == 200
    keys.revoke(server.store, Context(), made.info.id)
    assert [caller.get("/api/v1/whoami").status for _ in range(3)] == [401, 401, 429]


def test_requests_without_a_key_are_not_counted(background: Callable[..., Background]):
    server = background(auth="on", max_failed_logins=1)
    assert {Caller(server.url).get("/api/v1/whoami").status for _ in range(5)} == {401}
    assert Caller(server.url, new_key(server)).get("/api/v1/whoami").status == 200


@pytest.mark.parametrize("options", [{}, {"auth": "on", "max_failed_logins": 0}])
def test_local_mode_and_no_limit_refuse_nobody(
    background: Callable[..., Background], options: dict[str, object]
):
    server = background(**{"max_failed_logins": 1, **options})
    statuses = {Caller(server.url, WRONG).get("/api/v1/whoami").status for _ in range(5)}
    assert statuses == ({401} if options else {200})
    assert Caller(server.url, new_key(server)).get("/api/v1/whoami").status == 200


def test_it_is_in_the_access_log(process: Callable[..., Process]):
    server = process("--auth", "on", RUNSTONE_LOG_FORMAT="json", RUNSTONE_MAX_FAILED_LOGINS="1")
    for _ in range(2):
        server.caller(WRONG).get("/api/v1/whoami")
    server.stop()
    server.close()
    told = [json.loads(line) for line in server.errors]
    assert [(line["status"], line["error"], line["peer"]) for line in told] == [
        (401, "unauthenticated", "127.0.0.1"),
        (429, "too_many_failures", "127.0.0.1"),
    ]
    assert not re.search("x{48}", "".join(server.errors))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(logins.time, "monotonic", lambda: now[0])
    return now


def test_tries_come_back_with_time(clock: list[float]):
    failed = FailedLogins(4)
    for _ in range(4):
        failed.check("a")
        failed.note("a")
    with pytest.raises(TooManyFailures) as caught:
        failed.check("a")
    assert caught.value.details == {"retry_after": 15}
    assert failed.refuses("a") and not failed.refuses("b")
    failed.check("b")
    clock[0] += 14.9
    assert failed.refuses("a")
    clock[0] += 0.1
    failed.check("a")
    failed.note("a")
    assert failed.refuses("a")
    clock[0] += 600
    for _ in range(4):
        failed.check("a")
        failed.note("a")
    assert failed.refuses("a")
    assert failed.counts() == {"logins_failed": 9, "logins_refused": 1}


def test_memory_is_bounded_and_the_quiet_are_forgotten_first(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(logins, "MAX_ADDRESSES", 3)
    failed = FailedLogins(1)
    for address in ("a", "b", "c", "a", "d"):
        failed.note(address)
    assert [address for address in "abcd" if failed.refuses(address)] == ["a", "c", "d"]


def test_a_host_has_all_of_its_ipv6_network():
    one, other = "2001:db8:1:2::1", "2001:db8:1:2:ffff::9%eth0"
    assert group_of(one) == group_of(other) != group_of("2001:db8:1:3::1")
    assert group_of("::ffff:192.0.2.7") == group_of("192.0.2.7") == "192.0.2.7"
    assert group_of("") == "" and group_of("not:an:address") == "not:an:address"
