"""Delivery: each point arrives once, in order, whatever happens to the server, the network and the process."""

import errno
import gc
import math
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest
from runkit import PACE, options_for, spec_of
from runserver import RunServer

from runstone.client.http import Retries
from runstone.client.runs import journal as journal_module
from runstone.client.runs.orphans import deliver
from runstone.client.runs.records import CUT, HEADER, POINTS, encode, framed
from runstone.client.runs.run import Run
from runstone.client.runs.segment import Segment, found_in
from runstone.client.runs.spool import Place, fallbacks, rejected_in
from runstone.errors import Invalid

WRITER = Path(__file__).with_name("writer.py")
SRC = Path(__file__).parents[3] / "src"
AGAIN = Retries(times=5, first=0.02, longest=0.1)


def until(is_so, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.005)


def writer(spool, url, run="r1", first=0, count=0, padding=0):
    """A training process; its output is the numbers that it logged."""
    words = [spool, url, run, first, count, *([padding] if padding else [])]
    return subprocess.Popen(
        [sys.executable, str(WRITER), *map(str, words)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SRC)},
    )


def logged(process):
    """The numbers that a process that has ended said it logged."""
    with process:
        return [int(line) for line in process.stdout.read().split()]


def assert_once(server, expected, key="n"):
    """Each number once, in order; what was never said to be logged may be there, right behind."""
    found = server.values(key)
    assert found[: len(expected)] == expected
    assert len(found) <= len(expected) + 1 and len(set(found)) == len(found)
    assert server.changed == [], "an id came again with other bytes"


# A server in trouble


@pytest.mark.parametrize("fault", [500, 502, 503, 429, "hang", "cut"])
@pytest.mark.parametrize("kind", ["", "points"])
def test_trouble_of_the_server_passes(server, start, fault, kind, told):
    server.fault, server.fault_kind = fault, kind
    run = start()
    for number in range(50):
        run.log({"n": number})
    until(lambda: server.faults >= 2)
    until(lambda: run.status.state == "waiting")
    assert run.status.error and "not delivered" in told()
    run.log({"n": 50})
    server.fault = 0
    assert run.finish()
    assert_once(server, list(range(51)))
    assert "the store is back" in told()
    assert told().count("not delivered") == 1, "trouble that goes on is told of once"
    if fault == "cut":
        assert max(server.arrivals.values()) > 1, "what was cut off had been carried out, and came again"


def test_a_server_that_dies_comes_back(server, start):
    run = start()
    run.log({"n": 0})
    until(lambda: server.values("n") == [0])
    server.stop()
    for number in range(1, 3000):
        run.log({"n": number})
    until(lambda: run.status.state == "waiting")
    time.sleep(0.2)
    server.start()
    assert run.finish()
    assert_once(server, list(range(3000)))


def test_a_server_that_was_never_there_is_no_reason_not_to_train(spool, told):
    run = Run(spec_of(), options_for("http://127.0.0.1:9", spool))
    for number in range(10):
        run.log({"n": number})
    assert run.finish(timeout=0.3) is False
    assert "they wait in" in told() and run.status.state == "waiting" and run.status.pending
    run._outbox._delivery.stop()


def test_retry_after_is_honoured(server, start):
    server.fault, server.fault_kind, server.fault_headers = 429, "points", {"Retry-After": "1"}
    run = start()
    run.log({"n": 0})
    until(lambda: server.faults == 1)
    begun = time.monotonic()
    run.flush(0.3)
    assert server.faults == 1, "a server that asks to wait is not hurried"
    server.fault = 0
    assert run.finish()
    assert time.monotonic() - begun > 0.8
    assert_once(server, [0])


def test_a_refused_batch_is_recorded_and_the_rest_goes_on(server, start, told, spool):
    run = start()
    run.log({"n": 0})
    assert run.flush(10)
    server.fault, server.fault_kind = 422, "points"
    run.log({"n": 1}, step=7, time=9)
    assert run.flush(10)
    server.fault = 0
    run.log({"n": 2})
    assert run.finish()
    assert server.values("n") == [0, 2]
    assert (run.status.rejected, run.status.delivered) == (1, 2)
    (directory,) = spool.glob("v1/*")
    (rejected,) = rejected_in(directory)
    assert (rejected.kind, rejected.code, rejected.reason) == ("points", "invalid", "told to")
    assert rejected.content == [[7, 9, {"n": 1}]] and str(directory) in told()
    assert found_in(directory) == [], "only what was refused is kept"


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_loses_nothing(server, start, status):
    server.fault = status
    run = start()
    run.log({"n": 0})
    until(lambda: run.status.state == "denied")
    server.fault = 0
    assert run.finish()
    assert_once(server, [0])
    assert run.status.rejected == 0


