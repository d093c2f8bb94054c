"""The hot lane against aiohttp: whatever is sent, both give the same answer."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from calling import Caller, read_all
from hypothesis import given, settings
from hypothesis import strategies as st

from runstone.config import ServerOptions
from runstone.domain import keys
from runstone.domain.context import Context
from runstone.server.background import Background
from runstone.server.near import directory_of

PATH = b"/api/v1/resolve/local/p/m/prod"
PLAN = b"/api/v1/collections/local/p/m/versions/prod/plan"
PACKED = b"Accept: application/msgpack"
POOL = ThreadPoolExecutor(2)
_VARYING = re.compile(
    rb"(?im)^(date|x-request-id|x-runstone-signed): [^\r]*|\"instance\":\"[^\"]*\"|found under [0-9a-f-]+"
)


@dataclass
class Pair:
    """Two servers on one store, one without the hot lane."""

    hot: Background
    cold: Background
    key: bytes

    def both(self, *parts: bytes) -> bytes:
        """What both answer; that it is the same is asserted."""
        hot, cold = map(scrubbed, POOL.map(lambda server: exchange(server.url, parts), (self.hot, self.cold)))
        assert hot == cold, parts
        return hot

    def hot_requests(self) -> int:
        assert self.hot.worker is not None
        return int(self.hot.worker.core.metrics.snapshot().totals["hot_requests"])


def exchange(url: str, parts: tuple[bytes, ...]) -> bytes:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, part in enumerate(parts):
            if number:
                time.sleep(0.002)  # so that the parts arrive apart
            try:
                connection.sendall(part)
            except ConnectionError:
                break
        return read_all(connection)


def scrubbed(answer: bytes) -> bytes:
    """An answer without what differs from one request to the next."""
    return _VARYING.sub(b"", answer)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    # What is never completed is given up soon.
    common = {
        "header_seconds": 0.5,
        "body_seconds": 1.5,
        "idle_seconds": 1.0,
        "port": 0,
        "log_format": "off",
        "auth": "on",
        "data": str(tmp_path_factory.mktemp("hot") / "data"),
    }
    with (
        Background(ServerOptions(**common)) as hot,
        Background(ServerOptions(**common, hot_lane=False), hot.store) as cold,
    ):
        key = keys.create(hot.store, Context(), "local", "test").key
        caller = Caller(hot.url, key)
        caller.put_version("local/p/m", {"a": b"1" * 1000}, aliases=["prod", "feature/x", "ü"])
        caller.post("/api/v1/users", {"name": "eve"}).expect(201)
        yield Pair(hot, cold, key.encode())


def request(
    key: bytes,
    target: bytes = PATH,
    *fields: bytes,
    method: bytes = b"GET",
    version: bytes = b"HTTP/1.1",
    close: bool = True,
) -> bytes:
    lines = [
        b"%s %s %s" % (method, target, version),
        b"Host: localhost",
        b"Authorization: Bearer " + key,
        *fields,
    ]
    if close:
        lines.append(b"Connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n"


def test_a_plain_request_takes_the_lane_and_a_strange_one_does_not(pair: Pair):
    before = pair.hot_requests()
    answer = pair.both(request(pair.key, close=False), request(pair.key))
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert pair.hot_requests() == before + 1
    pair.both(request(pair.key, PATH, b"Unheard-Of: x"))
    assert pair.hot_requests() == before + 1


TARGETS = [
    PATH,
    b"/api/v1/resolve/local/p/m/1",
    b"/api/v1/resolve/local/p/m/v1",
    b"/api/v1/resolve/local/p/m/latest",
    b"/api/v1/resolve/local/p/m/v2",
    b"/api/v1/resolve/local/p/m/none",
    b"/api/v1/resolve/local/p/none/prod",
    b"/api/v1/resolve/local/none/m/prod",
    b"/api/v1/resolve/none/p/m/prod",
    b"/api/v1/resolve/local/p/m",
    b"/api/v1/resolve/local/p/m/",
    b"/api/v1/resolve/local/p/m/prod/",
    b"/api/v1/resolve/local/p/m/prod/more",
    b"/api/v1/resolve//p/m/prod",
    b"/api/v1/resolve/local/p/m/feature%2Fx",
    b"/api/v1/resolve/local/p/m/feature/x",
    b"/api/v1/resolve/local/p/m/%C3%BC",
    "/api/v1/resolve/local/p/m/ü".encode(),
    b"/api/v1/resolve/local/p/m/%ff",
    b"/api/v1/resolve/local/p/m/\xff",
    b"/api/v1/resolve/local/p/m/pro%64",
    b"/api/v1/resolve/local/p/m/prod?",
    b"/api/v1/resolve/local/p/m/prod?x=1",
    b"/api/v1/resolve/local/p/m/prod#x",
    b"/api/v1/resolve/local/p/m/..",
    b"/api/v1/resolve/local/../local/p/m/prod",
    b"/api/v1/resolve/local/p/m/" + b"a" * 3000,
    b"/api/v1/resolve/local/p/m/" + b"a" * 5000,
    b"/api/v1/resolve/local/p/m/" + b"a" * 20_000,
    b"/api/v1/resolve",
    b"/api/v1/resolve/",
    b"/version",
    b"/version/",
    b"/version?x=1",
    b"/",
    b"/health",
    b"/local/p",
    b"/nowhere/at/all",
    b"/api/v1/overview/local/p",
    b"/api/v1/lineage/local/p/m/prod",
    b"/ui/frame",
    b"http://localhost/api/v1/resolve/local/p/m/prod",
    b"http://evil.example/api/v1/resolve/local/p/m/prod",
    b"//localhost/api/v1/resolve/local/p/m/prod",
    b"*",
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target[:60].decode("latin-1"))
def test_targets(pair: Pair, target: bytes):
    answer = pair.both(request(pair.key, target, close=False), request(pair.key, target))
    assert answer.startswith(b"HTTP/1.")


@pytest.mark.parametrize(
    "method", [b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"get", b"TRACE", b"G\x00T"]
)
def test_methods(pair: Pair, method: bytes):
    pair.both(request(pair.key, method=method))


@pytest.mark.parametrize(
    "version", [b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"http/1.1", b"", b"HTTP/1.1 "]
)
def test_versions(pair: Pair, version: bytes):
    pair.both(request(pair.key, version=version))


FIELDS = [
    b"Accept: */*",
    b"Accept: application/json",
    b"Accept: application/msgpack",
    b"Accept: text/html",
    b"Accept:",
    b"Accept: application/json\r\nAccept: application/msgpack",
    b"accept:application/json",
    b"Accept-Encoding: gzip, br",
    b"User-Agent: curl/8.5.0",
    b"User-Agent: \xff\xfe",
    b"X-Request-Id: mine",
    b"X-Request-Id: has space",
    b"X-Request-Id: one\r\nX-Request-Id: two",
    b"X-Request-Id:",
    b"X-Runstone-Consumer: me",
    b"X-Runstone-Deadline: 0.0000001",
    b"X-Runstone-Deadline: x",
    b"X-Runstone-Reason: %ff",
    b"Idempotency-Key: " + b"k" * 300,
    b"Origin: https://evil.example",
    b"Cookie: a=b",
    b"Content-Length: 0",
    b"Content-Length: 2\r\nContent-Type: application/json",
    b"Content-Length: x",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip",
    b"Expect: 100-continue",
    b"Expect: nonsense",
    b"Upgrade: websocket\r\nConnection: upgrade",
    b"Connection: keep-alive",
    b"Connection: Keep-Alive, TE",
    b"If-None-Match: *",
    b"Range: bytes=0-1",
    b"Host: localhost",
    b"Host: evil.example",
    b"Authorization: Bearer other",
    b" folded: x",
    b"No colon",
    b"Space : x",
    b"Tab:\tx",
    b"Trailing: x  ",
    b"Ctrl: \x01",
    b"Nul: \x00",
    b"Bare: a\nb: c",
    b"Cr: a\rb",
    b": x",
    b"Long: " + b"x" * 3900,
    b"Long: " + b"x" * 20_000,
]


CHUNKED = b"Transfer-Encoding: chunked"


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field[:40].decode("latin-1"))
def test_fields(pair: Pair, field: bytes):
    pair.both(request(pair.key, PATH, field))
    if field != CHUNKED:  # what follows would be the body, whose end each waits for as it came in
        pair.both(request(pair.key, PATH, field, close=False), request(pair.key))


@pytest.mark.parametrize(
    "host", [b"", b"Host:", b"Host: evil.example", b"Host: LOCALHOST:80", b"Host: a b", b"Host: [::1]"]
)
def test_hosts(pair: Pair, host: bytes):
    lines = [b"GET %s HTTP/1.1" % PATH, host, b"Authorization: Bearer " + pair.key]
    pair.both(b"\r\n".join(line for line in lines if line) + b"\r\n\r\n")


def test_keys(pair: Pair):
    good = b"Bearer " + pair.key
    for value in (
        good,
        b"bearer " + pair.key,
        good + b"x",
        good[:-1],
        b"Bearer",
        b"",
        b"Basic !!",
        b"Basic eDp5",
        b"Bearer \xc3\xbc",
    ):
        head = b"GET %s HTTP/1.1\r\nHost: localhost\r\n" % PATH
        for field in (b"Authorization: " + value + b"\r\n", b"authorization:" + value + b"\r\n"):
            pair.both(head + field + b"\r\n", head + field + b"Connection: close\r\n\r\n")
    pair.both(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % PATH)


def test_a_plan_is_hot_once_it_is_made(pair: Pair):
    with Caller(pair.hot.url, pair.key.decode()) as caller:
        first = caller.get(PLAN.decode(), headers={"Accept": "application/msgpack"})
    before = pair.hot_requests()
    answer = pair.both(request(pair.key, PLAN, PACKED, close=False), request(pair.key, PLAN, PACKED))
    assert answer.count(b"HTTP/1.1 200 OK") == 2 and first.content in answer
    unmoved = b"If-None-Match: " + first.headers["ETag"].encode()
    answer = pair.both(
        request(pair.key, PLAN, PACKED, unmoved, close=False), request(pair.key, PLAN, unmoved)
    )
    assert answer.count(b"HTTP/1.1 304 Not Modified") == 2
    assert pair.hot_requests() == before + 2


def test_plans_in_json_and_for_near_clients_are_the_same_on_both_ways(pair: Pair):
    token = (directory_of(os.getuid()) / pair.hot.url.rpartition(":")[2]).read_bytes()
    for fields in ((), (b"X-Runstone-Near: " + token,), (b"X-Runstone-Near: x",)):
        for accept in (PACKED, b"Accept: application/json"):
            for _ in range(2):
                pair.both(
                    request(pair.key, PLAN, accept, *fields, close=False), request(pair.key, PLAN, accept)
                )
    answer = pair.both(request(pair.key, PLAN, b"X-Runstone-Near: " + token))
    assert b'.pack",' in answer and b'"chunks":""' in answer
    assert b".pack" not in pair.both(request(pair.key, PLAN, b"X-Runstone-Near: " + token[:-1]))


def test_fetches_over_the_lane_are_noted_each_time(pair: Pair):
    assert pair.hot.worker is not None
    core = pair.hot.worker.core
    for _ in range(3):
        core.fetches.flush()
        pair.both(request(pair.key, PLAN, PACKED, b"X-Runstone-Consumer: me%20too"))
        assert core.fetches.flush() == 1


def test_somebody_who_may_not(pair: Pair):
    eve = keys.create(pair.hot.store, Context(), "eve", "test").key.encode()
    answer = pair.both(request(eve, close=False), request(eve))
    assert answer.count(b" 404 ") == 2


def test_split_at_every_byte(pair: Pair):
    whole = request(pair.key)
    for at in range(1, len(whole)):
        assert pair.both(whole[:at], whole[at:]).startswith(b"HTTP/1.1 200 OK")


def test_split_amid_two_at_every_byte(pair: Pair):
    first = request(pair.key, close=False)
    whole = first + request(pair.key)
    for at in range(len(first) - 3, len(whole), 3):
        assert pair.both(whole[:at], whole[at:]).count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize(
    "before",
    [
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nOdd: ",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /api/v1/namespaces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n",
        b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n",
        b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n384\r\n",
        b"G",
    ],
    ids=["value", "field", "body", "unread body", "chunk", "method"],
)
def test_what_looks_like_a_request_amid_another_is_none(pair: Pair, before: bytes):
    hot = pair.hot_requests()
    pair.both(before, request(pair.key, close=False), request(pair.key))
    assert pair.hot_requests() == hot


@pytest.mark.parametrize("count", [2, 33, 500])
def test_pipelined(pair: Pair, count: int):
    before = pair.hot_requests()
    answer = pair.both(request(pair.key, close=False) * count + request(pair.key))
    assert answer.count(b"HTTP/1.1 200 OK") == count + 1
    assert pair.hot_requests() > before


MIXED = {
    "hot": lambda key: request(key, close=False),
    "miss": lambda key: request(key, b"/api/v1/resolve/local/p/m/none", close=False),
    "other": lambda key: request(key, b"/api/v1/whoami", close=False),
    "head": lambda key: request(key, method=b"HEAD", close=False),
    "body": lambda key: (
        request(
            key,
            b"/api/v1/namespaces",
            b"Content-Length: 2",
            b"Content-Type: application/json",
            method=b"POST",
            close=False,
        )
        + b"{}"
    ),
    "chunks": lambda key: (
        request(key, b"/api/v1/namespaces", b"Transfer-Encoding: chunked", method=b"POST", close=False)
        + b"2\r\n{}\r\n0\r\n\r\n"
    ),
    "smuggled": lambda key: (
        request(key, PATH, b"Content-Length: %d" % len(request(key)), close=False) + request(key)
    ),
    "blank": lambda key: b"\r\n",
}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from(sorted(MIXED)), min_size=1, max_size=6), st.lists(st.floats(0, 1), max_size=3)
)
def test_any_mixture_in_any_pieces(pair: Pair, kinds: list[str], cuts: list[float]):
    sent = b"".join(MIXED[kind](pair.key) for kind in kinds) + request(pair.key, b"/health")
    places = sorted({0, len(sent), *(int(cut * len(sent)) for cut in cuts)})
    pair.both(*(sent[a:b] for a, b in itertools.pairwise(places)))


def test_one_connection_may_use_both_ways_by_turns(pair: Pair):
    host, port = pair.hot.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    headers = {"Authorization": f"Bearer {pair.key.decode()}"}
    before = pair.hot_requests()
    with contextlib.closing(connection):
        for path in (PATH.decode(), "/api/v1/whoami", PATH.decode(), "/nothing", PATH.decode()):
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            assert answer.read()
            assert answer.status == (404 if path == "/nothing" else 200)
            time.sleep(0.05)  # aiohttp is between two requests only a moment after its answer was read
    assert pair.hot_requests() > before + 1


def test_a_change_is_seen_at_once(pair: Pair):
    caller = Caller(pair.hot.url, pair.key.decode())
    with caller:
        for _ in range(5):
            made = caller.put_version("local/p/moving", {"a": str(time.time_ns()).encode()}, aliases=["now"])
            for _ in range(3):
                found = caller.get("/api/v1/resolve/local/p/moving/now").expect(200)
                assert found["version"] == made["number"]


def test_a_revoked_key_and_an_expired_one_end_at_once(pair: Pair):
    store, caller = pair.hot.store, Caller(pair.hot.url)
    made = keys.create(store, Context(), "local", "brief")
    brief = caller.with_key(made.key)
    assert [brief.get(PATH.decode()).status for _ in range(3)] == [200] * 3
    keys.revoke(store, Context(), made.info.id)
    assert brief.get(PATH.decode()).code == "unauthenticated"
    expires = time.time_ns() // 1000 + 700_000
    expiring = caller.with_key(keys.create(store, Context(), "local", "expiring", expires=expires).key)
    assert [expiring.get(PATH.decode()).status for _ in range(3)] == [200] * 3
    time.sleep(0.8)
    assert expiring.get(PATH.decode()).code == "unauthenticated"


def test_the_log_and_the_counts_know_of_it(background: Callable[..., Background], tmp_path: Path):
    log = tmp_path / "log"
    server = background(log_format="json", log_file=str(log))
    caller = Caller(server.url)
    caller.put_version("local/p/m", {"a": b"1"}, aliases=["prod"])
    with caller:
        for number in range(4):
            caller.get(PATH.decode(), headers={"X-Request-Id": f"hot-{number}"}).expect(200)
    text = caller.get("/metrics").content.decode()
    label = 'route="/api/v1/resolve/{ns}/{project}/{collection}/{version}"'
    assert f'runstone_requests_total{{{label},method="GET",status="200"}} 4' in text
    assert f"runstone_request_seconds_count{{{label}}} 4" in text
    assert "runstone_hot_requests_total 4" in text
    server.close()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    told = [line for line in lines if line["path"] == PATH.decode()]
    assert [line["id"] for line in told] == [f"hot-{number}" for number in range(4)]
    assert {(line["principal"], line["method"], line["status"]) for line in told} == {("local", "GET", 200)}


def test_a_limit_of_requests_holds_on_both_ways(background: Callable[..., Background]):
    server = background(rate=1)
    caller = Caller(server.url)
    statuses = [caller.get(PATH.decode()).status for _ in range(15)]
    assert 429 in statuses
    server = background(rate=0.5)
    caller = Caller(server.url)
    Caller(background().url).put_version("local/p/m", {"a": b"1"}, aliases=["prod"])
    with caller:
        statuses = [caller.get(PATH.decode()).status for _ in range(15)]
    assert statuses == [200] * 5 + [429] * 10


def test_it_can_be_switched_off(background: Callable[..., Background]):
    server = background(hot_lane=False)
    caller = Caller(server.url)
    caller.put_version("local/p/m", {"a": b"1"}, aliases=["prod"])
    caller.get(PATH.decode()).expect(200)
    assert "runstone_hot_requests_total 0" in caller.get("/metrics").content.decode()


MLFLOW = "/api/2.0/mlflow/"


@pytest.fixture(scope="module")
def model(pair: Pair) -> str:
    """The id of a run; beside it there is a model ``m`` with two versions and an alias."""
    with Caller(pair.hot.url, pair.key.decode()) as caller:
        caller.post(MLFLOW + "registered-models/create", {"name": "m"}).expect(200)
        for _ in range(2):
            caller.post(MLFLOW + "model-versions/create", {"name": "m", "source": "s3://b/x"}).expect(200)
        pointed = {"name": "m", "alias": "champion", "version": "1"}
        caller.post(MLFLOW + "registered-models/alias", pointed).expect(200)
        made = caller.post(MLFLOW + "runs/create", {"experiment_id": "0"}).expect(200)
        assert Caller(pair.cold.url, pair.key.decode()).get("/version").status == 200
        return str(made["run"]["info"]["run_id"])


QUESTIONS = [
    "registered-models/alias?name=m&alias=champion",
    "registered-models/alias?alias=champion&name=m",
    "registered-models/alias?name=m&alias=latest",
    "registered-models/alias?name=m&alias=none",
    "registered-models/alias?name=none&alias=champion",
    "registered-models/alias?name=m",
    "registered-models/alias?name=m&alias=",
    "registered-models/alias?name=m&name=m&alias=champion",
    "registered-models/alias?name=m&alias=champion&more=x",
    "registered-models/alias?name=%6d&alias=champion",
    "registered-models/alias?name=%ff&alias=champion",
    "registered-models/alias?name=m&alias=a+b",
    "registered-models/alias?name=m/x&alias=champion",
    "registered-models/alias?",
    "registered-models/alias",
    "registered-models/get?name=m",
    "registered-models/get?name=none",
    "registered-models/search",
    "model-versions/get?name=m&version=1",
    "model-versions/get?name=m&version=9",
    "model-versions/get?name=m&version=x",
    "model-versions/get-download-uri?name=m&version=2",
    "runs/get?run_id=RUN",
    "runs/get?run_uuid=RUN&run_id=RUN",
    "runs/get?run_id=00000000000000000000000000000000",
    "runs/get",
    "none/get?name=m",
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_mlflows_questions(pair: Pair, model: str, question: str):
    target = (MLFLOW + question.replace("RUN", model)).encode()
    for fields in ((), (PACKED,), (b"X-MLFLOW-WORKSPACE: none",), (b"X-MLFLOW-WORKSPACE: local",)):
        ask = request(pair.key, target, *fields, close=False)
        answer = pair.both(ask, ask, request(pair.key, target, *fields))
        assert answer.count(b"HTTP/1.1 ") == 3


@pytest.mark.parametrize(
    "question", [each for each in QUESTIONS if each.startswith(("runs/get?run_uuid", "registered-models/get?name=m"))]
    + ["registered-models/alias?name=m&alias=champion", "model-versions/get?name=m&version=1"]
)  # fmt: skip
def test_the_unmodified_client_is_answered_on_the_lane(pair: Pair, model: str, question: str):
    sent = {
        "User-Agent": "mlflow-python-client/3.17.2",
        "Accept-Encoding": "gzip, deflate",
        "Accept": "*/*",
        "Connection": "keep-alive",
        "X-MLflow-Client-Version": "3.17.2",
    }
    with Caller(pair.hot.url, pair.key.decode()) as caller:
        path = MLFLOW + question.replace("RUN", model)
        first = caller.get(path, headers=sent).expect(200)
        # What the tests before had noted is written down meanwhile, and ends what was remembered: then the next one is on the lane.
        for _ in range(10):
            before = pair.hot_requests()
            assert caller.get(path, headers=sent).expect(200) == first
            if pair.hot_requests() == before + 1:
                return
    pytest.fail("none was answered on the lane")


def test_what_is_remembered_of_a_run_ends_with_the_next_commit(pair: Pair, model: str):
    path = f"{MLFLOW}runs/get?run_id={model}"
    with Caller(pair.hot.url, pair.key.decode()) as caller:
        for value in ("a", "b", "c"):
            tag = {"run_id": model, "key": "k", "value": value}
            caller.post(MLFLOW + "runs/set-tag", tag).expect(200)
            for _ in range(3):
                told = caller.get(path).expect(200)["run"]["data"]["tags"]
                assert {"key": "k", "value": value} in told


def test_mlflows_answers_are_not_told_to_others(pair: Pair, model: str):
    eve = keys.create(pair.hot.store, Context(), "eve", "mlflow").key.encode()
    for question in ("runs/get?run_id=" + model, "registered-models/get?name=m"):
        target = (MLFLOW + question).encode()
        ask = (target, b"X-MLFLOW-WORKSPACE: local")
        assert pair.both(request(pair.key, *ask, close=False), request(pair.key, *ask)).count(b" 200 OK") == 2
        assert pair.both(request(eve, *ask, close=False), request(eve, *ask)).count(b" 404 ") == 2
