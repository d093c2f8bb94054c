"""mlflow's interface beside mlflow's own server, on SQLite with one worker: the same raw requests to both, in one run.

Each server is a process of its own; what is timed is sent over one connection. The genuine server is measured when RUNSTONE_BENCH_GENUINE is set,
which needs its package and some minutes. RUNSTONE_BENCH_RUNS is how many runs (of 10 metrics and 5 params) are searched; they are put into
either server's store directly. RUNSTONE_BENCH_TURNS is how often each request is sent, RUNSTONE_BENCH_BYTES the size of the artifact.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

import runstone
from benches.bench_fetch import NGINX, nginx
from benches.record import record
from runstone._native.points import encode_rows
from runstone.domain import names
from runstone.domain.runs import columns, commands, logging
from runstone.storage.changelog import Submission

RUNS = int(os.environ.get("RUNSTONE_BENCH_RUNS", "200"))
TURNS = int(os.environ.get("RUNSTONE_BENCH_TURNS", "5"))
BYTES = int(os.environ.get("RUNSTONE_BENCH_BYTES", str(4 << 20)))
GENUINE = bool(os.environ.get("RUNSTONE_BENCH_GENUINE"))
BATCH = 2000
#: That log at once.
CLIENTS = 4
API = "/api/2.0/mlflow/"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/"
FILTER = "metrics.m1 < 0.5 AND params.p1 = 'a'"


_LENGTH = re.compile(rb"(?i)\r\ncontent-length: (\d+)")


def encoded(method: str, path: str, body: Any = None) -> bytes:
    """A request as an unmodified client sends it, but for what it says of itself."""
    content = b"" if body is None else json.dumps(body).encode()
    about = (
        b"" if body is None else b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(content)
    )
    return b"%s %s HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n%s\r\n%s" % (
        method.encode(),
        path.encode(),
        about,
        content,
    )


def exchanged(connection: socket.socket, request: bytes) -> float:
    """How long a request takes. Python's own client takes longer than some answers do, so it is not used."""
    begun = time.perf_counter()
    connection.sendall(request)
    answer = connection.recv(1 << 20)
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(1 << 20)
    head, _, content = answer.partition(b"\r\n\r\n")
    left = int(_LENGTH.search(head)[1]) - len(content)  # type: ignore[index]
    while left > 0:
        left -= len(connection.recv(1 << 20))
    spent = time.perf_counter() - begun
    assert head.startswith(b"HTTP/1.1 200 "), answer
    return spent


class Server:
    """A running server: how long it took to answer at all, and a first question; its process, and one connection to it."""

    def __init__(self, command: list[str], port: int, ready: str, environment: dict[str, str]) -> None:
        self.port = port
        begun = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while not self._answers(ready):
            assert self.process.poll() is None, command
            time.sleep(0.005)
        self.start = time.perf_counter() - begun
        self.ask("POST", API + "experiments/search", {"max_results": 1})
        self.first = time.perf_counter() - begun
        self.plain: socket.socket | None = None

    def _answers(self, path: str) -> bool:
        with suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            with closing(connection):
                connection.request("GET", path)
                return connection.getresponse().status == 200
        return False

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        # mlflow's server ends connections that are silent for five seconds.
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)) as connection:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            found = json.loads(answer.read() or b"{}")
            assert answer.status == 200, found
            return found

    def connect(self) -> None:
        """Opens the connection that :meth:`seconds` keeps."""
        if self.plain is not None:
            self.plain.close()
        self.plain = self.connection()

    def connection(self) -> socket.socket:
        """A connection of its own."""
        made = socket.create_connection(("127.0.0.1", self.port), timeout=600)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def rate(self, method: str, path: str, body: Any = None, turns: int = TURNS) -> float:
        """Requests a second, by the median."""
        request = encoded(method, path, body)
        self.connect()
        self.seconds(request)
        return 1 / statistics.median(self.seconds(request) for _ in range(turns))

    def seconds(self, request: bytes) -> float:
        """How long a request takes that was encoded before."""
        assert self.plain is not None
        return exchanged(self.plain, request)

    def memory(self) -> float:
        """Resident megabytes of the process and its children."""
        return sum(_resident(pid) for pid in _family(self.process.pid)) / 1e6

    def stop(self) -> None:
        if self.plain is not None:
            self.plain.close()
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in _family(int(child)))]


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def ours(data: Path) -> Iterator[Server]:
    port = _free_port()
    command = [sys.executable, "-m", "runstone.server", "--data", str(data), "--port", str(port)]
    server = Server([*command, "--log-format", "off"], port, "/version", {})
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def theirs(folder: Path) -> Iterator[Server]:
    port = _free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/db"]
    command += ["--artifacts-destination", str(folder / "art")]
    server = Server(command, port, "/health", {"MLFLOW_DISABLE_TELEMETRY": "true"})
    try:
        yield server
    finally:
        server.stop()


