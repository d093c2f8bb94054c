"""Applying commands: single-object commands a second in large batches, what bounds it, and single durable writes.

The goal for batches is 40,000 commands/s on one core; a run with ``RUNSTONE_PROFILE=1`` prints where the time goes. A durable single
write is measured beside a bare LMDB commit of one row (which syncs twice: pages, then the meta page), beside one of a row in each of
eight trees, which is what a command that makes something leaves behind, and beside plain fdatasync.
"""

import cProfile
import os
import pstats
import statistics
import time
from pathlib import Path

import lmdb
import pytest

from benches.record import record
from runstone.domain.collections import CreateCollection, UpdateCollection
from runstone.domain.projects import CreateProject
from runstone.library import open_library
from runstone.storage.changelog import Submission

COUNT = int(os.environ.get("RUNSTONE_BENCH_COMMANDS", "2000"))
ROUNDS = int(os.environ.get("RUNSTONE_BENCH_ROUNDS", "1"))


@pytest.fixture
def log(tmp_path):
    with open_library(tmp_path / "data") as library:
        library.store.log.submit(CreateProject(actor="bench", namespace=1, name="p", kind="project"))
        yield library.store.log


def creations(batch: int) -> list[Submission]:
    return [
        Submission(CreateCollection(actor="bench", project=2, name=f"{batch}-{n}", type="model"))
        for n in range(COUNT)
    ]


def rate(log, submissions) -> float:
    start = time.perf_counter()
    log.submit_many(submissions)
    spent = time.perf_counter() - start
    assert all(submission.receipt for submission in submissions)
    return len(submissions) / spent


def test_large_batches(log):
    made = [rate(log, creations(n)) for n in range(ROUNDS)]
    updates = [
        Submission(UpdateCollection(actor="bench", collection=3 + n % COUNT, description=str(n)))
        for n in range(COUNT)
    ]
    record(
        "apply",
        size=f"{COUNT} commands a batch",
        create_collection=f"{statistics.median(made):,.0f}/s",
        update_collection=f"{rate(log, updates):,.0f}/s",
    )
    assert log.head().size == 2 + COUNT * (ROUNDS + 1)


def test_profile(log):
    if os.environ.get("RUNSTONE_PROFILE") != "1":
        pytest.skip("RUNSTONE_PROFILE=1 prints what bounds apply")
    profile = cProfile.Profile()
    profile.runcall(log.submit_many, creations(0))
    pstats.Stats(profile).sort_stats("tottime").print_stats(20)


def each(write, count: int) -> float:
    """Median milliseconds of a call."""
    spent = []
    for n in range(count):
        start = time.perf_counter()
        write(n)
        spent.append(time.perf_counter() - start)
    return statistics.median(spent) * 1000


def test_durable_single_writes(log, tmp_path):
    count = max(COUNT // 100, 20)
    env = lmdb.open(str(tmp_path / "bare"), map_size=1 << 30)
    wide = lmdb.open(str(tmp_path / "wide"), map_size=1 << 30, max_dbs=8)
    trees = [wide.open_db(b"%d" % n) for n in range(8)]
    handle = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)

    def bare(n):
        with env.begin(write=True) as txn:
            txn.put(b"%08d" % n, bytes(300))

    def eight(n):
        with wide.begin(write=True) as txn:
            for tree in trees:
                txn.put(b"%08d" % n, bytes(100), db=tree)

    def synced(n):
        os.pwrite(handle, bytes(300), n * 300)
        os.fdatasync(handle)

    def durable(n):
        log.submit(
            CreateCollection(actor="bench", project=2, name=f"single-{time.monotonic_ns()}", type="model")
        )

    found = {"fdatasync": [], "lmdb": [], "lmdb_eight_rows": [], "runstone": []}
    for _ in range(max(ROUNDS, 3)):
        found["fdatasync"].append(each(synced, count))
        found["lmdb"].append(each(bare, count))
        found["lmdb_eight_rows"].append(each(eight, count))
        found["runstone"].append(each(durable, count))
    median = {name: statistics.median(values) for name, values in found.items()}
    record(
        "durable single writes",
        size=f"{count} writes a round",
        **{name: f"{value:.3f} ms" for name, value in median.items()},
        of_bare_lmdb=f"{median['lmdb'] / median['runstone']:.2f}",
        of_eight_rows=f"{median['lmdb_eight_rows'] / median['runstone']:.2f}",
        of_two_fdatasyncs=f"{2 * median['fdatasync'] / median['runstone']:.2f}",
    )
    os.close(handle)
    env.close()
    wide.close()
    assert Path(tmp_path / "file").stat().st_size == count * 300
