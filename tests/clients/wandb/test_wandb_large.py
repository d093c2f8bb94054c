"""Artifacts of many files and of large ones, as the real SDK sends and fetches them, with the server's memory watched.

RUNSTONE_WANDB_FILES and RUNSTONE_WANDB_MB say how many files and how large; the SDK sends a file in parts from 2,048 MiB on.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from sdk import ANY_KEY, Sdk

from runstone.domain import content, versions
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.testing.served import Served, served

CTX = Context()
FILES = int(os.environ.get("RUNSTONE_WANDB_FILES", "300"))
MEGABYTES = int(os.environ.get("RUNSTONE_WANDB_MB", "201"))
MB = 1 << 20
#: What a file's bytes may add to what the server holds: they pass through.
ROOM = 96 * MB
#: What a file of an artifact may add while its manifest is read, checked and stored.
A_FILE = 8 << 10


def resident(process: int) -> int:
    """Anonymous memory of a process and its children."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    status = Path(f"/proc/{process}/status").read_text().partition("RssAnon:")[2]
    return int(status.split()[0]) * 1024 + sum(resident(int(each)) for each in children)


@contextmanager
def watched(server: Served) -> Iterator[list[int]]:
    """What the server holds: at first, and the most while the block ran."""
    pid, done = server._process.pid, threading.Event()
    found = [resident(pid), 0]

    def watch() -> None:
        while not done.wait(0.05):
            found[1] = max(found[1], resident(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def said(what: str, memory: list[int], **figures: object) -> None:
    shown = ", ".join(f"{name} {figure}" for name, figure in figures.items())
    print(f"\n{what}: resident {memory[0] / MB:.0f} MB before, {memory[1] / MB:.0f} MB at most; {shown}")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "data") as running:
        yield running


@pytest.mark.timeout(3600)
def test_an_artifact_of_many_files(server: Served, tmp_path: Path):
    sdk = Sdk(server.url, ANY_KEY, tmp_path / "sdk")
    sdk.run("with wandb.init(project='large', id='first') as run: run.log({'x': 1})", timeout=900)
    with watched(server) as memory:
        logged, version, count, fetched, back = sdk.run(
            f"""
            import os, time
            for number in range({FILES}):
                folder = f"many/{{number // 1000:03}}"
                if number % 1000 == 0: os.makedirs(folder)
                with open(f"{{folder}}/{{number:06}}", "w") as file: file.write(f"the bytes of file {{number}}")
            began = time.perf_counter()
            with wandb.init(project="large", id="many") as run:
                artifact = wandb.Artifact("many", type="dataset")
                artifact.add_dir("many", policy="immutable", skip_cache=True)
                artifact = run.log_artifact(artifact).wait()
            say(time.perf_counter() - began)
            artifact = wandb.Api().artifact("large/many:latest")
            say(artifact.version); say(artifact.file_count)
            began = time.perf_counter()
            artifact.download(root="got")
            say(time.perf_counter() - began)
            whole = lambda path: open(path, "rb").read()
            held = [f"{{number // 1000:03}}/{{number:06}}" for number in range({FILES})]
            say([sum(len(names) for _, _, names in os.walk("got")),
                 [path for path in held if not os.path.exists(f"got/{{path}}") or whole(f"many/{{path}}") != whole(f"got/{{path}}")][:9]])
            """,
            timeout=3000,
        )
    said(
        f"{FILES:,} files",
        memory,
        logged=f"{logged:.1f} s",
        fetched=f"{fetched:.1f} s",
    )
    assert (version, count, back) == ("v0", FILES, [FILES, []])
    assert memory[1] - memory[0] < ROOM + FILES * A_FILE
    server.stop()
    with Store(tmp_path / "data") as store:
        held = {file.path: file for file in versions.files(store, CTX, "local/large/many@v1")}
    assert len(held) == FILES
    for number in (0, FILES // 2, FILES - 1):
        file = held[f"{number // 1000:03}/{number:06}"]
        assert file.sha256 == sha256(b"the bytes of file %d" % number).hexdigest()


@pytest.mark.timeout(3600)
def test_a_large_file_in_parallel_parts(server: Served, tmp_path: Path):
    sdk = Sdk(server.url, ANY_KEY, tmp_path / "sdk")
    sdk.run("with wandb.init(project='large', id='first') as run: run.log({'x': 1})", timeout=900)
    with watched(server) as memory:
        digest, logged, fetched, back = sdk.run(
            f"""
            import hashlib, os, time
            def digest(path):
                with open(path, "rb") as file: return hashlib.file_digest(file, "sha256").hexdigest()
            piece = os.urandom(1 << 20)
            with open("large.bin", "wb") as file:
                for number in range({MEGABYTES}): file.write(number.to_bytes(8, "little") + piece[8:])
                file.write(b"and an odd end")
            say(digest("large.bin"))
            began = time.perf_counter()
            with wandb.init(project="large", id="one") as run:
                artifact = wandb.Artifact("one", type="dataset")
                artifact.add_file("large.bin", policy="immutable", skip_cache=True)
                run.log_artifact(artifact).wait()
            say(time.perf_counter() - began)
            os.unlink("large.bin")
            artifact = wandb.Api().artifact("large/one:latest")
            began = time.perf_counter()
            artifact.download(root="got", skip_cache=True, multipart=True)
            say(time.perf_counter() - began)
            say(digest("got/large.bin")); artifact.verify("got"); os.unlink("got/large.bin")
            """,
            timeout=3000,
        )
    said(
        f"a file of {MEGABYTES:,} MiB",
        memory,
        logged=f"{logged:.1f} s",
        fetched=f"{fetched:.1f} s in parallel ranges, {MEGABYTES / 1024 / fetched:.2f} GiB/s",
    )
    assert back == digest
    assert memory[1] - memory[0] < ROOM
    server.stop()
    with (
        Store(tmp_path / "data") as store,
        content.open_file(store, CTX, "local/large/one@v1", "large.bin") as file,
    ):
        assert (file.size, file.sha256) == (MEGABYTES * MB + 14, digest)
