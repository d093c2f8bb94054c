"""Many runs as fields at once: the same values as :func:`runstone.domain.runs.table.row`, without a row for each.

What a run logged is most of its fields, and stands in pages of columns already: numpy joins these. A run whose summary is more than
its statistics (it has goals, values set by hand, objects) goes through its row.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from runstone.domain.analysis.statpages import Pages, Stats
from runstone.domain.runs import keys, table
from runstone.domain.store import Store
from runstone.storage.columns import encode
from runstone.storage.columns.bitmaps import Array
from runstone.storage.columns.encode import FieldData
from runstone.storage.index import View
from runstone.storage.tables import LAST_OBJECTS, RUN_MARKS, RUNS, STATS, Run, Table

V = TypeVar("V")

#: How many runs are read in one transaction.
READ = 1024
_EMPTY = b"\x80"


def fields(store: Store, project: int, ids: Sequence[int]) -> tuple[Array, dict[str, FieldData]]:
    """The ids of those runs that there are, and each of their fields as it stands over these."""
    kept: list[int] = []
    rows: list[dict[str, Any]] = []
    plain: list[int] = []
    pages = Pages()
    for start in range(0, len(ids), READ):
        with store.index.read() as view:
            runs = [run for run_id in ids[start : start + READ] if (run := view.get(RUNS, run_id))]
            special = {stream for (stream, _), _ in _of_streams(view, LAST_OBJECTS, runs)}
            places: dict[int, int] = {}
            for run in runs:
                mark = view.get(RUN_MARKS, run.id)
                if run.goals or run.summary != _EMPTY or run.stream in special:
                    rows.append(table.complete(store, view, run, mark))
                else:
                    places[run.stream] = len(kept)
                    rows.append(table.described(run, mark))
                kept.append(run.id)
            for (stream, number), page in _of_streams(view, STATS, runs):
                if stream in places:
                    pages.add(places[stream], number, page)
            plain += places.values()
    found = encode.fields_of(rows)
    statistics = pages.joined()
    _add(found, "steps", _steps(np.array(plain, np.uint32), statistics, len(kept)))
    names = keys.names(store).of
    with store.index.read() as view:
        parts = [(f"summary.{names(view, project, key)}", part) for key, part in statistics.by_key()]
    for name, part in parts:
        for figure, data in _figures(part):
            _add(found, f"{name}:{figure}", data)
    # After these: a key may be called as a statistic of another is, and what was logged counts.
    for name, part in parts:
        _add(found, name, FieldData(number_rows=part.place, numbers=part.value, integers=part.integer))
    return np.array(kept, np.int64), found


def _of_streams(view: View, rows: Table[V], runs: Sequence[Run]) -> Iterator[tuple[tuple[Any, ...], V]]:
    """The rows of the streams of some runs: one walk past streams that follow each other, a seek over others between them."""
    wanted, at = sorted(run.stream for run in runs), 0
    while at < len(wanted):
        for key, value in view.scan(rows, after=(wanted[at],)):
            at = bisect.bisect_left(wanted, key[0], at)
            if at == len(wanted):
                return
            if wanted[at] != key[0]:
                break
            yield key, value
        else:
            return


def _figures(part: Stats) -> Iterator[tuple[str, FieldData]]:
    for name, numbers in (("min", part.minimum), ("max", part.maximum), ("mean", part.mean)):
        yield name, FieldData(number_rows=part.place, numbers=numbers)
    for name, whole in (("count", part.points), ("step", part.step)):
        yield name, FieldData(number_rows=part.place, numbers=whole.astype(np.float64), integers=True)


def _steps(plain: Array, statistics: Stats, count: int) -> FieldData:
    """One more than the greatest step of each plain run."""
    found = np.full(count, -1, np.int64)
    np.maximum.at(found, statistics.place, statistics.step)
    return FieldData(number_rows=plain, numbers=(found[plain] + 1).astype(np.float64), integers=True)


def _add(found: dict[str, FieldData], name: str, data: FieldData) -> None:
    """Adds numbers to a field; where it has one already the new one counts."""
    assert data.number_rows is not None and data.numbers is not None
    rows, numbers, integers = data.number_rows, data.numbers, data.integers
    numbers[np.isnan(numbers)] = np.nan
    held = found.get(name)
    if held is None:
        found[name] = data
        return
    if held.number_rows is not None and held.numbers is not None and len(held.number_rows):
        flags = np.concatenate([_flags(held.integers, held.numbers), _flags(integers, numbers)])
        rows, numbers = np.concatenate([held.number_rows, rows]), np.concatenate([held.numbers, numbers])
        order = np.argsort(rows, kind="stable")
        order = order[np.diff(rows[order].astype(np.int64), append=-1) != 0]
        rows, numbers, integers = rows[order], numbers[order], flags[order]
    found[name] = replace(held, number_rows=rows, numbers=numbers, integers=integers)


def _flags(integers: Any, numbers: Array) -> Array:
    return np.broadcast_to(np.asarray(integers, np.bool_), len(numbers))
