"""Samples of the machine while a run goes on: CPU, memory, disk and network, from /proc, of the process and its children."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from runstone.errors import RunstoneError

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MIB = 1 << 20


class Reading(NamedTuple):
    """What is read at one moment: counters since start, in seconds and bytes, and memory in bytes."""

    time: float
    cpu: float
    machine_busy: float
    machine_total: float
    memory: int
    threads: int
    read: int
    written: int
    received: int
    sent: int


def family(pid: int) -> Iterator[int]:
    """A process and all below it that live now."""
    todo = [pid]
    while todo:
        each = todo.pop()
        yield each
        try:
            for thread in Path(f"/proc/{each}/task").iterdir():
                todo += [int(word) for word in (thread / "children").read_bytes().split()]
        except OSError:
            continue


def read(pid: int) -> Reading:
    """The counters of a process and its children, and of the machine."""
    cpu = memory = threads = read_ = written = 0
    for each in family(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        cpu += int(fields[11]) + int(fields[12])
        threads += int(fields[17])
        memory += int(fields[21]) * _PAGE
        io = _numbers(f"/proc/{each}/io")
        read_ += io.get("read_bytes", 0)
        written += io.get("write_bytes", 0)
    busy, total = _machine()
    received, sent = _network()
    return Reading(
        time.monotonic(), cpu / _TICKS, busy, total, memory, threads, read_, written, received, sent
    )


def _numbers(path: str) -> dict[str, int]:
    """``name: number …`` lines; nothing where there is no such file, or it is not ours to read."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {name: int(rest.split()[0]) for name, rest in pairs if rest.split() and rest.split()[0].isdigit()}


def _machine() -> tuple[float, float]:
    try:
        with open("/proc/stat", "rb") as file:  # noqa: PTH123 (one line of a long file)
            fields = [int(word) for word in file.readline().split()[1:9]]
    except OSError:
        return 0.0, 0.0
    return (sum(fields) - fields[3] - fields[4]) / _TICKS, sum(fields) / _TICKS


def _network() -> tuple[int, int]:
    """Bytes received and sent by every interface but loopback."""
    try:
        lines = Path("/proc/self/net/dev").read_text().splitlines()[2:]
    except OSError:
        return 0, 0
    fields = [line.partition(":") for line in lines]
    counts = [rest.split() for name, _, rest in fields if name.strip() != "lo"]
    return sum(int(each[0]) for each in counts), sum(int(each[8]) for each in counts)


def metrics(before: Reading, after: Reading) -> dict[str, float]:
    """What to log of the time between two readings.

    CPU in percent of one core (the run) and of all cores (the machine), memory in MiB and percent, rates in MiB a second.
    """
    seconds = max(after.time - before.time, 1e-3)
    total = max(after.machine_total - before.machine_total, 1e-3)
    held = _numbers("/proc/meminfo")
    found = {
        "system/cpu": 100 * max(after.cpu - before.cpu, 0.0) / seconds,
        "system/machine_cpu": 100 * (after.machine_busy - before.machine_busy) / total,
        "system/memory_mib": after.memory / _MIB,
        "system/threads": float(after.threads),
        "system/disk_read_mib_s": max(after.read - before.read, 0) / _MIB / seconds,
        "system/disk_written_mib_s": max(after.written - before.written, 0) / _MIB / seconds,
        "system/network_received_mib_s": max(after.received - before.received, 0) / _MIB / seconds,
        "system/network_sent_mib_s": max(after.sent - before.sent, 0) / _MIB / seconds,
    }
    if held.get("MemTotal"):
        used = held["MemTotal"] - held.get("MemAvailable", held.get("MemFree", 0))
        found["system/machine_memory"] = 100 * used / held["MemTotal"]
    return {name: round(value, 3) for name, value in found.items()}


class Sampler:
    """A thread that gives a sample every ``interval`` seconds to ``take(number of the sample, metrics)``."""

    def __init__(self, interval: float, take: Callable[[int, dict[str, float]], None]) -> None:
        self._interval, self._take = interval, take
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="runstone-system", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends it; waits for a sample that is being taken."""
        self._stopped.set()
        if self._thread is not threading.current_thread():
            self._thread.join(5.0)

    def _run(self) -> None:
        pid, number = os.getpid(), 0
        before = read(pid)
        while not self._stopped.wait(self._interval):
            try:
                after = read(pid)
                found = metrics(before, after)
            except (
                OSError,
                ValueError,
                IndexError,
            ):  # a kernel that tells otherwise: better no sample than no run
                continue
            before = after
            try:
                self._take(number, found)
            except RunstoneError:  # the run was finished meanwhile
                return
            number += 1
