"""The client starts fast: what it does not need at once is not loaded."""

import subprocess
import sys

import pytest

SLOW = {
    "ssl",
    "http",
    "email",
    "asyncio",
    "logging",
    "json",
    "concurrent",
    "hashlib",
    "random",
    "tempfile",
    "shutil",
    "numpy",
}


@pytest.mark.parametrize(
    "module",
    [
        "runstone.client",
        "runstone.client.fetch",
        "runstone.client.remote",
        "runstone.client.runs.run",
        "runstone.client.runs.remote",
    ],
)
def test_nothing_slow_is_loaded(module):
    script = f"import sys; sys.path[:] = {sys.path!r}; import {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert module in loaded
    assert not loaded & SLOW
    assert {name for name in loaded if name.startswith("runstone.")} <= {
        "runstone.errors", "runstone.types", "runstone.folders", "runstone._native", "runstone._native.digests",
    } | {name for name in loaded if name.startswith("runstone.client")}  # fmt: skip


def test_a_fetch_over_plain_http_loads_no_tls(tmp_path):
    script = f"""
import sys; sys.path[:] = {sys.path!r}
from runstone.client.fetch import fetch
try:
    fetch("a/b/c", url="http://127.0.0.1:9", cache={str(tmp_path)!r}, retries=0)
except Exception as error:
    print(type(error).__name__, *sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Unreachable ") and "ssl" not in done.stdout.split()