def test_a_run_that_the_store_refuses_is_kept(server, start, left):
    server.fault, server.fault_kind = 409, "create"
    run = start()
    run.log({"n": 0})
    assert run.finish(timeout=0.3) is False
    assert run.status.state == "denied" and left()
    server.fault = 0
    until(lambda: run.status.state == "done")
    assert_once(server, [0])


def test_a_row_that_no_batch_can_hold_is_rejected_alone(server, start, spool):
    run = start()
    run.log({"n": 0})
    run._append(POINTS, encode((1, 2, {"": 3})))
    run.log({"n": 1})
    assert run.finish()
    assert server.values("n") == [0, 1] and run.status.rejected == 1
    (directory,) = spool.glob("v1/*")
    (rejected,) = rejected_in(directory)
    assert rejected.content == [[1, 2, {"": 3}]] and "key" in rejected.reason


def test_silence_is_broken_by_signs_of_life(server, start):
    run = start(pace=msgspec.structs.replace(PACE, beat=0.1))
    until(lambda: server.beats >= 2)
    run.finish()


# A process that is gone


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_process_loses_nothing_that_log_returned_from(server, spool, seed):
    process = writer(spool, server.url, padding=400 if seed % 2 else 0)
    until(lambda: server.values("n") or process.poll() is not None)
    time.sleep(random.Random(seed).uniform(0.0, 0.3))
    os.kill(process.pid, signal.SIGKILL)
    numbers = logged(process)
    assert numbers == list(range(len(numbers))) and numbers
    deliver(spool, retries=AGAIN)
    assert_once(server, numbers)
    assert server.of("finish") == [], "that the process is gone is not for others to say"
    assert list(spool.glob("v1/*")) == []


def test_a_process_killed_while_the_server_is_away_loses_nothing(server, spool, left):
    server.fault = "cut"
    process = writer(spool, server.url, padding=1000)
    until(lambda: server.faults > 3)
    os.kill(process.pid, signal.SIGKILL)
    numbers = logged(process)
    server.stop()
    (report,) = deliver(spool, retries=Retries(times=1, first=0.01))
    assert "cannot connect" in report.error and left() == [report.journal]
    server.fault = 0
    server.start()
    (report,) = deliver(spool, retries=AGAIN)
    # One that was logged when the kill came may not have been said.
    assert report.error == "" and report.delivered > 0 and left() == []
    assert_once(server, numbers)


def test_a_delivery_that_is_killed_again_and_again_delivers_once(server, spool, left):
    server.stop()
    process = writer(spool, server.url, count=20_000, padding=300)
    numbers = [int(process.stdout.readline()) for _ in range(20_000)]
    os.kill(process.pid, signal.SIGKILL)
    logged(process)
    server.start()
    script = f"""
import sys
from pathlib import Path
from runstone.client.runs.orphans import deliver
deliver(Path({str(spool)!r}))
"""
    noise, kills = random.Random(5), 0
    while left():
        before = len(server.accepted)
        one = subprocess.Popen(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": str(SRC)},
            stdout=subprocess.DEVNULL,
        )
        if kills < 5:
            until(lambda: len(server.accepted) > before + 1 or not left(), 30)  # noqa: B023
            time.sleep(noise.uniform(0, 0.02))
            os.kill(one.pid, signal.SIGKILL)
            kills += 1
        one.wait(60)
    assert kills > 1
    assert_once(server, numbers)


def test_a_stretch_counts_as_delivered_only_when_all_of_it_is(server, spool, start):
    server.fault, server.fault_kind = 500, "update"
    run = start()
    run.log({"n": 0})
    run.config["lr"] = 0.5
    run.use("demo/data:v1")
    until(lambda: server.faults > 1)
    assert server.values("n") == [0]
    run._outbox._delivery.stop()
    run._outbox._delivery._thread.join(10)
    run._outbox._place.release()
    server.fault = 0
    (report,) = deliver(spool, retries=AGAIN)
    assert report.error == ""
    assert_once(server, [0])
    assert [update["config"] for update in server.of("update")] == [{"lr": 0.5}]
    assert len(server.of("edge")) == 1


