"""What a server counts, and the Prometheus text that tells it.

The exposition format is small and our worker processes have to add up their counts anyway, so there is no library for it:
``prometheus_client`` takes a lock for each count, and shares counts between processes through files that outlive them.
"""

from __future__ import annotations

import bisect
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[tuple[str, str], ...]


class Snapshot(msgspec.Struct, array_like=True):
    """The counts of one worker: requests by (route, method, status), and for each route a histogram and its sum; other totals."""

    requests: dict[str, int] = msgspec.field(default_factory=dict)
    histograms: dict[str, list[float]] = msgspec.field(default_factory=dict)
    totals: dict[str, float] = msgspec.field(default_factory=dict)


class Metrics:
    """The counts of this worker."""

    def __init__(self) -> None:
        self.counts = Snapshot()
        self.active = 0
        self.uploads = 0
        self.connections = 0
        self.lag = 0.0
        self._gauges: list[Callable[[], Mapping[str, float]]] = []

    def observe(self, route: str, method: str, status: int, seconds: float, sent: int) -> None:
        """Counts a request that has been answered."""
        counts = self.counts
        key = f"{route} {method} {status}"
        counts.requests[key] = counts.requests.get(key, 0) + 1
        histogram = counts.histograms.get(route)
        if histogram is None:
            histogram = counts.histograms[route] = [0.0] * (len(BUCKETS) + 2)
        histogram[bisect.bisect_left(BUCKETS, seconds)] += 1
        histogram[-1] += seconds
        counts.totals["sent_bytes"] = counts.totals.get("sent_bytes", 0) + sent

    def observe_many(
        self, route: str, method: str, status: int, count: int, seconds: float, sent: int
    ) -> None:
        """Counts requests that took less than the first bucket, and ``seconds`` together."""
        if count:
            self.observe(route, method, status, 0.0, sent)
            histogram = self.counts.histograms[route]
            histogram[0] += count - 1
            histogram[-1] += seconds
            self.counts.requests[f"{route} {method} {status}"] += count - 1

    def count(self, name: str, amount: float = 1) -> None:
        """Adds to a total."""
        self.counts.totals[name] = self.counts.totals.get(name, 0) + amount

    def watch(self, gauges: Callable[[], Mapping[str, float]]) -> None:
        """Takes in more values, asked for at every snapshot. Those that end in ``_total`` only ever grow."""
        self._gauges.append(gauges)

    def snapshot(self) -> Snapshot:
        """Everything that this worker counts, now."""
        watched = [gauges() for gauges in self._gauges]
        totals = dict(self.counts.totals)
        totals |= {"active": self.active, "uploads": self.uploads, "connections": self.connections}
        for found in watched:
            totals |= found
        totals["rss"], totals["fds"], totals["lag"] = resident_bytes(), open_descriptors(), self.lag
        return Snapshot(self.counts.requests, self.counts.histograms, totals)


def resident_bytes() -> int:
    """The memory that this process has in use, shared pages included."""
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * mmap.PAGESIZE


def open_descriptors() -> int:
    """How many files and sockets this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1


class Board:
    """Shared memory in which each worker leaves its snapshot for whichever one is asked for the metrics.

    A slot is a length and MessagePack, with a number before and after that are equal when nobody was writing.
    """

    SLOT = 256 << 10
    _HEAD = struct.Struct("<QQ")

    def __init__(self, handle: int, workers: int, own: int) -> None:
        self._map = mmap.mmap(handle, self.SLOT * workers)
        self._workers, self._own, self._serial = workers, own, 0

    @classmethod
    def create(cls, workers: int) -> int:
        """A descriptor of fresh shared memory for so many workers; the workers inherit it."""
        handle = os.memfd_create("runstone metrics")
        os.ftruncate(handle, cls.SLOT * workers)
        return handle

    def leave(self, snapshot: Snapshot) -> None:
        """Writes this worker's slot."""
        packed = msgspec.msgpack.encode(snapshot)
        if len(packed) > self.SLOT - 32:
            return
        self._serial += 1
        at = self._own * self.SLOT
        end = at + 16 + len(packed)
        self._map[at : at + 16] = self._HEAD.pack(self._serial, len(packed))
        self._map[at + 16 : end] = packed
        self._map[end : end + 8] = self._serial.to_bytes(8, "little")

    def others(self) -> list[Snapshot]:
        """What the other workers left last."""
        return [
            found for worker in range(self._workers) if worker != self._own and (found := self._read(worker))
        ]

    def _read(self, worker: int) -> Snapshot | None:
        at = worker * self.SLOT
        for _ in range(5):
            serial, length = self._HEAD.unpack_from(self._map, at)
            if not serial or length > self.SLOT - 32:
                return None
            packed = self._map[at + 16 : at + 16 + length]
            if self._map[at + 16 + length : at + 24 + length] == serial.to_bytes(8, "little"):
                return msgspec.msgpack.decode(packed, type=Snapshot)
            time.sleep(0.0001)
        return None

    def close(self) -> None:
        """Unmaps the memory."""
        self._map.close()


