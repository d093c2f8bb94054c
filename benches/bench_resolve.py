"""Resolving an alias over HTTP, authenticated and under policy, against a bare aiohttp+uvloop handler and nginx.

Each server is a process of its own on loopback, kept to one core; wrk (or, without it, a raw-socket client) is kept to the other. The
bare handler answers a constant of the same length, with no authentication and no store; nginx answers ``return 200`` of that constant.
Runs are interleaved, and medians taken. RUNSTONE_BENCH_SECONDS is the length of a run (5 for the figures), RUNSTONE_BENCH_ROUNDS the
number of runs of each case, RUNSTONE_BENCH_CONNECTIONS the number of connections.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from benches.record import record

SECONDS = float(os.environ.get("RUNSTONE_BENCH_SECONDS", "0.3"))
ROUNDS = int(os.environ.get("RUNSTONE_BENCH_ROUNDS", "1"))
CONNECTIONS = int(os.environ.get("RUNSTONE_BENCH_CONNECTIONS", "32"))
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
WRK = shutil.which("wrk")
PATH = "/api/v1/resolve/local/p/m/prod"
BODY = (
    '{"collection":"local/p/m","version":2,"digest":"'
    + "0" * 64
    + '","size":90900000,"files":13,"alias":"prod","seq":12}'
)
CORES = sorted(os.sched_getaffinity(0))

NGINX_CONF = """
daemon off; master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
user {user};
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{ listen 127.0.0.1:{port}; location / {{ default_type application/json; return 200 '{body}'; }} }}
}}
"""
#: The process that listens on a port.
SERVERS: dict[int, int] = {}
#: Requests, and processor seconds that their server took, by address.
SPENT: dict[str, list[float]] = {}
BARE = """
import sys, uvloop
from aiohttp import web
body = sys.argv[2].encode()
async def handler(request):
    return web.Response(body=body, content_type="application/json")
app = web.Application()
app.router.add_get("/api/v1/resolve/{ns}/{project}/{collection}/{version}", handler)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), loop=uvloop.new_event_loop(), print=None, access_log=None)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], port: int, cores: list[int], **environment: str) -> Iterator[str]:
    """A server that is ready when it accepts."""
    variables = {**os.environ, **environment}
    pinned = ["taskset", "-c", ",".join(map(str, cores)), *command]
    with subprocess.Popen(pinned, env=variables, stdout=subprocess.DEVNULL) as process:
        SERVERS[port] = process.pid
        try:
            for _ in range(200):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}{PATH}"
        finally:
            process.terminate()


def bare(cores: list[int]) -> contextlib.AbstractContextManager[str]:
    port = free_port()
    return running([sys.executable, "-c", BARE, str(port), BODY], port, cores)


def nginx(folder: Path, cores: list[int]) -> contextlib.AbstractContextManager[str]:
    port = free_port()
    conf = folder / f"nginx-{port}.conf"
    conf.write_text(NGINX_CONF.format(folder=folder, port=port, user=getpass.getuser(), body=BODY))
    return running([str(NGINX), "-p", str(folder), "-c", str(conf)], port, cores)