def test_a_config_comes_as_it_was_given_whoever_delivers_it(server, spool, start):
    config = {
        "nan": math.nan,
        "np": np.float32(0.5),
        "bytes": b"\xff",
        "huge": 2**70,
        "deep": {"a": (1, None)},
    }
    server.fault = "cut"
    run = start(fields={"config": config, "details": {"x": np.int64(1)}})
    until(lambda: server.faults > 1)
    run._outbox._delivery.stop()
    run._outbox._delivery._thread.join(10)
    run._outbox._place.release()
    server.fault = 0
    (report,) = deliver(spool, retries=AGAIN)
    assert report.error == "" and server.changed == []
    (spec,) = server.of("create")
    assert math.isnan(spec["config"].pop("nan")) and spec["info"] == {"x": 1}
    assert spec["config"] == {"np": 0.5, "bytes": b"\xff", "huge": str(2**70), "deep": {"a": [1, None]}}
    assert max(server.arrivals.values()) > 2
    for wrong in ({"a": object()}, {"a": "\ud800"}, {"a": "x" * (1 << 20)}):
        with pytest.raises(Invalid, match=r"'a'|run lab"):
            start(fields={"config": wrong})


def test_a_flush_does_not_wait_for_the_next_attempt(server, start):
    server.stop()
    run = start(pace=msgspec.structs.replace(PACE, retries=Retries(first=60.0, longest=60.0)))
    run.log({"n": 0})
    until(lambda: run.status.state == "waiting")
    server.start()
    assert run.flush(10)
    assert_once(server, [0])
    run.finish()


def test_the_next_run_on_the_host_delivers_what_was_left(server, start, spool, left):
    server.fault = 500
    process = writer(spool, server.url, run="old")
    assert [int(process.stdout.readline()) for _ in range(100)] == list(range(100))
    os.kill(process.pid, signal.SIGKILL)
    numbers = [*range(100), *logged(process)]
    server.fault = 0
    run = start("new", pace=msgspec.structs.replace(PACE, sweep=0.05))
    run.log({"m": 1})
    until(lambda: len(left()) == 1)
    assert run.finish()
    assert_once(server, numbers)
    assert server.values("m") == [1]
    assert {each.run for each in server.accepted if each.kind == "points"} == {"old", "new"}


def test_a_journal_whose_process_lives_is_left_alone(server, start, spool):
    server.fault = 500
    run = start()
    run.log({"n": 1})
    assert deliver(spool) == []
    server.fault = 0
    assert run.finish()
    assert_once(server, [1])


def test_two_deliveries_at_once_deliver_once(server, spool):
    server.stop()
    process = writer(spool, server.url, count=3000)
    numbers = [int(process.stdout.readline()) for _ in range(3000)]
    os.kill(process.pid, signal.SIGKILL)
    logged(process)
    server.start()
    script = f"from pathlib import Path; from runstone.client.runs.orphans import deliver; deliver(Path({str(spool)!r}))"
    both = [
        subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(SRC)})
        for _ in range(2)
    ]
    assert [one.wait(60) for one in both] == [0, 0]
    assert_once(server, numbers)


def test_a_lost_cursor_repeats_the_same_ids_with_the_same_bytes(server, spool, start, monkeypatch):
    monkeypatch.setattr(Place, "set_delivered", lambda *given, **options: None)
    run = start()
    for number in range(100):
        run.log({"n": number})
        if number % 20 == 0:
            run.flush(10)
    server.stop()
    run.log({"n": 100})
    assert run.finish(timeout=0.1) is False
    run._outbox._delivery.stop()
    run._outbox._delivery._thread.join(10)
    run._outbox._place.release()
    monkeypatch.undo()
    server.start()
    (report,) = deliver(spool, retries=AGAIN)
    assert report.error == ""
    assert_once(server, list(range(101)))
    assert max(server.arrivals.values()) == 2


