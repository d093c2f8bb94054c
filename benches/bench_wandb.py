"""The wandb SDK against runstone: a training loop online beside offline, hot requests in a large project, history read back, artifacts, many
runs at once, and plans of documents beside the general executor.

Server and SDK are processes of their own. RUNSTONE_BENCH_STEPS is how often the loop logs 20 keys, RUNSTONE_BENCH_RUNS how many runs of 50
fields the project has, RUNSTONE_BENCH_TURNS how often each request is sent, RUNSTONE_BENCH_WRITERS how many runs log at once, and
RUNSTONE_BENCH_MB how large the file is that is fetched.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benches.bench_fetch import CURL, NGINX, nginx
from benches.bench_tracking import RUNS, stored
from benches.record import record
from runstone._native.points import decode_rows
from runstone.config import ServerOptions
from runstone.dialects.wandb import execution, history
from runstone.domain.context import Context
from runstone.domain.runs import points, rows
from runstone.domain.store import Store
from runstone.server.background import Background
from runstone.testing.served import served

STEPS = int(os.environ.get("RUNSTONE_BENCH_STEPS", "200"))
TURNS = int(os.environ.get("RUNSTONE_BENCH_TURNS", "5"))
WRITERS = int(os.environ.get("RUNSTONE_BENCH_WRITERS", "2"))
MB = int(os.environ.get("RUNSTONE_BENCH_MB", "8"))
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
FETCH = """
import shutil, time, wandb
artifact = wandb.Api().artifact("files/large:latest")
spent = []
for turn in range(3):
    began = time.perf_counter()
    artifact.download(root="got", skip_cache=True, multipart=PARTS)
    spent.append(time.perf_counter() - began)
    shutil.rmtree("got")
print("SAID", *spent)
"""
PUT = """
import os, wandb
with wandb.init(project="files", id="maker", settings=wandb.Settings(x_disable_stats=True, console="off")) as run:
    artifact = wandb.Artifact("large", type="dataset")
    artifact.add_file("large.bin", policy="immutable", skip_cache=True)
    run.log_artifact(artifact).wait()