def values(pick: random.Random) -> tuple[dict[str, float], dict[str, str]]:
    return (
        {f"m{at}": pick.random() for at in range(10)},
        {f"p{at}": pick.choice("abcde") for at in range(5)},
    )


def fill_ours(data: Path) -> None:
    pick = random.Random(1)
    with runstone.open(data) as library:
        library.create_project("many")
        with library.store.index.read() as view:
            _, project = names.find_project(
                library.store, view, library.ctx, names.parse_project(library.ctx, "many")
            )
        for first in range(0, RUNS, BATCH):
            drawn = [values(pick) for _ in range(first, min(RUNS, first + BATCH))]
            made = [
                Submission(
                    commands.CreateRun(
                        actor="local",
                        project=project.id,
                        name=f"run-{first + at:07}",
                        config=msgspec.msgpack.encode(params),
                    )
                )
                for at, (_, params) in enumerate(drawn)
            ]
            library.store.log.submit_many(made)
            logged = [
                Submission(
                    logging.LogPoints(
                        actor="local", run=each.receipt.result.id, batch=encode_rows([(0, 1, metrics)])
                    )
                )
                for each, (metrics, _) in zip(made, drawn, strict=True)
                if each.receipt
            ]
            library.store.log.submit_many(logged)
        table = columns.tables(library.store).of(project.id)
        table.seal()
        while table.maintain():
            pass


def fill_theirs(folder: Path, experiment: str) -> None:
    pick = random.Random(1)
    database = sqlite3.connect(folder / "db")
    for at in range(RUNS):
        run, (metrics, params) = f"{at:032x}", values(pick)
        database.execute(
            "insert into runs (run_uuid, name, source_type, user_id, status, start_time, lifecycle_stage, artifact_uri, "
            "experiment_id) values (?, ?, 'LOCAL', 'u', 'RUNNING', ?, 'active', 'x', ?)",
            (run, f"run-{at:07}", at, int(experiment)),
        )
        database.executemany(
            "insert into latest_metrics (key, value, timestamp, step, is_nan, run_uuid) values (?, ?, 1, 0, 0, ?)",
            [(key, value, run) for key, value in metrics.items()],
        )
        database.executemany(
            "insert into params (key, value, run_uuid) values (?, ?, ?)",
            [(key, value, run) for key, value in params.items()],
        )
    database.commit()
    database.close()


