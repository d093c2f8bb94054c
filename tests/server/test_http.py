"""HTTP itself: what every route has in common."""

from __future__ import annotations

import gzip
import http.client
import json
import logging
import socket
import time
from collections.abc import Callable

import msgspec
import pytest
from calling import Answer, Caller, raw, read_all

from runstone.dialects.native import versions
from runstone.server.background import Background

RESOLVE = "/api/v1/resolve/local/p/m/prod"


def test_health(caller: Caller, server: Background):
    answer = caller.get("/health")
    assert answer.expect(200)["status"] == "ok"
    assert answer.json["store"] == server.store.id
    assert answer.json["log"] == server.store.log.head().size


def test_health_is_an_error_while_changes_are_refused(
    caller: Caller, server: Background, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server.store.index, "_failed", "the disk is on fire")
    answer = caller.get("/health")
    assert (answer.status, answer.code) == (503, "storage_failed")
    assert int(answer.headers["Retry-After"]) > 0


def test_every_answer_has_a_request_id_and_forbids_sniffing(caller: Caller):
    seen = set()
    for path in ("/health", "/nothing", "/api/v1/whoami", "/metrics"):
        headers = caller.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Server"] == "runstone"
        seen.add(headers["X-Request-Id"])
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("given", "echoed"),
    [("abc-123", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("a\tb", False), ("é", False)],
)
def test_a_request_id_is_echoed_if_it_can_be(caller: Caller, given: str, echoed: bool):
    found = caller.get("/health", headers={"X-Request-Id": given.encode("utf-8")}).headers["X-Request-Id"]
    assert (found == given) is echoed
    assert found


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/api/v1", "/api/v1/", "/api/v1/users/", "/api/v2/users", "//health"]
)
def test_an_unknown_path(caller: Caller, path: str):
    answer = caller.get(path)
    assert (answer.status, answer.code) == (404, "unknown_path")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/health", "GET, HEAD, OPTIONS"),
        ("POST", "/api/v1/whoami", "GET, HEAD, OPTIONS"),
        ("PATCH", "/api/v1/namespaces/x", "GET, HEAD, OPTIONS"),
        ("GET", "/api/v1/uploads", "OPTIONS, POST"),
        ("GET", "/api/v1/uploads/0", "DELETE, HEAD, OPTIONS, PATCH"),
        ("TRACE", "/health", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_method_that_a_path_lacks(caller: Caller, method: str, path: str, allowed: str):
    answer = caller.call(method, path)
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == allowed


def test_options_tells_the_methods(caller: Caller):
    answer = caller.call("OPTIONS", "/api/v1/users")
    assert (answer.status, answer.headers["Allow"], answer.content) == (204, "GET, HEAD, OPTIONS, POST", b"")


def test_head_is_get_without_content(caller: Caller):
    shown, bare = caller.get("/api/v1/whoami"), caller.call("HEAD", "/api/v1/whoami")
    assert (bare.status, bare.content) == (200, b"")
    assert bare.headers["Content-Length"] == shown.headers["Content-Length"] == str(len(shown.content))


def test_messagepack_both_ways(caller: Caller):
    headers = {"Content-Type": "application/msgpack", "Accept": "application/msgpack"}
    new = msgspec.msgpack.encode({"name": "packed", "metadata": {"a": [1, 2.5, None]}})
    caller.post("/api/v1/namespaces/local/projects", {"name": "p"}).expect(201)
    answer = caller.call("POST", "/api/v1/projects/local/p/collections", content=new, headers=headers)
    assert answer.status == 201
    assert answer.headers["Content-Type"] == "application/msgpack"
    made = msgspec.msgpack.decode(answer.content)
    assert made == caller.get("/api/v1/collections/local/p/packed").expect(200)
    assert made["metadata"] == {"a": [1, 2.5, None]}


def test_an_answer_in_no_form_that_is_accepted(caller: Caller):
    answer = caller.get("/api/v1/whoami", headers={"Accept": "text/html"})
    assert (answer.status, answer.code) == (406, "not_acceptable")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_body_in_a_form_that_is_not_read(caller: Caller, content_type: str | None):
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = caller.post("/api/v1/namespaces", content=b'{"name": "t"}', headers=headers)
    assert (answer.status, answer.code) == (415, "unsupported_media")
    assert caller.get("/api/v1/namespaces/t").status == 404


def test_a_body_is_compressed_by_gzip_or_not_at_all(caller: Caller):
    def sent(encoding: str, content: bytes) -> Answer:
        headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
        return caller.post("/api/v1/namespaces", content=content, headers=headers)

    assert sent("br", b"{}").code == "unsupported_media"
    assert sent("gzip", b"\x1f\x8b").code == "malformed"
    assert sent("gzip", gzip.compress(b" " * (100 << 20))).code == "too_large"
    assert sent("gzip", gzip.compress(b'{"name": "packed"}')).expect(201)["name"] == "packed"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b'{"name": "t\xff"}', 400),
        (b'{"name": "t", "more": 1}', 422),
        (b'{"name": 5}', 422),
        (b'{"name": "p", "description": ' + b"[" * 50_000, 422),
        (b"null", 422),
    ],
)
def test_a_bad_body_changes_nothing(caller: Caller, server: Background, content: bytes, status: int):
    before = server.store.log.head()
    answer = caller.post("/api/v1/namespaces", content=content, headers={"Content-Type": "application/json"})
    assert answer.status == status
    assert answer.code in ("malformed", "invalid", "too_large")
    assert server.store.log.head() == before


