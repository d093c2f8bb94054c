"""What the runs of a sweep came to."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from runstone.domain.context import Context
from runstone.domain.runs import stats
from runstone.domain.runs.keys import find as find_keys
from runstone.domain.store import Store
from runstone.domain.sweeps.commands import params_of
from runstone.domain.sweeps.config import Metric
from runstone.domain.sweeps.finding import Found
from runstone.storage.index import View
from runstone.storage.tables import RUN_NAMES, RUNS, STATS, SWEEP_RUNS, Run, SweepRun

#: States of a run that may still get better.
OPEN = ("running", "pending", "preempting")


class Result(msgspec.Struct, frozen=True):
    """A run that a sweep gave out: the run itself if it ever began, and the best value of the metric that it logged."""

    given: SweepRun
    run: Run | None
    value: float | None

    @property
    def open(self) -> bool:
        """Whether it still goes on."""
        return self.run is not None and self.run.state in OPEN and not self.run.deleted

    def params(self) -> dict[str, Any]:
        """The parameters that were chosen for it; of a run that was there before, its config."""
        if self.given.prior and self.run is not None:
            config: dict[str, Any] = msgspec.msgpack.decode(self.run.config)
            return config
        return params_of(self.given)


def read(store: Store, ctx: Context, found: Found, metric: Metric | None) -> list[Result]:
    """The runs of a sweep, as they were given out."""
    with store.index.read() as view:
        key = find_keys(view, found.project.id, [metric.name]).get(metric.name) if metric else None
        return [
            _result(view, found, given, metric, key) for _, given in view.scan(SWEEP_RUNS, found.sweep.id)
        ]


def best(store: Store, ctx: Context, found: Found, metric: Metric) -> float | None:
    """The best value of the metric that any run logged."""
    values = [each.value for each in read(store, ctx, found, metric) if each.value is not None]
    if not values:
        return None
    return max(values) if metric.maximize else min(values)


def _result(view: View, found: Found, given: SweepRun, metric: Metric | None, key: int | None) -> Result:
    held = view.get(RUN_NAMES, found.project.id, given.run)
    run = view.get(RUNS, held) if held is not None else None
    if run is None or metric is None:
        return Result(given, run, None)
    summary = msgspec.msgpack.decode(run.summary).get(metric.name)
    values = [summary] if isinstance(summary, int | float) and not isinstance(summary, bool) else []
    page = view.get(STATS, run.stream, key // stats.PAGE) if key is not None else None
    stat = stats.unpack(key // stats.PAGE, page).get(key) if page is not None and key is not None else None
    if stat is not None:
        values.append(stat.maximum if metric.maximize else stat.minimum)
    finite = [float(value) for value in values if math.isfinite(value)]
    return Result(given, run, (max(finite) if metric.maximize else min(finite)) if finite else None)
