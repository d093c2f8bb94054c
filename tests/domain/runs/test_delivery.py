"""Rows that come more than once, and runs that are found by conditions."""

import math
import threading

import pytest

from runstone.domain.queries import mongo
from runstone.domain.runs import delivery, lifecycle, listing, points, rows
from runstone.errors import Invalid

RUN = "local/vision/first"


def made(count, start=0):
    return [(step, 1000 + step, {"x": step, "odd": math.nan}) for step in range(start, start + count)]


def log(store, ctx, writer, first, given):
    return delivery.log(
        store, ctx, RUN, writer, first, len(given), lambda start, stop: points.encode(given[start:stop])
    )


def test_rows_that_come_again_change_nothing(store, ctx):
    lifecycle.create(store, ctx, RUN)
    assert log(store, ctx, "w", 0, made(4)) == 4
    before = store.log.head().size
    assert log(store, ctx, "w", 0, made(4)) == 0
    assert log(store, ctx, "w", 1, made(2, 1)) == 0
    assert store.log.head().size == before
    assert log(store, ctx, "w", 2, made(4, 2)) == 2
    assert delivery.delivered(store, ctx, RUN, "w") == 6
    assert [step for step, _, _ in rows.read(store, ctx, RUN)] == list(range(6))
    assert lifecycle.get(store, ctx, RUN).points == 12


def test_a_row_that_says_something_else_is_logged(store, ctx):
    lifecycle.create(store, ctx, RUN)
    log(store, ctx, "w", 0, made(3))
    assert log(store, ctx, "w", 0, [(0, 1000, {"x": 0}), (1, 1001, {"x": 7})]) == 1
    assert [values["x"] for _, _, values in rows.read(store, ctx, RUN)] == [0, 7, 2]
    assert delivery.delivered(store, ctx, RUN, "w") == 3


def test_writers_count_for_themselves_and_only_what_can_be_stored_counts(store, ctx):
    lifecycle.create(store, ctx, RUN)
    log(store, ctx, "a", 0, made(2))
    assert log(store, ctx, "b", 0, [(0, 1000, {"y": 1})]) == 1
    with pytest.raises(Invalid):
        log(store, ctx, "b", 1, [(1, 1000, {"y": object()})])
    assert delivery.delivered(store, ctx, RUN, "b") == 1
    lifecycle.delete(store, ctx, RUN)
    lifecycle.purge(store, ctx, RUN)
    lifecycle.create(store, ctx, RUN)
    assert delivery.delivered(store, ctx, RUN, "a") == 0


def test_the_same_rows_from_two_threads_are_there_once(store, ctx):
    lifecycle.create(store, ctx, RUN)
    new = []
    threads = [
        threading.Thread(target=lambda: new.append(log(store, ctx, "w", 0, made(50)))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(new) == [0] * 5 + [50]
    assert lifecycle.get(store, ctx, RUN).points == 100


def test_rows_are_read_by_range_and_key(store, ctx):
    lifecycle.create(store, ctx, RUN)
    points.log_rows(store, ctx, RUN, made(10))
    found = rows.read(store, ctx, RUN, low=3, high=5, wanted=lambda key: key == "x")
    assert found == [(3, 1003, {"x": 3}), (4, 1004, {"x": 4})]


@pytest.mark.parametrize(
    ("filters", "order", "expected"),
    [
        (None, None, "abc"),
        (None, "-config.lr", "cba"),
        ({"config.lr": {"$gte": 0.1}}, None, "bc"),
        ({"config.lr": {"$lt": 0.1}}, None, "a"),
        ({"tags": {"$in": ["t"]}}, None, "b"),
        ({"config.only": {"$exists": True}}, None, "c"),
        ({"config.lr": {"$ne": 0.2}}, None, "ab"),
        ({"$nor": [{"name": "a"}]}, "-display_name", "cb"),
        ({"display_name": {"$regex": "^[ab]$"}}, "-created_at", "ba"),
        ({"config.lr": "0.1"}, None, ""),
    ],
)
def test_runs_are_found(store, ctx, filters, order, expected):
    for number, name in enumerate("abc"):
        config = {"lr": number / 10} | ({"only": None} if name == "c" else {})
        tags = ["t"] if name == "b" else []
        lifecycle.create(store, ctx, f"local/vision/{name}", config=config, tags=tags)
    lifecycle.create(store, ctx, "local/vision/gone")
    lifecycle.delete(store, ctx, "local/vision/gone")
    found = listing.find(store, ctx, "local/vision", mongo.condition(filters), mongo.orders(order))
    assert "".join(name[-1] for name in found) == expected
