"""The native half of the hot lane in a server: what it answers is never stale, and nothing that it did goes untold."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from calling import Caller, Process, read_all

from runstone.domain import keys
from runstone.domain.context import Context
from runstone.domain.versioning import QuarantineVersion
from runstone.server.background import Background
from runstone.server.nativelane import NativeLane
from runstone.storage import commitword
from runstone.storage.index import Index
from runstone.storage.tables import SETTINGS, VERSIONS

PATH = "/api/v1/resolve/local/p/m/prod"
ALIAS = "/api/v1/collections/local/p/m/aliases/prod"
PLAN = "/api/v1/collections/local/p/m/versions/prod/plan"


def native_of(server: Background) -> NativeLane:
    assert server.worker is not None and server.worker.front.lane is not None
    native = server.worker.front.lane.native
    assert native is not None
    return native


def served_natively(server: Background) -> int:
    """Requests that the native lane has answered and nobody has been told of yet."""
    assert server.worker is not None and server.worker.front.lane is not None
    native = server.worker.front.lane.native
    return sum(row[1] for row in native.lane.counts()) if native else 0


class Client:
    """One connection; requests as bytes that are the same each time."""

    def __init__(self, url: str, key: str = "") -> None:
        host, port = url.removeprefix("http://").split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.authorization = b"Authorization: Bearer %s\r\n" % key.encode() if key else b""
        self._got = b""

    def head(self, path: str = PATH, *fields: bytes) -> bytes:
        lines = b"".join(field + b"\r\n" for field in fields)
        return b"GET %s HTTP/1.1\r\nHost: localhost\r\n%s%s\r\n" % (path.encode(), self.authorization, lines)

    def read(self) -> tuple[int, bytes]:
        """Status and body of the next answer."""
        while b"\r\n\r\n" not in self._got:
            self._more()
        top, _, rest = self._got.partition(b"\r\n\r\n")
        found = re.search(rb"Content-Length: (\d+)", top)
        size = int(found[1]) if found else 0
        while len(rest) < size:
            self._more()
            rest = self._got[len(top) + 4 :]
        self._got = rest[size:]
        return int(top[9:12]), rest[:size]

    def _more(self) -> None:
        piece = self.socket.recv(1 << 20)
        assert piece, self._got
        self._got += piece

    def ask(self, path: str = PATH, *fields: bytes) -> tuple[int, bytes]:
        self.socket.sendall(self.head(path, *fields))
        return self.read()

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def stored(server: Background, caller: Caller) -> Background:
    for content in (b"1", b"22"):
        caller.put_version("local/p/m", {"a": content})
    caller.put(ALIAS, {"version": "1"}).expect(200)
    return server


@pytest.fixture
def client(stored: Background) -> Iterator[Client]:
    with contextlib.closing(Client(stored.url)) as found:
        yield found


def until_native(server: Background, client: Client, path: str = PATH, *fields: bytes) -> None:
    """Asks until the native lane answers."""
    limit = time.monotonic() + 20
    assert client.ask(path, *fields)[0] in (200, 304)
    served_natively(server)
    while time.monotonic() < limit:
        assert client.ask(path, *fields)[0] in (200, 304)
        if served_natively(server):
            return
    raise AssertionError("the native lane answers nothing")


def test_the_word_of_the_last_commit(tmp_path: Path):
    with contextlib.closing(Index(tmp_path / "index")) as index:
        for _ in range(3):
            word = index.commit_word()
            assert word is not None
            path, offset = word
            assert int.from_bytes(path.read_bytes()[offset : offset + 8], "little") == index.last_commit()
            with index.write() as txn:
                txn.put(SETTINGS, "n", index.last_commit().to_bytes(8, "little"))
        assert commitword.place_of(path, index.last_commit() + 1) is None
        assert commitword.place_of(tmp_path / "none", 0) is None
        (tmp_path / "other").write_bytes(bytes(4096))
        assert commitword.place_of(tmp_path / "other", 0) is None


def test_hot_answers_come_from_the_native_thread(stored: Background, client: Client):
    first = client.ask()
    until_native(stored, client)
    assert client.ask() == first and client.ask() == first
    assert served_natively(stored) == 2


def test_mlflows_questions_are_answered_there_too(stored: Background, caller: Caller, client: Client):
    mlflow = "/api/2.0/mlflow/"
    caller.post(mlflow + "registered-models/create", {"name": "m"}).expect(200)
    caller.post(mlflow + "model-versions/create", {"name": "m", "source": "s3://b/x"}).expect(200)
    caller.post(
        mlflow + "registered-models/alias", {"name": "m", "alias": "champion", "version": "1"}
    ).expect(200)
    path = mlflow + "registered-models/alias?name=m&alias=champion"
    until_native(stored, client, path)
    assert json.loads(client.ask(path)[1])["model_version"]["version"] == "1"
    assert served_natively(stored) == 1
    caller.post(mlflow + "model-versions/create", {"name": "m", "source": "s3://b/y"}).expect(200)
    caller.post(
        mlflow + "registered-models/alias", {"name": "m", "alias": "champion", "version": "2"}
    ).expect(200)
    assert json.loads(client.ask(path)[1])["model_version"]["version"] == "2"


def test_pipelined_and_fragmented(stored: Background, client: Client):
    until_native(stored, client)
    first = client.ask()
    client.socket.sendall(client.head() * 200)
    assert [client.read() for _ in range(200)] == [first] * 200
    whole = client.head()
    for at in (1, 20, len(whole) - 3, len(whole) - 1):
        client.socket.sendall(whole[:at])
        time.sleep(0.01)
        client.socket.sendall(whole[at:])
        assert client.read() == first
    until_native(stored, client)
    client.socket.sendall(client.head() * 3 + client.head("/api/v1/whoami") + client.head() * 3)
    answers = [client.read() for _ in range(7)]
    assert answers[:3] == [first] * 3 == answers[4:] and b'"name":"local"' in answers[3][1]


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00" * 50 + b"\r\n\r\n",
        b"G ET / HTTP/1.1\r\n\r\n",
        b"GET /api/v1/resolve/" + b"a" * 100_000,
        b"\r\r\n\n",
    ],
    ids=["zeros", "space", "long", "ends"],
)
def test_hostile_bytes_get_aiohttps_answer(stored: Background, client: Client, sent: bytes):
    until_native(stored, client)
    client.socket.sendall(client.head() + sent)
    client.socket.shutdown(socket.SHUT_WR)
    answer = read_all(client.socket)
    with contextlib.closing(Client(stored.url)) as other:
        other.socket.sendall(sent)
        other.socket.shutdown(socket.SHUT_WR)
        expected = read_all(other.socket)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.count(b"HTTP/1.1 4") == expected.count(b"HTTP/1.1 4")


def test_a_half_close_is_answered_and_ended(stored: Background, client: Client):
    until_native(stored, client)
    client.socket.sendall(client.head())
    client.socket.shutdown(socket.SHUT_WR)
    assert read_all(client.socket).count(b"HTTP/1.1 200 OK") == 1


def test_a_client_that_does_not_read_gets_everything_later(stored: Background, client: Client):
    until_native(stored, client)
    first, count = client.ask(), 20_000
    sender = threading.Thread(target=client.socket.sendall, args=(client.head() * count,))
    sender.start()
    time.sleep(0.2)
    answers = [client.read() for _ in range(count)]
    sender.join()
    assert answers == [first] * count
    until_native(stored, client)


MOVER = """
import sys, runstone
with runstone.open(sys.argv[1]) as store:
    print("ready", flush=True)
    for line in sys.stdin:
        store.set_alias(f"local/p/m@v{line.strip()}", "prod")
        print("moved", flush=True)
