"""What a batch of points says in short: the statistics of its numbers, and the last of what is not a number."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import msgspec

from runstone._native import points
from runstone.domain.runs import stats
from runstone.domain.runs.stats import Stat
from runstone.storage.tables import LastObject

#: A last value that is not a number is kept beside the statistics up to this size; of a larger one only that it is there.
MAX_LAST_OBJECT = 16 << 10
#: No step is as high: for statistics that are put together and cannot overlap.
NEVER = 1 << 63
_encode = msgspec.msgpack.Encoder().encode


class Summary(NamedTuple):
    """What :func:`runstone._native.points.summaries` says of one key of a batch; ``last`` is its latest (step, time, value)."""

    name: str
    kind: int
    points: int
    nans: int
    minimum: int | float | None
    maximum: int | float | None
    total: float | None
    first: tuple[int, int, Any]
    last: tuple[int, int, Any]
    low: int
    high: int


def summarised(batch: bytes) -> tuple[dict[str, tuple[Stat, int]], dict[str, LastObject]]:
    """By key, a batch's statistics with their lowest step (the number of the key left 0), and its last objects."""
    numeric: dict[str, tuple[Stat, int]] = {}
    objects: dict[str, LastObject] = {}
    for found in points.summaries(batch):
        summary = Summary(*found)
        if summary.kind == points.OBJECT:
            objects[summary.name] = _last(summary)
            continue
        stat, low = _stat(summary), summary.low
        other = numeric.get(summary.name)
        if other is not None:  # some of its values were integers and some were not
            stat, low = stats.merged(other[0], stat, NEVER), min(low, other[1])
        numeric[summary.name] = (stat, low)
    return numeric, objects


def before(batch: bytes, step: int) -> bytes:
    """A batch's rows before a step, as a batch."""
    return points.encode_rows([row for row in points.decode_rows(batch) if row[0] < step])


def later(new: LastObject, old: LastObject) -> bool:
    """Whether one last object comes after another."""
    return (old.step, old.time, old.value) < (new.step, new.time, new.value)


def _last(summary: Summary) -> LastObject:
    step, time, value = summary.last
    packed = _encode(value)
    return LastObject(step, time, packed if len(packed) <= MAX_LAST_OBJECT else b"")


def _stat(summary: Summary) -> Stat:
    step, time, value = summary.last
    return Stat(
        0,
        stats.INTEGER if summary.kind == points.INT else 0,
        summary.points,
        summary.nans,
        _number(summary.minimum),
        _number(summary.maximum),
        summary.total or 0.0,
        step,
        time,
        float(value),
    )


def _number(value: int | float | None) -> float:
    return math.nan if value is None else float(value)
