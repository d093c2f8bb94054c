"""Load by ``wrk``, which costs little beside the server that it shares the machine with. A client in Python that keeps 32 connections busy
takes as much of two cores as the server does, and measures itself.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HAS_WRK = shutil.which("wrk") is not None
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
_TICKS = 100.0


class Driven(NamedTuple):
    """What a load came to: milliseconds that half and 99 of 100 answers took at most, answers a second, and the server's own CPU for one."""

    p50: float
    p99: float
    rate: float
    cpu: float

    def __str__(self) -> str:
        return f"p50 {self.p50:.2f} p99 {self.p99:.2f} ms, {self.rate:,.0f}/s, {self.cpu:.2f} ms CPU"


def drive(
    port: int, process: int, asked: Sequence[tuple[str, bytes | None]], clients: int, seconds: int
) -> Driven:
    """Asks the questions (a path, and a body unless it is a GET) in turn, on as many connections that never pause, all from one thread.

    ``process`` is the server's.
    """
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "ask.lua"
        script.write_text(_script(asked))
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "60s", "--latency"]
        before = cpu_seconds(process)
        found = subprocess.run(
            [*command, "-s", str(script), f"http://127.0.0.1:{port}"],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        spent = cpu_seconds(process) - before
    assert "Non-2xx" not in found and "Socket errors" not in found, found
    done = re.search(r"(\d+) requests in", found)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", found)
    assert done and rate, found
    shares = {
        share: float(size) * _UNITS[unit]
        for share, size, unit in re.findall(r"(\d\d)%\s+([\d.]+)(us|ms|s)", found)
    }
    return Driven(shares["50"], shares["99"], float(rate[1]), spent / int(done[1]) * 1000)


def cpu_seconds(process: int) -> float:
    """CPU that a process has taken."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _script(asked: Sequence[tuple[str, bytes | None]]) -> str:
    # A text of JSON is one of Lua too, as long as it is of plain letters.
    made = ",\n".join(
        f"wrk.format({json.dumps('GET' if body is None else 'POST')}, {json.dumps(path)}, headers, "
        f"{'nil' if body is None else json.dumps(body.decode('ascii'))})"
        for path, body in asked
    )
    return (
        'local headers = {["Content-Type"] = "application/json"}\nlocal asked, at = {}, 0\n'
        f"function init(args)\n asked = {{\n{made}\n}}\nend\n"
        "function request()\n at = at % #asked + 1\n return asked[at]\nend\n"
    )
