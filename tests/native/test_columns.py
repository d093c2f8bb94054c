"""The column kernels against plain Python, at every instruction-set level."""

import math

import numpy as np
import pytest
import reference_columns as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from runstone._native import columns

LEVELS = columns._levels()
SETTINGS = settings(max_examples=60, deadline=None)
floats = st.one_of(st.sampled_from([0.0, -0.0, 1.0, math.inf, -math.inf, math.nan]), st.floats(width=16))
# Over one word, over a block of the order kernel, and ragged ends of both.
sizes = st.sampled_from([0, 1, 63, 64, 65, 200, 1500])
widths = st.sampled_from([np.uint8, np.uint16, np.uint32])


@pytest.fixture(params=LEVELS, autouse=True, scope="module")
def level(request):
    columns._force_level(request.param)
    yield request.param
    columns._force_level(LEVELS[-1])


def blank(rows):
    """Room for a bitmap, full of what is to be overwritten."""
    return np.full((rows + 63) // 64, 0xA5A5A5A5A5A5A5A5, np.uint64)


def bits(flags):
    return np.array(reference.words(flags), np.uint64)


def drawn(data, size, values, dtype):
    few = data.draw(st.lists(values, min_size=1, max_size=12))
    noise = np.random.default_rng(data.draw(st.integers(0, 1000)))
    return np.array(few, dtype)[noise.integers(0, len(few), size)]


def drawn_flags(data, size):
    noise = np.random.default_rng(data.draw(st.integers(0, 1000)))
    return (noise.random(size) < data.draw(st.sampled_from([0, 0.02, 0.5, 1]))).tolist()


@SETTINGS
@given(size=sizes, op=st.integers(0, 5), x=floats, data=st.data())
def test_compare(size, op, x, data):
    values, out = drawn(data, size, floats, np.float64), blank(size)
    columns.compare(values, op, x, out)
    assert out.tolist() == reference.words([reference.OPERATORS[op](each, x) for each in values.tolist()])


@SETTINGS
@given(
    size=sizes,
    width=widths,
    low=st.integers(0, 300),
    high=st.sampled_from([0, 1, 9, 256, 65536, 2**32, 2**64 - 1]),
    data=st.data(),
)
def test_in_range(size, width, low, high, data):
    codes, out = drawn(data, size, st.integers(0, int(np.iinfo(width).max)), width), blank(size)
    columns.in_range(codes, low, high, out)
    assert out.tolist() == reference.words([low <= each < high for each in codes.tolist()])


@SETTINGS
@given(
    size=sizes, width=widths, accepted=st.sets(st.integers(0, 300)), words=st.integers(0, 5), data=st.data()
)
def test_in_set(size, width, accepted, words, data):
    codes, out = drawn(data, size, st.integers(0, 255), width), blank(size)
    columns.in_set(codes, bits([at in accepted for at in range(64 * words)]), out)
    assert out.tolist() == reference.words(
        [each in accepted and each < 64 * words for each in codes.tolist()]
    )


@SETTINGS
@given(rows=sizes, data=st.data())
def test_scatter_count_and_positions(rows, data):
    flags, other = drawn_flags(data, rows), drawn_flags(data, rows)
    places = [at for at, flag in enumerate(flags) if flag]
    chosen = drawn_flags(data, len(places))
    out = blank(rows)
    columns.scatter(np.array(places, np.uint32), bits(chosen), rows, out)
    hit = {place for place, flag in zip(places, chosen, strict=True) if flag}
    assert out.tolist() == reference.words([at in hit for at in range(rows)])
    assert columns.count(bits(flags)) == len(places)
    assert columns.count_and(bits(flags), bits(other)) == sum(
        a and b for a, b in zip(flags, other, strict=True)
    )
    found = np.zeros(max(0, len(places) - 1), np.uint32)
    assert columns.positions(bits(flags), found) == len(found)
    assert found.tolist() == places[: len(found)]


@st.composite
def sources(draw, rows):
    kind = draw(st.integers(0, 3))
    noise = np.random.default_rng(draw(st.integers(0, 1000)))
    table = None
    if kind == 0:
        data = np.array([0, 1, 5, 2**64 - 1], np.uint64)[noise.integers(0, 4, rows)]
    elif kind == 1:
        held = np.array([0.0, -0.0, 1.5, -2.0, math.inf, math.nan])
        data = held[noise.integers(0, 6, rows)] if draw(st.booleans()) else np.sort(noise.random(rows))
    else:
        data = noise.integers(0, 5, rows).astype(draw(widths))
        table = np.array([3, 8, 9, 2**64 - 3], np.uint64) if kind == 2 else None
    valid = None if draw(st.booleans()) else (noise.random(rows) < 0.7).tolist()
    cursor = draw(
        st.sampled_from(
            [0, 1, 5, 8, reference.number_key(1.5), 0xFFF0000000000001 + 4, 0xFFF8000000000000 - 8, 2**64 - 1]
        )
    )
    return kind, data, valid, table, draw(st.booleans()), cursor


@SETTINGS
@given(rows=sizes, count=st.sampled_from([0, 1, 3, 100, 5000]), bound=st.integers(-1, 100), data=st.data())
def test_top(rows, count, bound, data):
    plain = data.draw(st.lists(sources(rows), max_size=3))
    mask = drawn_flags(data, rows)
    given_sources = [
        (kind, values, None if valid is None or kind == 0 else bits(valid), table, descending, cursor)
        for kind, values, valid, table, descending, cursor in plain
    ]
    lists = [
        (kind, values.tolist(), valid, None if table is None else table.tolist(), descending, cursor)
        for kind, values, valid, table, descending, cursor in plain
    ]
    out = np.zeros(count, np.uint32)
    found = columns.top(bits(mask), rows, given_sources, bound, out)
    assert out[:found].tolist() == reference.top(mask, lists, bound, count)
    places = np.flatnonzero(mask).astype(np.uint32)
    for ours, theirs in zip(given_sources, lists, strict=True):
        keys = np.zeros(len(places), np.uint64)
        columns.keys_at(rows, ours, places, keys)
        assert keys.tolist() == [reference.key(theirs, row) for row in places.tolist()]


@SETTINGS
@given(values=st.lists(floats))
def test_number_keys_have_the_order_of_numbers(values):
    keys = np.zeros(len(values), np.uint64)
    columns.number_keys(np.array(values, np.float64), keys)
    assert keys.tolist() == [reference.number_key(each) for each in values]
    ordered = sorted(each for each in values if each == each)
    assert ordered == [each for _, each in sorted(zip(keys.tolist(), values, strict=True)) if each == each]


@SETTINGS
@given(size=sizes, data=st.data())
def test_groups(size, data):
    mask, codes = drawn_flags(data, size), drawn(data, size, st.integers(0, 6), np.uint32)
    values = drawn(data, size, st.floats(-100, 100, width=16) | st.just(math.nan), np.float64)
    counts, rows = np.zeros(7, np.int64), np.zeros(7, np.int64)
    least, greatest, sums = np.zeros(7), np.zeros(7), np.zeros(7)
    columns.group_count(bits(mask), codes, rows)
    columns.group_numbers(bits(mask), codes, values, counts, least, greatest, sums)
    assert rows.tolist() == [
        sum(m and c == g for m, c in zip(mask, codes.tolist(), strict=True)) for g in range(7)
    ]
    for at, (count, low, high, total) in enumerate(
        reference.group_numbers(mask, codes.tolist(), values.tolist(), 7)
    ):
        assert counts[at] == count and math.isclose(sums[at], total, abs_tol=1e-6)
        assert not count or (least[at], greatest[at]) == (low, high)


entries = st.lists(st.text(alphabet="abAB-", max_size=40).map(str.encode), max_size=60)


@settings(max_examples=300, deadline=None)
@given(
    held=entries,
    needle=st.text(alphabet="abAB-", max_size=5).map(str.encode),
    wide=st.booleans(),
    fold=st.booleans(),
    data=st.data(),
)
def test_find(held, needle, wide, fold, data):
    if held and data.draw(st.booleans()):
        # A needle that is there, or that crosses from one entry to the next.
        joined = b"".join(held)
        start = data.draw(st.integers(0, len(joined)))
        needle = joined[start : start + data.draw(st.integers(0, 30))]
    needle = needle.lower() if fold else needle
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in held])]).astype(
        np.int64 if wide else np.int32
    )
    out = blank(len(held))
    exact = columns.find(
        np.frombuffer(b"".join(held), np.uint8), offsets, np.frombuffer(needle, np.uint8), fold, out
    )
    assert exact
    assert out.tolist() == reference.words(reference.find(held, needle, fold))


