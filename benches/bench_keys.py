"""A project with very many distinct keys: what a run, a key or a summary value costs there, beside one with few.

RUNSTONE_BENCH_KEYS is how many keys there are, a hundred in each run, RUNSTONE_BENCH_TURNS how often each thing is done.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import runstone
from benches.record import record
from runstone.domain.runs import columns
from runstone.library import Library

KEYS = int(os.environ.get("RUNSTONE_BENCH_KEYS", "2000"))
TURNS = int(os.environ.get("RUNSTONE_BENCH_TURNS", "5"))
FEW = 100


def fill(library: Library, project: str, keys: int) -> None:
    """A run for each hundred keys, all of them sealed in columns."""
    for first in range(0, keys, FEW):
        name = f"{project}/run-{first}"
        library.create_run(name, config={"first": first})
        library.log_rows(
            name, [(0, 1, {f"group/{first}/key-{key}": key / 7 for key in range(first, first + FEW)})]
        )
    columns.tables(library.store).maintain()


def cost(work: Callable[[int], object]) -> float:
    """Milliseconds of CPU that a call takes in all threads, the median of some turns: the disk is the same for all."""
    spent = []
    for turn in range(TURNS):
        begun = time.process_time()
        work(turn)
        spent.append((time.process_time() - begun) * 1000)
    return statistics.median(spent)


def test_many_distinct_keys(tmp_path: Path) -> None:
    found: dict[str, dict[str, float]] = {}
    with runstone.open(tmp_path / "data") as library:
        for project, keys in (("few", FEW), ("many", KEYS)):
            fill(library, project, keys)
            library.runs(project, "summary.x < 1")  # the columns are made by now
            last = f"{project}/run-0"
            found[project] = {
                "add_a_run": cost(lambda turn, at=project: library.create_run(f"{at}/new-{turn}", config={"lr": turn})),
                "add_a_key": cost(lambda turn, run=last: library.log_rows(run, [(turn, turn, {f"new/{turn}": 1.0})])),
                "set_a_summary": cost(lambda turn, run=last: library.update_run(run, summary={"best": turn})),
                "ask_after_a_change": cost(lambda turn, at=project, run=last: (
                    library.log_rows(run, [(10 + turn, 1, {"group/0/key-0": float(turn)})]),
                    library.runs(at, f'summary.group/0/key-0 >= {turn}' if turn else "summary.best >= 0"),
                )),
                "first_keys": cost(lambda turn, at=project: library.run_fields(at, prefix="summary.group/0", limit=100 + turn)),
            }  # fmt: skip
            assert len(library.run_fields(project, prefix="summary.new/", limit=100)) >= TURNS
    figures = {
        name: f"{few:.2f} and {found['many'][name]:.2f} ms, {found['many'][name] / few:.2f} x"
        for name, few in found["few"].items()
    }
    record("a project of few keys and one of many", size=f"{FEW} and {KEYS:,} keys, {TURNS} turns", **figures)
