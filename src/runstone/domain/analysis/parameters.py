"""How parameters go with a metric: correlation, and importance to a random forest.

Correlations are over the ranks of the metric: Spearman's for numbers; for categories the correlation ratio, less what as many
categories would show by chance (Kelley, "An unbiased correlation ratio measure", 1935). Importance is by permutation (Breiman, "Random
forests", 2001) on the half of the runs that a forest has not seen, both ways. scikit-learn is an optional package, imported on first use.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from runstone.domain.context import Context
from runstone.types import FieldImportance, Importances

Floats = NDArray[np.float64]

#: What a forest is given: more would take long and say the same.
FOREST_RUNS = 2000
FOREST_FIELDS = 40
LEAST_FOR_FOREST = 20
TREES = 48
REPEATS = 3
MAX_CATEGORIES = 50
SEED = 20_211


class _Column(NamedTuple):
    """A field: a number for each run, NaN where there is none. Categories are numbered in the order of their texts."""

    field: str
    kind: str
    values: Floats


def measured(ctx: Context, target: str, rows: Iterable[dict[str, Any]], names: list[str]) -> Importances:
    """How the fields ``names`` of rows go with ``target``; rows without a finite number there do not count."""
    held = [row for row in rows if _is_number(row[target])]
    metric = np.array([row[target] for row in held], dtype=np.float64)
    if len(set(metric.tolist())) < 2:
        return Importances(target=target, runs=len(held), method="none", note="too few runs differ in it")
    columns = [found for name in names if (found := _column(name, [row[name] for row in held])) is not None]
    correlations = {column.field: _correlation(column, metric) for column in columns}
    columns.sort(key=lambda column: (-abs(correlations[column.field] or 0), column.field))
    forest, note = _forest(ctx, columns[:FOREST_FIELDS], metric)
    items = [
        FieldImportance(
            field=column.field,
            kind=column.kind,
            runs=int(np.isfinite(column.values).sum()),
            correlation=correlations[column.field],
            importance=forest.get(column.field),
        )
        for column in columns
    ]
    items.sort(key=lambda item: -(item.importance or 0))
    method = "forest" if forest else "correlation"
    return Importances(target=target, runs=len(held), method=method, note=note, items=tuple(items))


def _column(name: str, values: list[Any]) -> _Column | None:
    """A field as numbers; None if it tells nothing: one value alone, or as many texts as runs."""
    given = [value for value in values if isinstance(value, (str, bool)) or _is_number(value)]
    if all(_is_number(value) for value in given):
        numbers = np.array([value if _is_number(value) else np.nan for value in values], dtype=np.float64)
        return _Column(name, "number", numbers) if len(set(given)) > 1 else None
    counts = Counter(_text(value) for value in given)
    if not 1 < len(counts) <= min(MAX_CATEGORIES, max(2, len(given) // 2)):
        return None
    codes = {text: float(code) for code, text in enumerate(sorted(counts))}
    known = [isinstance(value, (str, bool)) or _is_number(value) for value in values]
    numbered = [codes[_text(value)] if held else np.nan for value, held in zip(values, known, strict=True)]
    return _Column(name, "category", np.array(numbered, dtype=np.float64))


def _correlation(column: _Column, metric: Floats) -> float | None:
    """From -1 to 1 for numbers, 0 to 1 for categories; None where the runs that have the field do not differ."""
    there = np.isfinite(column.values)
    values, ranks = column.values[there], _ranks(metric[there])
    groups = len(np.unique(values))
    if groups < 2 or np.ptp(ranks) == 0:
        return None
    if column.kind == "number":
        return float(np.corrcoef(_ranks(values), ranks)[0, 1])
    codes = values.astype(np.int64)
    counts, sums = np.bincount(codes), np.bincount(codes, weights=ranks)
    means = sums[codes] / counts[codes]
    within, total = float(((ranks - means) ** 2).sum()), float(((ranks - ranks.mean()) ** 2).sum())
    if len(values) <= groups:
        return None
    return math.sqrt(max(0.0, 1 - within / total * (len(values) - 1) / (len(values) - groups)))


def _forest(ctx: Context, columns: list[_Column], metric: Floats) -> tuple[dict[str, float], str]:
    """The share of each field in what a forest can tell of the metric, and, without a forest, why there is none."""
    if not columns or len(metric) < LEAST_FOR_FOREST:
        return {}, f"importance takes {LEAST_FOR_FOREST} runs at least" if columns else ""
    try:
        from sklearn.ensemble import RandomForestRegressor
        from sklearn.inspection import permutation_importance
    except ImportError:
        return {}, "importance takes scikit-learn on the server: pip install 'runstone[analysis]'"
    chosen = np.random.default_rng(SEED).permutation(len(metric))[:FOREST_RUNS]
    table = np.column_stack([_filled(column.values)[chosen] for column in columns])
    ranks = _ranks(metric)[chosen]
    halves = np.array_split(np.arange(len(chosen)), 2)
    found = np.zeros(len(columns))
    for seen, other in (halves, halves[::-1]):
        ctx.check_deadline()
        forest = RandomForestRegressor(n_estimators=TREES, min_samples_leaf=2, random_state=SEED)
        forest.fit(table[seen], ranks[seen])
        told = permutation_importance(
            forest, table[other], ranks[other], n_repeats=REPEATS, random_state=SEED
        )
        found += np.maximum(told.importances_mean, 0)
    whole = float(found.sum())
    if not whole > 0:
        return {}, "a random forest finds no field that tells of it"
    return {column.field: float(share / whole) for column, share in zip(columns, found, strict=True)}, ""


def _filled(values: Floats) -> Floats:
    """Values with the middle one where there is none: trees take the place of a run that lacks the field as unremarkable."""
    return np.where(np.isfinite(values), values, np.nanmedian(values))


def _ranks(values: Floats) -> Floats:
    """Ranks from 1 on; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and _fits(value)


def _fits(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _text(value: Any) -> str:
    return f"{type(value).__name__} {value}"
