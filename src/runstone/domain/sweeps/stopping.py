"""Hyperband: which runs of a sweep are so far behind the others that they are ended early.

Source: Li et al., "Hyperband" (JMLR 2018): after each band's count of values, the best 1/eta of the runs that got so far go on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from runstone.domain.context import Context
from runstone.domain.runs import points, series
from runstone.domain.store import Store
from runstone.domain.sweeps.config import Metric, Stopping
from runstone.errors import Gone, Missing

#: The most values of a run that are looked at.
MAX_BAND = 100_000
#: Results of runs at bands that are remembered: the first values of a run are read once.
MAX_KNOWN = 100_000


def behind(
    store: Store, ctx: Context, stopping: Stopping, metric: Metric, run: str, others: Iterable[str]
) -> bool:
    """Whether a run (its full name) is worse than its place among the others allows, at the last band that it came to."""
    band = _band(store, ctx, stopping, metric, run)
    own = best(store, ctx, metric, run, band) if band else None
    if own is None:
        return False
    reached = [value for name in others if (value := best(store, ctx, metric, name, band)) is not None]
    return own > _quantile(sorted([*reached, own]), 1 / stopping.eta)


def _band(store: Store, ctx: Context, stopping: Stopping, metric: Metric, run: str) -> int:
    logged = _count(store, ctx, metric.name, run)
    return max((band for band in stopping.bands if band <= min(logged, MAX_BAND)), default=0)


def best(store: Store, ctx: Context, metric: Metric, run: str, band: int) -> float | None:
    """The best of a run's first ``band`` values of the metric, the smaller the better; None for a run that has fewer."""
    known: dict[tuple[str, str, bool, int], float] = store.part("sweep-bands", lambda _: {})
    place = (run, metric.name, metric.maximize, band)
    if place not in known:
        if _count(store, ctx, metric.name, run) < band:
            return None
        if len(known) >= MAX_KNOWN:
            known.clear()
        known[place] = _best(store, ctx, metric, run, band)
    return known[place]


def _best(store: Store, ctx: Context, metric: Metric, run: str, band: int) -> float:
    values = series.read(store, ctx, run, metric.name, limit=band).values
    found = [float(each) for each in values if isinstance(each, int | float) and not math.isnan(each)]
    if not found:
        return math.inf
    return -max(found) if metric.maximize else min(found)


def _count(store: Store, ctx: Context, key: str, run: str) -> int:
    try:
        held = points.statistics(store, ctx, run, prefix=key, limit=1)
    except (Missing, Gone):
        return 0
    return next((stat.points for stat in held if stat.key == key), 0)


def _quantile(ordered: list[float], share: float) -> float:
    """The value below which ``share`` of the values lie, between two in proportion."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    if ordered[low] == ordered[high]:
        return ordered[low]
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
