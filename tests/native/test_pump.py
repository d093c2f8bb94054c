"""The stream pump over real sockets and files, one test for each of its rules."""

import contextlib
import ctypes
import gc
import hashlib
import mmap
import os
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstone._native.pump import CANCELLED, DONE, HANGUP, SHORT_FILE, STALLED, Pump

PATIENCE = 60.0
MB = 1 << 20
RESET = struct.pack("ii", 1, 0)


@dataclass
class Stored:
    """A file of random bytes, open for reading."""

    path: Path
    fd: int
    data: bytes


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    path = tmp_path_factory.mktemp("pump") / "stored.bin"
    data = random.Random(7).randbytes(8 * MB)
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    yield Stored(path, fd, data)
    os.close(fd)


@pytest.fixture
def pump() -> Iterator[Pump]:
    pump = Pump()
    yield pump
    pump.close()


@pytest.fixture
def connect() -> Iterator[Callable[..., tuple[socket.socket, socket.socket]]]:
    """Makes connected TCP pairs (server's side, client's side); ``buffer`` bounds what the kernel takes in between."""
    with contextlib.ExitStack() as stack:

        def make(buffer: int | None = None) -> tuple[socket.socket, socket.socket]:
            listener = socket.socket()
            client = socket.socket()
            with listener:
                if buffer is not None:
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
                listener.bind(("127.0.0.1", 0))
                listener.listen()
                client.connect(listener.getsockname())
                server, _ = listener.accept()
            server.setblocking(False)
            client.settimeout(PATIENCE)
            return stack.enter_context(server), stack.enter_context(client)

        yield make


def completions(pump: Pump, count: int) -> dict[int, tuple[int, int]]:
    """Waits for that many jobs to end; job -> (status, sent), in the order of their ends."""
    found: dict[int, tuple[int, int]] = {}
    while len(found) < count:
        ready, _, _ = select.select([pump.fileno()], [], [], PATIENCE)
        assert ready, f"only {len(found)} of {count} jobs ended"
        for job, status, sent in pump.drain():
            assert job not in found
            found[job] = (status, sent)
    return found


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def read(client: socket.socket, length: int) -> bytes:
    parts = []
    while length:
        part = client.recv(min(length, MB))
        assert part, "the connection ended early"
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def open_fds() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_bytes_and_files_arrive_in_order(pump, connect, stored):
    server, client = connect()
    segments = [
        b"head",
        (stored.fd, 5, MB),
        b"",
        (stored.fd, 0, 0),
        b"--",
        (stored.fd, 4 * MB + 1, 3),
        b"tail",
    ]
    job = pump.submit(server.fileno(), segments)
    expected = b"head" + stored.data[5 : 5 + MB] + b"--" + stored.data[4 * MB + 1 : 4 * MB + 4] + b"tail"
    assert read(client, len(expected)) == expected
    assert completions(pump, 1) == {job: (DONE, len(expected))}


def test_neighbours_of_different_files_are_not_merged(pump, connect, stored, tmp_path):
    (tmp_path / "other").write_bytes(bytes(range(256)))
    server, client = connect()
    with (tmp_path / "other").open("rb") as other:
        pump.submit(server.fileno(), [(stored.fd, 0, 10), (other.fileno(), 10, 10), (stored.fd, 20, 10)])
        assert read(client, 30) == stored.data[:10] + bytes(range(10, 20)) + stored.data[20:30]
        completions(pump, 1)


def test_a_job_of_nothing_ends_at_once(pump, connect):
    server, _ = connect()
    jobs = [pump.submit(server.fileno(), []), pump.submit(server.fileno(), [b""])]
    assert completions(pump, 2) == dict.fromkeys(jobs, (DONE, 0))