def test_a_damaged_journal_is_delivered_up_to_the_damage_and_kept(server, spool, told):
    server.stop()
    process = writer(spool, server.url, count=3000, padding=300)
    for _ in range(3000):
        process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    logged(process)
    (journal,) = spool.glob("v1/*")
    first, second, *_ = found_in(journal)
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1
    first.write_bytes(content)
    server.start()
    deliver(spool, retries=AGAIN)
    found = server.values("n")
    assert found == list(range(len(found))) and 100 < len(found) < 3000
    assert "damaged" in told()
    (kept,) = spool.glob("v1/*")
    assert kept.name.endswith(".damaged") and second.name in {path.name for path in found_in(kept)}
    assert deliver(spool) == []


# Many processes


def test_eight_processes_of_one_run_deliver_all_of_it(server, spool):
    processes = [writer(spool, server.url, first=rank * 10_000, count=500) for rank in range(8)]
    for process in processes:
        assert len(logged(process)) == 500 and process.returncode == 0
    expected = [rank * 10_000 + number for rank in range(8) for number in range(500)]
    assert sorted(server.values("n")) == expected
    assert {each.run for each in server.accepted if each.kind == "points"} == {"r1"}
    for rank in range(8):
        own = [n for n in server.values("n") if n // 10_000 == rank]
        assert own == sorted(own), "each process's points are in its order"
    assert len({each.id for each in server.accepted if each.kind == "create"}) == 8
    assert list(spool.glob("v1/*")) == []


def child_logs(run, rank):
    for number in range(200):
        run.log({"child": rank * 1000 + number})


def test_a_forked_child_has_a_journal_of_its_own(server, start):
    run = start()
    run.log({"n": 0})
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=child_logs, args=(run, rank)) for rank in range(3)]
    for child in children:
        child.start()
    for number in range(1, 200):
        run.log({"n": number})
    for child in children:
        child.join(30)
        assert child.exitcode == 0
    assert len(server.values("child")) == 600, "a child of multiprocessing delivers before it ends"
    assert run.finish()
    assert_once(server, list(range(200)))
    assert sorted(server.values("child")) == [
        rank * 1000 + number for rank in range(3) for number in range(200)
    ]
    assert len({each.id for each in server.accepted if each.kind == "create"}) == 4
    assert len(server.of("finish")) == 1, "a child that ends does not end the run"


def test_what_a_child_left_is_delivered_before_its_parent_ends(server, start, left):
    run = start()
    run.log({"n": 0})
    pid = os.fork()
    if pid == 0:
        run.log({"child": 1})
        os._exit(0)  # without a word
    os.waitpid(pid, 0)
    assert run.finish()
    assert server.values("n") == [0] and server.values("child") == [1]
    assert left() == []


def test_a_child_that_logs_nothing_makes_nothing(server, start, left):
    run = start()
    pid = os.fork()
    if pid == 0:
        gc.collect()
        os._exit(0)
    os.waitpid(pid, 0)
    run.log({"n": 0})
    assert len(left()) == 1
    assert run.finish()
    assert_once(server, [0])


# The end of a process


SCRIPT = """
import sys
from writer import *
spool, url, how = sys.argv[1:]
options = Options(connect=lambda: RemoteSink(Http(parse(url), timeout=1.0)), destination=url, spool=Path(spool),
                  environment=False)
run = Run(RunSpec(namespace="lab", project="demo", run="r1", created=1), options)
for number in range(100):
    run.log({"n": number})
if how == "raise":
    raise ValueError("on purpose")
if how == "exit":
    sys.exit(0)
"""


@pytest.mark.parametrize(("how", "state"), [("end", "finished"), ("raise", "failed"), ("exit", "finished")])
def test_a_script_that_just_ends_delivers_and_ends_its_run(server, spool, how, state):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(spool), server.url, how],
        env={**os.environ, "PYTHONPATH": f"{SRC}:{WRITER.parent}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, "on purpose" in done.stderr) == ((1, True) if how == "raise" else (0, False)), (
        done.stderr
    )
    assert_once(server, list(range(100)))
    assert [each["state"] for each in server.of("finish")] == [state]


def test_records_that_found_no_room_are_counted_and_told_of(server, start, told, monkeypatch):
    server.fault = 500
    run = start(limit=300_000)
    for number in range(3000):
        run.log({"n": number, "fill": "x" * 200})
    dropped = run.status.dropped
    assert 500 < dropped < 3000 and "no room" in told()
    server.fault = 0
    assert run.flush(20)
    run.log({"n": 3000})
    assert run.finish()
    found = server.values("n")
    assert found == [*range(3000 - dropped), 3000] and Counter(found).most_common(1)[0][1] == 1
    texts = [
        line["text"] for sent in server.of("lines") for line in sent["lines"] if line["stream"] == "runstone"
    ]
    assert sum(int(text.split()[0]) for text in texts) == dropped == run.status.dropped