print("SAID", 1)
"""
CREATE = (
    "mutation CreateArtifact($i: CreateArtifactInput!) { createArtifact(input: $i) { artifact { id state artifactSequence { id "
    "latestArtifact { id versionIndex } } } } }"
)
FILES = (
    "mutation CreateArtifactFiles($i: CreateArtifactFilesInput!) { createArtifactFiles(input: $i) { files { edges { node { id name displayName "
    "storagePath uploadUrl uploadHeaders uploadMultipartUrls { uploadID uploadUrlParts { partNumber uploadUrl } } artifact { id } } } } } }"
)
MANIFEST = (
    "mutation CreateArtifactManifest($i: CreateArtifactManifestInput!) { createArtifactManifest(input: $i) { artifactManifest { id file "
    "{ id name uploadUrl uploadHeaders } } } }"
)
COMMIT = (
    "mutation CommitArtifact($i: ID!) { commitArtifact(input: {artifactID: $i}) { artifact { id digest } } }"
)
#: Files of an artifact that is committed by hand.
ENTRIES = 10
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

    def put(self, url: str, body: bytes) -> None:
        where = urlsplit(url)
        self._connection.request("PUT", f"{where.path}?{where.query}", body)
        response = self._connection.getresponse()
        found = response.read()
        assert response.status == 200, found

    def ask(self, query: str, **variables: object) -> dict:
        return json.loads(self.post("/graphql", {"query": query, "variables": variables}))["data"]

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


def test_a_training_loop_online_beside_offline(tmp_path, monkeypatch):
    # As installed: with bytecode that is there already, after a first start.
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "bytecode"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "")
    with served(tmp_path / "first") as server:
        sdk(
            tmp_path / "before",
            server.url,
            LOOP.replace("MODE", "online").replace("STEPS", "1"),
            WANDB_MODE="online",
        )
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


def test_history_lines_at_once_beside_one_by_one():
    numbers = random.Random(7)
    lines = []
    for step in range(STEPS):
        names = [f"k{key}" for key in range(KEYS)]
        numbers.shuffle(names)  # as the SDK's maps have them
        values = {name: step / (place + 1) for place, name in enumerate(names)}
        lines.append(json.dumps(values | {"_step": step, "_timestamp": 1.7e9 + step / 7}))
    ways = {
        "one_by_one": lambda: points.encode(
            [history.history_row(line, at, 0) for at, line in enumerate(lines)]
        ),
        "at_once": lambda: history.encoded(history.HISTORY, lines, 0, 0, {}),
    }
    decoded = [sorted(decode_rows(way())) for way in ways.values()]
    assert decoded[0] == decoded[1] and len(decoded[0]) == STEPS
    spent = {name: timed(way, turns=5) for name, way in ways.items()}
    record(
        "wandb history lines",
        size=f"{STEPS:,} lines of {KEYS} keys",
        **{name: f"{each * 1e3:.1f} ms" for name, each in spent.items()},
        times=f"{spent['one_by_one'] / spent['at_once']:.1f} x",
    )


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


def draft(caller: Caller, turn: int) -> tuple[str, float]:
    """An artifact whose files and manifest are here, and how long it took to ask for the addresses of its files."""
    contents = {f"f{number}": b"file %d of %d" % (number, turn) for number in range(ENTRIES)}
    md5s = {path: base64.b64encode(hashlib.md5(each).digest()).decode() for path, each in contents.items()}
    lines = "".join(f"{path}:{md5}\n" for path, md5 in sorted(md5s.items()))
    digest = hashlib.md5(b"wandb-artifact-manifest-v1\n" + lines.encode()).hexdigest()
    place = {"entityName": "local", "projectName": "commits"}
    made = {
        **place,
        "artifactTypeName": "dataset",
        "artifactCollectionName": "many",
        "digest": digest,
        "aliases": [],
    }
    number = caller.ask(CREATE, i=made)["createArtifact"]["artifact"]["id"]
    wanted = [{"artifactID": number, "name": path, "md5": md5} for path, md5 in md5s.items()]
    began = time.perf_counter()
    found = caller.ask(FILES, i={"artifactFiles": wanted, "storageLayout": "V2"})
    addressed = time.perf_counter() - began
    for edge in found["createArtifactFiles"]["files"]["edges"]:
        caller.put(edge["node"]["uploadUrl"], contents[edge["node"]["name"]])
    asked = {**place, "artifactID": number, "name": "m", "digest": "", "runName": "r", "type": "FULL"}
    found = caller.ask(MANIFEST, i=asked)["createArtifactManifest"]["artifactManifest"]
    held = {path: {"digest": md5s[path], "size": len(each)} for path, each in contents.items()}
    manifest = {
        "version": 1,
        "storagePolicy": "wandb-storage-policy-v1",
        "storagePolicyConfig": {},
        "contents": held,
    }
    caller.put(found["file"]["uploadUrl"], json.dumps(manifest).encode())
    return number, addressed


def test_commits_of_artifacts(tmp_path):
    with served(tmp_path / "data") as server:
        caller = Caller(server.url)
        drafts = [draft(caller, turn) for turn in range(TURNS + 3)]
        record(
            "wandb commits",
            size=f"artifacts of {ENTRIES} files in one collection",
            commit=spread(lambda turn: caller.ask(COMMIT, i=drafts[turn][0])),
            addresses=f"p50 {statistics.median(spent for _, spent in drafts) * 1e3:.2f} ms",
        )
        caller.close()


def test_plans_beside_the_general_executor(tmp_path, monkeypatch):
    kept: list = []

    class Keeping(execution.Kept):
        def __init__(self, root: object) -> None:
            super().__init__(root)
            kept.append(self)

    monkeypatch.setattr(execution, "Kept", Keeping)
    files = [
        {"artifactID": "", "name": f"f{n}", "md5": base64.b64encode(b"%016d" % n).decode()} for n in range(25)
    ]
    with Background(ServerOptions(data=str(tmp_path / "data"), port=0, log_format="off")) as server:
        caller = Caller(server.url)
        place = {"project": "demo", "entity": "local"}
        asked: dict[str, tuple[str, dict]] = {
            f"upsert_{number}": (UPSERT, {**place, "name": f"r{number}", "config": '{"lr": {"value": 0.1}}'})
            for number in range(50)
        }
        asked["find_50"] = (FIND, {**place, "filters": "{}", "order": "-created_at", "cursor": None})
        number, _ = draft(caller, 0)
        for each in files:
            each["artifactID"] = number
        asked["addresses_25"] = (FILES, {"i": {"artifactFiles": files, "storageLayout": "V2"}})
        figures = {}
        for name, (text, variables) in asked.items():
            caller.ask(text, **variables)
            if name.startswith("upsert") and name != "upsert_49":
                continue
            document, root = execution._prepared(text), kept[-1]
            spent = {
                "general": timed(lambda: execution.execute(document.parsed, root, variables, None)),  # noqa: B023
                "plan": timed(lambda: document.fill(root, variables, None)),  # noqa: B023
            }
            figures[name] = (
                f"{spent['general'] * 1e6:.0f} -> {spent['plan'] * 1e6:.0f} us ({spent['general'] / spent['plan']:.1f} x)"
            )
        caller.close()
    record(
        "wandb plans beside the general executor, without what the fields of the root take",
        size="one process",
        **figures,
    )


def timed(work: Callable[[], object], turns: int = TURNS * 4 + 1) -> float:
    """The median of a call's processor time."""
    spent = []
    for _ in range(turns):
        began = time.thread_time()
        work()
        spent.append(time.thread_time() - began)
    return statistics.median(spent)