segment_lists = st.lists(
    st.one_of(
        st.binary(max_size=300),
        st.tuples(st.integers(0, 8 * MB - 1), st.integers(0, 200_000)).map(
            lambda at: (at[0], min(at[1], 8 * MB - at[0]))
        ),
        # Neighbours, which are merged, and the odd offsets that fill a pipe's slots unevenly.
        st.tuples(st.integers(0, 100), st.just(65_536)).map(lambda at: (at[0] * 65_536, at[1])),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=segment_lists, quantum=st.sampled_from([1, 4096, 100_000, 2 * MB]))
def test_any_list_of_segments_is_sent_as_it_reads(connect, stored, parts, quantum):
    quantum = (
        quantum
        if quantum > 1 or sum(len(p) if isinstance(p, bytes) else p[1] for p in parts) < 2000
        else 4096
    )
    expected = b"".join(p if isinstance(p, bytes) else stored.data[p[0] : p[0] + p[1]] for p in parts)
    server, client = connect(16_384)
    pump = Pump(quantum=quantum, lanes=1)
    try:
        job = pump.submit(server.fileno(), [p if isinstance(p, bytes) else (stored.fd, *p) for p in parts])
        assert read(client, len(expected)) == expected
        assert completions(pump, 1) == {job: (DONE, len(expected))}
    finally:
        pump.close()
        server.close()
        client.close()


def test_a_slow_reader_gets_every_byte(pump, connect, stored):
    server, client = connect(16_384)
    job = pump.submit(server.fileno(), [(stored.fd, 0, 2 * MB)])
    until(lambda: pump.stats()["waiting"] == 1)
    got = bytearray()
    while len(got) < 2 * MB:
        got += client.recv(10_000)
    assert bytes(got) == stored.data[: 2 * MB]
    assert completions(pump, 1) == {job: (DONE, 2 * MB)}


def test_one_connection_can_serve_job_after_job(pump, connect, stored):
    server, client = connect()
    for number in range(20):
        pump.submit(server.fileno(), [b"%d" % number, (stored.fd, number * 1000, 70_000)])
        head = b"%d" % number
        expected = head + stored.data[number * 1000 : number * 1000 + 70_000]
        assert read(client, len(expected)) == expected
        completions(pump, 1)


def test_a_local_socket_pair_works_too(pump, stored):
    server, client = socket.socketpair()
    with server, client:
        job = pump.submit(server.fileno(), [b"head", (stored.fd, 0, MB)])
        assert read(client, MB + 4) == b"head" + stored.data[:MB]
        assert completions(pump, 1) == {job: (DONE, MB + 4)}


def test_a_peer_that_reads_nothing_is_stalled_and_reset(connect, stored):
    pump = Pump(stall_seconds=0.2, stall_bytes=1000)
    server, client = connect(16_384)
    job = pump.submit(server.fileno(), [(stored.fd, 0, 8 * MB)])
    (status, sent) = completions(pump, 1)[job]
    assert status == STALLED
    assert 0 < sent < 8 * MB
    assert pump.stats()["stalled"] == 1
    server.close()
    with pytest.raises(ConnectionResetError):
        read(client, 8 * MB)
    pump.close()


def test_a_peer_that_reads_slowly_is_not_stalled(connect, stored):
    """Of a full send buffer a third must be acknowledged before anything can be added, for longer than an interval."""
    pump = Pump(stall_seconds=1.0, stall_bytes=1000)
    server, client = connect(64 << 10)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MB)
    job = pump.submit(server.fileno(), [(stored.fd, 0, 8 * MB)])
    until(lambda: pump.stats()["waiting"] == 1)
    got = bytearray()
    sent_before, since, longest = pump.stats()["sent"], time.monotonic(), 0.0
    while longest < 2.2:  # whatever its phase, a whole interval lies in there
        got += client.recv(1024)
        time.sleep(0.02)
        if (sent := pump.stats()["sent"]) != sent_before:
            sent_before, since = sent, time.monotonic()
        longest = max(longest, time.monotonic() - since)
        assert len(got) < 4 * MB, "the send buffer was never full for long: the test tests nothing"
    got += read(client, 8 * MB - len(got))
    assert bytes(got) == stored.data
    assert completions(pump, 1) == {job: (DONE, 8 * MB)}
    pump.close()


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_hang_up_ends_the_job_and_closes_the_duplicate(pump, connect, stored, how):
    server, client = connect(16_384)
    before = open_fds()
    job = pump.submit(server.fileno(), [(stored.fd, 0, 8 * MB)])
    until(lambda: pump.stats()["waiting"] == 1)
    if how == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    (status, sent) = completions(pump, 1)[job]
    assert status == HANGUP
    assert sent < 8 * MB
    assert pump.stats()["hung_up"] == 1
    pump.close()
    assert open_fds() <= before - 1 + 2, (
        "only a lane's pipe may have been added, and the client's socket has gone"
    )


