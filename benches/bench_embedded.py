"""Embedded cold start: import, open, resolve an alias, in a fresh process; the goal is under 60 ms."""

import os
import statistics
import subprocess
import sys
import time

from benches.record import record
from runstone.library import open_library
from runstone.types import FileEntry

ROUNDS = int(os.environ.get("RUNSTONE_BENCH_ROUNDS", "1"))
SCRIPT = """
import time; start = time.perf_counter()
import runstone
with runstone.open({path!r}) as store:
    found = store.resolve("p/m@prod")
print((time.perf_counter() - start) * 1000, found.version)
"""


def test_import_open_resolve(tmp_path):
    path = str(tmp_path / "data")
    with open_library(path) as library:
        library.put("p/m", files=[FileEntry(path="a", size=1, url="s3://b/k", etag="e")], aliases=["prod"])
    inside, whole, bare = [], [], []
    for _ in range(max(ROUNDS, 3)):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT.format(path=path)], capture_output=True, text=True, check=True
        )
        whole.append((time.perf_counter() - start) * 1000)
        spent, version = done.stdout.split()
        assert version == "1"
        inside.append(float(spent))
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        bare.append((time.perf_counter() - start) * 1000)
    record(
        "embedded import + open + resolve",
        size="one version",
        inside=f"{statistics.median(inside):.0f} ms",
        process=f"{statistics.median(whole):.0f} ms",
        bare_python=f"{statistics.median(bare):.0f} ms",
    )
