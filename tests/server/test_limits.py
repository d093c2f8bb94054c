from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from calling import Caller, raw, read_all

from runstone.dialects.native import admin
from runstone.server.background import Background


def connect(server: Background) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def test_a_body_over_the_limit(background: Callable[..., Background]):
    caller = Caller(background(max_body=10_000).url)
    caller.post("/api/v1/namespaces/local/projects", {"name": "p", "description": "x" * 9_000}).expect(201)
    for content in (b"x" * 10_001, iter([b"x" * 6_000] * 2)):
        answer = caller.post(
            "/api/v1/namespaces", content=content, headers={"Content-Type": "application/json"}
        )
        assert (answer.status, answer.code) == (413, "too_large")
        assert "10000" in answer.json["detail"]


def test_a_manifest_may_be_longer_than_other_bodies(background: Callable[..., Background]):
    caller = Caller(background(max_body=10_000, max_manifest=100_000).url)
    caller.put_version("local/p/m", {"a": b"1"})
    files = [{"path": f"file-{n}", "size": 1, "url": f"s3://b/{n}", "etag": "e"} for n in range(500)]
    where = "/api/v1/collections/local/p/m/versions"
    assert caller.post(where, {"files": files}).expect(201)["files"] == 500
    assert caller.post(where, {"files": files * 10}).code == "too_large"


def test_a_header_over_the_limit(background: Callable[..., Background]):
    server = background(max_header_bytes=20_000, max_header=8_000, max_line=4_000)
    begin = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
    fields = [b"A%d: %s\r\n" % (n, b"x" * 3_000) for n in range(10)]
    received = raw(server.url, begin, *fields)
    assert received.startswith(b"HTTP/1.1 431 "), received
    assert json.loads(received.partition(b"\r\n\r\n")[2])["code"] == "header_too_large"
    assert (
        b" 414 "
        in raw(server.url, b"GET /" + b"a" * 5_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n").splitlines()[0]
    )
    assert b" 431 " in raw(server.url, begin + b"A: " + b"x" * 9_000 + b"\r\n\r\n").splitlines()[0]


def test_a_header_that_comes_too_slowly(background: Callable[..., Background]):
    server = background(header_seconds=0.6)
    began = time.monotonic()
    received = raw(server.url, b"GET /health HTTP/1.1\r\nHost: loc")
    assert received.startswith(b"HTTP/1.1 408 "), received
    assert json.loads(received.partition(b"\r\n\r\n")[2])["code"] == "request_timeout"
    assert raw(server.url).startswith(b"HTTP/1.1 408 ")
    with connect(server) as dripping:
        dripping.settimeout(0.1)
        dripping.sendall(b"GET /")
        received = b""
        for _ in range(100):
            try:
                dripping.sendall(b"a")
                received = dripping.recv(1000)
                break
            except TimeoutError:
                continue
        assert received.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 20


def test_the_second_request_of_a_connection_may_not_be_slow_either(background: Callable[..., Background]):
    server = background(header_seconds=0.6)
    with connect(server) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(5000).startswith(b"HTTP/1.1 200 ")
        time.sleep(0.8)  # being idle is no offence
        connection.sendall(b"GET /hea")
        assert read_all(connection).startswith(b"HTTP/1.1 408 ")


def test_a_body_that_comes_too_slowly(background: Callable[..., Background]):
    server = background(body_seconds=0.5)
    head = b"POST /api/v1/namespaces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n"
    received = raw(server.url, head + b'{"name":')
    assert received.startswith(b"HTTP/1.1 408 "), received


def test_an_idle_connection_ends(background: Callable[..., Background]):
    server = background(idle_seconds=0.5)
    with connect(server) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 200 ")


def test_hot_requests_keep_a_connection_alive(background: Callable[..., Background]):
    server = background(idle_seconds=0.6)
    Caller(server.url).put_version("local/p/m", {"a": b"1"}, aliases=["prod"])
    with connect(server) as connection:
        for _ in range(10):
            connection.sendall(b"GET /api/v1/resolve/local/p/m/prod HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(5000).startswith(b"HTTP/1.1 200 ")
            time.sleep(0.15)


def test_connections_over_the_limit_are_told_to_wait(background: Callable[..., Background]):
    server = background(max_connections=5)
    with contextlib.ExitStack() as stack:
        refused_after_five(server, [stack.enter_context(connect(server)) for _ in range(5)])
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with connect(server) as later:
            later.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = read_all(later)
        if answer.startswith(b"HTTP/1.1 200 "):
            break
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert "runstone_refused_total" in Caller(server.url).get("/metrics").content.decode()


def refused_after_five(server: Background, held: list[socket.socket]) -> None:
    for connection in held:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(5000).startswith(b"HTTP/1.1 200 ")
    with connect(server) as refused:
        answer = read_all(refused)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: 1\r\n" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "busy"


def test_requests_over_the_limit_are_told_to_wait(
    background: Callable[..., Background], monkeypatch: pytest.MonkeyPatch
):
    server = background(max_requests=2)
    caller = Caller(server.url)
    Caller(server.url).put_version("local/p/m", {"a": b"1"}, aliases=["prod"])
    begun, going_on = threading.Semaphore(0), threading.Event()

    def slow(*_: Any, **__: Any) -> dict[str, int]:
        begun.release()
        going_on.wait(20)
        return {}

    monkeypatch.setattr(admin.maintenance, "gc", slow)
    busy = [threading.Thread(target=caller.post, args=("/api/v1/admin/gc",)) for _ in range(2)]
    for thread in busy:
        thread.start()
        assert begun.acquire(timeout=20)
    for path in ("/api/v1/whoami", "/api/v1/resolve/local/p/m/prod"):
        answer = caller.get(path)
        assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "busy", "1")
    going_on.set()
    for thread in busy:
        thread.join(20)
    assert caller.get("/api/v1/whoami").status == 200


def test_a_principal_that_asks_too_often_is_told_to_wait(background: Callable[..., Background]):
    server = background(auth="on", rate=0.5)
    from runstone.domain import accounts, keys
    from runstone.domain.context import Context

    accounts.create_user(server.store, Context(), "ann")
    loud = Caller(server.url, keys.create(server.store, Context(), "local", "k").key)
    quiet = Caller(server.url, keys.create(server.store, Context(), "ann", "k").key)
    answers = [loud.get("/api/v1/whoami") for _ in range(8)]
    assert [answer.status for answer in answers] == [200] * 5 + [429] * 3
    assert answers[-1].code == "overloaded"
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 2
    assert quiet.get("/api/v1/whoami").status == 200


def test_readers_that_never_read_hold_up_nobody(background: Callable[..., Background]):
    """Pipelining without reading fills a buffer of bounded size, and stops there."""
    server = background()
    caller = Caller(server.url)
    caller.put_version("local/p/m", {"a": b"1"}, aliases=["prod"])
    request = b"GET /api/v1/resolve/local/p/m/prod HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500
    with connect(server) as connection:
        connection.setblocking(False)
        sent, still = 0, 0
        while still < 20 and sent < 200 << 20:
            try:
                sent += connection.send(request)
                still = 0
            except BlockingIOError:
                still += 1
                time.sleep(0.02)
        assert sent < 200 << 20
        assert caller.get("/health").status == 200