@pytest.mark.parametrize("depth", [60, 70, 5000, 100_000])
def test_deep_metadata(caller: Caller, depth: int):
    caller.post("/api/v1/namespaces/local/projects", {"name": "p", "exist_ok": True})
    nested = b'{"name": "d", "metadata": ' + b"[" * depth + b"]" * depth + b"}"
    answer = caller.post(
        "/api/v1/projects/local/p/collections", content=nested, headers={"Content-Type": "application/json"}
    )
    if depth == 60:
        assert answer.expect(201)["metadata"]
    else:
        assert (answer.status, answer.code) == (413, "too_large")


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "1e400", str(1 << 64), "-" + str((1 << 63) + 1), "1" * 5000]
)
def test_numbers_that_json_or_the_store_cannot_hold(caller: Caller, number: str):
    caller.post("/api/v1/namespaces/local/projects", {"name": "p", "exist_ok": True})
    content = f'{{"name": "n", "metadata": {{"x": {number}}}}}'.encode()
    answer = caller.post(
        "/api/v1/projects/local/p/collections", content=content, headers={"Content-Type": "application/json"}
    )
    assert answer.status in (400, 422)
    assert answer.code in ("malformed", "invalid")


def test_nan_in_messagepack(caller: Caller):
    caller.post("/api/v1/namespaces/local/projects", {"name": "p"})
    content = msgspec.msgpack.encode({"name": "n", "metadata": {"x": float("nan")}})
    answer = caller.post(
        "/api/v1/projects/local/p/collections",
        content=content,
        headers={"Content-Type": "application/msgpack"},
    )
    assert (answer.status, answer.code) == (422, "invalid")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=0", 422),
        ("limit=1001", 422),
        ("limit=x", 422),
        ("limit=1&limit=2", 422),
        ("more=1", 422),
        ("after=%ff", 400),
    ],
)
def test_a_bad_query(caller: Caller, query: str, status: int):
    answer = caller.get(f"/api/v1/users?{query}")
    assert answer.status == status
    assert answer.code in ("invalid", "malformed")


def test_a_query_or_body_where_there_is_none_to_give(caller: Caller):
    assert caller.get("/api/v1/whoami?x=1").code == "invalid"
    assert caller.delete("/api/v1/projects/local/none?x=1").code == "invalid"
    assert caller.call("GET", "/api/v1/whoami", {"x": 1}).code == "invalid"


def test_a_path_that_is_not_utf8(caller: Caller):
    answer = caller.get("/api/v1/users/%ff")
    assert (answer.status, answer.code) == (400, "malformed")


@pytest.mark.parametrize(
    "headers",
    [{"X-Runstone-Deadline": "soon"}, {"X-Runstone-Deadline": "-1"}, {"X-Runstone-Deadline": "nan"}],
)
def test_a_deadline_that_is_no_time(caller: Caller, headers: dict[str, str]):
    assert caller.get("/api/v1/whoami", headers=headers).code == "invalid"


def test_a_deadline_that_has_passed_changes_nothing(caller: Caller, server: Background):
    before = server.store.log.head()
    answer = caller.post("/api/v1/namespaces", {"name": "late"}, headers={"X-Runstone-Deadline": "0.000001"})
    assert (answer.status, answer.code) == (503, "try_again")
    assert server.store.log.head() == before


