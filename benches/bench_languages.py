"""How long a filter takes to become a tree, and what a SQL statement costs before it reads its first row.

The same question (a metric, a parameter, a tag and an attribute) in each language; beside mlflow's filter, the package that mlflow parses
with (sqlparse), if it is installed, for its parsing alone. SQL is one aggregate over RUNSTONE_BENCH_ROWS rows (10,000), in this process and in one
of its own. RUNSTONE_BENCH_TURNS sets the turns (20); with -s the figures are printed.
"""

import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import pyarrow

from benches.record import record
from runstone.domain.queries import mlflow, mongo, text
from runstone.domain.queries.sql import run_sql
from runstone.query import fields_of

ROWS = int(os.environ.get("RUNSTONE_BENCH_ROWS", "10000"))
TURNS = int(os.environ.get("RUNSTONE_BENCH_TURNS", "20"))
MLFLOW = "metrics.loss < 0.5 AND params.opt = 'adam' AND tags.stage = 'prod' AND attributes.user_id != 'bob'"
MONGO = json.dumps(
    {
        "summary_metrics.loss": {"$lt": 0.5},
        "config.opt": "adam",
        "tags.stage": "prod",
        "username": {"$ne": "bob"},
    }
)
TEXT = 'summary.loss < 0.5 and config.opt = "adam" and tags.stage = "prod" and user != "bob"'


def median(call: Callable[[], Any], turns: int) -> float:
    """Median seconds of a call."""
    spent = []
    for _ in range(turns):
        start = time.perf_counter()
        call()
        spent.append(time.perf_counter() - start)
    return statistics.median(spent)


def test_filters_become_trees():
    figures = {}
    for name, compile in {
        "mlflow": lambda: mlflow.condition(MLFLOW),
        "mongo": lambda: mongo.condition(MONGO),
        "text": lambda: text.condition(TEXT),
    }.items():
        assert fields_of(compile()) == {"summary.loss", "config.opt", "tags.stage", "user"}
        figures[name] = f"{median(compile, TURNS * 10) * 1e6:.0f}us"
    try:
        import sqlparse
    except ImportError:
        pass
    else:
        figures["sqlparse_alone"] = f"{median(lambda: sqlparse.parse(MLFLOW), TURNS) * 1e6:.0f}us"
    record("filter to tree", size="4 conditions", **figures)


def test_sql_statements():
    table = pyarrow.table(
        {"config.opt": ["adam", "sgd"] * (ROWS // 2), "summary.loss": [0.25, 0.75] * (ROWS // 2)}
    )
    statement = 'SELECT "config.opt", avg("summary.loss") FROM runs GROUP BY ALL ORDER BY 1'
    figures = {}
    for name, isolated in {"in_process": False, "isolated": True}.items():

        def ask(isolated: bool = isolated) -> pyarrow.Table:
            return run_sql(statement, {"runs": lambda wanted: table}, isolated=isolated)

        assert ask().column(1).to_pylist() == [0.25, 0.75]
        figures[name] = f"{median(ask, max(TURNS // 5, 1)) * 1000:.0f}ms"
    record("sql", size=f"{ROWS} rows", **figures)
