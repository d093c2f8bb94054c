"""Connections that come before aiohttp is loaded."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from calling import Caller, read_all

import runstone
from runstone.config import ServerOptions
from runstone.server import front
from runstone.server.background import Background

HOT = b"GET /api/v1/resolve/local/p/m/prod HTTP/1.1\r\nHost: localhost\r\n\r\n"
COLD = b"GET /api/v1/whoami HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture
def unloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Background, threading.Event]]:
    """A server that listens, and loads aiohttp only when it is told to."""
    with runstone.open(tmp_path / "data") as library:
        (tmp_path / "file").write_bytes(b"1")
        library.put("local/p/m", tmp_path / "file", aliases=["prod"])
    go_on = threading.Event()
    load = front._import

    def later() -> None:
        go_on.wait(30)
        load()

    monkeypatch.setattr(front, "_import", later)
    server = Background(ServerOptions(data=str(tmp_path / "data"), port=0, log_format="off"))
    entering = threading.Thread(target=server.__enter__)
    entering.start()
    try:
        yield server, go_on
    finally:
        go_on.set()
        entering.join(30)
        server.close()


def connect(server: Background) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def test_a_hot_request_is_answered_before(unloaded: tuple[Background, threading.Event]):
    server, go_on = unloaded
    with connect(server) as connection:
        for _ in range(3):
            connection.sendall(HOT)
            assert b'"alias":"prod"' in connection.recv(5000)
        assert not go_on.is_set()


@pytest.mark.parametrize(
    ("sent", "answers"),
    [
        ([COLD, LAST], 2),
        ([HOT, COLD, HOT + COLD, LAST], 5),
        ([HOT[:20], HOT[20:] + LAST], 2),
        ([COLD + HOT[:30], HOT[30:] + LAST], 3),
    ],
)
def test_what_comes_before_is_answered_after(
    unloaded: tuple[Background, threading.Event], sent: list[bytes], answers: int
):
    server, go_on = unloaded
    with connect(server) as connection:
        for part in sent[:-1]:
            connection.sendall(part)
        threading.Timer(0.2, go_on.set).start()
        connection.sendall(sent[-1])
        received = read_all(connection)
    assert received.count(b"HTTP/1.1 200 OK") == answers, received
    assert received.rindex(b'"status":"ok"') > received.rindex(b"HTTP/1.1 200 OK")


def test_a_client_that_has_sent_all_it_will_is_answered(unloaded: tuple[Background, threading.Event]):
    server, go_on = unloaded
    with connect(server) as connection, connect(server) as silent:
        connection.sendall(COLD)
        connection.shutdown(socket.SHUT_WR)
        silent.shutdown(socket.SHUT_WR)
        threading.Timer(0.2, go_on.set).start()
        assert b'"name":"local"' in read_all(connection)
        assert read_all(silent) == b""


def test_a_client_that_leaves_is_forgotten(unloaded: tuple[Background, threading.Event]):
    server, go_on = unloaded
    for _ in range(5):
        with connect(server) as connection:
            connection.sendall(COLD)
    go_on.set()
    assert Caller(server.url).get("/health").status == 200


def test_a_long_body_waits_outside(unloaded: tuple[Background, threading.Event]):
    server, go_on = unloaded
    body = b'{"name": "t", "description": "' + b"x" * 200_000 + b'"}'
    head = b"POST /api/v1/namespaces HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    with connect(server) as connection:
        threading.Timer(0.3, go_on.set).start()
        connection.sendall(head + body)
        assert read_all(connection).startswith(b"HTTP/1.1 201 ")


def test_a_server_that_stops_before_it_is_loaded(unloaded: tuple[Background, threading.Event]):
    server, go_on = unloaded
    with connect(server) as connection:
        connection.sendall(HOT)
        assert connection.recv(5000)
        stopping = threading.Thread(target=server.close)
        threading.Timer(0.2, go_on.set).start()
        stopping.start()
        stopping.join(30)
        with contextlib.suppress(ConnectionError):
            assert connection.recv(100) == b""


def test_the_front_needs_no_aiohttp():
    script = (
        "import sys, runstone.server.worker; print('aiohttp' in sys.modules, 'cryptography' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
