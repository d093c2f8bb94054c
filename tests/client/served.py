"""A real server in a process of its own, for tests and benches of the client."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Served:
    """A running server; ``url`` is where. It may be killed, and started again on the same port."""

    def __init__(self, data: Path, *options: str) -> None:
        self._data, self._options = data, options
        self._port = "0"
        self.url = ""
        self.first_key = ""
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "runstone.server", "--data", str(self._data), "--port", self._port]
        self._process = subprocess.Popen(
            [*command, "--log-format", "off", *self._options],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if key := re.search(r"hf_\w+", line):
                self.first_key = key[0]
            if found := re.search(r"http://[^\s]+:(\d+)", line):
                self.url, self._port = found[0], found[1]
                return
        raise AssertionError("the server did not start")

    def stop(self) -> None:
        self._end(self._process.terminate)

    def kill(self) -> None:
        self._end(self._process.kill)

    def _end(self, end) -> None:
        end()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextmanager
def served(data: Path, *options: str) -> Iterator[Served]:
    server = Served(data, *options)
    try:
        yield server
    finally:
        server.kill()
