"""Series to be drawn, in columns of numbers: what a chart of many runs takes, without a text for every number."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from runstone.domain.context import Context
from runstone.domain.runs import series
from runstone.domain.runs.finding import Found
from runstone.domain.store import Store
from runstone.errors import Invalid

COLUMNS = ("start", "end", "count", "nans", "min", "max", "last", "mean")


class Drawn(msgspec.Struct, frozen=True):
    """A key of a run in ``points`` buckets: a column of float64 for each that was asked for, and ``x`` last if there is a key for it."""

    run: str
    key: str
    started: int
    points: int
    columns: tuple[bytes, ...]


def draw(
    store: Store,
    ctx: Context,
    names: Iterable[str],
    wanted: Iterable[str],
    *,
    columns: Sequence[str] = ("start", "min", "max", "last"),
    low: int | None = None,
    high: int | None = None,
    by: str = "step",
    x: str = "",
    buckets: int = 1000,
) -> list[Drawn]:
    """Keys of runs in at most ``buckets`` buckets each, over a range of steps or times; a run that lacks a key is left out.

    With ``x``, another key, each bucket also has the latest value that ``x`` had by its end, and buckets before its first are left out.
    """
    if unknown := [column for column in columns if column not in COLUMNS]:
        raise Invalid(f"{unknown[0]!r:.80} is no column of buckets: use {', '.join(COLUMNS)}")
    runs, keys = list(names), list(wanted)
    series.check_picture(len(runs) * len(keys), by, buckets)
    drawn = []
    for name in runs:
        ctx.check_deadline()
        found, numbers = series.asked(store, ctx, name, [*keys, *([x] if x else [])], missing_ok=True)
        across = _pictured(store, found, numbers[x], low, high, by, buckets) if x in numbers else None
        for key in keys:
            if key not in numbers or (x and across is None):
                continue
            shown = _pictured(store, found, numbers[key], low, high, by, buckets)
            content = [getattr(shown, column).astype("<f8") for column in columns]
            if across is not None:
                # Steps are compared as they are: a bucket is up to its end, and so is what x had by then.
                ends = across.end.tolist()
                at = [bisect_right(ends, end) - 1 for end in shown.end.tolist()]
                kept = [place for place, value in enumerate(at) if value >= 0]
                content = [column[kept] for column in content] + [across.last[[at[place] for place in kept]]]
            if len(content[0]):
                packed = tuple(column.astype("<f8").tobytes() for column in content)
                drawn.append(Drawn(str(found), key, found.run.started, len(content[0]), packed))
    return drawn


def _pictured(
    store: Store, found: Found, key: int, low: int | None, high: int | None, by: str, buckets: int
) -> Any:
    return series.of(store).downsample(
        series.spans(found), key, low=low, high=high, by_time=by == "time", buckets=buckets
    )


def encode(drawn: Sequence[Drawn], columns: Sequence[str], x: str) -> bytes:
    """One body: the length of the head (u32, little-endian), the head as JSON, blanks up to a multiple of 8, then each series' columns."""
    names = [*columns, *(["x"] if x else [])]
    items = [
        {"run": each.run, "key": each.key, "started": each.started, "points": each.points} for each in drawn
    ]
    head = msgspec.json.encode({"columns": names, "items": items})
    head += b" " * (-(len(head) + 4) % 8)
    return b"".join(
        (struct.pack("<I", len(head)), head, *(column for each in drawn for column in each.columns))
    )
