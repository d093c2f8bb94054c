"""The same questions and the same batches to ``mlflow server`` (SQLite, as shipped) and to a server of ours, both by mlflow's REST interface.

RUNSTONE_BENCH_PEER_RUNS is how many runs of 25 parameters and 25 metrics each has (ours the ones that ``bench_tracking`` makes; mlflow's are
written into its tables, as its own interface would take an hour), RUNSTONE_BENCH_PEER_TURNS how often each question is asked. Skipped
without a number of runs: mlflow's server alone takes most of a minute to start.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

import runstone
from benches import bench_tracking
from benches.bench_tracking import start, started  # noqa: F401 - fixtures
from benches.record import record
from runstone._native.points import encode_columns

RUNS = int(os.environ.get("RUNSTONE_BENCH_PEER_RUNS", "60"))
TURNS = int(os.environ.get("RUNSTONE_BENCH_PEER_TURNS", "3"))
BATCHES = int(os.environ.get("RUNSTONE_BENCH_PEER_BATCHES", "3"))
QUESTIONS = {
    "metric_and_param_by_metric": {"filter": "metrics.m1 < 0.5 AND params.opt = 'a'", "order_by": ["metrics.m2 DESC"]},
    "newest_100": {},
    "tag_and_text": {"filter": "tags.x = '' AND attributes.run_name LIKE '%77%'"},
}  # fmt: skip
API = "/api/2.0/mlflow/"


def post(url: str, path: str, body: object) -> dict[str, object]:
    """An answer of mlflow's interface."""
    sent = Request(url + API + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(sent, timeout=300) as answer:
        found: dict[str, object] = json.loads(answer.read())
        return found


def fill_mlflow(database: Path) -> None:
    """Makes mlflow's tables and writes the runs into them."""
    code = "import sys; from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as S; S(sys.argv[1], sys.argv[2])"
    subprocess.run(
        [sys.executable, "-c", code, f"sqlite:///{database}", str(database.parent / "artifacts")],
        check=True,
        capture_output=True,
    )
    pick = random.Random(1)
    with contextlib.closing(sqlite3.connect(database)) as db, db:
        db.execute("INSERT INTO experiments VALUES (1, 'demo', 'x', 'active', 0, 0, 'default')")
        for number in range(RUNS):
            run = f"{number:032x}"
            db.execute(
                "INSERT INTO runs VALUES (?, ?, 'UNKNOWN', '', '', 'u', 'FINISHED', ?, ?, '', 'active', 'x', 1, NULL)",
                (run, f"run-{number:07}", number, number + 1),
            )
            params = [(f"p{n}", str(pick.random()), run) for n in range(24)] + [
                ("opt", pick.choice("abcde"), run)
            ]
            metrics = [(f"m{n}", pick.random()) for n in range(25)]
            db.executemany("INSERT INTO params VALUES (?, ?, ?)", params)
            db.executemany(
                "INSERT INTO metrics VALUES (?, ?, 1, ?, 0, 0)", [(*each, run) for each in metrics]
            )
            db.executemany(
                "INSERT INTO latest_metrics VALUES (?, ?, 1, 0, 0, ?)", [(*each, run) for each in metrics]
            )
            tags = [("mlflow.runName", f"run-{number:07}", run)] + (
                [("x", "", run)] if number % 7 == 0 else []
            )
            db.executemany("INSERT INTO tags VALUES (?, ?, ?)", tags)


@contextlib.contextmanager
def mlflow_server(database: Path) -> Iterator[str]:
    """The address of mlflow's server with as many workers as it is shipped with."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{database}"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), urlopen(f"{url}/health", timeout=5):
                break
            time.sleep(0.2)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def median(url: str, experiment: str, asked: dict[str, object]) -> tuple[float, int]:
    """The milliseconds that half of the answers take, and how many runs there are in one."""
    body = {"experiment_ids": [experiment], "max_results": 100, **asked}
    spent, runs = [], 0
    for _ in range(TURNS + 1):
        begun = time.perf_counter()
        runs = len(post(url, "runs/search", body).get("runs", []))  # type: ignore[arg-type]
        spent.append((time.perf_counter() - begun) * 1000)
    return sorted(spent[1:])[TURNS // 2], runs


def batches(url: str, experiment: str) -> float:
    """Points a second through log-batch, a thousand in each."""
    run = post(url, "runs/create", {"experiment_id": experiment})["run"]["info"]["run_id"]  # type: ignore[index]
    bodies = [
        {"run_id": run, "metrics": [{"key": f"k{n % 10}", "value": n / 7, "timestamp": n, "step": 100 * turn + n // 10}
                                    for n in range(1000)]}
        for turn in range(BATCHES)
    ]  # fmt: skip
    begun = time.perf_counter()
    for body in bodies:
        post(url, "runs/log-batch", body)
    return 1000 * BATCHES / (time.perf_counter() - begun)


def own_batches(port: int, form: str) -> float:
    """Points a second through our own ingest, each batch durable: a thousand points of ten keys, as columns or as rows of JSON."""
    client = bench_tracking.Client(port)
    client.send("/api/v1/runs/local/demo", json.dumps({"name": form}).encode())
    bodies = []
    for turn in range(BATCHES):
        steps = range(100 * turn, 100 * turn + 100)
        if form == "binary":
            values = memoryview(bytearray(800)).cast("d")
            for place in range(100):
                values[place] = place / 7
            bodies.append(encode_columns(steps, steps, {f"k{key}": values for key in range(10)}))
        else:
            rows = [{"step": n, "time": n, "values": {f"k{key}": n / 7 for key in range(10)}} for n in steps]
            bodies.append(json.dumps({"rows": rows}).encode())
    path = f"/api/v1/runs/local/demo/{form}/{'points' if form == 'binary' else 'rows'}"
    kind = ("application/vnd.runstone.points",) if form == "binary" else ()
    begun = time.perf_counter()
    for body in bodies:
        client.send(path, body, *kind)
    spent = time.perf_counter() - begun
    client.close()
    return 1000 * BATCHES / spent


@pytest.mark.skipif("RUNSTONE_BENCH_PEER_RUNS" not in os.environ, reason="set RUNSTONE_BENCH_PEER_RUNS")
def test_beside_mlflow(tmp_path, start):  # noqa: F811 - the fixture
    fill_mlflow(tmp_path / "mlflow.db")
    with runstone.open(tmp_path / "data"):
        pass
    bench_tracking.fill(tmp_path / "data", RUNS)
    port = start(tmp_path / "data")
    ours = f"http://127.0.0.1:{port}"
    found = post(ours, "experiments/search", {"max_results": 10, "filter": "name = 'demo'"})
    experiment = found["experiments"][0]["experiment_id"]  # type: ignore[index]
    figures = {}
    with mlflow_server(tmp_path / "mlflow.db") as theirs:
        for name, asked in QUESTIONS.items():
            (slow, there), (fast, here) = median(theirs, "1", asked), median(ours, experiment, asked)
            assert (there == 0) == (here == 0), (name, there, here)
            figures[name] = f"{slow:.1f} ms beside {fast:.2f} ms, {slow / fast:.0f} x"
        their_rate, our_rate = batches(theirs, "1"), batches(ours, experiment)
        figures["log_batch"] = (
            f"{their_rate:,.0f} points/s beside {our_rate:,.0f}, {our_rate / their_rate:.0f} x"
        )
        for form in ("binary", "json"):
            rate = own_batches(port, form)
            figures[f"equal_batches_{form}"] = f"{rate:,.0f} points/s, {rate / their_rate:.0f} x"
    record("beside mlflow server", size=f"{RUNS:,} runs of 50 fields, {TURNS} turns", **figures)
