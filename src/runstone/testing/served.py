"""A real server in a process of its own, that can be killed and started again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class Served:
    """A running server of a data directory; ``url`` is where, ``first_key`` the key that it made if it asks for keys.

    ``options`` are those of ``python -m runstone.server``. Started again, it listens on the same port.
    """

    def __init__(self, data: Path, *options: str) -> None:
        self._data, self._options = data, options
        self._port = "0"
        self.url = ""
        self.first_key = ""
        self.start()

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        command = [sys.executable, "-m", "runstone.server", "--data", str(self._data), "--port", self._port]
        self._process = subprocess.Popen(
            [*command, "--log-format", "off", *self._options],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if key := re.search(r"hf_\w+", line):
                self.first_key = key[0]
            if found := re.search(r"http://[^\s]+:(\d+)", line):
                self.url, self._port = found[0], found[1]
                return
        raise RuntimeError(f"the server ended with status {self._process.wait()} before it answered")

    @property
    def pid(self) -> int:
        """The process of the server."""
        return self._process.pid

    def stop(self) -> None:
        """Asks it to end, and waits."""
        self._end(self._process.terminate)

    def kill(self) -> None:
        """Ends it with SIGKILL."""
        self._end(self._process.kill)

    def _end(self, end: Callable[[], None]) -> None:
        end()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextmanager
def served(data: Path, *options: str) -> Iterator[Served]:
    """A server that ends with the block."""
    server = Served(data, *options)
    try:
        yield server
    finally:
        server.kill()
