"""Series: encoding and taking in points, compaction, bytes per point, and reading: a picture and an exact scan of a long series.

Everything is in this process; the log is written as it would be, with its syncs. The smooth series is a decaying curve of doubles, the
noisy one that with noise as a training loop logs it (float32), the constant one a learning rate. Steps count, times jitter.
RUNSTONE_BENCH_POINTS sets the length of the long series (200,000):

    RUNSTONE_BENCH_POINTS=10000000 python -m pytest benches/bench_series.py -s
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.storage.serieskit import KEYS, SeriesStore

from benches.record import record
from runstone._native import points as batches
from runstone.storage.series import directory
from runstone.storage.series.series import PAGE
from runstone.storage.tables import SERIES_BLOCKS, SERIES_CELLS, SERIES_GROUPS

POINTS = int(os.environ.get("RUNSTONE_BENCH_POINTS", "200000"))
TURNS = int(os.environ.get("RUNSTONE_BENCH_TURNS", "5"))
LOSS = KEYS["loss"]
STREAM = 7
#: Rows of a batch, as a client that sends a few times a second would fill it.
BATCH = 50_000
ENTRY = ("key", "value", "timestamp", "step", "model_id")


@pytest.fixture
def store(tmp_path):
    opened = SeriesStore(tmp_path / "index")
    yield opened
    opened.close()


def best(work: Callable[[], Any]) -> float:
    """The least seconds of some turns."""
    found = float("inf")
    for _ in range(TURNS):
        start = time.perf_counter()
        work()
        found = min(found, time.perf_counter() - start)
    return found


def curves(first: int, count: int) -> dict[str, np.ndarray]:
    steps = np.arange(first, first + count)
    rng = np.random.default_rng(first)
    smooth = np.exp(-steps / 1e6) + 0.1 * np.sin(steps / 3000)
    noisy = (smooth + 0.05 * rng.standard_normal(count)).astype(np.float32).astype(np.float64)
    return {"acc": smooth, "loss": noisy, "lr": np.full(count, 3e-4)}


def times_of(first: int, count: int) -> np.ndarray:
    return (
        1_760_000_000_000_000
        + np.arange(first, first + count) * 50_000
        + np.random.default_rng(first).integers(0, 900, count)
    )


def long_series(store: SeriesStore, names: list[str]) -> float:
    """Fills a stream; the seconds that encoding and committing took."""
    spent = 0.0
    for first in range(0, POINTS, BATCH):
        count = min(BATCH, POINTS - first)
        made, times = curves(first, count), times_of(first, count)
        start = time.perf_counter()
        batch = batches.encode_columns(
            range(first, first + count), times, {name: made[name] for name in names}
        )
        store.append_batch(STREAM, batch)
        spent += time.perf_counter() - start
    return spent


def compact(store: SeriesStore) -> tuple[float, float]:
    """(seconds of all steps, seconds of the longest)."""
    longest, spent = 0.0, 0.0
    while True:
        start = time.perf_counter()
        work = store.series.compact(stream=STREAM)
        took = time.perf_counter() - start
        if not work:
            return spent, longest
        longest, spent = max(longest, took), spent + took


def test_batches():
    made = curves(0, 20_000)
    columns = [column.tolist() for column in made.values()]
    rows = [
        (step, step * 1000, dict(zip(made, values, strict=True)))
        for step, values in enumerate(zip(*columns, strict=True))
    ]
    one = [(0, 0, {f"metric/{n}": n / 7 for n in range(50)})]
    batch, small = batches.encode_rows(rows), batches.encode_rows(one)
    entries = [{"key": f"k{at % 10}", "value": at / 7, "timestamp": 1, "step": at} for at in range(1000)]
    singles = [(at, 1000, {f"k{at % 10}": at / 7}) for at in range(1000)]
    count = len(rows) * len(made)
    assert batches.decode_rows(batch) == rows
    record(
        "points batch, ns a point",
        size=f"{count:,} points in rows of 3; one row of 50",
        encode_rows=f"{best(lambda: batches.encode_rows(rows)) / count * 1e9:.1f}",
        encode_columns=f"{best(lambda: batches.encode_columns(range(20_000), range(20_000), made)) / count * 1e9:.1f}",
        check=f"{best(lambda: batches.check(batch)) / count * 1e9:.2f}",
        summaries=f"{best(lambda: batches.summaries(batch)) / count * 1e9:.1f}",
        decode=f"{best(lambda: batches.decode(batch)) / count * 1e9:.2f}",
        encode_entries=f"{best(lambda: batches.encode_entries(entries, ENTRY, 1 << 50, 1000)) / len(entries) * 1e9:.1f}",
        encode_their_rows=f"{best(lambda: batches.encode_rows(singles)) / len(entries) * 1e9:.1f}",
        encode_one_row=f"{best(lambda: [batches.encode_rows(one) for _ in range(100)]) / 5000 * 1e9:.0f}",
        summaries_of_one_row=f"{best(lambda: [batches.summaries(small) for _ in range(100)]) / 5000 * 1e9:.0f}",
    )


def test_bytes_and_compaction(store):
    names = ["acc", "loss", "lr"]
    spent = long_series(store, names)
    seconds, longest = compact(store)
    sizes = {}
    with store.index.read() as view:
        for name in names:
            rows = [
                body
                for table in (SERIES_BLOCKS, SERIES_CELLS, SERIES_GROUPS)
                for _, body in view.scan_bodies(table, table.key.prefix(STREAM, KEYS[name]))
            ]
            sizes[name] = sum(map(len, rows)) / POINTS
            assert (
                sum(e.count for g in directory.groups(view, STREAM, KEYS[name]) for e in g.blocks) == POINTS
            )
    record(
        "taking in and compaction, three keys",
        size=f"{3 * POINTS:,} points, batches of {3 * BATCH:,}",
        encode_and_commit=f"{3 * POINTS / spent:,.0f} points/s",
        compaction=f"{3 * POINTS / seconds:,.0f} points/s",
        longest_step=f"{longest * 1e3:.0f} ms",
        smooth_bytes_a_point=f"{sizes['acc']:.2f}",
        noisy_float32=f"{sizes['loss']:.2f}",
        constant=f"{sizes['lr']:.2f}",
    )


def test_pictures_and_scans(store):
    long_series(store, ["loss"])
    compact(store)
    spans = [(STREAM, None)]
    series = store.series
    picture = series.downsample(spans, LOSS)
    assert picture.count.sum() == POINTS
    whole = best(lambda: series.downsample(spans, LOSS))
    by_time = best(lambda: series.downsample(spans, LOSS, by_time=True))
    figures = {"whole": f"{whole * 1e3:.2f}", "whole_by_time": f"{by_time * 1e3:.2f}"}
    for part in (3, 10, 30, 100, 1000):
        low = POINTS // 3 + 17
        high = low + POINTS // part
        assert series.downsample(spans, LOSS, low=low, high=high).count.sum() == min(high, POINTS) - low
        figures[f"a_{part}th"] = (
            f"{best(lambda low=low, high=high: series.downsample(spans, LOSS, low=low, high=high)) * 1e3:.2f}"
        )
    start = 1_760_000_000_000_000 + POINTS // 3 * 50_000
    end = start + POINTS // 10 * 50_000
    took = best(lambda: series.downsample(spans, LOSS, low=start, high=end, by_time=True))
    figures["a_10th_by_time"] = f"{took * 1e3:.2f}"
    record(f"picture of 1,000 buckets ({len(picture.start)} cut), ms", size=f"{POINTS:,} points", **figures)

    def scan() -> int:
        seen, after = 0, None
        while len(page := series.points(spans, LOSS, after=after, limit=PAGE)):
            seen, after = seen + len(page), page.last()
        return seen

    assert scan() == POINTS
    some = best(lambda: series.points(spans, LOSS, low=POINTS // 2, limit=1000))
    rows = best(lambda: series.rows(spans, after=POINTS // 2, limit=1000))
    record(
        "exact reads",
        size=f"{POINTS:,} points",
        scan=f"{POINTS / best(scan):,.0f} points/s",
        a_page_of_1000_points=f"{some * 1e3:.2f} ms",
        a_page_of_1000_rows=f"{rows * 1e3:.2f} ms",
    )
