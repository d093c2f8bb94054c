"""Tracking over HTTP: questions about many runs while points arrive, alone and with many clients, and durable ingest in each form.

The server is a process of its own; a client keeps one connection. RUNSTONE_BENCH_RUNS is how many runs of 50 fields the project has
(made through the log, as they would be), RUNSTONE_BENCH_STORE a folder in which a store of as many runs is kept from one measurement to the
next, RUNSTONE_BENCH_TURNS how often each question is asked, RUNSTONE_BENCH_CLIENTS how many ask at once, RUNSTONE_BENCH_SECONDS for how long
``wrk`` asks where it is installed, RUNSTONE_BENCH_STARTS how often a server is started, and RUNSTONE_BENCH_POINTS how many points are sent
in each form.

A question is asked unchanged again and again, as a page that is looked at does, and *varied*: another each time, of which nothing is remembered.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import msgspec
import pytest

import runstone
from benches import clients, driving
from benches.record import record
from runstone._native.points import encode_columns, encode_rows
from runstone.domain import names
from runstone.domain.runs import columns, commands, logging
from runstone.library import Library
from runstone.storage.changelog import Submission
from runstone.types import FileEntry

RUNS = int(os.environ.get("RUNSTONE_BENCH_RUNS", "300"))
TURNS = int(os.environ.get("RUNSTONE_BENCH_TURNS", "5"))
POINTS = int(os.environ.get("RUNSTONE_BENCH_POINTS", "20000"))
CLIENTS = int(os.environ.get("RUNSTONE_BENCH_CLIENTS", "2"))
STARTS = int(os.environ.get("RUNSTONE_BENCH_STARTS", "1"))
SECONDS = int(os.environ.get("RUNSTONE_BENCH_SECONDS", "1"))
STORE = os.environ.get("RUNSTONE_BENCH_STORE", "")
BATCH = 2000
#: Runs and versions on each of the three hops of the lineage.
HOP = 50
ASK = "/api/v1/run-queries/local/demo/"
QUESTIONS: dict[str, tuple[str, dict[str, object] | None]] = {
    "metric_and_param_by_metric": (ASK + "query", {"filter": 'summary.m1 < 0.5 and config.opt = "a"', "order": "summary.m2 desc"}),
    "newest_100": (ASK + "query", {}),
    "group_by_param": (ASK + "group", {"by": ["config.opt"], "figures": ["count()", "mean(summary.m1)"]}),
    "tag_and_text": (ASK + "query", {"filter": 'tags.x exists and name contains "77"'}),
    "three_hop_lineage": ("/api/v1/lineage?depth=3&direction=downstream&name=demo/data:v1", None),
    "distinct_keys": (ASK + "fields?limit=1000", None),
}  # fmt: skip

#: How many questions there are of each kind where they are varied.
VARIED = 1000


def varied(name: str) -> list[tuple[str, bytes | None]]:
    """Questions like one of :data:`QUESTIONS`, each another one, to about the same effect."""
    path, asked = QUESTIONS[name]
    pick = random.Random(2)
    if asked is None:
        # Another greatest length, which is more than there is, makes it another question and the same answer.
        if "limit=" in path:
            return [(path.replace("limit=1000", f"limit={most}"), None) for most in range(201, 1001)]
        return [(f"{path}&limit={most}", None) for most in range(1000, 1000 + VARIED)]
    found: list[dict[str, object]] = []
    for number in range(VARIED):
        if name == "metric_and_param_by_metric":
            found.append(
                {
                    "filter": f'summary.m1 < {pick.uniform(0.4, 0.6)} and config.opt = "{pick.choice("abcde")}"',
                    "order": "summary.m2 desc",
                }
            )
        elif name == "group_by_param":
            found.append(
                {
                    "by": ["config.opt"],
                    "figures": ["count()", f"mean(summary.m{number % 25})"],
                    "filter": f"summary.m1 < {pick.uniform(1, 2)}",
                }
            )
        elif name == "tag_and_text":
            found.append(
                {
                    "filter": f'tags.x exists and name contains "{pick.randrange(100):02}" and summary.m1 < {pick.uniform(1, 2)}'
                }
            )
        else:
            found.append({"filter": f"summary.m1 < {pick.uniform(1, 2)}"})
    return [(path, json.dumps(each).encode()) for each in found]


def fill(path: Path, count: int) -> tuple[float, float]:
    """Makes runs with 25 parameters and 25 metrics each; seconds to log them, and to make their columns."""
    pick = random.Random(1)
    with runstone.open(path) as library:
        library.create_project("demo")
        with library.store.index.read() as view:
            _, project = names.find_project(
                library.store, view, library.ctx, names.parse_project(library.ctx, "demo")
            )
        start = time.perf_counter()
        for first in range(0, count, BATCH):
            made = [created(project.id, number, pick) for number in range(first, min(count, first + BATCH))]
            library.store.log.submit_many(made)
            logged = [measured(each.receipt.result.id, pick) for each in made]
            library.store.log.submit_many(logged)
            assert all(each.receipt for each in logged)
        logging_took = time.perf_counter() - start
        relate(library, min(count, HOP))
        start = time.perf_counter()
        table = columns.tables(library.store).of(project.id)
        table.seal()
        while table.maintain():
            pass
        return logging_took, time.perf_counter() - start


def relate(library: Library, runs: int) -> None:
    """A dataset that runs used, each of which produced a model that a further run used: three hops."""
    library.create_collection("demo/data", type="dataset")
    library.commit("demo/data", [FileEntry(path="data", size=1, etag="1", url="https://example.org/data")])
    for number in range(runs):
        model = f"demo/model-{number}"
        library.create_collection(model)
        library.commit(
            model, [FileEntry(path="model", size=1, etag="1", url=f"https://example.org/model/{number}")]
        )
        run, other = f"run:local/demo/run-{number:07}", f"run:local/demo/run-{runs - 1 - number:07}"
        library.link("demo/data:v1", "used_by", run)
        library.link(run, "produced", f"{model}:v1")
        library.link(f"{model}:v1", "used_by", other)


def created(project: int, number: int, pick: random.Random) -> Submission:
    config = {f"p{place}": pick.random() for place in range(24)} | {"opt": pick.choice("abcde")}
    tags = {"x": ""} if number % 7 == 0 else {}
    packed = msgspec.msgpack.encode(config)
    return Submission(
        commands.CreateRun(actor="local", project=project, name=f"run-{number:07}", config=packed, tags=tags)
    )


def measured(run: int, pick: random.Random) -> Submission:
    batch = encode_rows([(0, 1, {f"m{place}": pick.random() for place in range(25)})])
    return Submission(logging.LogPoints(actor="local", run=run, batch=batch))


def stored(fallback: Path) -> tuple[Path, dict[str, str]]:
    """A store of :data:`RUNS` runs, made in the folder that keeps one unless it is there, and the figures of its making."""
    data = Path(STORE) / f"runs-{RUNS}" if STORE else fallback
    if (data / "made").exists():
        return data, {}
    logged, sealed = fill(data, RUNS)
    (data / "made").touch()
    columns = sum(file.stat().st_size for file in (data / "columns").rglob("*.seg"))
    return data, {
        "create_and_log": f"{RUNS / logged:,.0f} runs/s",
        "make_columns": f"{sealed / RUNS * 1e6:.0f} us/run",
        "index": f"{(data / 'index' / 'data.mdb').stat().st_blocks * 512 / RUNS:,.0f} B/run",
        "columns": f"{columns / RUNS:,.0f} B/run",
    }


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    """The servers that a bench has started."""
    found: list[subprocess.Popen[bytes]] = []
    yield found
    for process in found:
        with process:
            process.terminate()


@pytest.fixture
def start(started: list[subprocess.Popen[bytes]]) -> Callable[[Path], int]:
    """Starts a server of a directory; its port."""

    def begin(data: Path) -> int:
        process, port = serving(data)
        started.append(process)
        return port

    return begin


def serving(data: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A server of a directory that listens, and its port."""
    command = [sys.executable, "-m", "runstone.server", "--data", str(data), "--port", "0"]
    process = subprocess.Popen(
        [*command, "--log-format", "off"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    assert "http://127.0.0.1:" in line, line
    return process, int(line.rsplit(":", 1)[1].split("/")[0].split()[0])


def memory(port: int) -> float:
    """Resident MiB of the server, by its own account."""
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        for line in answer.read().decode().splitlines():
            if "resident" in line and not line.startswith("#"):
                return float(line.split()[-1]) / (1 << 20)
    return 0.0


class Client:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)

    def close(self) -> None:
        self._connection.close()

    def send(self, path: str, body: bytes, kind: str = "application/json") -> bytes:
        self._connection.request("POST", path, body, {"Content-Type": kind})
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status in (200, 201), content[:500]
        return content


@contextlib.contextmanager
def arriving(port: int, points: int = 5000) -> Iterator[None]:
    """Points that arrive meanwhile, so many a second, in ten batches."""
    stop, writer, rows = threading.Event(), Client(port), points // 100
    writer.send("/api/v1/runs/local/demo", b'{"name": "live", "resume": "allow"}')

    def arrive() -> None:
        step = 0
        while not stop.wait(0.1):
            found = [(step + n, step + n, {f"m{k}": 1.0 for k in range(10)}) for n in range(rows)]
            step += rows
            writer.send(
                "/api/v1/runs/local/demo/live/points", encode_rows(found), "application/vnd.runstone.points"
            )

    thread = threading.Thread(target=arrive)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        writer.close()


def test_questions_over_http_while_points_arrive(tmp_path, start):
    data, figures = stored(tmp_path / "data")
    port = start(data)
    alone, together = {}, {}
    with arriving(port):
        for name, (path, asked) in QUESTIONS.items():
            body = None if asked is None else json.dumps(asked).encode()
            begun = time.perf_counter()
            clients.ask(port, path, body, 1, 0)
            figures[f"first {name}"] = f"{time.perf_counter() - begun:.2f} s"
            alone[name] = clients.shown(clients.ask(port, path, body, 1, TURNS))
            each = max(TURNS // CLIENTS, 1)
            together[name] = "; ".join(
                f"{pause} s apart {clients.shown(clients.ask(port, path, body, CLIENTS, each, pause))}"
                for pause in (0, 0.5)
            )
    size = f"{RUNS:,} runs of 50 fields, {TURNS} turns"
    record("questions over HTTP, 5,000 points/s arriving, one client", size=size, **alone)
    record(f"the same, {CLIENTS} clients at once", size=size, **together)
    record("the store and the server", size=size, resident=f"{memory(port):.0f} MiB", **figures)


@pytest.mark.skipif(not driving.HAS_WRK, reason="wrk is not installed")
def test_questions_driven_by_wrk_while_points_arrive(tmp_path, start, started):
    data, _ = stored(tmp_path / "data")
    port = start(data)
    figures: dict[str, dict[str, driving.Driven]] = {}
    with arriving(port):
        for name, (path, asked) in QUESTIONS.items():
            same = [(path, None if asked is None else json.dumps(asked).encode())]
            for form, questions in (("same", same), ("varied", varied(name))):
                for count in (1, CLIENTS):
                    found = driving.drive(port, started[-1].pid, questions, count, SECONDS)
                    figures.setdefault(f"{count} clients, {form}", {})[name] = found
    for what, answers in figures.items():
        size = f"{RUNS:,} runs of 50 fields, {SECONDS} s each"
        record(f"questions over HTTP by wrk, 5,000 points/s arriving, {what}", size=size, **answers)


def test_asked_by_hand_of_a_directory(tmp_path):
    """What a person waits for at the command line, a process each time, with no server."""
    data, _ = stored(tmp_path / "data")
    commands = {
        "runs_by_filter": ["runs", "demo", "--filter", QUESTIONS["metric_and_param_by_metric"][1]["filter"], "-n", "5"],
        "sql_by_metric": ["sql", "demo", 'select id from runs where "summary.m1" < 0.5 order by "summary.m2" desc limit 5'],
        "sql_group": ["sql", "demo", 'select "config.opt", count(*), avg("summary.m1") from runs group by 1 order by 1'],
    }  # fmt: skip
    figures = {}
    for name, command in commands.items():
        took = []
        for _ in range(STARTS):
            begun = time.perf_counter()
            said = subprocess.run(
                [sys.executable, "-m", "runstone", "--store", str(data), *command],
                capture_output=True,
                check=True,
            )
            took.append(time.perf_counter() - begun)
            assert said.stdout.count(b"\n") == 6
        figures[name] = f"{statistics.median(took):.2f} s"
    record("asked by hand of a directory, a process each time", size=f"{RUNS:,} runs of 50 fields", **figures)


def test_start_to_the_first_query(tmp_path):
    """From the start of a server's process to its first page of runs, of many and of one."""
    data, _ = stored(tmp_path / "data")
    with runstone.open(tmp_path / "one") as library:
        library.create_run("demo/run")
    spent: dict[str, list[float]] = {"one": [], "many": []}
    for _ in range(STARTS):
        for name, where in (("one", tmp_path / "one"), ("many", data)):
            begun = time.perf_counter()
            process, port = serving(where)
            with process:
                client = Client(port)
                assert json.loads(client.send(ASK + "query", b"{}"))["items"]
                spent[name].append(time.perf_counter() - begun)
                client.close()
                process.terminate()
    one, many = (statistics.median(spent[name]) for name in ("one", "many"))
    figure = f"{many:.2f} s, {one:.2f} s with one run, {many / one:.2f} x"
    record(
        "start to the first page of runs", size=f"{RUNS:,} runs of 50 fields, {STARTS} starts", start=figure
    )


def rate(points: int, begun: float, server: int, before: float) -> str:
    """Points a second since a moment, and points for a second of the server's CPU."""
    spent = driving.cpu_seconds(server) - before
    return f"{points / (time.perf_counter() - begun):,.0f} points/s, {points / max(spent, 0.01):,.0f} a CPU second"


def test_durable_ingest_over_http(tmp_path, start, started):
    data = tmp_path / "data"
    with runstone.open(data) as library:
        for name in ("binary", "rows", "json"):
            library.create_run(f"demo/{name}")
    client = Client(start(data))
    server = started[-1].pid
    figures = {}
    rows = POINTS // 10
    values = [float(n) for n in range(rows)]
    columns = {f"m{k}": memoryview(bytearray(rows * 8)).cast("d") for k in range(10)}
    for column in columns.values():
        for place, value in enumerate(values):
            column[place] = value
    batch = encode_columns(range(rows), range(rows), columns)
    begun, before = time.perf_counter(), driving.cpu_seconds(server)
    sent = client.send("/api/v1/runs/local/demo/binary/points", batch, "application/vnd.runstone.points")
    assert json.loads(sent)["points"] == rows * 10
    figures["binary"] = rate(rows * 10, begun, server, before)
    found = [{"step": n, "time": n, "values": {f"m{k}": values[n] for k in range(10)}} for n in range(rows)]
    parts = [json.dumps({"rows": found[at : at + 2000]}).encode() for at in range(0, rows, 2000)]
    begun, before = time.perf_counter(), driving.cpu_seconds(server)
    for part in parts:
        client.send("/api/v1/runs/local/demo/json/rows", part)
    figures["json"] = rate(rows * 10, begun, server, before)
    client.close()
    record("durable ingest over HTTP", size=f"{rows * 10:,} points", **figures)