def test_a_reason_is_in_the_log(caller: Caller):
    caller.post(
        "/api/v1/namespaces", {"name": "t"}, headers={"X-Runstone-Reason": "wegen%20%C3%9Cbung"}
    ).expect(201)
    last = caller.get("/api/v1/log?start=1").expect(200)["items"][-1]
    assert last["command"]["reason"] == "wegen Übung"
    assert (
        caller.post("/api/v1/namespaces", {"name": "u"}, headers={"X-Runstone-Reason": "%ff"}).code
        == "malformed"
    )


def test_an_idempotency_key_makes_a_change_once(caller: Caller, server: Background):
    headers = {"Idempotency-Key": "one"}
    first = caller.post("/api/v1/namespaces", {"name": "t"}, headers=headers).expect(201)
    size = server.store.log.head().size
    assert caller.post("/api/v1/namespaces", {"name": "t"}, headers=headers).expect(201) == first
    assert server.store.log.head().size == size
    other = caller.post("/api/v1/namespaces", {"name": "u"}, headers=headers)
    assert (other.status, other.code) == (422, "invalid")
    assert caller.post("/api/v1/namespaces", {"name": "t"}).code == "exists"
    assert (
        caller.post("/api/v1/namespaces", {"name": "x"}, headers={"Idempotency-Key": "k" * 201}).code
        == "invalid"
    )


def test_an_unforeseen_error_tells_nothing_but_where_to_look(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def broken(*_: object) -> None:
        raise RuntimeError("a secret of the house")

    monkeypatch.setattr(versions.versions, "resolve", broken)
    with caplog.at_level(logging.ERROR, "runstone.server"):
        answer = caller.get(RESOLVE)
    assert (answer.status, answer.code) == (500, "error")
    assert b"secret" not in answer.content
    assert answer.headers["X-Request-Id"] in answer.json["detail"]
    assert "a secret of the house" in caplog.text
    assert answer.headers["X-Request-Id"] in caplog.text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:1234", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("evil.example", 421),
        ("evil.example:7878", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("192.0.2.1", 421),
        ("", 421),
        ("[::1", 421),
        ("a:b:c", 421),
    ],
)
def test_only_known_hosts_are_answered(caller: Caller, host: str, status: int):
    answer = caller.get("/health", headers={"Host": host})
    assert answer.status == status
    assert status == 200 or answer.code == "misdirected"


def test_hosts_can_be_named(background: Callable[..., Background]):
    caller = Caller(background(allowed_hosts=("models.example",)).url)
    assert caller.get("/health", headers={"Host": "models.example:443"}).status == 200
    assert caller.get("/health", headers={"Host": "other.example"}).status == 421
    anything = Caller(background(allowed_hosts=("*",)).url)
    assert anything.get("/health", headers={"Host": "other.example"}).status == 200


