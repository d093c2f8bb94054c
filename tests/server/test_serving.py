"""Servers as processes: one port, several workers, an orderly end."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from calling import Caller, Process, read_all

from runstone.errors import Conflict
from runstone.server import listening

FILE = "/api/v1/collections/local/p/m/versions/1/files/model.bin"


def until(true: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not become so in time"
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def connect(server: Process) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def test_it_says_where_it_listens(process: Callable[..., Process], tmp_path: Path):
    server = process()
    assert re.fullmatch(
        rf"runstone listening on http://127\.0\.0\.1:\d+  data {tmp_path}/data\n", server.lines[-1]
    )
    assert server.caller().get("/health").status == 200


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_asked(process: Callable[..., Process], workers: str, number: int):
    server = process("--workers", workers)
    assert server.caller().get("/health").status == 200
    below = children(server.pid)
    assert len(below) == (0 if workers == "1" else 2)
    assert server.stop(number) == 0
    assert not [pid for pid in below if Path(f"/proc/{pid}").exists()]
    with pytest.raises(ConnectionRefusedError):
        connect(server)


@pytest.mark.parametrize("first", ["1", "2"])
@pytest.mark.parametrize("second", ["1", "2"])
def test_a_port_that_is_taken_is_refused(
    process: Callable[..., Process], tmp_path: Path, first: str, second: str
):
    server = process("--workers", first)
    port = server.url.rpartition(":")[2]
    with pytest.raises(AssertionError, match=f"port {port} of 127.0.0.1 is in use"):
        Process(tmp_path / "other", "--workers", second, port=int(port))
    assert not (tmp_path / "other").exists()
    assert server.caller().get("/health").status == 200


def test_a_held_port_is_never_open_to_others():
    with listening.bind("127.0.0.1", 0) as held:
        port = held.getsockname()[1]

        def refused() -> None:
            with pytest.raises(Conflict):
                listening.bind("127.0.0.1", port)

        refused()
        listening.share(held)
        refused()
        with listening.join("127.0.0.1", port) as first, listening.join("127.0.0.1", port) as second:
            refused()
            first.listen()
            refused()
            second.listen()
            refused()
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                pass
        refused()
    listening.bind("127.0.0.1", port).close()


def test_two_servers_may_have_one_directory(process: Callable[..., Process]):
    one, other = process().caller(), process().caller()
    one.put_version("local/p/m", {"model.bin": b"1"}, aliases=["prod"])
    assert other.get("/api/v1/resolve/local/p/m/prod").expect(200)["version"] == 1
    other.put_version("local/p/m", {"model.bin": b"2"}, aliases=["prod"])
    assert one.get("/api/v1/resolve/local/p/m/prod").expect(200)["version"] == 2


def test_a_directory_that_is_no_store_is_refused(tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.txt").write_text("mine")
    with pytest.raises(AssertionError, match="is not a runstone data directory"):
        Process(tmp_path / "data", "--workers", "2")


def test_workers_share_the_port_and_the_counts(process: Callable[..., Process]):
    server = process("--workers", "2")
    caller = server.caller()
    caller.put_version("local/p/m", {"model.bin": b"1"}, aliases=["prod"])
    caller.get("/api/v1/resolve/local/p/m/prod").expect(200)
    for _ in range(60):
        caller.get("/api/v1/whoami").expect(200)
    time.sleep(1.5)  # each worker leaves its counts once a second
    text = caller.get("/metrics").content.decode()
    found = re.search(
        r'runstone_requests_total\{route="/api/v1/whoami",method="GET",status="200"\} (\d+)', text
    )
    assert found and int(found[1]) == 60
    resident = dict(re.findall(r'runstone_resident_memory_bytes\{worker="(\d)"\} (\d+)', text))
    assert set(resident) == {"0", "1"}
    assert all(10 << 20 < int(value) < 500 << 20 for value in resident.values())


def test_a_worker_that_is_killed_is_replaced(process: Callable[..., Process]):
    server = process("--workers", "2")
    caller = server.caller()
    caller.put_version("local/p/m", {"model.bin": b"1"}, aliases=["prod"])
    before = children(server.pid)
    os.kill(before[0], signal.SIGKILL)
    until(lambda: len(children(server.pid)) == 2 and before[0] not in children(server.pid))
    until(lambda: any("was killed by SIGKILL" in line for line in server.errors))
    assert before[1] in children(server.pid)
    fresh = next(pid for pid in children(server.pid) if pid not in before)
    until(lambda: answered_by(server, fresh))
    assert caller.get("/api/v1/resolve/local/p/m/prod").expect(200)["version"] == 1
    assert server.stop() == 0


def answered_by(server: Process, pid: int) -> bool:
    """Whether a worker answers; its number is in the ids that it gives to requests."""
    with connect(server) as connection:
        try:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return f"X-Request-Id: {pid:x}-".encode() in read_all(connection)
        except ConnectionError:
            return False


def test_workers_end_when_their_parent_is_killed(process: Callable[..., Process]):
    server = process("--workers", "2")
    below = children(server.pid)
    server.process.kill()
    server.process.wait(20)
    until(lambda: not any(alive(pid) for pid in below))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


def test_what_is_being_answered_is_finished(process: Callable[..., Process]):
    server = process()
    caller = server.caller()
    content = os.urandom(24 << 20)
    caller.put_version("local/p/m", {"model.bin": content})
    upload = caller.post("/api/v1/uploads", {"namespace": "local"}).headers["Location"]
    going_on, begun = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield content[:1_000_000]
        begun.set()
        going_on.wait(30)
        yield content[1_000_000:]

    uploaded: list[int] = []
    sender = threading.Thread(
        target=lambda: uploaded.append(
            Caller(server.url).patch(upload, content=slowly(), headers={"Upload-Offset": "0"}).status
        )
    )
    sender.start()
    begun.wait(30)
    with connect(server) as reading, connect(server) as idle:
        reading.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        reading.sendall(f"GET {FILE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        received = reading.recv(10_000)
        server.process.send_signal(signal.SIGTERM)
        assert idle.recv(100) == b"", "an idle connection ends at once"
        until(lambda: refused(server))
        assert server.process.poll() is None
        going_on.set()
        received += read_all(reading)
    sender.join(60)
    assert sha256(received.partition(b"\r\n\r\n")[2]).digest() == sha256(content).digest()
    assert uploaded == [204]
    assert server.process.wait(30) == 0


def refused(server: Process) -> bool:
    """A reset is no refusal: that connection was made while the listener was being closed."""
    try:
        connect(server).close()
    except ConnectionError as error:
        return isinstance(error, ConnectionRefusedError)
    return False


def test_whoever_never_reads_does_not_hold_up_the_end(process: Callable[..., Process]):
    server = process(RUNSTONE_SHUTDOWN_SECONDS="1")
    server.caller().put_version("local/p/m", {"model.bin": os.urandom(32 << 20)})
    with connect(server) as stalled:
        stalled.sendall(f"GET {FILE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert stalled.recv(1000)
        assert server.stop() == 0


def test_a_second_signal_does_not_wait(process: Callable[..., Process]):
    server = process(RUNSTONE_SHUTDOWN_SECONDS="600")
    server.caller().put_version("local/p/m", {"model.bin": os.urandom(32 << 20)})
    with connect(server) as stalled:
        stalled.sendall(f"GET {FILE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert stalled.recv(1000)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: refused(server))
        assert server.stop() == 1


def test_an_acknowledged_change_survives_a_kill(process: Callable[..., Process]):
    server = process()
    server.caller().put_version("local/p/m", {"model.bin": b"1"}, aliases=["prod"])
    server.process.kill()
    server.close()
    caller = process().caller()
    assert caller.get("/api/v1/resolve/local/p/m/prod").expect(200)["version"] == 1
    assert caller.get(FILE).content == b"1"
