"""Pages of statistics: what is put in comes out, to the bit."""

import math
import struct

from hypothesis import given
from hypothesis import strategies as st

from runstone.domain.runs import stats
from runstone.domain.runs.stats import Stat

floats = st.floats() | st.sampled_from([0.0, -0.0, math.nan, math.inf])
counts = st.integers(1, 2**64 - 1)
whole = st.integers(-(2**63), 2**63 - 1)
few = st.integers(-3, 3)


@st.composite
def found(draw, key):
    value = draw(floats)
    if draw(st.booleans()):  # one point, as most keys have after their first batch
        return Stat(key, draw(st.integers(0, 3)), 1, 0, value, value, value, draw(few), draw(few), value)
    nans = draw(st.integers(0, 5))
    figures = [draw(floats) for _ in range(3)]
    return Stat(key, draw(st.integers(0, 3)), draw(counts), nans, *figures, draw(whole), draw(whole), value)


@st.composite
def pages(draw):
    number = draw(st.integers(0, 2**27 - 1))
    places = draw(st.sets(st.integers(0, stats.PAGE - 1), min_size=1))
    return number, [draw(found(number * stats.PAGE + place)) for place in sorted(places)]


def bits(stat):
    return struct.pack("<IIQQdddqqd", *stat)


@given(pages())
def test_a_page_gives_back_what_it_was_made_of(page):
    number, held = page
    got = stats.unpack(number, stats.pack(reversed(held)))
    assert [(key, bits(stat)) for key, stat in got.items()] == [(stat.key, bits(stat)) for stat in held]
    assert bits(stats.from_record(stats.to_record(held[0]))) == bits(held[0])


def test_keys_with_one_point_that_came_together_take_little():
    held = [Stat(key, 0, 1, 0, key / 7, key / 7, key / 7, 5, 6, key / 7) for key in range(32)]
    assert len(stats.pack(held)) < 32 * 8 + 64
