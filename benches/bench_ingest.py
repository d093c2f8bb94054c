"""The ingest pass against the sum of its parts, and two threads against one and against two processes.

The parts, each over the same bytes on one thread: OpenSSL's SHA-256 (hashlib), the blake3 and xxhash
packages, and the gear hash alone (`chunk_lengths`). They and the pass are timed in turns, so that a noisy
machine is noisy for all, and the best turn of each counts: in CPU time, or by the wall clock for two threads.
Two processes share no interpreter: what they reach is what two cores of this machine have to give just then. RUNSTONE_BENCH_MB sets the size (16),
RUNSTONE_BENCH_TURNS the turns (7); with -s the figures are printed:

    RUNSTONE_BENCH_MB=256 python -m pytest benches/bench_ingest.py --benchmark-enable -s
"""

import hashlib
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import blake3
import pytest
import xxhash

from runstone._native import digests, ingest

SIZE = int(os.environ.get("RUNSTONE_BENCH_MB", "16")) << 20
TURNS = int(os.environ.get("RUNSTONE_BENCH_TURNS", "7"))
# What an upload hands over at a time.
READ = 1 << 20
KEY = bytes(range(32))


@pytest.fixture(scope="module")
def data() -> bytes:
    return os.urandom(SIZE)


def run_pass(data: bytes) -> ingest.Ingest:
    target, view = ingest.Ingest(), memoryview(data)
    for at in range(0, len(data), READ):
        target.update(view[at : at + READ])
    target.finish()
    return target


def run_two(data: bytes) -> list[bytes]:
    """Two passes at once; the SHA-256 of each."""
    done: list[bytes] = []
    threads = [threading.Thread(target=lambda: done.append(run_pass(data).sha256())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done


OF_WORKER: list[bytes] = []


def load_worker() -> None:
    OF_WORKER.append(os.urandom(SIZE))


def run_in_worker(_: int) -> int:
    return run_pass(OF_WORKER[0]).size


@pytest.fixture(scope="module")
def workers() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn"), initializer=load_worker) as pool:
        # A pool starts a worker only when none is idle: two passes at once start both.
        assert list(pool.map(run_in_worker, range(2))) == [SIZE, SIZE]
        yield pool


def best_of_turns(
    works: dict[str, Callable[[], Any]], clock: Callable[[], float] = time.thread_time
) -> dict[str, float]:
    """The least seconds of each work over TURNS rounds in which every work has one turn.

    The clock is the CPU time of this thread unless another is given: what other programs take does not count.
    """
    best = dict.fromkeys(works, float("inf"))
    for _ in range(TURNS):
        for name, work in works.items():
            start = clock()
            work()
            best[name] = min(best[name], clock() - start)
    return best


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "?")
    return f"{platform.machine()}, {model}, {os.cpu_count()} CPUs, kernel level {ingest._levels()[-1]}"


def report(benchmark: Any, figures: dict[str, Any]) -> None:
    figures = {"machine": machine(), "bytes": SIZE, **figures}
    benchmark.extra_info.update(figures)
    print()
    for name, figure in figures.items():
        print(f"  {name:34} {figure:.2f}" if isinstance(figure, float) else f"  {name:34} {figure}")


def test_pass_against_the_sum_of_its_parts(benchmark: Any, data: bytes):
    parts: dict[str, Callable[[], Any]] = {
        "SHA-256 (hashlib)": lambda: hashlib.sha256(data).digest(),
        "BLAKE3 (blake3, one thread)": lambda: blake3.blake3(data, key=KEY, max_threads=1).digest(),
        "gear hash (ours)": lambda: ingest.chunk_lengths(data),
        "xxh3-64 (xxhash)": lambda: xxhash.xxh3_64_intdigest(data),
    }
    works: dict[str, Callable[[], Any]] = {**parts, "pass": lambda: run_pass(data)}
    best = best_of_turns(works)
    figures = {f"{name}, GB/s": SIZE / seconds / 1e9 for name, seconds in best.items()}
    figures["pass / sum of parts (speed)"] = sum(best[name] for name in parts) / best["pass"]
    report(benchmark, figures)
    done = benchmark.pedantic(run_pass, args=(data,), rounds=1)
    assert done.sha256() == hashlib.sha256(data).digest()


def test_two_threads(benchmark: Any, data: bytes, workers: ProcessPoolExecutor):
    best = best_of_turns(
        {
            "one": lambda: run_pass(data),
            "threads": lambda: run_two(data),
            "processes": lambda: list(workers.map(run_in_worker, range(2))),
        },
        clock=time.perf_counter,
    )
    figures = {
        "two threads / one (throughput)": 2 * best["one"] / best["threads"],
        "two processes / one (throughput)": 2 * best["one"] / best["processes"],
        "load average before": os.getloadavg()[0],
    }
    report(benchmark, figures)
    done = benchmark.pedantic(run_two, args=(data,), rounds=1)
    assert done == 2 * [hashlib.sha256(data).digest()]


def test_verification_of_chunks(benchmark: Any, data: bytes):
    target = ingest.Ingest()
    records = target.update(data) + target.finish()
    best = best_of_turns(
        {
            "verify_chunks": lambda: digests.verify_chunks(data, records),
            "check_chunks": lambda: digests.check_chunks(data, records),
        }
    )
    report(benchmark, {f"{name}, GB/s": SIZE / seconds / 1e9 for name, seconds in best.items()})
    assert benchmark.pedantic(digests.verify_chunks, args=(data, records), rounds=1) == -1
    assert digests.check_chunks(data, records) == -1


@pytest.mark.parametrize("size", [32, 120, 1000])
def test_small_values(benchmark: Any, size: int):
    key, body, state, calls = os.urandom(24), os.urandom(size), os.urandom(32), 2000
    stored, rows = digests.seal(1, key, body), [os.urandom(size) for _ in range(100)]

    def times(work: Callable[[], Any], count: int) -> Callable[[], Any]:
        return lambda: [work() for _ in range(count)]

    best = best_of_turns(
        {
            "seal": times(lambda: digests.seal(1, key, body), calls),
            "unseal": times(lambda: digests.unseal(1, key, stored), calls),
            "fold, one row": times(lambda: digests.fold(state, [body], ()), calls),
            "fold, a row of 100": times(lambda: digests.fold(state, rows, ()), calls // len(rows)),
        }
    )
    report(benchmark, {"value, bytes": size, **{f"{k}, ns": v / calls * 1e9 for k, v in best.items()}})
    assert benchmark.pedantic(digests.unseal, args=(1, key, stored), rounds=1) == body
