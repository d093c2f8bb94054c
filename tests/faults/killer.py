"""SIGKILL at a random moment, and what a process had acknowledged by then.

A process under test prints one line ``ACK <json>`` for each operation, after the operation was acknowledged
to it. What stands in complete lines is owed; a line that was torn by the kill is not.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

#: Longest wait for a line, or for the end of the output of a killed process. In seconds.
PATIENCE = 60.0


@dataclass(frozen=True)
class Killed:
    """One killed process: what it printed, and whether the kill met it alive."""

    lines: list[str]
    stderr: str
    hit: bool
    returncode: int
    seconds: float

    @property
    def acks(self) -> list[Any]:
        """The acknowledged operations, in order."""
        return acknowledged(self.lines)


class Victim:
    """A process in a group of its own, with unbuffered output, that is killed on leaving the context."""

    def __init__(
        self,
        argv: Sequence[str | os.PathLike[str]],
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (close() does)
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            argv,
            env={**(os.environ if env is None else env), "PYTHONUNBUFFERED": "1"},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            process_group=0,
        )
        self.pid = self._process.pid
        self._output = bytearray()
        self._news = threading.Condition()
        self._ended = False
        self._killed: bool | None = None
        self._killing = threading.Lock()
        self._reader = threading.Thread(target=self._read, name=f"output of {self.pid}", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def lines(self) -> list[str]:
        """The complete lines printed so far."""
        with self._news:
            return complete_lines(bytes(self._output))

    @property
    def alive(self) -> bool:
        """Whether the process runs. Leaves a dead one unreaped, so that its group id cannot be reused."""
        if self._process.returncode is not None:
            return False
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def wait_for(self, prefix: str, count: int = 1, timeout: float = PATIENCE) -> str:
        """Waits for the ``count``-th line that starts with a prefix, and answers it.

        Raises RuntimeError with the process's errors when its output ends before, TimeoutError when it takes
        too long.
        """
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                found = [line for line in complete_lines(bytes(self._output)) if line.startswith(prefix)]
                if len(found) >= count:
                    return found[count - 1]
                if self._ended:
                    raise RuntimeError(
                        f"ended after {len(found)} lines {prefix!r} of {count}:\n{self.stderr}"
                    )
                if not self._news.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"{len(found)} lines {prefix!r} of {count} after {timeout} s")

    def kill(self) -> bool:
        """Kills the whole group now, and answers whether the process was alive when the kill reached it."""
        with self._killing:
            if self._killed is None:
                with contextlib.suppress(ProcessLookupError):
                    # Never after a wait: an unreaped leader keeps the group id from being given to others.
                    os.killpg(self.pid, signal.SIGKILL)
                self._process.wait(PATIENCE)
                self._killed = self._process.returncode == -signal.SIGKILL
            return self._killed

    def kill_after(self, seconds: float) -> threading.Timer:
        """Kills the group later, from a thread; join the timer, then ask ``kill()`` whether it hit."""
        timer = threading.Timer(seconds, self.kill)
        timer.start()
        return timer

    def end(self) -> Killed:
        """Kills the group if still alive, waits until its output ends, and answers what it printed."""
        hit = self.kill()
        self._reader.join(PATIENCE)
        if self._reader.is_alive():
            raise RuntimeError(
                f"a descendant of {self.pid} left its process group and still holds its output"
            )
        seconds = time.monotonic() - self._started
        return Killed(self.lines, self.stderr, hit, self._process.returncode, seconds)

    @property
    def stderr(self) -> str:
        """What was written to the standard error so far."""
        return os.pread(self._errors.fileno(), 1 << 20, 0).decode(errors="replace")

    def close(self) -> None:
        """Kills the group and frees what it held."""
        self.kill()
        self._reader.join(PATIENCE)
        if self._process.stdout and not self._reader.is_alive():
            self._process.stdout.close()
        self._errors.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        handle = self._process.stdout.fileno()
        while piece := os.read(handle, 1 << 16):
            with self._news:
                self._output += piece
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


def killed_at_random(
    argv: Sequence[str | os.PathLike[str]],
    env: Mapping[str, str] | None = None,
    *,
    seed: int,
    min_ms: float,
    max_ms: float,
    ready: str | None = None,
) -> Killed:
    """Runs a program and kills its group a random time after the start, or after its first line ``ready…``.

    The same seed gives the same delay. Check ``hit``: a program that ended by itself was not killed.
    """
    delay = random.Random(seed).uniform(min_ms, max_ms) / 1000
    with Victim(argv, env) as victim:
        start = time.monotonic()
        if ready is not None:
            victim.wait_for(ready)
            start = time.monotonic()
        time.sleep(max(0.0, start + delay - time.monotonic()))
        return victim.end()


def killed_at_line(
    argv: Sequence[str | os.PathLike[str]],
    env: Mapping[str, str] | None = None,
    *,
    seed: int,
    low: int,
    high: int,
    prefix: str = "ACK ",
) -> Killed:
    """Runs a program and kills its group once it has printed low to high lines of a kind, at random."""
    count = random.Random(seed).randint(low, high)
    with Victim(argv, env) as victim:
        victim.wait_for(prefix, count)
        return victim.end()


def complete_lines(output: bytes) -> list[str]:
    """Splits output into its lines, without the last one if the newline is missing."""
    return [line.decode() for line in output.split(b"\n")[:-1]]


def acknowledged(lines: Sequence[str]) -> list[Any]:
    """Reads the ``ACK <json>`` lines; a complete one with broken JSON is the program's error: ValueError."""
    return [json.loads(line.removeprefix("ACK ")) for line in lines if line.startswith("ACK ")]
