"""The fetch client against curl (one connection, from the same server and from nginx), and what it moves and costs besides.

RUNSTONE_BENCH_MB is the size of the file (1024 for the figures), RUNSTONE_BENCH_ROUNDS the number of runs of each case, which are
interleaved; medians are taken. curl writes the bytes and checks nothing; the fetch verifies every chunk (BLAKE3) before it writes it.
"""

import contextlib
import multiprocessing
import os
import random
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from benches.bench_resolve import free_port
from benches.record import record
from benches.xfs import Unavailable, xfs
from runstone.client.fetch import fetch
from runstone.client.following import Following
from runstone.client.remote import Remote
from runstone.client.tensors.load import load
from runstone.server.near import directory_of
from runstone.testing.served import served

MB = int(os.environ.get("RUNSTONE_BENCH_MB", "16"))
ROUNDS = int(os.environ.get("RUNSTONE_BENCH_ROUNDS", "1"))
IMPORTS = 10
READERS = 8
#: Seconds between a version's commit and the alias's move, where versions are brought ahead.
AHEAD = float(os.environ.get("RUNSTONE_BENCH_AHEAD", "0.5"))
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
NGINX_CONF = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off; sendfile on; tcp_nopush on;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""
CURL = shutil.which("curl")


def noise(path: Path, size: int, seed: int = 11) -> None:
    """A safetensors file that no file system can shrink: ``size`` bytes of tensors of 4 MiB."""
    source = random.Random(seed)
    entries = {
        f"layer.{n}": {"dtype": "F32", "shape": [1024, 1024], "data_offsets": [n << 22, (n + 1) << 22]}
        for n in range(size >> 22)
    }
    header = msgspec.json.encode(entries)
    header += b" " * (-len(header) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for _ in range(size >> 20):
            file.write(source.randbytes(1 << 20))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    noise(folder / "model.safetensors", MB << 20)
    return folder


@contextlib.contextmanager
def nginx(folder, root):
    """An nginx that serves a folder; its address."""
    port = free_port()
    (folder / "nginx.conf").write_text(NGINX_CONF.format(folder=folder, port=port, root=root))
    with subprocess.Popen([NGINX, "-p", folder, "-c", folder / "nginx.conf"]) as process:
        try:
            for _ in range(100):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def away(running):
    """Takes away what tells clients that a server is on their machine: it sends them what they lack, as to others."""
    (directory_of(os.getuid()) / running.url.rpartition(":")[2]).unlink()


@pytest.fixture(scope="module")
def beside(tmp_path_factory, model):
    """A server that its clients know to be on their machine."""
    with (
        served(tmp_path_factory.mktemp("beside") / "data") as running,
        Remote(running.url, cache=tmp_path_factory.mktemp("put")) as remote,
    ):
        remote.put("bench/model", model, aliases=["prod"])
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory, model):
    with (
        served(tmp_path_factory.mktemp("server") / "data") as running,
        Remote(running.url, cache=tmp_path_factory.mktemp("put")) as remote,
    ):
        away(running)
        remote.put("bench/model", model, aliases=["prod"])
        yield running


def scatter(path):
    """Twenty edits of 4 KiB."""
    source = random.Random(12)
    with path.open("r+b") as file:
        for _ in range(20):
            file.seek(source.randrange((MB << 20) - 4096))
            file.write(source.randbytes(4096))


def timed(work):
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def per_second(seconds):
    return (MB << 20) / statistics.median(seconds) / 1e9


