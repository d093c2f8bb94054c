"""A file of any size through the unmodified client, to a server of its own, whose memory does not grow with it.

``RUNSTONE_TEST_MLFLOW_BYTES`` is the size of the file.
"""

import hashlib
import os
import random
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import mlflow
import pytest
import requests

pytestmark = pytest.mark.filterwarnings("ignore")
SIZE = int(os.environ.get("RUNSTONE_TEST_MLFLOW_BYTES", str(48 << 20))) + 1234
PART = max(5 << 20, min(SIZE // 20, 100 << 20))
#: A server may hold a piece of 4 MiB of each of the client's connections, and what it has read ahead of them.
ROOM = 160 << 20


@pytest.fixture
def server(tmp_path):
    """The process of a server, and its address."""
    command = [sys.executable, "-m", "runstone.server", "--data", str(tmp_path / "data"), "--port", "0"]
    process = subprocess.Popen([*command, "--log-format", "off"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        found = re.search(r"http://[\d.:]+", process.stdout.readline())
        assert found is not None
        yield process, found[0]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def own(process):
    """The memory of a process that is its own: mapped files are the kernel's."""
    told = Path(f"/proc/{process.pid}/status").read_text()
    anonymous = re.search(r"RssAnon:\s+(\d+)", told)
    assert anonymous is not None
    return int(anonymous[1]) << 10


def digest_of(path):
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


@pytest.mark.timeout(600 + SIZE // 2_000_000)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc")
def test_a_servers_memory_does_not_grow_with_a_file(server, tmp_path, monkeypatch):
    process, url = server
    for name in ("UPLOAD_MINIMUM_FILE", "UPLOAD_CHUNK", "DOWNLOAD_MINIMUM_FILE", "DOWNLOAD_CHUNK"):
        monkeypatch.setenv(f"MLFLOW_MULTIPART_{name}_SIZE", str(PART))
    source, noise = tmp_path / "large.bin", random.Random(7)
    with source.open("wb") as target:
        left = SIZE
        while left:
            left -= target.write(noise.randbytes(min(left, 4 << 20)))
    mlflow.set_tracking_uri(url)
    client = mlflow.MlflowClient(url, url)
    run = client.create_run(client.create_experiment("large")).info
    client.log_text(run.run_id, "warm", "warm.txt")
    before, most = own(process), 0
    told = {}
    begun = time.monotonic()
    with _Watching(lambda: own(process)) as watching:
        client.log_artifact(run.run_id, str(source), "one")
        told["parts up"] = time.monotonic() - begun
        begun = time.monotonic()
        with source.open("rb") as body:
            plain = (
                f"{url}/api/2.0/mlflow-artifacts/artifacts/{run.experiment_id}/{run.run_id}/artifacts/two.bin"
            )
            assert requests.put(plain, data=body, timeout=3600).status_code == 200
        told["whole up (the same bytes)"] = time.monotonic() - begun
        begun = time.monotonic()
        got = Path(client.download_artifacts(run.run_id, "one/large.bin", str(tmp_path)))
        told["ranges down"] = time.monotonic() - begun
        most = watching.most
    assert digest_of(got) == digest_of(source)
    print(
        f"\n{SIZE >> 20} MiB: {before >> 20} MiB of its own before, {most >> 20} at most; "
        + ", ".join(f"{what} {SIZE / 1e6 / seconds:,.0f} MB/s" for what, seconds in told.items())
    )
    assert most - before < ROOM
    assert {each.path: each.file_size for each in client.list_artifacts(run.run_id)}["two.bin"] == SIZE


class _Watching:
    """The greatest of what a function tells, asked over and over in a thread of its own."""

    def __init__(self, ask):
        self.most, self._ask, self._over = 0, ask, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self):
        while True:
            self.most = max(self.most, self._ask())
            if self._over.wait(0.05):
                return

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._over.set()
        self._thread.join()