_HELP = {
    "sent_bytes": ("counter", "Bytes of responses."),
    "received_bytes": ("counter", "Bytes of uploads taken in."),
    "active": ("gauge", "Requests being answered."),
    "uploads": ("gauge", "Uploads being received."),
    "connections": ("gauge", "Open connections."),
    "refused": ("counter", "Connections and requests refused because there were too many."),
    "logins_failed": ("counter", "Requests with a wrong API key."),
    "logins_refused": (
        "counter",
        "Requests refused because too many wrong API keys came from their address.",
    ),
    "hot_requests": ("counter", "Requests answered by the hot lane."),
    "log_dropped": ("counter", "Lines of the access log that were lost because nobody took them."),
    "answers_again": (
        "counter",
        "Questions whose answer had been made already, and nothing was changed since.",
    ),
    "columns_behind": ("gauge", "Log entries that the columns of runs which are being made are behind."),
    "streams_active": ("gauge", "Downloads being sent."),
    "streams_waiting": ("gauge", "Downloads that wait for a slow peer."),
    "streams_loading": ("gauge", "Downloads that wait for a disk."),
    "streams_bytes": ("counter", "Bytes of downloads handed to sockets."),
    "streams_copied_bytes": ("counter", "The part of them that was copied through the process."),
    "streams_loaded_bytes": ("counter", "The part of them that came from a disk first."),
    "streams_stalled": ("counter", "Downloads ended because the peer stalled."),
    "streams_hung_up": ("counter", "Downloads that the peer ended."),
    "streams_short": ("counter", "Downloads cut because a stored file was too short."),
    "streams_cancelled": ("counter", "Downloads cancelled here."),
    "streams_failed": ("counter", "Downloads that failed otherwise."),
    "streams_damaged": ("counter", "Downloads refused or cut because bytes were damaged."),
}
_WORKER = {
    "rss": ("resident_memory_bytes", "Resident memory of a worker."),
    "fds": ("open_fds", "Open descriptors of a worker."),
    "lag": (
        "event_loop_lag_seconds",
        "The longest that a worker's event loop was held up in the last ten seconds.",
    ),
}
_STORE = {
    "log_size": ("log_entries_total", "counter", "Entries of the change log."),
    "commits": (
        "commits_total",
        "counter",
        "Transactions committed to the index, each with a batch of changes.",
    ),
    "index_bytes": ("index_used_bytes", "gauge", "Bytes of the index that hold pages."),
    "writable": ("writable", "gauge", "1 while changes are accepted."),
}


def render(workers: Iterable[Snapshot], store: Mapping[str, float]) -> str:
    """The Prometheus text exposition (version 0.0.4) of all workers together and of the store."""
    snapshots = list(workers)
    lines: list[str] = []
    _requests(lines, snapshots)
    _histograms(lines, snapshots)
    for name, (kind, text) in _HELP.items():
        suffix = "_total" if kind == "counter" else ""
        total = sum(snapshot.totals.get(name, 0) for snapshot in snapshots)
        _family(lines, f"runstone_{name}{suffix}", kind, text, [((), total)])
    for name, (full, text) in _WORKER.items():
        rows = [
            ((("worker", str(place)),), found.totals.get(name, 0)) for place, found in enumerate(snapshots)
        ]
        _family(lines, f"runstone_{full}", "gauge", text, rows)
    for name, (full, kind, text) in _STORE.items():
        if name in store:
            _family(lines, f"runstone_{full}", kind, text, [((), store[name])])
    return "\n".join(lines) + "\n"


def _requests(lines: list[str], snapshots: list[Snapshot]) -> None:
    summed: dict[str, int] = {}
    for snapshot in snapshots:
        for key, count in snapshot.requests.items():
            summed[key] = summed.get(key, 0) + count
    rows = []
    for key, count in sorted(summed.items()):
        route, method, status = key.rsplit(" ", 2)
        rows.append(((("route", route), ("method", method), ("status", status)), count))
    _family(lines, "runstone_requests_total", "counter", "Requests answered.", rows)


def _histograms(lines: list[str], snapshots: list[Snapshot]) -> None:
    summed: dict[str, list[float]] = {}
    for snapshot in snapshots:
        for route, histogram in snapshot.histograms.items():
            before = summed.get(route, [0.0] * len(histogram))
            summed[route] = [a + b for a, b in zip(before, histogram, strict=True)]
    name = "runstone_request_seconds"
    lines += [
        f"# HELP {name} Time from a request's header to the last byte of its answer.",
        f"# TYPE {name} histogram",
    ]
    for route, histogram in sorted(summed.items()):
        count = 0.0
        for limit, bucket in zip((*BUCKETS, float("inf")), histogram[:-1], strict=True):
            count += bucket
            bound = "+Inf" if limit == float("inf") else f"{limit:g}"
            lines.append(_line(f"{name}_bucket", (("route", route), ("le", bound)), count))
        lines.append(_line(f"{name}_sum", (("route", route),), histogram[-1]))
        lines.append(_line(f"{name}_count", (("route", route),), count))


def _family(lines: list[str], name: str, kind: str, text: str, rows: Iterable[tuple[Labels, Any]]) -> None:
    lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    lines += [_line(name, labels, value) for labels, value in rows]


def _line(name: str, labels: Labels, value: float) -> str:
    shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
    number = str(int(value)) if value == int(value) else repr(float(value))
    return f"{name}{{{shown}}} {number}" if shown else f"{name} {number}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
