"""Streaming against nginx, a scattered file against a plain one, and the event loop beside stalled downloads.

Both servers run in a process of their own on loopback, with one worker, sendfile and the same congestion
control; the client discards in the kernel (MSG_TRUNC), so that the servers are what is measured. Runs are
interleaved, and medians taken. RUNSTONE_BENCH_MB is the size of the file (1024 for the figures),
RUNSTONE_BENCH_ROUNDS the number of runs of each case.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import ctypes
import getpass
import itertools
import mmap
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

MB = int(os.environ.get("RUNSTONE_BENCH_MB", "16"))
ROUNDS = int(os.environ.get("RUNSTONE_BENCH_ROUNDS", "3"))
EXTENT = 64 << 10
CONGESTION = b"cubic"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
STALLED = 100

NGINX_CONF = """
daemon off;
user {user};
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    default_type application/octet-stream;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{ listen 127.0.0.1:{port}; root {folder}; }}
}}
"""


@dataclass
class Server:
    """A running server, with its process's number."""

    pid: int
    port: int

    def cpu_seconds(self) -> float:
        """Time on a core of the threads of the process and its workers, by the scheduler's nanoseconds."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        tasks = [task for pid in (self.pid, *children) for task in Path(f"/proc/{pid}/task").iterdir()]
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def listener() -> socket.socket:
    """A listening socket whose connections use the congestion control that both servers are measured with."""
    sock = socket.socket()
    set_congestion(sock)
    sock.bind(("127.0.0.1", 0))
    sock.listen(512)
    sock.setblocking(False)
    return sock


def set_congestion(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # not allowed, or not in this kernel: then both run with the default
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, CONGESTION)


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[Server]:
    if NGINX is None:
        pytest.skip("nginx is not installed")
    with listener() as sock:
        port = sock.getsockname()[1]
        conf = folder / "nginx.conf"
        conf.write_text(NGINX_CONF.format(folder=folder, port=port, user=getpass.getuser()))
        # The socket is handed over as in an upgrade of the binary: its setting has no directive.
        environment = {**os.environ, "NGINX": f"{sock.fileno()};"}
        command = [NGINX, "-p", str(folder), "-c", str(conf)]
        with subprocess.Popen(command, env=environment, pass_fds=[sock.fileno()]) as process:
            try:
                yield Server(process.pid, port)
            finally:
                process.terminate()


@contextlib.contextmanager
def runstone(folder: Path) -> Iterator[Server]:
    with listener() as sock:
        port = sock.getsockname()[1]
        command = [sys.executable, __file__, str(sock.fileno()), str(folder)]
        with subprocess.Popen(command, pass_fds=[sock.fileno()]) as process:
            try:
                yield Server(process.pid, port)
            finally:
                process.terminate()


class Scattered:
    """A body whose 64 KiB extents lie anywhere in the given files, as a deduplicated file's do."""

    etag, media_type, last_modified, name = '"scattered"', "application/octet-stream", None, None

    def __init__(self, paths: list[Path], extents: list[tuple[int, int, int]]) -> None:
        self.fds = [os.open(path, os.O_RDONLY) for path in paths]
        self.extents = extents
        self.starts = list(itertools.accumulate((length for _, _, length in extents), initial=0))
        self.size = self.starts[-1]

    def segments(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        first = bisect.bisect_right(self.starts, start) - 1
        last = bisect.bisect_left(self.starts, stop)
        found = [(self.fds[which], offset, length) for which, offset, length in self.extents[first:last]]
        fd, offset, length = found[-1]
        found[-1] = (fd, offset, length - (self.starts[last] - stop))
        fd, offset, length = found[0]
        found[0] = (fd, offset + start - self.starts[first], length - (start - self.starts[first]))
        return found

    def close(self) -> None:
        for fd in self.fds:
            os.close(fd)


def layouts(folder: Path) -> dict[str, list[tuple[int, int, int]]]:
    """Extents (file, offset, length): one; shuffled over two packs; a file with 1 % of them replaced."""
    size = (folder / "plain.bin").stat().st_size
    places = [(which, at, EXTENT) for which in (1, 2) for at in range(0, size // 2, EXTENT)]
    random.Random(1).shuffle(places)
    changed = [(0, at, EXTENT) for at in range(0, size, EXTENT)]
    for which in random.Random(2).sample(range(len(changed)), max(1, len(changed) // 100)):
        changed[which] = places[which]
    merged: list[tuple[int, int, int]] = []
    for which, at, length in changed:
        if merged and merged[-1][0] == which and merged[-1][1] + merged[-1][2] == at:
            merged[-1] = (which, merged[-1][1], merged[-1][2] + length)
        else:
            merged.append((which, at, length))
    return {"plain.bin": [(0, 0, size)], "scattered": places, "changed": merged}


async def serve(sock: socket.socket, folder: Path) -> None:
    from aiohttp import web

    from runstone.server.streaming import Streamer

    streamer = Streamer()
    paths = [folder / name for name in ("plain.bin", "pack1.bin", "pack2.bin")]
    known = layouts(folder)

    async def download(request: web.Request) -> web.StreamResponse:
        return await streamer.send(request, Scattered(paths, known[request.match_info["name"]]))

    async def ping(request: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/ping", ping)
    app.router.add_get("/{name}", download)
    runner = web.AppRunner(app, access_log=None, handle_signals=True)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    await asyncio.Event().wait()


def connect(port: int) -> socket.socket:
    sock = socket.socket()
    set_congestion(sock)
    sock.connect(("127.0.0.1", port))
    return sock


def request(sock: socket.socket, name: str) -> tuple[int, bytes]:
    """Sends a GET; answers the content's length and the part of it that came with the header."""
    sock.sendall(f"GET /{name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    received = b""
    while b"\r\n\r\n" not in received:
        if not (more := sock.recv(4096)):
            raise ConnectionError("no answer")
        received += more
    head, _, rest = received.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    if " 200 " not in status:
        raise ConnectionError(status)
    lengths = [field.split(":")[1] for field in fields if field.lower().startswith("content-length:")]
    return int(lengths[0]), rest


def drain(port: int, name: str, flags: int) -> int:
    """Downloads once; with MSG_TRUNC the kernel throws the bytes away."""
    with connect(port) as sock:
        length, rest = request(sock, name)
        got, buffer = len(rest), bytearray(1 << 20)
        while got < length:
            if not (n := sock.recv_into(buffer, min(length - got, len(buffer)), flags)):
                raise ConnectionError(f"{got} of {length} bytes")
            got += n
    return got


def download(port: int, name: str, streams: int, flags: int) -> float:
    """Seconds until that many simultaneous downloads have ended. The interpreter's lock is free in recv."""
    threads = [threading.Thread(target=drain, args=(port, name, flags)) for _ in range(streams)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


def race(
    cases: dict[str, tuple[Server, str]], streams: int, rounds: int, flags: int = socket.MSG_TRUNC
) -> dict[str, tuple[float, float]]:
    """Interleaved: the median rate in GB/s and CPU seconds per GiB of each case (server, file)."""
    rates: dict[str, list[float]] = {case: [] for case in cases}
    costs: dict[str, list[float]] = {case: [] for case in cases}
    for server, name in cases.values():
        download(server.port, name, streams, flags)
    for _ in range(rounds):
        for case, (server, name) in cases.items():
            before = server.cpu_seconds()
            seconds = download(server.port, name, streams, flags)
            size = MB * streams * 2**20
            rates[case].append(size / seconds / 1e9)
            costs[case].append((server.cpu_seconds() - before) / size * 2**30)
    return {case: (statistics.median(rates[case]), statistics.median(costs[case])) for case in cases}


@contextlib.contextmanager
def pinned(paths: list[Path]) -> Iterator[None]:
    """Keeps files in the page cache, where memory may be locked: the disk is not what is compared."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mlock.argtypes = libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    mapped = []
    for path in paths:
        with path.open("rb") as file:
            size = path.stat().st_size
            mapped.append((libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0), size))
        libc.mlock(*mapped[-1])
    try:
        yield
    finally:
        for address, size in mapped:
            libc.munmap(address, size)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("streaming")
    folder.chmod(0o755)
    block = os.urandom(2**20)
    paths = [folder / name for name in ("plain.bin", "pack1.bin", "pack2.bin")]
    for path, size in zip(paths, (MB, MB // 2, MB // 2), strict=True):
        with path.open("wb") as file:
            for number in range(size):
                file.write(number.to_bytes(8) + block[8:])
            os.fsync(file.fileno())
    with pinned(paths):
        yield folder


@pytest.mark.parametrize("streams", [1, 4])
def test_against_nginx(files: Path, streams: int, benchmark: Any) -> None:
    with nginx(files) as theirs, runstone(files) as ours:
        cases = {"nginx": (theirs, "plain.bin"), "runstone": (ours, "plain.bin")}
        found = benchmark.pedantic(race, (cases, streams, ROUNDS), rounds=1)
    report(benchmark, found, "nginx")


@pytest.mark.parametrize("client", ["discards", "copies"])
def test_scattered_against_plain(files: Path, client: str, benchmark: Any) -> None:
    with runstone(files) as ours:
        cases = {name: (ours, name) for name in ("plain.bin", "scattered", "changed")}
        flags = socket.MSG_TRUNC if client == "discards" else 0
        found = benchmark.pedantic(race, (cases, 1, ROUNDS, flags), rounds=1)
    report(benchmark, found, "plain.bin")


def test_event_loop_beside_stalled_downloads(files: Path, benchmark: Any) -> None:
    """Round trips of a trivial handler with and without downloads whose clients read nothing."""
    with runstone(files) as ours:
        found = benchmark.pedantic(ping_beside_stalled, (ours, ROUNDS), rounds=1)
    print()
    for case, cuts in found.items():
        benchmark.extra_info[case] = cuts
        print(f"{case:>12}: ping p50 {cuts[0]:.0f} us, p99 {cuts[1]:.0f} us")
    assert set(found) == {"alone", f"{STALLED} stalled"}


def ping_beside_stalled(server: Server, rounds: int) -> dict[str, tuple[float, float]]:
    alone: list[float] = []
    beside: list[float] = []
    with connect(server.port) as client:
        ping(client, 200)
        for _ in range(rounds):
            alone += ping(client, 1000)
            with contextlib.ExitStack() as stack:
                for _ in range(STALLED):
                    stalled = stack.enter_context(connect(server.port))
                    request(stalled, "plain.bin")
                beside += ping(client, 1000)
    return {"alone": percentiles(alone), f"{STALLED} stalled": percentiles(beside)}


def ping(client: socket.socket, count: int) -> list[float]:
    """Round trips in microseconds on one connection."""
    found = []
    for _ in range(count):
        started = time.perf_counter()
        _, rest = request(client, "ping")
        while rest != b"ok":
            rest += client.recv(2)
        found.append((time.perf_counter() - started) * 1e6)
    return found


def percentiles(values: list[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(values, n=100)
    return cuts[49], cuts[98]


def report(benchmark: Any, found: dict[str, tuple[float, float]], base: str) -> None:
    print()
    for case, (rate, cost) in found.items():
        ratios = (rate / found[base][0], cost / found[base][1])
        benchmark.extra_info[case] = {"GB/s": rate, "CPU s/GiB": cost, "ratios": ratios}
        print(f"{case:>12}: {rate:6.2f} GB/s ({ratios[0]:.2f} x), {cost:.3f} CPU s/GiB ({ratios[1]:.2f} x)")
        assert rate > 0


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2])))
