"""The fetch client against curl (one connection) on the same server, and what it moves and costs besides.

RUNSTONE_BENCH_MB is the size of the file (1024 for the figures), RUNSTONE_BENCH_ROUNDS the number of runs of each case, which are
interleaved; medians are taken. curl writes the bytes and checks nothing; the fetch verifies every chunk (BLAKE3) before it writes it.
"""

import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benches.record import record
from runstone.client.fetch import fetch
from runstone.client.remote import Remote
from runstone.testing.served import served

MB = int(os.environ.get("RUNSTONE_BENCH_MB", "16"))
ROUNDS = int(os.environ.get("RUNSTONE_BENCH_ROUNDS", "1"))
IMPORTS = 10
CURL = shutil.which("curl")


def noise(path: Path, size: int) -> None:
    """A file that no file system can shrink."""
    source = random.Random(11)
    with path.open("wb") as file:
        for _ in range(size >> 20):
            file.write(source.randbytes(1 << 20))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    noise(folder / "model.bin", MB << 20)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory, model):
    with (
        served(tmp_path_factory.mktemp("server") / "data") as running,
        Remote(running.url, cache=tmp_path_factory.mktemp("put")) as remote,
    ):
        remote.put("bench/model", model, aliases=["prod"])
        yield running


def timed(work):
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def per_second(seconds):
    return (MB << 20) / statistics.median(seconds) / 1e9


@pytest.mark.skipif(CURL is None, reason="needs curl")
def test_cold_fetch_against_curl(server, tmp_path):
    url = f"{server.url}/api/v1/collections/local/bench/model/versions/1/files/model.bin"
    curl, one, many, warm = [], [], [], []
    for turn in range(ROUNDS):
        for times, connections in ((one, 1), (many, 8)):
            cache, target = tmp_path / f"cache{turn}{connections}", tmp_path / f"target{turn}{connections}"
            options = {"url": server.url, "cache": cache, "connections": connections}
            spent, found = timed(lambda: fetch("local/bench/model@prod", target, **options))  # noqa: B023
            assert found.bytes_fetched == MB << 20
            times.append(spent)
            spent, found = timed(lambda: fetch("local/bench/model@prod", target, **options))  # noqa: B023
            assert found.bytes_fetched == 0
            warm.append(spent)
            shutil.rmtree(cache)
            shutil.rmtree(target)
        command = [CURL, "--silent", "--fail", "--output", tmp_path / "curl", url]
        curl.append(timed(lambda: subprocess.run(command, check=True))[0])  # noqa: B023
        (tmp_path / "curl").unlink()
    record(
        "cold fetch, verified",
        size=f"{MB} MiB, median of {ROUNDS}",
        curl=f"{per_second(curl):.2f} GB/s",
        one_connection=f"{per_second(one) / per_second(curl):.2f} x curl",
        adaptive=f"{per_second(many) / per_second(curl):.2f} x curl",
        warm=f"{statistics.median(warm) * 1000:.1f} ms",
    )


def test_bytes_of_twenty_small_edits(server, model, tmp_path):
    options = {"url": server.url, "cache": tmp_path / "cache"}
    fetch("local/bench/model@v1", **options).release()
    edited = tmp_path / "edited"
    edited.mkdir()
    shutil.copy(model / "model.bin", edited / "model.bin")
    source = random.Random(12)
    with (edited / "model.bin").open("r+b") as file:
        for _ in range(20):
            file.seek(source.randrange((MB << 20) - 4096))
            file.write(source.randbytes(4096))
    with Remote(server.url, cache=tmp_path / "put") as remote:
        version = remote.put("bench/model", edited)
    spent, found = timed(lambda: fetch(version.name, tmp_path / "out", **options))
    assert (tmp_path / "out" / "model.bin").read_bytes() == (edited / "model.bin").read_bytes()
    record(
        "fetch after twenty edits of 4 KiB",
        size=f"{MB} MiB",
        moved=f"{found.bytes_fetched / 1e6:.2f} MB ({100 * found.bytes_fetched / (MB << 20):.2f} %)",
        time=f"{spent * 1000:.0f} ms",
    )


def test_import(tmp_path):
    script = (
        "import time; start = time.perf_counter(); import {0}; print((time.perf_counter() - start) * 1000)"
    )
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    spent = {}
    for module in ("runstone.client.fetch", "runstone.client.remote", "msgspec", "http.client"):
        command = [sys.executable, "-c", script.format(module)]
        runs = [
            subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
            for _ in range(IMPORTS + 1)
        ]
        # The first run compiles. What else the machine does can only add to the others, so the best one counts.
        spent[module.replace(".", "_")] = f"{min(float(run.stdout) for run in runs[1:]):.0f} ms"
    record("client import", size=f"best of {IMPORTS}", **spent)