@pytest.mark.skipif(CURL is None or NGINX is None, reason="needs curl and nginx")
def test_cold_and_warm_fetch_against_curl(server, model, tmp_path):
    ours = f"{server.url}/api/v1/collections/local/bench/model/versions/1/files/model.safetensors"
    spent = {"curl": [], "nginx": [], "one": [], "many": [], "loaded": [], "warm": []}
    size = (model / "model.safetensors").stat().st_size
    with nginx(tmp_path, model) as plain:
        for turn in range(ROUNDS):
            for case, connections in (("one", 1), ("many", 8)):
                cache, target = (
                    tmp_path / f"cache{turn}{connections}",
                    tmp_path / f"target{turn}{connections}",
                )
                options = {"url": server.url, "cache": cache, "connections": connections}
                taken, found = timed(lambda: fetch("local/bench/model@prod", target, **options))  # noqa: B023
                assert found.bytes_fetched == size
                spent[case].append(taken)
                taken, found = timed(lambda: fetch("local/bench/model@prod", target, **options))  # noqa: B023
                assert found.bytes_fetched == 0
                shutil.rmtree(cache)
                shutil.rmtree(target)
            options = {"url": server.url, "cache": tmp_path / "loaded", "log_key": log_key_of(server.url)}
            for case in ("loaded", "warm"):
                taken, found = timed(lambda: load("local/bench/model@prod", **options))  # noqa: B023
                assert not found.near and found["layer.1"].shape == (1024, 1024)
                found.close()
                spent[case].append(taken)
            shutil.rmtree(tmp_path / "loaded")
            for case, url in (("curl", ours), ("nginx", f"{plain}/model.safetensors")):
                command = [CURL, "--silent", "--fail", "--output", tmp_path / "curl", url]
                spent[case].append(timed(lambda: subprocess.run(command, check=True))[0])  # noqa: B023
                (tmp_path / "curl").unlink()
    base = per_second(spent["nginx"])
    record(
        "cold fetch, verified, against a copy from nginx by curl",
        size=f"{MB} MiB, median of {ROUNDS}",
        nginx=f"{base:.2f} GB/s",
        curl_from_us=f"{per_second(spent['curl']) / base:.2f} x",
        one_connection=f"{per_second(spent['one']) / base:.2f} x",
        adaptive=f"{per_second(spent['many']) / base:.2f} x",
        to_mapped_tensors=f"{per_second(spent['loaded']) / base:.2f} x",
        longest=f"{max(spent['loaded']) * 1000:.0f} ms",
        warm_to_mapped_tensors=f"{statistics.median(spent['warm']) * 1000:.1f} ms",
    )


def log_key_of(url):
    """The key of a server's log: with it pinned, each plan is checked to be the store's own."""
    with Remote(url) as remote:
        return remote.log_key()


def test_a_server_on_this_machine(beside, model, tmp_path):
    """Tensors mapped in its packs, of a file in one piece and of one with 20 edits; and files brought, copied from the packs by the client."""
    edited = tmp_path / "edited"
    edited.mkdir()
    shutil.copy(model / "model.safetensors", edited / "model.safetensors")
    scatter(edited / "model.safetensors")
    with Remote(beside.url, cache=tmp_path / "put") as remote:
        remote.put("bench/model", edited)
    spent = {"one_piece": [], "twenty_edits": [], "copied": []}
    for _ in range(20 * ROUNDS):
        for case, version in (("one_piece", "prod"), ("twenty_edits", "v2")):
            taken, found = timed(lambda: load(f"local/bench/model@{version}", url=beside.url, cache=tmp_path))  # noqa: B023
            # Of a small file nearly every tensor has an edit in it, and it is copied.
            assert found.near or (case == "twenty_edits" and MB < 512)
            assert found["layer.1"].shape == (1024, 1024)
            found.close()
            spent[case].append(taken)
    for _ in range(ROUNDS):
        options = {"url": beside.url, "cache": tmp_path / "cache"}
        taken, found = timed(lambda: fetch("local/bench/model@prod", tmp_path / "to", **options))  # noqa: B023
        assert found.bytes_fetched == 0
        spent["copied"].append(taken)
        shutil.rmtree(tmp_path / "cache")
        shutil.rmtree(tmp_path / "to")
    record(
        "alias to mapped tensors, same host",
        size=f"{MB} MiB, {20 * ROUNDS} times",
        median=f"{statistics.median(spent['one_piece']) * 1000:.2f} ms",
        longest_but_first=f"{max(spent['one_piece'][1:]) * 1000:.2f} ms",
        first=f"{spent['one_piece'][0] * 1000:.1f} ms",
        twenty_edits=f"{statistics.median(spent['twenty_edits']) * 1000:.2f} ms",
        brought_to_files=f"{per_second(spent['copied']):.2f} GB/s",
    )


def _bring(url, cache, key, moved):
    with load("local/bench/model@prod", url=url, cache=cache, log_key=key) as found:
        moved.put(found.bytes_fetched)


def test_readers_that_begin_at_once(server, model, tmp_path):
    context = multiprocessing.get_context("spawn")
    moved, key = context.Queue(), log_key_of(server.url)
    processes = [
        context.Process(target=_bring, args=(server.url, str(tmp_path), key, moved)) for _ in range(READERS)
    ]

    def run():
        for process in processes:
            process.start()
        found = [moved.get() for _ in processes]
        for process in processes:
            process.join()
        return found

    taken, found = timed(run)
    size = (model / "model.safetensors").stat().st_size
    record(
        f"{READERS} processes at once, to mapped tensors",
        size=f"{MB} MiB",
        bytes_from_the_server=f"{sum(found) / size:.2f} x",
        time=f"{taken * 1000:.0f} ms",
    )


