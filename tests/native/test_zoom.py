"""Cells and buckets: whatever the cells, a picture is that of the points."""

import array
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.native import reference_zoom as reference

from runstone._native import zoom

I64 = st.integers(-(2**63), 2**63 - 1)
POINTS = st.one_of(
    st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 100), st.floats()), max_size=60),
    st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 9), st.floats(-1e3, 1e3)), max_size=60),
    st.lists(st.tuples(I64, I64, st.floats()), max_size=20),
    st.lists(st.integers(0, 500), max_size=60).map(lambda steps: [(s, 10 * s, s / 7) for s in steps]),
)


def columns(points: list[reference.Point]) -> tuple[bytes, bytes, bytes, bytes]:
    ordered = sorted(points, key=lambda p: (p[0], p[1]))
    return (
        array.array("q", [p[0] for p in ordered]).tobytes(),
        array.array("q", [p[1] for p in ordered]).tobytes(),
        array.array("d", [p[2] for p in ordered]).tobytes(),
        b"\1" * len(ordered),
    )


def table(buckets: zoom.Buckets) -> list[str]:
    whole = [np.frombuffer(column, np.int64).tolist() for column in buckets.columns()[:2]]
    real = [np.frombuffer(column, np.float64).tolist() for column in buckets.columns()[2:]]
    return [repr(row) for row in zip(*whole, *real, strict=True)]


@settings(max_examples=300)
@given(POINTS, st.integers(0, 8), st.integers(0, 64), st.booleans(), st.integers(1, 9), st.data())
@example([(0, 0, 1e308)] * 3 + [(1, 0, 5e-324)], 0, 64, False, 1, None)
def test_buckets_are_those_of_the_plain_version(points, step_shift, time_shift, by_time, count, data):
    axis = [point[by_time] for point in points] or [0]
    low, high = min(axis), max(axis)
    if data is not None:
        bounds = st.sampled_from([*axis, 0])
        low, high = sorted((data.draw(bounds), data.draw(bounds)))
    width = (high - low) // count + 1
    steps, times, values, numeric = columns(points)
    expected = [repr(row) for row in reference.buckets(points, low, width, count, low, high, by_time)]

    directly = zoom.Buckets(low, width, count, low, high, by_time)
    directly.add_points(steps, times, values, numeric)
    assert table(directly) == expected

    by_cells = zoom.Buckets(low, width, count, low, high, by_time)
    for first, last in by_cells.add_cells(
        *zoom.cells(steps, times, values, numeric, step_shift, time_shift), None
    ):
        by_cells.add_points(*(c[8 * first : 8 * last] for c in (steps, times, values)), numeric[first:last])
    assert table(by_cells) == expected


@given(POINTS, st.integers(0, 63), st.integers(0, 64))
def test_cells_cut_where_the_shifted_step_or_time_changes(points, step_shift, time_shift):
    whole, real = zoom.cells(*columns(points), step_shift, time_shift)
    ordered = sorted(points, key=lambda p: (p[0], p[1]))
    marks = [(s >> step_shift, t >> time_shift if time_shift < 64 else 0) for s, t, _ in ordered]
    lengths: list[int] = []
    for place, mark in enumerate(marks):
        if place and marks[place - 1] == mark:
            lengths[-1] += 1
        else:
            lengths.append(1)
    cells = len(lengths)
    ints = dict(
        zip(
            zoom.INT_COLUMNS, np.frombuffer(whole, np.int64).reshape(-1, max(cells, 1)).tolist(), strict=False
        )
    )
    assert ints.get("rows", []) == lengths
    if cells:
        terms = np.frombuffer(real, np.float64)[len(zoom.FLOAT_COLUMNS) * cells :].tolist()
        assert sum(ints["terms"]) == len(terms)
        finite = [value for _, _, value in points if math.isfinite(value)]
        try:
            assert math.fsum(terms) == math.fsum(finite)
        except OverflowError:
            assert terms


def test_points_that_are_no_numbers_count_as_rows_only():
    steps = times = array.array("q", [1, 2, 3])
    whole, real = zoom.cells(steps, times, array.array("d", [9.0, 1.5, 9.0]), b"\0\1\0", 63, 64)
    found = dict(zip(zoom.INT_COLUMNS, np.frombuffer(whole, np.int64).tolist(), strict=True))
    assert found == {
        "rows": 3,
        "min_step": 2,
        "max_step": 2,
        "min_time": 2,
        "max_time": 2,
        "last_time": 2,
        "count": 1,
        "nans": 0,
        "terms": 1,
    }
    assert np.frombuffer(real, np.float64).tolist() == [1.5, 1.5, 1.5, 1.5]


def test_only_the_cells_with_rows_asked_for_are_added():
    points = [(n, n, float(n)) for n in range(16)]
    whole, real = zoom.cells(*columns(points), 2, 64)
    buckets = zoom.Buckets(0, 16, 1, 0, 15, False)
    assert buckets.add_cells(whole, real, (4, 9)) == []
    assert table(buckets) == [repr(reference.bucket(points[4:12]))]


@settings(max_examples=300)
@given(POINTS, st.data())
def test_damaged_cells_are_refused_or_harmless(points, data):
    whole, real = (bytearray(part) for part in zoom.cells(*columns(points), 3, 4))
    for part in (whole, real):
        if part:
            part[data.draw(st.integers(0, len(part) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 3)) * 8
    buckets = zoom.Buckets(0, 10, 10, 0, 99, False)
    try:
        needed = buckets.add_cells(bytes(whole), bytes(real)[: len(real) - cut], None)
    except ValueError as error:
        assert "columns" in str(error)
    else:
        assert all(first <= last for first, last in needed)


@pytest.mark.parametrize(
    "arguments",
    [
        (0, 0, 1, 0, 0, False),
        (0, 1, 0, 0, 0, False),
        (0, 1, 1, 0, 1, False),
        (1, 1, 1, 0, 1, False),
        (0, 9, 2, 5, 4, True),
    ],
)
def test_buckets_that_do_not_cover_the_range_are_refused(arguments):
    with pytest.raises(ValueError, match="buckets"):
        zoom.Buckets(*arguments)