def measured(server: Server, searched: str, folder: Path) -> dict[str, float]:
    """The figures of a server: rates, or seconds and megabytes where they say so."""
    found = {"cold start s": server.start, "to a first question s": server.first}
    found["idle MB"] = server.memory()
    experiment = server.ask("POST", API + "experiments/create", {"name": "bench"})["experiment_id"]
    run = server.ask("POST", API + "runs/create", {"experiment_id": experiment})["run"]["info"]
    found["create run /s"] = server.rate(
        "POST", API + "runs/create", {"experiment_id": experiment, "start_time": 1}
    )
    server.ask("POST", API + "registered-models/create", {"name": "m"})
    server.ask("POST", API + "model-versions/create", {"name": "m", "source": "s3://b/x"})
    server.ask("POST", API + "registered-models/alias", {"name": "m", "alias": "champion", "version": "1"})
    alias = API + "registered-models/alias?name=m&alias=champion"
    found["by alias /s"] = server.rate("GET", alias, turns=TURNS * 10)
    found["get version /s"] = server.rate(
        "GET", API + "model-versions/get?name=m&version=1", turns=TURNS * 10
    )
    found["get run /s"] = server.rate("GET", API + f"runs/get?run_id={run['run_id']}", turns=TURNS * 10)
    found["points /s"] = 1000 * _batches(server, run["run_id"])
    runs = [
        server.ask("POST", API + "runs/create", {"experiment_id": experiment})["run"]["info"]["run_id"]
        for _ in range(CLIENTS)
    ]
    found[f"points of {CLIENTS} clients /s"] = 1000 * _batches_of_many(server, runs)
    asked = {
        "experiment_ids": [searched],
        "filter": FILTER,
        "order_by": ["metrics.m2 DESC"],
        "max_results": 10,
    }
    found["search ms"] = 1000 / server.rate("POST", API + "runs/search", asked, max(3, TURNS // 10))
    found |= _moved(server, f"{experiment}/{run['run_id']}/artifacts/large.bin", folder)
    found["busy MB"] = server.memory()
    return found


def _batches(server: Server, run: str) -> float:
    """Batches of 1,000 metrics a second; each is of steps of its own."""
    server.connect()
    return 1 / statistics.median(server.seconds(request) for request in _logged(run))


def _batches_of_many(server: Server, runs: list[str]) -> float:
    """Such batches a second of as many clients at once as there are runs."""
    sent = [(server.connection(), _logged(run)) for run in runs]
    with ThreadPoolExecutor(len(runs)) as clients:
        begun = time.perf_counter()
        for _ in clients.map(lambda each: [exchanged(each[0], request) for request in each[1]], sent):
            pass
        spent = time.perf_counter() - begun
    for connection, _ in sent:
        connection.close()
    return sum(len(requests) for _, requests in sent) / spent


def _logged(run: str) -> list[bytes]:
    requests = []
    for turn in range(max(3, TURNS // 5)):
        metrics = [
            {"key": f"k{at % 10}", "value": at / 7, "timestamp": 1, "step": turn * 1000 + at}
            for at in range(1000)
        ]
        requests.append(encoded("POST", API + "runs/log-batch", {"run_id": run, "metrics": metrics}))
    return requests


def _moved(server: Server, path: str, folder: Path) -> dict[str, float]:
    """Megabytes a second of one file by curl, up once and down thrice."""
    source = _random_file(folder)
    url = f"http://127.0.0.1:{server.port}{ARTIFACTS}{path}"
    size = source.stat().st_size / 1e6
    up = size / _curled("-T", str(source), url)
    source.unlink()
    return {"upload MB/s": up, "download MB/s": size / _downloaded(url)}


def _random_file(folder: Path) -> Path:
    made = folder / "large.bin"
    with made.open("wb") as target:
        for _ in range(BYTES >> 20):
            target.write(os.urandom(1 << 20))
    return made


def _curled(*arguments: str) -> float:
    command = ["curl", "-sS", "--fail", "-o", "/dev/null", "-w", "%{time_total}", *arguments]
    return float(subprocess.run(command, capture_output=True, check=True).stdout)


def _downloaded(url: str) -> float:
    return statistics.median(_curled(url) for _ in range(3))


def limits(folder: Path) -> dict[str, float]:
    """Megabytes a second that nothing is faster than: of such a file from nginx by curl, and written to this disk and synced."""
    source = _random_file(folder)
    size, found = source.stat().st_size / 1e6, {}
    content = source.read_bytes()
    begun = time.perf_counter()
    with (folder / "written.bin").open("wb") as target:
        target.write(content)
        target.flush()
        os.fdatasync(target.fileno())
    found["written and synced MB/s"] = size / (time.perf_counter() - begun)
    if NGINX is not None:
        with nginx(folder, folder) as url:
            found["nginx's download MB/s"] = size / _downloaded(f"{url}/large.bin")
    return found


def test_mlflows_interface(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    fill_ours(tmp_path / "data")
    with ours(tmp_path / "data") as server:
        many = server.ask("GET", API + "experiments/get-by-name?experiment_name=many")["experiment"]
        mine = measured(server, many["experiment_id"], tmp_path)
    record("mlflow", size=_size(), **{name: f"{figure:,.4g}" for name, figure in mine.items()})
    record(
        "mlflow, limits",
        size=_size(),
        **{name: f"{figure:,.4g}" for name, figure in limits(tmp_path).items()},
    )
    if not GENUINE:
        return
    folder = tmp_path / "genuine"
    folder.mkdir()
    with theirs(folder) as server:  # the first start makes its database
        number = server.ask("POST", API + "experiments/create", {"name": "many"})["experiment_id"]
    fill_theirs(folder, number)
    with theirs(folder) as server:
        other = measured(server, number, tmp_path)
    record("mlflow's own", size=_size(), **{name: f"{figure:,.4g}" for name, figure in other.items()})
    better = {
        name: other[name] / mine[name] if name.endswith((" s", " ms", " MB")) else mine[name] / other[name]
        for name in mine
    }
    record("mlflow, ratio", size=_size(), **{name: f"{ratio:.1f} x" for name, ratio in better.items()})


def _size() -> str:
    return f"{RUNS:,} runs, {TURNS} turns, {BYTES >> 20} MiB"