def test_a_request_without_host(server: Background):
    assert b" 400 " in raw(server.url, b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n").split(b"\r\n")[0]
    assert b" 200 " in raw(server.url, b"GET /health HTTP/1.0\r\n\r\n").split(b"\r\n")[0]


def test_a_page_from_elsewhere_changes_nothing(caller: Caller, server: Background):
    answer = caller.post("/api/v1/namespaces", {"name": "t"}, headers={"Origin": "https://evil.example"})
    assert (answer.status, answer.code) == (403, "cross_origin")
    assert caller.post("/api/v1/namespaces", {"name": "t"}, headers={"Origin": "null"}).code == "cross_origin"
    assert caller.get("/api/v1/namespaces/t").status == 404
    own = {"Origin": server.url}
    assert caller.post("/api/v1/namespaces", {"name": "t"}, headers=own).status == 201


def test_cors_is_off_unless_an_origin_is_named(background: Callable[..., Background]):
    asked = {"Origin": "https://ui.example", "Access-Control-Request-Method": "POST"}
    closed = Caller(background().url)
    for answer in (
        closed.get("/health", headers=asked),
        closed.call("OPTIONS", "/api/v1/namespaces", headers=asked),
    ):
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    shared = Caller(background(cors_origins=("https://ui.example",)).url)
    answer = shared.get("/health", headers=asked)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://ui.example"
    assert answer.headers["Vary"] == "Origin"
    preflight = shared.call("OPTIONS", "/api/v1/namespaces", headers=asked)
    assert (preflight.status, preflight.headers["Access-Control-Allow-Methods"]) == (
        204,
        "GET, HEAD, OPTIONS, POST",
    )
    assert shared.post("/api/v1/namespaces", {"name": "t"}, headers=asked).status == 201
    other = shared.get("/health", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in other.headers


def test_a_client_that_waits_for_leave_gets_it_or_the_refusal(server: Background):
    body = b'{"name": "t"}'
    head = b"POST /api/v1/namespaces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    head += b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head % len(body))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert read_all(connection).startswith(b"HTTP/1.1 201 ")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head % (1 << 40))
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")
    refused = raw(server.url, head.replace(b"100-continue", b"something") % 2)
    assert refused.startswith(b"HTTP/1.1 417 ")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nA: b\r\n c\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
        (
            b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (
            b"POST /api/v1/namespaces HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            400,
        ),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 200 + b"\r\n", 400),
        (b"GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
)
def test_what_is_not_http_is_a_problem(server: Background, sent: bytes, status: int):
    received = raw(server.url, sent)
    head, _, body = received.partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status, received
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == status
    assert b"Traceback" not in received
    assert Caller(server.url).get("/health").status == 200


def test_absolute_form_and_asterisk(server: Background):
    absolute = raw(
        server.url, b"GET http://localhost/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    assert absolute.startswith(b"HTTP/1.1 200 ")
    asterisk = raw(server.url, b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert asterisk.startswith(b"HTTP/1.1 404 ")
    tunnel = raw(
        server.url, b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    assert tunnel.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 "))


def test_a_connection_is_kept(server: Background):
    host, port = server.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    for _ in range(3):
        connection.request("GET", "/health")
        assert connection.getresponse().read()
        sock = connection.sock
    connection.request("GET", "/nothing")
    assert connection.getresponse().read()
    assert connection.sock is sock
    connection.close()


def test_pipelined_requests_are_answered_in_order(server: Background):
    paths = [b"/health", b"/nothing", b"/api/v1/whoami", b"/health"]
    sent = b"".join(
        b"GET %s HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: %d\r\n\r\n" % (path, n)
        for n, path in enumerate(paths)
    )
    received = raw(server.url, sent[:-2] + b"Connection: close\r\n\r\n")
    answers = received.split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200", b"404", b"200", b"200"]
    assert [b"X-Request-Id: %d\r\n" % n in answer for n, answer in enumerate(answers)] == [True] * 4


def test_long_work_tells_how_it_goes_on(caller: Caller):
    caller.put_version("local/p/m", {"a": b"1" * 100_000})
    answer = caller.post("/api/v1/admin/scrub", {"deep": True})
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/x-ndjson")
    lines = [json.loads(line) for line in answer.content.splitlines()]
    assert all(set(line) == {"done", "total"} for line in lines[:-1])
    assert lines[-1]["report"]["bytes"] == 100_000


def test_an_error_in_long_work_is_its_last_line(caller: Caller, monkeypatch: pytest.MonkeyPatch):
    from runstone.dialects.native import admin
    from runstone.errors import StorageFull

    def full(*_: object, **__: object) -> None:
        raise StorageFull("there is no room")

    monkeypatch.setattr(admin.maintenance, "gc", full)
    last = json.loads(caller.post("/api/v1/admin/gc").content.splitlines()[-1])
    assert (last["error"]["code"], last["error"]["detail"]) == ("storage_full", "there is no room")


def test_long_work_ends_when_nobody_waits_for_it(server: Background, monkeypatch: pytest.MonkeyPatch):
    from runstone.dialects.native import admin
    from runstone.errors import TryAgain

    ended: list[BaseException] = []

    def endless(*_: object, progress: Callable[[int, int], None], **__: object) -> None:
        try:
            for done in range(100_000):
                progress(done, 100_000)
                time.sleep(0.01)
        except BaseException as error:
            ended.append(error)
            raise

    monkeypatch.setattr(admin.maintenance, "scrub", endless)
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            b"POST /api/v1/admin/scrub HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        )
        assert b'"done"' in connection.recv(5000) + connection.recv(5000)
    until = time.monotonic() + 20
    while not ended and time.monotonic() < until:
        time.sleep(0.05)
    assert isinstance(ended[0], TryAgain)
