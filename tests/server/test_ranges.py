"""Preconditions and byte ranges, against the rules of RFC 9110 and a reference that marks bytes one by one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstone.server.ranges import (
    MAX_RANGES,
    Conditions,
    Outcome,
    format_http_date,
    matches,
    parse_http_date,
    parse_range,
    select,
)

ETAG = '"abc"'
MODIFIED = 1_700_000_000.75
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
LATER = "Tue, 14 Nov 2023 22:13:21 GMT"
EARLIER = "Tue, 14 Nov 2023 22:13:19 GMT"


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-99", [(0, 100)]),
        ("bytes=0-1000", [(0, 100)]),
        ("bytes=90-", [(90, 100)]),
        ("bytes=-10", [(90, 100)]),
        ("bytes=-1000", [(0, 100)]),
        ("BYTES = 0-1 ,\t5-6", [(0, 2), (5, 7)]),
        ("bytes=,,0-1,,", [(0, 2)]),
        ("bytes=5-6,0-1", [(5, 7), (0, 2)]),
        ("bytes=100-", []),
        ("bytes=100-200", []),
        ("bytes=-0", []),
        ("bytes=100-,5-6", [(5, 7)]),
        ("bytes=0-9,5-19", [(0, 20)]),
        ("bytes=50-59,0-9,5-19", [(0, 20), (50, 60)]),
        ("bytes=0-9,10-19", [(0, 20)]),
        ("bytes=0-" + "9" * 5000, [(0, 100)]),
        ("bytes=" + "9" * 5000 + "-", []),
        ("bytes=" + "0" * 50 + "5-7", [(5, 8)]),
        ("bytes=9-5", None),
        ("bytes=", None),
        ("bytes=,", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=0-1;2-3", None),
        ("bytes=1", None),
        ("bytes=--1", None),
        ("bytes=+1-2", None),
        ("bytes=١-٢", None),
        ("bytes=0 - 1", None),
        ("bytes 0-1", None),
        ("items=0-1", None),
        ("", None),
        ("bytes=" + ",".join(f"{2 * i}-{2 * i}" for i in range(MAX_RANGES + 1)), None),
    ],
)
def test_parse_range(field, expected):
    assert parse_range(field, 100) == expected


def test_as_many_ranges_as_allowed():
    field = "bytes=" + ",".join(f"{2 * i}-{2 * i}" for i in range(MAX_RANGES))
    assert parse_range(field, 1000) == [(2 * i, 2 * i + 1) for i in range(MAX_RANGES)]


def test_an_empty_file_has_no_ranges():
    assert parse_range("bytes=0-", 0) == []
    assert parse_range("bytes=0-5", 0) == []
    assert parse_range("bytes=-5", 0) is None, "satisfiable, but no Content-Range can tell"
    assert parse_range("bytes=-0", 0) == []


numbers = st.one_of(st.integers(0, 70), st.integers(0, 10**25)).map(str)
specs = st.one_of(
    st.tuples(numbers, numbers).map("-".join), numbers.map(lambda n: n + "-"), numbers.map(lambda n: "-" + n)
)


@given(st.lists(specs, min_size=1, max_size=8), st.integers(1, 60))
def test_ranges_select_the_bytes_that_the_specs_name(asked, size):
    """The reference decides byte by byte; what is added is that parts are disjoint and in a sane order."""
    found = parse_range("bytes=" + ", ".join(asked), size)

    def selected(spec, at):
        first, last = re.fullmatch(r"(\d*)-(\d*)", spec).groups()
        if not first:
            return at >= size - int(last)
        return int(first) <= at and (not last or at <= int(last))

    if any(
        spec[0] != "-" and spec[-1] != "-" and int(spec.split("-")[1]) < int(spec.split("-")[0])
        for spec in asked
    ):
        assert found is None
        return
    expected = [at for at in range(size) if any(selected(spec, at) for spec in asked)]
    assert sorted(at for start, stop in found for at in range(start, stop)) == expected
    assert all(start < stop for start, stop in found)
    if len(found) < sum(any(selected(spec, at) for at in range(size)) for spec in asked):
        assert found == sorted(found)


@given(st.text(max_size=40), st.integers(0, 100))
def test_no_text_is_an_error(text, size):
    for field in (text, "bytes=" + text):
        for start, stop in parse_range(field, size) or ():
            assert 0 <= start < stop <= size
    matches(text, ETAG, weak=True)
    parse_http_date(text)


@pytest.mark.parametrize(
    ("field", "strong", "weak"),
    [
        ("*", True, True),
        (' "abc" ', True, True),
        ('W/"abc"', False, True),
        ('"x", "abc"', True, True),
        ('"x","y"', False, False),
        ('"a,b", W/"abc", "z"', False, True),
        ("abc", False, False),
        ('"abc', False, False),
        ('"x" "abc"', False, False),
        ('w/"abc"', False, False),
        (', ,"abc"', True, True),
        ("", False, False),
    ],
)
def test_matches(field, strong, weak):
    assert (matches(field, ETAG, weak=False), matches(field, ETAG, weak=True)) == (strong, weak)


def test_dates_are_what_the_standard_shows():
    """RFC 9110, 5.6.7: one time in its three forms."""
    assert format_http_date(784111777.9) == "Sun, 06 Nov 1994 08:49:37 GMT"
    for text in (
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ):
        assert parse_http_date(text) == 784111777
    for text in ("", "yesterday", "Sun, 99 Foo 1994 08:49:37 GMT", "0"):
        assert parse_http_date(text) is None


@given(st.integers(0, 4_000_000_000))
def test_dates_return(seconds):
    assert parse_http_date(format_http_date(seconds)) == seconds


WHOLE, PARTS = Outcome.WHOLE, Outcome.PARTS
UNCHANGED, FAILED = Outcome.NOT_MODIFIED, Outcome.PRECONDITION_FAILED


@pytest.mark.parametrize(
    ("fields", "get", "head"),
    [
        ({}, WHOLE, WHOLE),
        ({"if_match": ETAG}, WHOLE, WHOLE),
        ({"if_match": "*"}, WHOLE, WHOLE),
        ({"if_match": 'W/"abc"'}, FAILED, FAILED),
        ({"if_match": '"x"'}, FAILED, FAILED),
        # If-Match goes before If-Unmodified-Since, which is then not looked at.
        ({"if_match": ETAG, "if_unmodified_since": EARLIER}, WHOLE, WHOLE),
        ({"if_match": '"x"', "if_unmodified_since": LATER}, FAILED, FAILED),
        ({"if_unmodified_since": EARLIER}, FAILED, FAILED),
        ({"if_unmodified_since": DATE}, WHOLE, WHOLE),
        ({"if_unmodified_since": "nonsense"}, WHOLE, WHOLE),
        ({"if_none_match": ETAG}, UNCHANGED, UNCHANGED),
        ({"if_none_match": 'W/"abc"'}, UNCHANGED, UNCHANGED),
        ({"if_none_match": "*"}, UNCHANGED, UNCHANGED),
        ({"if_none_match": '"x"'}, WHOLE, WHOLE),
        # If-None-Match goes before If-Modified-Since.
        ({"if_none_match": '"x"', "if_modified_since": LATER}, WHOLE, WHOLE),
        ({"if_none_match": ETAG, "if_modified_since": EARLIER}, UNCHANGED, UNCHANGED),
        ({"if_modified_since": DATE}, UNCHANGED, UNCHANGED),
        ({"if_modified_since": LATER}, UNCHANGED, UNCHANGED),
        ({"if_modified_since": EARLIER}, WHOLE, WHOLE),
        ({"if_modified_since": "nonsense"}, WHOLE, WHOLE),
        # A failed If-Match goes before a matching If-None-Match.
        ({"if_match": '"x"', "if_none_match": ETAG}, FAILED, FAILED),
        ({"if_match": ETAG, "if_none_match": ETAG}, UNCHANGED, UNCHANGED),
        # Ranges come last, and only for GET.
        ({"range": "bytes=0-1"}, PARTS, WHOLE),
        ({"range": "bytes=200-"}, Outcome.UNSATISFIABLE, WHOLE),
        ({"range": "nonsense"}, WHOLE, WHOLE),
        ({"range": "bytes=0-1", "if_none_match": ETAG}, UNCHANGED, UNCHANGED),
        ({"range": "bytes=200-", "if_match": '"x"'}, FAILED, FAILED),
        ({"range": "bytes=0-1", "if_range": ETAG}, PARTS, WHOLE),
        ({"range": "bytes=0-1", "if_range": '"x"'}, WHOLE, WHOLE),
        ({"range": "bytes=0-1", "if_range": 'W/"abc"'}, WHOLE, WHOLE),
        ({"range": "bytes=0-1", "if_range": DATE}, PARTS, WHOLE),
        ({"range": "bytes=0-1", "if_range": LATER}, WHOLE, WHOLE),
        ({"range": "bytes=0-1", "if_range": EARLIER}, WHOLE, WHOLE),
        ({"range": "bytes=0-1", "if_range": "nonsense"}, WHOLE, WHOLE),
        ({"range": "bytes=200-", "if_range": '"x"'}, WHOLE, WHOLE),
        ({"if_range": '"x"'}, WHOLE, WHOLE),
    ],
)
def test_select_follows_the_order_of_the_standard(fields, get, head):
    for method, expected in (("GET", get), ("HEAD", head)):
        found = select(Conditions(method, **fields), size=100, etag=ETAG, last_modified=MODIFIED)
        assert found.outcome is expected
        assert found.parts == (((0, 2),) if expected is PARTS else ())


def test_other_methods_get_412_instead_of_304():
    found = select(Conditions("POST", if_none_match="*"), size=100, etag=ETAG, last_modified=MODIFIED)
    assert found.outcome is FAILED


def test_without_a_date_conditions_on_dates_are_ignored():
    for fields in ({"if_modified_since": LATER}, {"if_unmodified_since": EARLIER}):
        assert select(Conditions("GET", **fields), size=1, etag=ETAG, last_modified=None).outcome is WHOLE
    asked = Conditions("GET", range="bytes=0-0", if_range=DATE)
    assert select(asked, size=1, etag=ETAG, last_modified=None).outcome is WHOLE
