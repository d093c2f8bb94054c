"""Series of runs through the domain: exact points, rows, pictures, compaction, and what is hidden."""

import math

import pytest

from runstone._native.points import encode_rows
from runstone.domain.runs import lifecycle, points, series
from runstone.errors import Invalid, Missing

RUN = "local/vision/first"


@pytest.fixture(params=[False, True], ids=["arrived", "compacted"])
def settle(store, request):
    """Leaves points in the log, or takes them into blocks."""
    return (lambda: series.compact(store, everything=True)) if request.param else (lambda: None)


def log(store, ctx, *rows, run=RUN):
    return points.log(store, ctx, run, encode_rows([(step, 1000 + step, values) for step, values in rows]))


def test_points_come_back_as_they_were_logged(store, ctx, settle):
    lifecycle.create(store, ctx, RUN)
    log(store, ctx, (2, {"loss": 1.5, "n": 7}), (0, {"loss": math.inf, "who": {"_type": "x"}}))
    log(store, ctx, (1, {"loss": -0.0, "n": 2**60}), (2, {"loss": 1.5}))
    settle()
    page = series.read(store, ctx, RUN, "loss")
    assert (page.steps, page.times, page.next) == ([0, 1, 2], [1000, 1001, 1002], "")
    assert page.values == [math.inf, 0.0, 1.5] and math.copysign(1, page.values[1]) == -1
    assert series.read(store, ctx, RUN, "n").values == [2**60, 7]
    assert series.read(store, ctx, RUN, "who").values == [{"_type": "x"}]
    rows = series.rows(store, ctx, RUN)
    assert rows.rows == (
        (0, 1000, {"loss": math.inf, "who": {"_type": "x"}}),
        (1, 1001, {"loss": -0.0, "n": 2**60}),
        (2, 1002, {"loss": 1.5, "n": 7}),
    )
    assert series.rows(store, ctx, RUN, ["n"]).rows == ((1, 1001, {"n": 2**60}), (2, 1002, {"n": 7}))


def test_pages_and_ranges(store, ctx, settle):
    lifecycle.create(store, ctx, RUN)
    log(store, ctx, *((step, {"loss": float(step)}) for step in range(100)))
    settle()
    found, after = [], ""
    while True:
        page = series.read(store, ctx, RUN, "loss", low=10, high=90, limit=7, after=after)
        found += page.steps
        after = page.next
        if not after:
            break
    assert found == list(range(10, 90))
    by_time = series.read(store, ctx, RUN, "loss", low=1010, high=1020, by="time")
    assert by_time.steps == list(range(10, 20))
    rows = series.rows(store, ctx, RUN, limit=30)
    assert rows.next == "29"
    assert [row[0] for row in series.rows(store, ctx, RUN, after=29, limit=30).rows] == list(range(30, 60))


def test_a_picture_holds_every_point(store, ctx, settle):
    lifecycle.create(store, ctx, RUN)
    log(store, ctx, *((step, {"loss": float(step % 97), "other": 1.0}) for step in range(20_000)))
    settle()
    (drawn,) = series.picture(store, ctx, [RUN], ["loss", "nothing"], buckets=100)
    assert (drawn.run, drawn.key) == (RUN, "loss")
    assert 50 < len(drawn.start) <= 100 and sum(drawn.count) == 20_000
    for start, end, least, most in zip(drawn.start, drawn.end, drawn.min, drawn.max, strict=True):
        inside = [float(step % 97) for step in range(start, min(end, 20_000))]
        assert (least, most) == (min(inside), max(inside))


def test_forks_and_rewinds_are_read_through_their_spans(store, ctx, settle):
    lifecycle.create(store, ctx, RUN)
    log(store, ctx, *((step, {"loss": float(step)}) for step in range(10)))
    lifecycle.create(store, ctx, "local/vision/fork", fork=RUN, step=4)
    log(store, ctx, (4, {"loss": 40.0}), run="local/vision/fork")
    lifecycle.rewind(store, ctx, RUN, 6)
    log(store, ctx, (6, {"loss": 60.0}))
    settle()
    assert series.read(store, ctx, "local/vision/fork", "loss").values == [0.0, 1.0, 2.0, 3.0, 40.0]
    assert series.read(store, ctx, RUN, "loss").values == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 60.0]
    lifecycle.undo_rewind(store, ctx, RUN)
    assert series.read(store, ctx, RUN, "loss").values == [float(step) for step in range(10)]


def test_compaction_leaves_state_as_it_is_and_is_done_once(store, ctx, library):
    lifecycle.create(store, ctx, RUN)
    log(store, ctx, *((step, {"loss": float(step)}) for step in range(5000)))
    before = store.log.head()
    assert series.compact(store, everything=True) > 0
    assert series.compact(store, everything=True) == 0
    assert store.log.head() == before
    assert series.of(store).check(before.size and lifecycle.get(store, ctx, RUN).id).points == 5000
    library.verify()


def test_bad_questions_are_refused(store, ctx):
    lifecycle.create(store, ctx, RUN)
    log(store, ctx, (0, {"loss": 1.0}))
    with pytest.raises(Missing):
        series.read(store, ctx, RUN, "nothing")
    for wrong in ({"by": "size"}, {"limit": 0}, {"after": "x"}):
        with pytest.raises(Invalid):
            series.read(store, ctx, RUN, "loss", **wrong)
    with pytest.raises(Invalid):
        series.picture(store, ctx, [RUN], ["loss"], buckets=0)


def test_hidden_keys_are_as_missing_as_any(people):
    from runstone.domain import fields

    store = people.root.store
    lifecycle.create(store, people.ann.ctx, "lab/vision/r")
    log(store, people.ann.ctx, (0, {"loss": 1.0, "cost": 2.0}), run="lab/vision/r")
    fields.set_class(store, people.ann.ctx, "lab/vision", "summary.cost", "secret")
    with pytest.raises(Missing, match="cost"):
        series.read(store, people.ria.ctx, "lab/vision/r", "cost")
    assert series.rows(store, people.ria.ctx, "lab/vision/r").rows == ((0, 1000, {"loss": 1.0}),)
    assert [p.key for p in series.picture(store, people.ria.ctx, ["lab/vision/r"], ["loss", "cost"])] == [
        "loss"
    ]
