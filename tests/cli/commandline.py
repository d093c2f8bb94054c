"""Calling the command line, in this process or in one of its own."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

SRC = Path(__file__).parents[2] / "src"


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on standard output."""
        return msgspec.json.decode(self.out)

    @property
    def problem(self) -> Any:
        """The problem document on standard error."""
        return msgspec.json.decode(self.err)


Run = Callable[..., Ran]


@contextmanager
def running(*arguments: object, **settings: Any) -> Iterator[subprocess.Popen[str]]:
    """The command line in a process of its own, which does not outlive the block."""
    process = start(*arguments, **settings)
    with process:
        try:
            yield process
        finally:
            process.kill()


def start(*arguments: object, **settings: Any) -> subprocess.Popen[str]:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "runstone", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **{**pipes, **settings})
