"""The wandb SDK against runstone: a training loop online beside offline, hot requests in a large project, history read back, many runs at once.

Server and SDK are processes of their own. RUNSTONE_BENCH_STEPS is how often the loop logs 20 keys, RUNSTONE_BENCH_RUNS how many runs of 50
fields the project has, RUNSTONE_BENCH_TURNS how often each request is sent, and RUNSTONE_BENCH_WRITERS how many runs log at once.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from benches.bench_tracking import RUNS, stored
from benches.record import record
from runstone.testing.served import served

STEPS = int(os.environ.get("RUNSTONE_BENCH_STEPS", "200"))
TURNS = int(os.environ.get("RUNSTONE_BENCH_TURNS", "5"))
WRITERS = int(os.environ.get("RUNSTONE_BENCH_WRITERS", "2"))
KEYS = 20
LOOP = """
import time, resource, wandb
run = wandb.init(project="loop", id="MODE", settings=wandb.Settings(x_disable_stats=True, console="off"))
began = time.perf_counter()
for step in range(STEPS): run.log({f"k{key}": step / (key + 1) for key in range(KEYS)})
logged = time.perf_counter() - began
run.finish()
ended = time.perf_counter() - began
wandb.teardown()
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print("SAID", logged, ended, sum(each.ru_utime + each.ru_stime for each in used))
"""
SCAN = """
import time, wandb
run = wandb.Api().run("loop/online")
began = time.perf_counter()
count = sum(len(line) for line in run.scan_history())
print("SAID", count, time.perf_counter() - began)
"""
MANY = """
import time, threading, wandb
settings = wandb.Settings(x_disable_stats=True, console="off")
runs = [wandb.init(project="many", id=f"r{n}", reinit="create_new", settings=settings) for n in range(WRITERS)]
began = time.perf_counter()
for step in range(100):
    for run in runs: run.log({f"k{key}": step for key in range(KEYS)})
for run in runs: run.finish()
print("SAID", time.perf_counter() - began)
"""
UPSERT = (
    "mutation UpsertBucket($id: String, $name: String, $project: String, $entity: String, $config: JSONString) { upsertBucket("
    "input: {id: $id, name: $name, modelName: $project, entityName: $entity, config: $config}) { bucket { id name displayName "
    "description config sweepName project { id name entity { id name } } historyLineCount } inserted } }"
)
FIND = (
    "query Runs($project: String!, $entity: String!, $filters: JSONString, $order: String, $cursor: String) { project(name: $project, "
    "entityName: $entity) { internalId runCount(filters: $filters) readOnly runs(filters: $filters, order: $order, first: 50, "
    "after: $cursor) { edges { node { id tags name displayName sweepName state group jobType commit readOnly createdAt heartbeatAt "
    "description notes historyLineCount projectId user { name username } } cursor } pageInfo { endCursor hasNextPage } } } }"
)


def sdk(folder: Path, url: str, program: str, **environment: str) -> list[float]:
    """What a program that uses the SDK says."""
    folder.mkdir(exist_ok=True)
    settings = {
        "WANDB_BASE_URL": url,
        "WANDB_API_KEY": "hf_" + "k" * 48,
        "WANDB_SILENT": "true",
        "WANDB_DIR": str(folder),
        "HOME": str(folder),
    }
    program = program.replace("STEPS", str(STEPS)).replace("KEYS", str(KEYS)).replace("WRITERS", str(WRITERS))
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=os.environ | settings | environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    said = next((line for line in done.stdout.splitlines() if line.startswith("SAID")), None)
    assert said is not None, done.stdout + done.stderr
    return [float(each) for each in said.split()[1:]]


def cpu(process: int) -> float:
    """The seconds of processor that a process and those it waited for have used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def family(process: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *(found for child in children for found in family(int(child)))]


class Caller:
    """Sends requests over one connection."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc)

    def close(self) -> None:
        self._connection.close()

    def post(self, path: str, body: object) -> bytes:
        self._connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        found = response.read()
        assert response.status == 200 and b'"errors"' not in found, found
        return found


def spread(send: Callable[[int], object]) -> str:
    """How long a request takes: the median and the 99th of a hundred."""
    times = []
    for turn in range(TURNS + 3):
        began = time.perf_counter()
        send(turn)
        times.append(time.perf_counter() - began)
    times = sorted(times[3:])
    return f"p50 {times[len(times) // 2] * 1e3:.2f} ms, p99 {times[min(len(times) - 1, len(times) * 99 // 100)] * 1e3:.2f} ms"


def test_a_training_loop_online_beside_offline(tmp_path):
    with served(tmp_path / "data") as server:
        offline = sdk(tmp_path / "off", server.url, LOOP.replace("MODE", "offline"), WANDB_MODE="offline")
        members = family(server._process.pid)
        before = sum(map(cpu, members))
        online = sdk(tmp_path / "on", server.url, LOOP.replace("MODE", "online"), WANDB_MODE="online")
        used = sum(map(cpu, members)) - before
        points, seconds = sdk(tmp_path / "scan", server.url, SCAN)
        assert points >= STEPS * (KEYS + 1)
        size = f"{STEPS:,} log calls of {KEYS} keys"
        record(
            "wandb online beside offline",
            size=size,
            logging=f"{online[0] / offline[0]:.2f} x",
            whole=f"{online[1]:.1f} s, {online[1] / offline[1]:.2f} x",
            server_cpu=f"{used:.2f} s, {used / online[2]:.1%} of the client's",
        )
        record("wandb scan_history", size=size, read=f"{points / seconds:,.0f} points/s")


def test_requests_in_a_large_project(tmp_path):
    made, _ = stored(tmp_path / "made")
    shutil.copytree(made, tmp_path / "data")
    with served(tmp_path / "data") as server:
        caller = Caller(server.url)
        lines = [
            json.dumps({f"k{key}": key / 7 for key in range(KEYS)} | {"_step": step}) for step in range(100)
        ]

        def upsert(turn: int) -> object:
            variables = {
                "name": f"new-{turn}",
                "project": "demo",
                "entity": "local",
                "config": '{"lr": {"value": 0.1}}',
            }
            return caller.post(
                "/graphql", {"query": UPSERT, "variables": variables, "operationName": "UpsertBucket"}
            )

        def stream(turn: int) -> object:
            files = {"wandb-history.jsonl": {"offset": turn * 100, "content": lines}}
            return caller.post("/files/local/demo/new-0/file_stream", {"files": files})

        def find(turn: int) -> object:
            filters = json.dumps({"summary_metrics.m1": {"$lt": 0.5}, "config.opt": "a"})
            variables = {
                "project": "demo",
                "entity": "local",
                "filters": filters,
                "order": "-summary_metrics.m2",
                "cursor": None,
            }
            return caller.post("/graphql", {"query": FIND, "variables": variables})

        record(
            "wandb requests",
            size=f"{RUNS:,} runs of 50 fields",
            upsert=spread(upsert),
            file_stream_100_lines=spread(stream),
            runs_filter_order=spread(find),
        )
        caller.close()


def test_many_runs_log_at_once(tmp_path):
    with served(tmp_path / "data") as server:
        members = family(server._process.pid)
        before = sum(map(cpu, members))
        (seconds,) = sdk(tmp_path / "sdk", server.url, MANY)
        used = sum(map(cpu, members)) - before
        points = WRITERS * 100 * KEYS
        record(
            "wandb runs at once",
            size=f"{WRITERS} runs",
            taken=f"{seconds:.1f} s",
            rate=f"{points / seconds:,.0f} points/s",
            server_cpu=f"{used:.2f} s",
        )