def test_a_hang_up_raises_no_signal(stored):
    """In a process where SIGPIPE has its default action, which is death."""
    script = f"""
import os, select, signal, socket
from runstone._native.pump import HANGUP, Pump
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
fd, pump = os.open({str(stored.path)!r}, os.O_RDONLY), Pump()
for segment in ((fd, 0, 8 << 20), b"x" * (8 << 20)):
    server, client = socket.socketpair()
    client.close()
    pump.submit(server.fileno(), [segment])
    select.select([pump.fileno()], [], [], {PATIENCE})
    assert [status for _, status, _ in pump.drain()] == [HANGUP]
print("alive")
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "alive\n", "")


def lane_seconds() -> float:
    """Time that lanes have spent on a core."""
    tasks = [
        task for task in Path("/proc/self/task").iterdir() if (task / "comm").read_text() == "pump-lane\n"
    ]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def test_a_half_close_does_not_end_the_job(pump, connect, stored):
    server, client = connect(16_384)
    job = pump.submit(server.fileno(), [(stored.fd, 0, 4 * MB)])
    until(lambda: pump.stats()["waiting"] == 1)
    client.shutdown(socket.SHUT_WR)
    assert server.recv(1) == b"", "the half-close has arrived"
    before = lane_seconds()
    time.sleep(0.2)
    assert lane_seconds() - before < 0.02, "the lane spins on it"
    assert read(client, 4 * MB) == stored.data[: 4 * MB]
    assert completions(pump, 1) == {job: (DONE, 4 * MB)}


def test_the_callers_socket_may_be_closed_while_the_job_runs(pump, connect, stored):
    server, client = connect(16_384)
    pump.submit(server.fileno(), [(stored.fd, 0, 2 * MB)])
    until(lambda: pump.stats()["waiting"] == 1)
    server.close()
    assert read(client, 2 * MB) == stored.data[: 2 * MB]
    assert client.recv(1) == b"", "the duplicate was the last one and is closed"


def test_cancel_shuts_the_connection_down(pump, connect, stored):
    server, client = connect(16_384)
    job = pump.submit(server.fileno(), [(stored.fd, 0, 8 * MB)])
    until(lambda: pump.stats()["waiting"] == 1)
    assert pump.cancel(job)
    (status, sent) = completions(pump, 1)[job]
    assert status == CANCELLED
    assert sent < 8 * MB
    assert not pump.cancel(job), "it has ended"
    assert not pump.cancel(10**15)
    assert not pump.cancel(-1)
    with pytest.raises(BrokenPipeError):
        server.send(b"more")
    server.close()
    with pytest.raises((ConnectionResetError, AssertionError)):
        read(client, 8 * MB)


def test_a_file_shorter_than_its_segment(pump, connect, stored):
    server, client = connect()
    job = pump.submit(server.fileno(), [b"head", (stored.fd, 8 * MB - 10, 11), b"tail"])
    assert completions(pump, 1) == {job: (SHORT_FILE, 14)}
    assert pump.stats()["short_file"] == 1
    server.close()
    with pytest.raises(ConnectionResetError):
        read(client, 25)


def test_a_file_truncated_while_it_is_sent(pump, connect, tmp_path):
    path = tmp_path / "shrinking"
    path.write_bytes(bytes(8 * MB))
    server, client = connect(16_384)
    with path.open("rb") as file:
        job = pump.submit(server.fileno(), [(file.fileno(), 0, 8 * MB)])
        until(lambda: pump.stats()["waiting"] == 1)
        os.truncate(path, 100)
        client.setblocking(False)
        while pump.stats()["active"]:
            with contextlib.suppress(BlockingIOError):
                client.recv(MB)
        (status, sent) = completions(pump, 1)[job]
    assert status == SHORT_FILE
    assert sent < 8 * MB


def test_a_file_that_cannot_be_read_reports_its_errno(pump, connect, tmp_path):
    server, _ = connect()
    folder = os.open(tmp_path, os.O_RDONLY)
    job = pump.submit(server.fileno(), [(folder, 0, 10)])
    (status, sent) = completions(pump, 1)[job]
    os.close(folder)
    assert status < 0
    assert os.strerror(-status) in {"Is a directory", "Invalid argument"}
    assert sent == 0
    assert pump.stats()["failed"] == 1


def cached_pages(path: Path) -> int:
    """How many of a file's pages are in memory, without bringing one there (mincore)."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as view:
        found = (ctypes.c_ubyte * -(-len(view) // mmap.PAGESIZE))()
        first = ctypes.c_char.from_buffer(view)
        libc = ctypes.CDLL(None, use_errno=True)
        asked = libc.mincore(ctypes.byref(first), ctypes.c_size_t(len(view)), found)
        del first
    assert asked == 0, os.strerror(ctypes.get_errno())
    return sum(page & 1 for page in found)


def make_cold(stored: Stored) -> None:
    """Drops every page of the content. Pages that the kernel is at work on stay where they are, so it may take more than one try."""
    with stored.path.open("r+b") as file:
        for _ in range(50):
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            if not cached_pages(stored.path):
                return
            time.sleep(0.01)
    pytest.skip("this file system keeps its pages in memory")


def test_cold_pages_are_fetched_by_a_loader(pump, connect, stored):
    make_cold(stored)
    server, client = connect()
    pump.submit(server.fileno(), [b"head", (stored.fd, 100, 3 * MB), (stored.fd, 6 * MB, MB)])
    assert (
        read(client, 4 + 4 * MB) == b"head" + stored.data[100 : 100 + 3 * MB] + stored.data[6 * MB : 7 * MB]
    )
    assert pump.stats()["loaded"] > 0


def test_warm_pages_are_not(pump, connect, stored):
    assert stored.path.read_bytes() == stored.data
    server, client = connect()
    pump.submit(server.fileno(), [(stored.fd, 0, MB)])
    assert read(client, MB) == stored.data[:MB]
    assert pump.stats()["loaded"] == 0


SLOW_DISK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>
ssize_t pread(int fd, void *data, size_t length, off_t offset) {
    static ssize_t (*real)(int, void *, size_t, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "pread");
    while (access(getenv("DISK_ANSWERS"), F_OK) != 0) usleep(1000);
    return real(fd, data, length, offset);
}
ssize_t pread64(int fd, void *data, size_t length, off_t offset) { return pread(fd, data, length, offset); }
"""

BESIDE_SLOW_DISK = """
import os, select, socket, sys, time
from runstone._native.pump import DONE, Pump
stored, warm, answers = sys.argv[1:]
open(warm, "wb").write(bytes(1 << 20))
pump = Pump(lanes=1)
(a, cold_client), (b, warm_client) = socket.socketpair(), socket.socketpair()
cold = pump.submit(a.fileno(), [bytes(1 << 20), (os.open(stored, os.O_RDONLY), 0, 4 << 20)])
while pump.stats()["waiting"] != 1: time.sleep(0.001)
got = 0
while got < 1 << 20: got += len(cold_client.recv((1 << 20) - got))
while pump.stats()["loading"] != 1: time.sleep(0.001)
cold_client.close() if "hangup" in answers else None
fast = pump.submit(b.fileno(), [(os.open(warm, os.O_RDONLY), 0, 1 << 20)])
got = 0
while got < 1 << 20: got += len(warm_client.recv(1 << 20))
select.select([pump.fileno()], [], [], 60)
assert pump.drain() == [(fast, DONE, 1 << 20)]
assert pump.stats()["loading"] == 1, "the disk has answered too early: this shows nothing"
open(answers, "wb").close()
if "hangup" not in answers:
    got = b""
    while pump.stats()["waiting"] != 1: time.sleep(0.001)
    while len(got) < 4 << 20: got += cold_client.recv(1 << 20)
    assert got == open(stored, "rb").read(4 << 20)
select.select([pump.fileno()], [], [], 60)
(job, status, sent), = pump.drain()
assert job == cold
print(status, sent)
"""


@pytest.mark.parametrize(
    ("name", "printed"), [("answers", f"{DONE} {5 * MB}\n"), ("hangup", f"{HANGUP} {MB}\n")]
)
def test_a_disk_that_does_not_answer_stops_nobody_else(stored, tmp_path, name, printed):
    """One lane; the loader's read is held back until the warm job has ended."""
    if (compiler := shutil.which("cc")) is None:
        pytest.skip("no C compiler to build the slow disk with")
    source, library, answers = tmp_path / "slow.c", tmp_path / "slow.so", tmp_path / name
    source.write_text(SLOW_DISK)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    make_cold(stored)
    ran = subprocess.run(
        [sys.executable, "-c", BESIDE_SLOW_DISK, stored.path, tmp_path / "warm", answers],
        env={**os.environ, "LD_PRELOAD": str(library), "DISK_ANSWERS": str(answers)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, printed, "")


def data_packets(client: socket.socket) -> int:
    """tcpi_data_segs_in of struct tcp_info: packets with content that this side has received."""
    info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return struct.unpack_from("=I", info, 152)[0]


def test_header_and_content_share_a_packet(pump, connect, stored):
    server, client = connect()
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    pump.submit(
        server.fileno(), [b"head" * 50, (stored.fd, 0, 1000), b"middle", (stored.fd, 5000, 1000), b"tail"]
    )
    read(client, 200 + 1000 + 6 + 1000 + 4)
    assert data_packets(client) == 1


def test_many_small_segments_fill_packets(pump, connect, stored):
    server, client = connect()
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    pump.submit(server.fileno(), [(stored.fd, at, 1000) for at in range(0, MB, 2000)])
    expected = b"".join(stored.data[at : at + 1000] for at in range(0, MB, 2000))
    assert read(client, len(expected)) == expected
    assert data_packets(client) < 100, "525 segments of 1000 bytes"


def test_a_long_job_lets_a_short_one_pass(connect, stored):
    """Both fit into their socket's buffer, so that nothing but the quantum makes the long one stop."""
    pump = Pump(lanes=1, quantum=65_536)
    force = getattr(socket, "SO_SNDBUFFORCE", 32)
    (a, _), (b, _) = connect(), connect()
    try:
        for sock in (a, b):
            sock.setsockopt(socket.SOL_SOCKET, force, 400 * MB)
    except PermissionError:
        pytest.skip("a send buffer of this size needs CAP_NET_ADMIN")
    long = pump.submit(a.fileno(), [b"-", *[(stored.fd, 0, 8 * MB)] * 16])
    short = pump.submit(b.fileno(), [(stored.fd, 0, 1000)])
    assert list(completions(pump, 2)) == [short, long]
    pump.close()


def test_a_hundred_peers_that_stop_reading_slow_nobody(connect, stored):
    """And when they go on, what waited in pipes, or had to leave them, arrives in order."""
    pump = Pump(lanes=2)
    pairs = [connect(16_384) for _ in range(100)]
    jobs = {}
    for number, (server, _) in enumerate(pairs):
        jobs[pump.submit(server.fileno(), [b"%03d" % number, (stored.fd, number * 4099, 2 * MB)])] = number
    until(lambda: pump.stats()["waiting"] == 100)
    server, client = connect()
    quick = pump.submit(server.fileno(), [(stored.fd, 0, 8 * MB)])
    assert read(client, 8 * MB) == stored.data
    assert completions(pump, 1) == {quick: (DONE, 8 * MB)}
    until(lambda: pump.stats()["waiting"] == 100)

    digests: dict[int, bytes] = {}

    def drain(number: int) -> None:
        digests[number] = hashlib.sha256(read(pairs[number][1], 3 + 2 * MB)).digest()

    threads = [threading.Thread(target=drain, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(100):
        expected = b"%03d" % number + stored.data[number * 4099 : number * 4099 + 2 * MB]
        assert digests[number] == hashlib.sha256(expected).digest()
    assert completions(pump, 100) == dict.fromkeys(jobs, (DONE, 2 * MB + 3))
    pump.close()


def test_ten_thousand_jobs_leave_no_descriptor_behind(connect, stored):
    gc.collect()
    before = open_fds()
    pump = Pump()
    server, client = connect()
    total = 10_000 * 2003
    reader = threading.Thread(target=read, args=(client, total))
    reader.start()
    for _ in range(100):
        # Together on one connection they would mix their bytes, but of these none are looked at.
        for _ in range(100):
            pump.submit(server.fileno(), [b"abc", (stored.fd, 0, 2000)])
        assert all(status == DONE for status, _ in completions(pump, 100).values())
    reader.join()
    pump.close()
    stats = pump.stats()
    assert (stats["done"], stats["sent"], stats["active"]) == (10_000, total, 0)
    server.close()
    client.close()
    del pump
    assert open_fds() == before


def test_close_cancels_what_is_left(connect, stored):
    pump = Pump()
    pairs = [connect(16_384) for _ in range(10)]
    jobs = [pump.submit(server.fileno(), [(stored.fd, 0, 8 * MB)]) for server, _ in pairs]
    until(lambda: pump.stats()["waiting"] == 10)
    pump.close()
    pump.close()
    assert {job: status for job, status, _ in pump.drain()} == dict.fromkeys(jobs, CANCELLED)
    with pytest.raises(OSError, match="shutdown"):
        pump.submit(pairs[0][0].fileno(), [b"x"])


def test_threads_may_submit_cancel_and_close_at_once(connect, stored):
    """Every job that was accepted ends exactly once, whoever got there first."""
    for round_number in range(10):
        pump = Pump(quantum=4096, stall_seconds=0.05, stall_bytes=1)
        pairs = [connect(16_384) for _ in range(8)]
        accepted: list[int] = []
        ended: list[int] = []
        stop = threading.Event()

        def submitter(seed: int, pump: Pump = pump, pairs=pairs, accepted=accepted) -> None:
            choose = random.Random(seed)
            with contextlib.suppress(OSError):  # closed
                while True:
                    server, _ = choose.choice(pairs)
                    accepted.append(
                        pump.submit(server.fileno(), [b"x", (stored.fd, 0, choose.randrange(MB))])
                    )

        def canceller(seed: int, pump: Pump = pump, accepted=accepted, stop=stop) -> None:
            choose = random.Random(seed)
            while not stop.is_set():
                if accepted:
                    pump.cancel(choose.choice(accepted))

        def drainer(pump: Pump = pump, ended=ended, stop=stop) -> None:
            while not stop.is_set():
                ended.extend(job for job, _, _ in pump.drain())

        threads = [threading.Thread(target=submitter, args=(seed,)) for seed in range(2)]
        threads += [threading.Thread(target=canceller, args=(seed,)) for seed in range(2)]
        threads.append(threading.Thread(target=drainer))
        for thread in threads:
            thread.start()
        time.sleep(0.02 * (round_number % 3))
        until(lambda accepted=accepted: len(accepted) > 20)
        pump.close()
        stop.set()
        for thread in threads:
            thread.join()
        ended.extend(job for job, _, _ in pump.drain())
        assert sorted(ended) == sorted(accepted)
        assert pump.stats()["active"] == 0


def pump_threads() -> int:
    names = [(task / "comm").read_text() for task in Path("/proc/self/task").iterdir()]
    return sum(name.startswith("pump-") for name in names)


def test_a_pump_that_is_dropped_ends_its_threads(connect, stored):
    gc.collect()
    before = pump_threads()
    pump = Pump()
    server, _ = connect(16_384)
    pump.submit(server.fileno(), [(stored.fd, 0, 8 * MB)])
    until(lambda: pump_threads() == before + 4)
    del pump
    # A thread that has been joined may be listed for an instant longer.
    until(lambda: pump_threads() == before)


def test_threads_of_the_pump_take_no_signals(pump):
    blocked = []
    for task in Path("/proc/self/task").iterdir():
        status = (task / "status").read_text()
        if "\nName:\tpump-" in "\n" + status:
            mask = int(status.split("SigBlk:\t")[1].split()[0], 16)
            blocked.append(bool(mask >> (signal.SIGPIPE - 1) & 1 and mask >> (signal.SIGINT - 1) & 1))
    assert all(blocked) and len(blocked) >= 4  # servers that other tests keep have pumps of their own


@pytest.mark.parametrize(
    "segment", [(-1, 0, 1), (0, -1, 1), (0, 0, -1), (0, 1, 2**63 - 1), (0, 2**70, 1), (2**31, 0, 1), (0, 0)]
)
def test_what_is_no_segment_is_refused(pump, connect, segment):
    server, _ = connect()
    before = open_fds()
    with pytest.raises(ValueError):
        pump.submit(server.fileno(), [b"x", segment])
    assert open_fds() == before


def test_what_is_no_socket_is_refused(pump):
    with pytest.raises(OSError, match="Bad file descriptor"):
        pump.submit(-1, [b"x"])


@pytest.mark.parametrize(
    "setting",
    [
        {"stall_seconds": 0.0},
        {"stall_seconds": float("nan")},
        {"stall_bytes": 0},
        {"quantum": 0},
        {"lanes": 0},
    ],
)
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ValueError):
        Pump(**setting)
