"""Column codecs: every bit comes back, each form is reached, damage is refused or gives a column of the right length."""

import array
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runstone._native import codecs

I64 = st.integers(-(2**63), 2**63 - 1)
BITS = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0])
INTS = st.one_of(
    st.lists(I64, max_size=300),
    st.lists(st.integers(-100, 100), max_size=300),
    st.tuples(I64, st.lists(st.integers(0, 50), max_size=300)).map(
        lambda t: [(t[0] + sum(t[1][:count]) + 2**63) % 2**64 - 2**63 for count in range(len(t[1]))]
    ),
)
FLOATS = st.one_of(
    st.lists(BITS, max_size=300),
    st.lists(st.floats(), max_size=300),
    st.lists(st.floats(width=32), max_size=300),
    st.lists(st.one_of(st.integers(-99999, 99999).map(lambda v: v / 1000), st.floats()), max_size=300),
    st.lists(st.integers(-99999, 99999).map(lambda v: v / 10000), max_size=300),
    st.tuples(st.floats(), st.integers(0, 300)).map(lambda t: [t[0]] * t[1]),
)


def ints_back(data: bytes, count: int) -> list[int]:
    out = array.array("q", bytes(8 * count))
    codecs.decode_ints(data, out)
    return out.tolist()


def floats_back(data: bytes, count: int) -> bytes:
    out = array.array("d", bytes(8 * count))
    codecs.decode_floats(data, out)
    return out.tobytes()


@given(INTS)
@example([2**63 - 1, -(2**63)])
@example([-(2**63), 0, 2**63 - 1])
@example([0, 2**56, 1])
@example([0, 2**57 - 1, 1])
def test_ints_come_back(values):
    data = codecs.encode_ints(array.array("q", values))
    assert ints_back(data, len(values)) == values
    assert len(data) <= 8 * len(values) + 19


@given(FLOATS)
@example([0.0, -0.0, 0.0])
@example([0.1] * 40 + [-0.0, float("nan"), float("inf"), float("-inf")])
@example([5e-324, -5e-324])
def test_floats_come_back_bit_for_bit(values):
    given_values = array.array("d", values)
    data = codecs.encode_floats(given_values)
    assert floats_back(data, len(values)) == given_values.tobytes()
    assert len(data) <= 8 * len(values) + 1 + 8 * (not values)


SERIES = [n * n / 7e4 for n in range(300)]


@pytest.mark.parametrize(
    ("form", "values", "most"),
    [
        (
            0,
            [struct.unpack("<d", struct.pack("<Q", n * 0x9E3779B97F4A7C15 % 2**64))[0] for n in range(300)],
            2401,
        ),
        (1, [0.1] * 300, 9),
        (2, [n * 7919 % 1000 / 100 for n in range(300)], 400),
        (3, [n / 100 for n in range(300)], 30),
        (4, [struct.unpack("<f", struct.pack("<f", (n * 7919 % 1009) / 3))[0] for n in range(300)], 1300),
        (5, SERIES, 2200),
    ],
)
def test_each_form_of_floats_is_the_shortest_of_something(form, values, most):
    data = codecs.encode_floats(array.array("d", values))
    assert (data[0], len(data) <= most) == (form, True)
    assert floats_back(data, 300) == array.array("d", values).tobytes()


@pytest.mark.parametrize(
    ("form", "values", "most"),
    [
        (0, [pow(5, 7 * n * n, 2**64) - 2**63 for n in range(300)], 2401),
        (1, list(range(0, 3000, 10)), 11),
        (2, [n * 7919 % 1000 for n in range(300)], 390),
        (3, [n * 1000 + n * 7919 % 10 for n in range(300)], 220),
    ],
)
def test_each_form_of_ints_is_the_shortest_of_something(form, values, most):
    data = codecs.encode_ints(array.array("q", values))
    assert (data[0], len(data) <= most) == (form, True)
    assert ints_back(data, 300) == values


def test_exceptions_among_decimals_are_patched():
    values = [n * 7919 % 1000 / 100 for n in range(300)]
    values[7], values[8], values[299] = float("nan"), -0.0, 1 / 3
    data = codecs.encode_floats(array.array("d", values))
    assert (data[0], len(data) < 450) == (2, True)
    assert floats_back(data, 300) == array.array("d", values).tobytes()


@settings(max_examples=300)
@given(st.one_of(INTS, FLOATS), st.data())
def test_damage_is_refused_or_decodes_to_as_many_numbers(values, data):
    whole = bool(values) and isinstance(values[0], int)
    packed = (
        codecs.encode_ints(array.array("q", values))
        if whole
        else codecs.encode_floats(array.array("d", values))
    )
    damaged = bytearray(packed)
    for _ in range(data.draw(st.integers(0, 3))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    count = data.draw(st.one_of(st.just(len(values)), st.integers(0, 400)))
    try:
        assert len(ints_back(cut, count) if whole else floats_back(cut, count)) == count * (1 if whole else 8)
    except ValueError as error:
        assert "are not a column of" in str(error)


@settings(max_examples=300)
@given(st.binary(max_size=100), st.integers(0, 300))
def test_any_bytes_are_refused_or_a_column(noise, count):
    for read in (ints_back, floats_back):
        try:
            read(noise, count)
        except ValueError as error:
            assert "are not a column of" in str(error)


def test_what_follows_a_column_is_refused():
    for values in ([1, 2, 3, 5], [1, 2, 3, 4], [2**62, -(2**62), 5]):
        data = codecs.encode_ints(array.array("q", values))
        with pytest.raises(ValueError, match="not a column"):
            ints_back(data + b"\0", len(values))
    with pytest.raises(ValueError, match="at most"):
        codecs.encode_ints(b"123")
