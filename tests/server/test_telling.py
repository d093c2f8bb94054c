"""The access log, the metrics, and the upkeep."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from calling import Caller, Process

from runstone.server.access import MAX_WAITING, AccessLog
from runstone.server.background import Background
from runstone.server.metrics import BUCKETS, Board, Metrics, Snapshot, render
from runstone.server.throttle import MAX_BUCKETS, Throttle
from runstone.server.upkeep import UpkeepLock, once


def test_a_line_for_each_request(process: Callable[..., Process]):
    server = process(RUNSTONE_LOG_FORMAT="json")
    caller = server.caller()
    caller.put_version("local/p/m", {"a": b"12345"}, aliases=["prod"])
    headers = {"X-Request-Id": "mine", "X-Runstone-Consumer": "trainer"}
    assert caller.get("/api/v1/collections/local/p/m/versions/1/files/a", headers=headers).content == b"12345"
    caller.get("/nothing?secret=1")
    server.stop()
    server.close()
    lines = [json.loads(line) for line in server.errors]
    assert len({line["id"] for line in lines}) == len(lines) == 8
    told = next(line for line in lines if line["id"] == "mine")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", told["time"])
    assert told["duration_ms"] > 0
    assert told["bytes"] > 5
    shown = {name: told[name] for name in ("principal", "method", "path", "status", "consumer", "peer")}
    assert shown == {
        "principal": "local",
        "method": "GET",
        "path": "/api/v1/collections/local/p/m/versions/1/files/a",
        "status": 200,
        "consumer": "trainer",
        "peer": "127.0.0.1",
    }
    missed = lines[-1]
    assert (missed["path"], missed["status"], missed["error"]) == ("/nothing", 404, "unknown_path")
    assert "consumer" not in missed


def test_the_log_can_be_text_or_off(process: Callable[..., Process]):
    server = process(RUNSTONE_LOG_FORMAT="text")
    server.caller().get("/health")
    server.stop()
    server.close()
    assert re.search(r"^\S+Z id=\S+ .*method=GET path=/health status=200 ", server.errors[0])
    server = process(RUNSTONE_LOG_FORMAT="off")
    server.caller().get("/health")
    server.stop()
    server.close()
    assert server.errors == []


def test_a_log_that_nobody_reads_holds_nobody_up(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    log = AccessLog("json", str(pipe))
    for number in range(MAX_WAITING * 2):
        log.write(number=number, text="x" * 100)
    assert log.dropped
    os.close(reader)
    log.close()


def test_a_line_of_text_cannot_be_forged(tmp_path: Path):
    log = AccessLog("text", str(tmp_path / "log"))
    log.write(path="/a\n2026 status=200", consumer='x" y')
    log.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 1
    assert r"path='/a\n2026 status=200'" in lines[0]


EXPECTED = (
    "runstone_requests_total",
    "runstone_request_seconds_bucket",
    "runstone_sent_bytes_total",
    "runstone_connections",
    "runstone_streams_active",
    "runstone_streams_stalled_total",
    "runstone_uploads",
    "runstone_received_bytes_total",
    "runstone_commits_total",
    "runstone_log_entries_total",
    "runstone_index_used_bytes",
    "runstone_open_fds",
    "runstone_resident_memory_bytes",
    "runstone_event_loop_lag_seconds",
    "runstone_writable",
)


def test_metrics(caller: Caller, server: Background):
    caller.put_version("local/p/m", {"a": b"x" * 1000})
    caller.get("/api/v1/collections/local/p/m/versions/1/files/a")
    answer = caller.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    values = parsed(answer.content.decode())
    for name in EXPECTED:
        assert any(key.startswith(name) for key in values), name
    assert values["runstone_log_entries_total"] == server.store.log.head().size
    assert values["runstone_received_bytes_total"] == 1000
    assert values["runstone_streams_bytes_total"] >= 1000
    assert values["runstone_uploads"] == values["runstone_streams_active"] == 0
    assert values["runstone_active"] == 1
    assert values["runstone_writable"] == 1


def parsed(text: str) -> dict[str, float]:
    """The samples of an exposition; that every line is well-formed, and every family described once, is asserted."""
    values, families = {}, set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            assert kind in ("counter", "gauge", "histogram")
            assert family not in families
            families.add(family)
        elif not line.startswith("# HELP "):
            found = re.fullmatch(
                r'([a-z_]+)(\{[a-z]+="(?:[^"\\\n]|\\.)*"(?:,[a-z]+="(?:[^"\\\n]|\\.)*")*\})? (\S+)', line
            )
            assert found, line
            assert found[1] in families or re.sub(r"_(bucket|sum|count)$", "", found[1]) in families
            assert line not in values
            values[found[1] + (found[2] or "")] = float(found[3])
    return values


def test_a_histogram_counts_every_request_once():
    metrics = Metrics()
    times = [0.0, BUCKETS[0], BUCKETS[0] * 1.01, 0.7, 1000.0]
    for seconds in times:
        metrics.observe('/a"b\\c\n', "GET", 200, seconds, 10)
    values = parsed(render([metrics.snapshot(), metrics.snapshot()], {}))
    label = r'route="/a\"b\\c\n"'
    buckets = [values[f'runstone_request_seconds_bucket{{{label},le="{limit:g}"}}'] for limit in BUCKETS]
    assert buckets[:2] == [4, 6]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 8
    assert values[f'runstone_request_seconds_bucket{{{label},le="+Inf"}}'] == 10
    assert values[f"runstone_request_seconds_count{{{label}}}"] == 10
    assert values[f"runstone_request_seconds_sum{{{label}}}"] == pytest.approx(2 * sum(times))
    assert values[f'runstone_requests_total{{{label},method="GET",status="200"}}'] == 10
    assert values["runstone_sent_bytes_total"] == 100


def test_workers_leave_their_counts_for_each_other():
    handle = Board.create(3)
    boards = [Board(handle, 3, own) for own in range(3)]
    assert boards[0].others() == []
    for own, board in enumerate(boards):
        for turn in range(50):
            board.leave(Snapshot({f"/{own} GET 200": turn}, {}, {"active": own}))
    assert [found.totals["active"] for found in boards[1].others()] == [0, 2]
    assert boards[1].others()[1].requests == {"/2 GET 200": 49}
    boards[0].leave(Snapshot({"x" * Board.SLOT: 1}))
    assert boards[1].others()[0].requests == {"/0 GET 200": 49}
    for board in boards:
        board.close()
    os.close(handle)


def test_a_bucket_fills_again(monkeypatch: pytest.MonkeyPatch):
    from runstone.errors import Overloaded
    from runstone.server import throttle

    now = [100.0]
    monkeypatch.setattr(throttle.time, "monotonic", lambda: now[0])
    bucket = Throttle(2)
    for _ in range(20):
        bucket.take("ann")
    with pytest.raises(Overloaded) as caught:
        bucket.take("ann")
    assert caught.value.details["retry_after"] == 1
    bucket.take("max")
    now[0] += 0.5
    bucket.take("ann")
    with pytest.raises(Overloaded):
        bucket.take("ann")
    now[0] += 1000
    for _ in range(20):
        bucket.take("ann")
    with pytest.raises(Overloaded):
        bucket.take("ann")


def test_buckets_are_not_kept_for_ever():
    bucket = Throttle(1)
    for number in range(MAX_BUCKETS + 100):
        bucket.take(f"user-{number}")
    assert len(bucket._buckets) <= MAX_BUCKETS


def test_one_process_does_the_upkeep(server: Background, tmp_path: Path):
    assert server.worker is not None
    core = server.worker.core
    first, second = UpkeepLock(core.store.path), UpkeepLock(core.store.path)
    assert once(core, first) is True
    assert once(core, second) is False
    assert once(core, first) is True
    first.close()
    assert once(core, second) is True
    second.close()


def test_upkeep_expires_uploads_and_versions(
    background: Callable[..., Background], monkeypatch: pytest.MonkeyPatch
):
    server = background(upkeep_seconds=0.2)
    caller = Caller(server.url)
    soon = time.time_ns() // 1000 + 500_000
    caller.put_version("local/p/m", {"a": b"1"}, expires=soon)
    upload = caller.post("/api/v1/uploads", {"namespace": "local"}).headers["Location"]
    assert caller.call("HEAD", upload).status == 204
    blobs = server.store.blobs
    later = blobs.clock() + blobs.uploads.limits.lifetime + 1
    monkeypatch.setattr(blobs, "clock", lambda: later)
    until = time.monotonic() + 20
    while caller.call("HEAD", upload).status != 404 and time.monotonic() < until:
        time.sleep(0.05)
    assert caller.call("HEAD", upload).status == 404
    while caller.get("/api/v1/resolve/local/p/m/1").status != 410 and time.monotonic() < until:
        time.sleep(0.05)
    assert caller.get("/api/v1/resolve/local/p/m/1").code == "gone"
