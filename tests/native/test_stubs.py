"""The stubs of the kernels say what the compiled modules are."""

import os
import subprocess
import sys
from pathlib import Path

import runstone._native.digests as digests

KERNELS = [
    f"runstone._native.{name}"
    for name in (
        "codecs",
        "columns",
        "digests",
        "frames",
        "hotlane",
        "ingest",
        "keys",
        "points",
        "pump",
        "zoom",
    )
]


def test_stubs_match_the_compiled_kernels(tmp_path: Path):
    source = Path(digests.__file__).parents[2]
    command = [sys.executable, "-m", "mypy.stubtest", *KERNELS]
    environment = {**os.environ, "MYPYPATH": str(source), "PYTHONPATH": str(source)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