"""


def test_a_move_by_another_process_is_seen_at_once(stored: Background, client: Client):
    """Right after each acknowledged move every connection hears the new version, from whichever half answers."""
    clients = [client, *(Client(stored.url) for _ in range(3))]
    command = [sys.executable, "-c", MOVER, str(stored.store.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as mover:
        assert mover.stdin is not None and mover.stdout is not None
        assert mover.stdout.readline() == "ready\n"
        natively = 0
        for turn in range(60):
            number = 1 + turn % 2
            mover.stdin.write(f"{number}\n")
            mover.stdin.flush()
            assert mover.stdout.readline() == "moved\n"
            for _ in range(6):
                for one in clients:
                    assert json.loads(one.ask()[1])["version"] == number
            natively += served_natively(stored)
        mover.stdin.close()
    for one in clients[1:]:
        one.close()
    # Told counts went with each commit; that some came from the native thread is what makes this a test of it.
    assert sum(count[0] for count in native_of(stored).taken().values()) + natively > 100


def test_moves_and_questions_at_once(stored: Background, client: Client):
    """What is heard never goes back: each answer is of a state no older than the move acknowledged before it was asked for."""
    caller = Caller(stored.url)
    done, acknowledged, wrong = threading.Event(), [1], []

    def ask() -> None:
        with contextlib.closing(Client(stored.url)) as one:
            while not done.is_set():
                least = acknowledged[0]
                seq = json.loads(one.ask()[1])["version"]
                if seq < least:
                    wrong.append((least, seq))

    with caller:
        for size in range(3, 40):
            caller.put_version("local/p/m", {"a": b"x" * size})
        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(2, 40):
            caller.put(ALIAS, {"version": str(number)}).expect(200)
            acknowledged[0] = number
        done.set()
        for thread in threads:
            thread.join()
    assert not wrong


def test_revoked_and_expired_keys(background: Callable[..., Background]):
    server = background(auth="on")
    owner = keys.create(server.store, Context(), "local", "owner").key
    Caller(server.url, owner).put_version("local/p/m", {"a": b"1"}, aliases=["prod"])
    made = keys.create(server.store, Context(), "local", "brief")
    with contextlib.closing(Client(server.url, made.key)) as client:
        until_native(server, client)
        keys.revoke(server.store, Context(), made.info.id)
        assert client.ask()[0] == 401
    expires = time.time_ns() // 1000 + 1_500_000
    key = keys.create(server.store, Context(), "local", "expiring", expires=expires).key
    with contextlib.closing(Client(server.url, key)) as client:
        until_native(server, client)
        while time.time_ns() // 1000 <= expires:
            status = client.ask()[0]
            assert status == 200 or time.time_ns() // 1000 > expires
        assert client.ask()[0] == 401


def test_a_quarantined_version_is_told_of_at_once(stored: Background, client: Client):
    until_native(stored, client)
    until_native(stored, client, PLAN, b"Accept: application/msgpack")
    caller = Caller(stored.url)
    with stored.store.index.read() as view:
        collection = next(row.collection for _, row in view.scan(VERSIONS))
    stored.store.log.submit(QuarantineVersion(actor="t", collection=collection, number=1, why="bits"))
    cold = caller.get(PATH, headers={"Unheard-Of": "x"})
    status, body = client.ask()
    assert status == cold.status
    if status == 200:
        assert json.loads(body)["version"] == cold.json["version"] != 1
    assert client.ask(PLAN, b"Accept: application/msgpack")[0] == caller.get(PLAN).status


def test_fetches_are_noted(stored: Background, client: Client):
    assert stored.worker is not None
    core, loans = stored.worker.core, stored.connections.loans
    fields = (b"Accept: application/msgpack", b"X-Runstone-Consumer: native")
    while not loans._lent:
        client.ask(PLAN, *fields)
    core.fetches.flush()
    for _ in range(3):
        # Writing the note was a commit, so Python answers again, and notes it; from then on the native thread does.
        client.ask(PLAN, *fields)
        while not loans._lent:
            client.ask(PLAN, *fields)
        core.fetches._waiting.clear()
        assert client.ask(PLAN, *fields)[0] == 200 and loans._lent
        assert core.fetches._waiting == {}, "Python answered"
        assert core.fetches.flush() == 1


def test_requests_are_counted_once(stored: Background, client: Client):
    assert stored.worker is not None
    before = stored.worker.core.metrics.snapshot().totals["hot_requests"]
    for _ in range(500):
        client.ask()
    snapshot = stored.worker.core.metrics.snapshot()
    assert snapshot.totals["hot_requests"] == before + 500
    label = next(name for name in snapshot.histograms if "resolve" in name)
    assert sum(snapshot.histograms[label][:-1]) >= 500


def test_the_log_has_every_request(background: Callable[..., Background], tmp_path: Path):
    log = tmp_path / "log"
    server = background(log_format="json", log_file=str(log))
    Caller(server.url).put_version("local/p/m", {"a": b"1"}, aliases=["prod"])
    ids = []
    with contextlib.closing(Client(server.url)) as client:
        for _ in range(300):
            client.socket.sendall(client.head(PATH, b"X-Runstone-Consumer: logged"))
            got = b""
            while b"\r\n\r\n" not in got:
                got += client.socket.recv(65536)
            ids.append(re.search(rb"X-Request-Id: (\S+)", got)[1].decode())
    server.close()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    told = [line for line in lines if line.get("consumer") == "logged"]
    assert sorted(line["id"] for line in told) == sorted(ids) and len(set(ids)) == 300
    assert {line["path"] for line in told} == {PATH} and {line["peer"] for line in told} == {"127.0.0.1"}


def test_with_a_limit_of_requests_there_is_no_native_thread(background: Callable[..., Background]):
    server = background(rate=1000)
    Caller(server.url).put_version("local/p/m", {"a": b"1"}, aliases=["prod"])
    with contextlib.closing(Client(server.url)) as client:
        assert [client.ask()[0] for _ in range(5)] == [200] * 5
    assert server.worker is not None and server.worker.front.lane is not None
    assert server.worker.front.lane.native is None


def test_an_idle_connection_ends_and_a_busy_one_does_not(background: Callable[..., Background]):
    server = background(idle_seconds=1.0)
    Caller(server.url).put_version("local/p/m", {"a": b"1"}, aliases=["prod"])
    with contextlib.closing(Client(server.url)) as client:
        until_native(server, client)
        until = time.monotonic() + 3
        while time.monotonic() < until:
            assert client.ask()[0] == 200
        assert select.select([client.socket], [], [], 20)[0], "an idle connection stays"
        assert client.socket.recv(100) == b""


def test_a_server_that_stops_gives_up_what_it_lent(background: Callable[..., Background]):
    server = background()
    Caller(server.url).put_version("local/p/m", {"a": b"1"}, aliases=["prod"])
    clients = [Client(server.url) for _ in range(10)]
    for client in clients:
        until_native(server, client)
    assert server.worker is not None
    connections = server.connections
    server.close()
    for client in clients:
        assert client.socket.recv(100) == b""
        client.close()
    assert not connections.loans._lent


def test_workers_see_each_others_moves(process: Callable[..., Process]):
    server = process("--workers", "2")
    caller = server.caller()
    for content in (b"1", b"22"):
        caller.put_version("local/p/m", {"a": content})
    caller.put(ALIAS, {"version": "1"}).expect(200)
    clients = [Client(server.url) for _ in range(8)]
    for turn in range(40):
        number = 1 + turn % 2
        caller.put(ALIAS, {"version": str(number)}).expect(200)
        for _ in range(4):
            for client in clients:
                assert json.loads(client.ask()[1])["version"] == number
    for client in clients:
        client.close()


def test_a_connection_goes_from_one_to_the_other_and_back(stored: Background):
    host, port = stored.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    with contextlib.closing(connection):
        for turn in range(60):
            path: Any = PATH if turn % 3 else "/api/v1/whoami"
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.status == 200 and answer.read()