def test_a_spool_that_cannot_be_written_is_replaced(server, start, tmp_path, told):
    (tmp_path / "file").write_text("")
    run = start(spool=tmp_path / "file" / "spool")
    run.log({"n": 0})
    place = Path(run.status.journal)
    assert place.parent.parent in fallbacks() and str(place) in told()
    assert (place.parent.parent.stat().st_mode & 0o777) == 0o700
    assert run.finish()
    assert_once(server, [0])
    assert not place.exists()


def test_a_spool_that_is_removed_ends_no_training(server, start, spool):
    run = start()
    run.log({"n": 0})
    assert run.flush(10)
    server.fault = 500
    shutil.rmtree(spool)
    for number in range(1, 5000):
        run.log({"n": number, "fill": "x" * 200})
    until(lambda: run.status.volatile)
    server.fault = 0
    assert run.finish()
    assert_once(server, list(range(5000)))


def test_nothing_is_sent_before_its_end_is_in_the_journal(server, start, monkeypatch):
    """On a file system that allocates late, there may be no room even for a cut."""
    real, full = Segment.write, True

    def write(self, at, data):
        if full and HEADER.unpack_from(data)[2] == CUT:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, at, data)

    monkeypatch.setattr(journal_module, "is_mappable", lambda directory: False)
    monkeypatch.setattr(Segment, "write", write)
    run = start()
    for number in range(10):
        run.log({"n": number})
    until(lambda: "No space" in run.status.error)
    assert server.of("points") == []
    full = False
    assert run.finish()
    assert_once(server, list(range(10)))


def test_durable_does_not_wait_for_ever(server, start, told):
    run = start(durable=True, durable_seconds=0.2)
    run.log({"n": 0})
    server.fault = 500
    begun = time.monotonic()
    run.log({"n": 1})
    assert 0.2 <= time.monotonic() - begun < 5 and "not in the store" in told()
    server.fault = 0
    run.log({"n": 2})
    assert server.values("n") == [0, 1, 2]
    run.finish()


def test_a_journal_that_cannot_be_read_disturbs_no_other(server, start, spool, left, told):
    server.stop()
    for run in ("a", "b"):
        process = writer(spool, server.url, run=run, count=50)
        for _ in range(50):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        logged(process)
    server.start()
    bad, _ = left()
    segment = Segment.open(found_in(bad)[0])
    with open(segment.path, "r+b") as file:
        file.write(framed(0, POINTS, b"\xc1"))
    segment.close()
    run = start("new", pace=msgspec.structs.replace(PACE, sweep=0.05))
    run.log({"m": 1})
    until(lambda: left() == sorted([bad, Path(run.status.journal)]))
    until(lambda: "was left is not delivered" in told())
    assert run.finish() and server.values("n") == list(range(50))
    (report,) = deliver(spool, retries=AGAIN)
    assert report.error and report.journal == bad


def test_what_is_no_journal_is_passed_over(server, spool):
    base = spool / "v1"
    for name in ("empty", "no-head", "newer", ".new-half"):
        (base / name).mkdir(parents=True)
    for name in ("no-head", "newer"):
        (base / name / f"{0:016x}.segment").write_bytes(bytes(100))
    (base / "newer" / "head").write_bytes(msgspec.msgpack.encode({"format": 2}))
    (base / "file").write_text("")
    assert deliver(spool) == []
    assert (base / "newer" / "head").exists() and (base / "no-head").exists()
    for name in ("empty", ".new-half"):
        assert (base / name).exists(), "it may be somebody's who is about to write"


def test_servers_are_not_confused(spool, tmp_path):
    with RunServer() as one, RunServer() as two:
        first = Run(spec_of("a"), options_for(one.url, spool))
        second = Run(spec_of("b"), options_for(two.url, spool))
        first.log({"n": 1})
        second.log({"n": 2})
        assert first.finish() and second.finish()
        assert (one.values("n"), two.values("n")) == ([1], [2])