@pytest.mark.skipif(CURL is None or NGINX is None, reason="needs curl and nginx")
def test_a_download_by_the_sdk_beside_nginx(tmp_path):
    (tmp_path / "sdk").mkdir()
    (tmp_path / "sdk" / "large.bin").write_bytes(os.urandom(1 << 20) * MB)
    with served(tmp_path / "data") as server, nginx(tmp_path, tmp_path / "sdk") as plain:
        sdk(tmp_path / "sdk", server.url, PUT)
        spent: dict[str, list[float]] = {"curl": []}
        for _ in range(3):
            began = time.perf_counter()
            subprocess.run([CURL, "-s", "-o", tmp_path / "copy", f"{plain}/large.bin"], check=True)
            spent["curl"].append(time.perf_counter() - began)
        for name, parts in (("whole", "False"), ("parts", "True")):
            spent[name] = sdk(tmp_path / "sdk", server.url, FETCH.replace("PARTS", parts))
        assert (tmp_path / "copy").stat().st_size == MB << 20
    rate = {name: (MB << 20) / statistics.median(each) / 1e9 for name, each in spent.items()}
    record(
        "wandb download beside curl from nginx",
        size=f"a file of {MB:,} MiB",
        nginx=f"{rate['curl']:.2f} GB/s",
        whole=f"{rate['whole']:.2f} GB/s, {rate['whole'] / rate['curl']:.2f} x",
        parts=f"{rate['parts']:.2f} GB/s, {rate['parts'] / rate['curl']:.2f} x",
    )


def test_many_runs_log_at_once(tmp_path):
    with served(tmp_path / "data") as server:
        members = family(server._process.pid)
        before = sum(map(cpu, members))
        (seconds,) = sdk(tmp_path / "sdk", server.url, MANY)
        used = sum(map(cpu, members)) - before
        points = WRITERS * 100 * KEYS
        server.stop()
        with Store(tmp_path / "data") as store:
            for number in range(WRITERS):
                found = rows.read(store, Context(), f"local/many/r{number}", wanted=lambda key: key == "k7")
                assert [(step, values["k7"]) for step, _, values in found] == [
                    (step, step) for step in range(100)
                ]
        record(
            "wandb runs at once",
            size=f"{WRITERS} runs",
            taken=f"{seconds:.1f} s",
            rate=f"{points / seconds:,.0f} points/s",
            server_cpu=f"{used:.2f} s",
        )