def runstone(
    data: Path, cores: list[int], workers: int = 1, **environment: str
) -> contextlib.AbstractContextManager[str]:
    port = free_port()
    command = [sys.executable, "-m", "runstone.server", "--data", str(data), "--auth", "on"]
    command += ["--port", str(port), "--workers", str(workers)]
    return running(command, port, cores, **{"RUNSTONE_LOG_FORMAT": "off", **environment})


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store with a version and an alias in a private project, and the key of a reader of its namespace."""
    import runstone

    folder = tmp_path_factory.mktemp("resolve")
    (folder / "model").mkdir()
    (folder / "model" / "weights").write_bytes(b"w" * 1000)
    with runstone.open(folder / "data") as library:
        library.put("local/p/m", folder / "model", aliases=("prod",))
        library.create_user("ria")
        library.set_member("local", "ria", "reader")
        key = library.create_key("ria", "bench").key
    return folder, key


def rate(url: str, key: str, cores: list[int], fields: tuple[str, ...] = ()) -> float:
    """Requests a second."""
    if WRK is None:
        return raw_rate(url, key)
    command = ["taskset", "-c", ",".join(map(str, cores)), WRK, "-t", str(len(cores)), "-c", str(CONNECTIONS)]
    command += ["-d", f"{max(1, round(SECONDS))}s", "-H", f"Authorization: Bearer {key}"]
    command += [part for field in fields for part in ("-H", field)] + [url]
    before = processor_seconds(url)
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in output, output
    found, count = re.search(r"Requests/sec:\s+([0-9.]+)", output), re.search(r"(\d+) requests in", output)
    assert found and count, output
    spent = SPENT.setdefault("\0".join((url, *fields)), [0.0, 0.0])
    spent[0] += int(count[1])
    spent[1] += processor_seconds(url) - before
    return float(found[1])


def processor_seconds(url: str) -> float:
    """What the server of an address has used of a processor so far."""
    port = int(url.split(":")[2].split("/")[0])
    fields = Path(f"/proc/{SERVERS[port]}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def by_processor(cases: dict[str, tuple[str, tuple[str, ...]]], base: str) -> dict[str, str]:
    """Requests that each case answered with a second of its processor, which others that use the machine change little."""
    rates = {name: SPENT.get("\0".join((url, *fields))) for name, (url, fields) in cases.items()}
    found = {name: spent[0] / spent[1] for name, spent in rates.items() if spent and spent[1]}
    if base not in found:
        return {}
    return {name: f"{value:,.0f} ({value / found[base]:.2f} x)" for name, value in found.items()}


def raw_rate(url: str, key: str) -> float:
    port = int(url.split(":")[2].split("/")[0])
    request = f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            selector.register(connection, selectors.EVENT_READ)
            connection.sendall(request)
        answered, began = 0, time.perf_counter()
        while time.perf_counter() - began < SECONDS:
            for ready, _ in selector.select(1):
                assert b" 200 OK" in ready.fileobj.recv(65536)  # type: ignore[union-attr]
                ready.fileobj.sendall(request)  # type: ignore[union-attr]
                answered += 1
        return answered / (time.perf_counter() - began)


def first_answer(url: str, key: str) -> int:
    """The status of the first answer: a server with workers resets what connects before they listen."""
    until = time.monotonic() + 20
    while True:
        try:
            with urlopen(Request(url, headers={"Authorization": f"Bearer {key}"})) as response:
                return int(response.status)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def race(cases: dict[str, str], key: str, cores: list[int]) -> dict[str, float]:
    """The median rate of each case, runs of all in turn."""
    for url in cases.values():
        assert first_answer(url, key) == 200
    rates: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, url in cases.items():
            rates[name].append(rate(url, key, cores))
    return {name: statistics.median(found) for name, found in rates.items()}


def report(benchmark: Any, what: str, found: dict[str, float], base: str) -> None:
    ratios = {name: f"{value:,.0f}/s ({value / found[base]:.2f} x)" for name, value in found.items()}
    benchmark.extra_info.update(found)
    client = "wrk" if WRK else "raw sockets"
    record(what, size=f"{CONNECTIONS} connections, {client}, {ROUNDS} x {SECONDS:g} s", **ratios)


@pytest.mark.skipif(len(CORES) < 2, reason="the client needs a core of its own")
def test_one_core(stored: tuple[Path, str], benchmark: Any) -> None:
    folder, key = stored
    server, client = CORES[:1], CORES[1:2]
    log = str(folder / "access.log")
    with contextlib.ExitStack() as stack:
        start = stack.enter_context
        cases = {
            "bare": start(bare(server)),
            "runstone": start(runstone(folder / "data", server)),
            "without hot lane": start(runstone(folder / "data", server, RUNSTONE_HOT_LANE="0")),
            "with access log": start(
                runstone(folder / "data", server, RUNSTONE_LOG_FORMAT="json", RUNSTONE_LOG_FILE=log)
            ),
        }
        if NGINX:
            cases["nginx return 200"] = start(nginx(folder, server))
        found = benchmark.pedantic(race, (cases, key, client), rounds=1)
    report(benchmark, "resolve over HTTP on one core", found, "bare")
    asked = {name: (url, ()) for name, url in cases.items()}
    record("the same, requests a processor second", size="wrk", **by_processor(asked, "nginx return 200"))


def race_with_fields(cases: dict[str, tuple[str, tuple[str, ...]]], key: str) -> dict[str, float]:
    """The median rate of each case, runs of all in turn; each with its own header fields."""
    rates: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, (url, fields) in cases.items():
            rates[name].append(rate(url, key, CORES[1:2], fields))
    return {name: statistics.median(found) for name, found in rates.items()}


@pytest.mark.skipif(len(CORES) < 2 or WRK is None, reason="wrk sends the fields, from a core of its own")
def test_plans_on_one_core(stored: tuple[Path, str], benchmark: Any) -> None:
    """The plan of a fetch, authenticated and under policy: whole, and as the 304 that an unmoved name is."""
    folder, key = stored
    packed = "Accept: application/msgpack"
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(runstone(folder / "data", CORES[:1]))
        assert first_answer(ours, key) == 200
        plan = ours.replace(PATH, "/api/v1/collections/local/p/m/versions/prod/plan")
        asked = Request(plan, headers={"Authorization": f"Bearer {key}", "Accept": "application/msgpack"})
        with urlopen(asked) as response:
            size, unmoved = len(response.read()), f"If-None-Match: {response.headers['ETag']}"
        cases = {"resolve": (ours, ()), "plan": (plan, (packed,)), "plan, unmoved": (plan, (packed, unmoved))}
        if NGINX:
            cases["nginx return 200"] = (stack.enter_context(nginx(folder, CORES[:1])), ())
        found = benchmark.pedantic(race_with_fields, (cases, key), rounds=1)
    report(
        benchmark,
        f"plan of {size} bytes over HTTP on one core",
        found,
        "nginx return 200" if NGINX else "resolve",
    )
    record("the same, requests a processor second", size="wrk", **by_processor(cases, "nginx return 200"))


@pytest.mark.skipif(len(CORES) < 2, reason="workers share a single core here")
def test_workers(stored: tuple[Path, str], benchmark: Any) -> None:
    """The client shares the cores with the workers: with as few as two of them, that is what bounds the second worker."""
    folder, key = stored
    with contextlib.ExitStack() as stack:
        cases = {
            f"{workers} worker(s)": stack.enter_context(runstone(folder / "data", CORES, workers))
            for workers in (1, 2)
        }
        found = benchmark.pedantic(race, (cases, key, CORES), rounds=1)
    report(benchmark, "resolve over HTTP by workers", found, "1 worker(s)")
