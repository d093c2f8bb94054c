"""Questions about a project of many runs, in this process: p50 and p99 of each, with some thousand runs changed since the last seal.

``first`` is the first time that a question is asked: it loads and verifies columns, and searches for patterns whose results are then remembered.

RUNSTONE_BENCH_ROWS sets the runs (3000), RUNSTONE_BENCH_DELTA the changed ones (100), RUNSTONE_BENCH_TURNS how often each question is asked (5),
RUNSTONE_BENCH_FOLDER keeps the table between runs. The goal at a million runs is p50 < 5 ms and p99 < 10 ms:

    RUNSTONE_BENCH_ROWS=1000000 RUNSTONE_BENCH_DELTA=3000 RUNSTONE_BENCH_TURNS=200 python -m pytest benches/bench_columns.py -s
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benches.generator import Runs
from benches.record import record
from runstone.query import Aggregate, And, Compare, Exists, Match, Order, Query
from runstone.storage.columns.table import ColumnTable

ROWS = int(os.environ.get("RUNSTONE_BENCH_ROWS", "3000"))
DELTA = int(os.environ.get("RUNSTONE_BENCH_DELTA", "100"))
TURNS = int(os.environ.get("RUNSTONE_BENCH_TURNS", "5"))
FOLDER = os.environ.get("RUNSTONE_BENCH_FOLDER")

QUESTIONS = {
    "filter on metric and param, by metric": Query(
        filter=And((Compare("summary.loss", "<", 0.5), Compare("config.optimizer.name", "=", "adamw"))),
        order=(Order("summary.accuracy", True),),
    ),
    "the same with a total": Query(
        filter=And((Compare("summary.loss", "<", 0.5), Compare("config.optimizer.lr", ">=", 1e-3))),
        order=(Order("summary.accuracy:max"),),
        total=True,
    ),
    "newest": Query(),
    "all by a metric": Query(order=(Order("summary.f1", True),)),
    "all by created, ascending": Query(order=(Order("created"),)),
    "group by a param": Query(
        group=("config.batch_size",), aggregates=(Aggregate("count"), Aggregate("mean", "summary.loss"))
    ),
    "tag and substring of name": Query(
        filter=And((Exists("tags.sweep"), Match("name", "contains", "-cedar-frost")))
    ),
    "tag and regex on name": Query(
        filter=And((Exists("tags.sweep"), Match("name", "regex", "^sweep-.*7-(amber|dawn)-frost$")))
    ),
    "tag and ilike on name": Query(filter=And((Exists("tags.baseline"), Match("name", "ilike", "%FROST%")))),
}
MEMORY = """
import sys, pathlib
from runstone.storage.columns.table import ColumnTable
from benches.bench_columns import QUESTIONS, Runs
from benches.generator import Runs
def resident():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) // 1024 for line in lines if line.startswith(("VmRSS", "RssAnon", "RssFile"))}
before = resident()
import time
start = time.perf_counter()
table = ColumnTable(pathlib.Path(sys.argv[1]), Runs(int(sys.argv[2])))
table.execute(QUESTIONS["newest"])
opened = time.perf_counter() - start
first = resident()
for query in QUESTIONS.values():
    table.execute(query)
print(f"before {before} opened in {opened * 1e3:.1f} ms {first} after all questions {resident()}")
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> ColumnTable:
    folder = Path(FOLDER) if FOLDER else tmp_path_factory.mktemp("columns")
    runs = Runs(ROWS)
    made = ColumnTable(folder, runs)
    start = time.perf_counter()
    fresh = made.refresh()
    made.seal()
    loaded = time.perf_counter() - start
    start = time.perf_counter()
    steps = 0
    while made.maintain():
        steps += 1
    merged = time.perf_counter() - start
    if fresh:
        start = time.perf_counter()
        for first in range(0, ROWS, 8192):
            runs.row(first)
        generating = time.perf_counter() - start
        size = sum(path.stat().st_size for path in folder.glob("*.seg"))
        record(
            "columns, load",
            size=f"{ROWS} runs",
            pull_and_seal_us_a_row=f"{(loaded - generating) / ROWS * 1e6:.1f}",
            generating_us_a_row=f"{generating / ROWS * 1e6:.1f}",
            merge_us_a_row=f"{merged / ROWS * 1e6:.1f}",
            steps=steps,
            disk_bytes_a_row=f"{size / ROWS:.0f}",
        )
    assert sum(view.count for view in made.state.views) == ROWS
    runs.change(np.random.default_rng(3).choice(ROWS, min(DELTA, ROWS // 2), replace=False).tolist())
    start = time.perf_counter()
    made.refresh()
    record("columns, refresh", size=f"{DELTA} changed", ms=f"{(time.perf_counter() - start) * 1e3:.0f}")
    return made


def report(name: str, work: object) -> None:
    spent = []
    for _ in range(TURNS + 1):
        start = time.perf_counter()
        work()  # type: ignore[operator]
        spent.append((time.perf_counter() - start) * 1e3)
    first, rest = spent[0], np.array(spent[1:])
    record(
        f"columns, {name}",
        size=f"{ROWS} runs, {DELTA} changed",
        first=f"{first:.1f}ms",
        p50=f"{np.percentile(rest, 50):.2f}ms",
        p99=f"{np.percentile(rest, 99):.2f}ms",
    )


@pytest.mark.parametrize("name", QUESTIONS)
def test_question(table: ColumnTable, name: str):
    report(name, lambda: table.execute(QUESTIONS[name]))
    found = table.execute(QUESTIONS[name])
    assert found.ids or found.groups or ROWS < 100_000


def test_distinct_fields(table: ColumnTable):
    assert len(table.fields(limit=100).found) >= 45
    report("distinct fields", lambda: table.fields(limit=100))


def test_memory(table: ColumnTable):
    path = os.pathsep.join(["src", "."])
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(table.folder), str(ROWS)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    record("columns, memory in MiB", size=f"{ROWS} runs", of_a_new_process=done.stdout.strip())
    assert "opened" in done.stdout
