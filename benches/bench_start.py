"""A server's cold start: from the start of the process to its first answered query, and its memory when idle.

The goals: under 0.35 s with a million versions in the index, at most 1.15 times that of an empty store, under 2 s with a cold page
cache; under 80 MB idle. Beside them, in the same run: a Python that imports aiohttp and uvloop and does nothing else.
RUNSTONE_BENCH_VERSIONS is the number of versions (1,000,000 for the figures), RUNSTONE_BENCH_ROUNDS the number of starts.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benches.record import record
from runstone.domain.collections import CreateCollection
from runstone.domain.projects import CreateProject
from runstone.domain.versions import CommitVersion
from runstone.library import open_library
from runstone.storage.changelog import Submission
from runstone.storage.tables import Entry

VERSIONS = int(os.environ.get("RUNSTONE_BENCH_VERSIONS", "500"))
ROUNDS = int(os.environ.get("RUNSTONE_BENCH_ROUNDS", "1"))
A_COLLECTION = 1000
BATCH = 10_000
DROP = Path("/proc/sys/vm/drop_caches")
RESOLVE, OTHER = "/api/v1/resolve/local/p/c0/prod", "/api/v1/whoami"
IMPORTS = "import uvloop, lmdb, msgspec\nfrom aiohttp import web"


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store with one version, and one with many."""
    folder = tmp_path_factory.mktemp("start")
    for name, count in (("small", 1), ("large", VERSIONS)):
        with open_library(folder / name, map_size=8 << 30) as library:
            fill(library.store.log, count)
    return folder / "small", folder / "large"


def fill(log: Any, count: int) -> None:
    project = log.submit(CreateProject(actor="bench", namespace=1, name="p", kind="project")).result
    collections = [
        log.submit(CreateCollection(actor="bench", project=project, name=f"c{n}", type="model")).result
        for n in range(-(-count // A_COLLECTION))
    ]
    for start in range(0, count, BATCH):
        made = [
            Submission(version(collections[n // A_COLLECTION], n))
            for n in range(start, min(start + BATCH, count))
        ]
        log.submit_many(made)
        assert all(submission.receipt for submission in made)


def version(collection: int, number: int) -> CommitVersion:
    entry = Entry("model.safetensors", 90_900_000, b"", f"s3://bucket/{number}", "etag")
    digest = sha256(str(number).encode()).digest()
    aliases = ("prod",) if number % A_COLLECTION == 0 else ()
    return CommitVersion(
        actor="bench", collection=collection, manifest=digest, entries=(entry,), aliases=aliases
    )


class Start(NamedTuple):
    """Seconds to the first answer, seconds on a core for it, and MB resident a second later."""

    seconds: float
    cpu: float
    idle: float


def start(data: Path, path: str) -> Start:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "runstone.server",
        "--data",
        str(data),
        "--port",
        str(port),
        "--log-format",
        "off",
    ]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            with connected(port) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                assert connection.recv(5000).startswith(b"HTTP/1.1 200 OK")
                seconds, cpu = time.perf_counter() - began, cpu_seconds(process.pid)
                time.sleep(1)
                return Start(seconds, cpu, resident(process.pid))
        finally:
            process.terminate()


def connected(port: int) -> socket.socket:
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 60)
        except ConnectionRefusedError:
            time.sleep(0.001)


def cpu_seconds(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def resident(pid: int) -> float:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024


def bare() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
    return time.perf_counter() - began


def race(stores: tuple[Path, Path]) -> dict[str, list[Start]]:
    small, large = stores
    cases = {
        "empty": (small, RESOLVE),
        "full": (large, RESOLVE),
        "empty_other": (small, OTHER),
        "full_other": (large, OTHER),
    }
    found: dict[str, list[Start]] = {name: [] for name in cases}
    found["imports"] = []
    for _ in range(ROUNDS):
        for name, (data, path) in cases.items():
            found[name].append(start(data, path))
        found["imports"].append(Start(bare(), 0, 0))
    return found


def test_start(stores: tuple[Path, Path], benchmark: Any) -> None:
    start(stores[0], OTHER)  # what Python compiles once is compiled
    found = benchmark.pedantic(race, (stores,), rounds=1)
    seconds = {name: statistics.median(one.seconds for one in runs) for name, runs in found.items()}
    record(
        "start to first answer",
        size=f"{VERSIONS:,} versions, {ROUNDS} starts",
        resolve_small=f"{seconds['empty']:.3f} s",
        resolve_large=f"{seconds['full']:.3f} s ({seconds['full'] / seconds['empty']:.2f} x)",
        other_small=f"{seconds['empty_other']:.3f} s",
        other_large=f"{seconds['full_other']:.3f} s",
        cpu_small=f"{statistics.median(one.cpu for one in found['empty']):.3f} s",
        cpu_large=f"{statistics.median(one.cpu for one in found['full']):.3f} s",
        imports_of_aiohttp_and_uvloop=f"{seconds['imports']:.3f} s",
        idle=f"{max(one.idle for one in found['full_other']):.0f} MB",
    )


def test_start_with_a_cold_page_cache(stores: tuple[Path, Path], benchmark: Any) -> None:
    if not os.access(DROP, os.W_OK):
        pytest.skip("dropping the page cache takes root")

    def cold() -> list[float]:
        seconds = []
        for _ in range(ROUNDS):
            os.sync()
            DROP.write_text("3\n")
            seconds.append(start(stores[1], RESOLVE).seconds)
        return seconds

    found = benchmark.pedantic(cold, rounds=1)
    record(
        "start to first answer, cold page cache",
        size=f"{VERSIONS:,} versions, {ROUNDS} starts",
        resolve=f"{statistics.median(found):.3f} s",
    )