@pytest.mark.parametrize("way", ["when it moves", "ahead", "shared blocks"])
def test_alias_move_to_ready(server, model, tmp_path, way):
    """One percent of the file is changed, in one stretch; the clock starts before the alias is asked to move.

    Beside it, where the rest of the file is copied, the least that a copy of it takes: by two threads, nothing checked.
    """
    with contextlib.ExitStack() as stack:
        cache = tmp_path
        if way == "shared blocks":
            try:
                cache = stack.enter_context(xfs(300 + (2 + ROUNDS) * MB))
            except Unavailable as why:
                pytest.skip(str(why))
        _move(server, model, tmp_path, way, cache / "cache")


def _move(server, model, tmp_path, way, cache):
    ahead, edited, spent, moved, copies, busy = way == "ahead", tmp_path / "edited", [], [], [], []
    edited.mkdir()
    shutil.copy(model / "model.safetensors", edited / "model.safetensors")
    name = f"bench/moving-{way.replace(' ', '-')}"
    options = {"url": server.url, "cache": cache, "ahead": ahead}
    source = random.Random(13)
    with Remote(server.url, cache=tmp_path / "put") as remote:
        remote.put(name, edited, aliases=["prod"])
        with Following(f"local/{name}@prod", tmp_path / "link", **options) as following:
            next(following)
            for turn in range(ROUNDS):
                with (edited / "model.safetensors").open("r+b") as file:
                    file.seek((MB << 20) // 2 + turn * 4096)
                    file.write(source.randbytes((MB << 20) // 100))
                version = remote.put(name, edited)
                used = time.process_time()
                if ahead:
                    # What is brought ahead is brought while the version is still being looked at.
                    threading.Timer(AHEAD, remote.set_alias, (f"{name}@v{version.number}", "prod")).start()
                    began = time.perf_counter() + AHEAD
                else:
                    began = time.perf_counter()
                    threading.Thread(
                        target=remote.set_alias, args=(f"{name}@v{version.number}", "prod")
                    ).start()
                switch = next(following)
                spent.append(time.perf_counter() - began)
                busy.append(time.process_time() - used)
                moved.append(switch.fetched)
                if way == "when it moves":
                    copies.append(_copy_seconds(switch.path / "model.safetensors", tmp_path / "copy"))
    record(
        f"alias move to ready, 1 % changed, {way}",
        size=f"{MB} MiB, median of {ROUNDS}",
        time=f"{statistics.median(spent) * 1000:.0f} ms",
        processor=f"{statistics.median(busy) * 1000:.0f} ms",
        moved=f"{100 * statistics.median(moved) / (MB << 20):.2f} %",
        **({"copy_alone": f"{statistics.median(copies) * 1000:.0f} ms"} if copies else {}),
    )


def _copy_seconds(source, target):
    """What a copy takes on this file system: two threads, pieces of a megabyte, through a buffer."""
    size, piece = source.stat().st_size, 1 << 20
    with source.open("rb") as reading, target.open("wb") as writing:

        def copy(start, stop):
            buffer = memoryview(bytearray(piece))
            for at in range(start, stop, piece):
                got = os.preadv(reading.fileno(), [buffer], at)
                os.pwrite(writing.fileno(), buffer[:got], at)

        middle = size // 2 // piece * piece
        began = time.perf_counter()
        os.posix_fallocate(writing.fileno(), 0, size)
        threads = [threading.Thread(target=copy, args=part) for part in ((0, middle), (middle, size))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        spent = time.perf_counter() - began
    target.unlink()
    return spent


def test_bytes_of_twenty_small_edits(server, model, tmp_path):
    options = {"url": server.url, "cache": tmp_path / "cache"}
    fetch("local/bench/model@v1", **options).release()
    edited = tmp_path / "edited"
    edited.mkdir()
    shutil.copy(model / "model.safetensors", edited / "model.safetensors")
    scatter(edited / "model.safetensors")
    with Remote(server.url, cache=tmp_path / "put") as remote:
        version = remote.put("bench/model", edited)
    spent, found = timed(lambda: fetch(version.name, tmp_path / "out", **options))
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (
        edited / "model.safetensors"
    ).read_bytes()
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
    for module in (
        "runstone.client.fetch",
        "runstone.client.tensors.load",
        "runstone.client.following",
        "runstone.client.remote",
        "msgspec",
        "http.client",
    ):
        command = [sys.executable, "-c", script.format(module)]
        runs = [
            subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
            for _ in range(IMPORTS + 1)
        ]
        # The first run compiles. What else the machine does can only add to the others, so the best one counts.
        spent[module.replace(".", "_")] = f"{min(float(run.stdout) for run in runs[1:]):.0f} ms"
    record("client import", size=f"best of {IMPORTS}", **spent)