@pytest.mark.parametrize("fold", [False, True])
def test_find_where_everything_nearly_fits(fold):
    """A needle that nearly fits everywhere must not take time in proportion to text times needle: it hands over to another search."""
    held = [b"a" * 20_000 + b"b", b"a" * 3000, b"a" * 200_000, b"ab"]
    needle = b"a" * 2000 + b"b"
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in held])]).astype(np.int32)
    out = blank(4)
    exact = columns.find(
        np.frombuffer(b"".join(held), np.uint8), offsets, np.frombuffer(needle, np.uint8), fold, out
    )
    assert exact or fold
    assert int(out[0]) & 0b0001 and (not exact or int(out[0]) == 0b0001)


def test_what_does_not_fit_is_refused():
    eight, word = np.zeros(8), blank(8)
    codes, source = np.zeros(8, np.uint32), (1, np.zeros(8), None, None, False, 0)
    counts, room = np.zeros(1, np.int64), np.zeros(3, np.uint32)
    pool, needle = np.zeros(4, np.uint8), np.zeros(1, np.uint8)
    wrong = [
        lambda: columns.compare(eight, 6, 0.0, word),
        lambda: columns.compare(eight, 0, 0.0, blank(65)),
        lambda: columns.in_range(np.zeros(8), 0, 1, word),
        lambda: columns.in_range(codes, 0, 1, blank(0)),
        lambda: columns.in_set(codes, word, blank(200)),
        lambda: columns.scatter(np.array([8], np.uint32), bits([True]), 8, word),
        lambda: columns.scatter(np.array([8], np.uint32), bits([True]), 8, blank(100)),
        lambda: columns.count_and(word, blank(100)),
        lambda: columns.number_keys(eight, np.zeros(7, np.uint64)),
        lambda: columns.top(word, 9, [source], -1, room),
        lambda: columns.top(word, 8, [(4, eight, None, None, False, 0)], -1, room),
        lambda: columns.top(word, 8, [(0, codes, None, None, False, 0)], -1, room),
        lambda: columns.top(word, 8, [(1, eight, blank(99), None, False, 0)], -1, room),
        lambda: columns.top(word, 8, [source] * 65, -1, room),
        lambda: columns.keys_at(8, source, np.array([8], np.uint32), np.zeros(1, np.uint64)),
        lambda: columns.group_count(bits([True] * 8), codes + 1, counts),
        lambda: columns.group_count(bits([True] * 8), codes, counts[:0]),
        lambda: columns.group_numbers(
            bits([True] * 8), codes + 1, eight, counts, eight[:1], eight[1:2], eight[2:3]
        ),
        lambda: columns.group_numbers(word, codes, eight[:7], counts, eight[:1], eight[1:2], eight[2:3]),
        lambda: columns.find(pool, np.array([0, 5], np.int32), needle, False, blank(1)),
        lambda: columns.find(pool, np.array([1, 4], np.int32), needle, False, blank(1)),
        lambda: columns.find(pool, np.array([0, 3, 2], np.int32), needle, False, blank(2)),
        lambda: columns.find(pool, np.array([0, -1, 2], np.int64), needle, False, blank(2)),
        lambda: columns.find(pool, np.array([0, 1], np.int32), needle, False, blank(99)),
    ]
    for call in wrong:
        with pytest.raises(ValueError):
            call()
