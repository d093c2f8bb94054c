import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstone.cli import text


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (90_868_376, "90.9 MB"),
        (999_999, "1.0 MB"),
        (10**18, "1000.0 PB"),
    ],
)
def test_sizes(count, shown):
    assert text.size(count) == shown


@given(st.integers(min_value=0, max_value=10**15))
def test_a_size_is_short_and_right_to_the_last_digit_shown(count):
    shown = text.size(count)
    number, unit = shown.split(" ")
    exact = count / 1000 ** text.UNITS.index(unit)
    assert len(shown) <= 8
    assert abs(float(number) - exact) <= 0.0501


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("0", 0), ("90", 90), ("90s", 90), ("15m", 900), ("1.5h", 5400), ("7d", 604_800), (" 2w ", 1_209_600)],
)
def test_durations(written, seconds):
    assert text.parse_duration(written) == seconds


@pytest.mark.parametrize("written", ["", "h", "-1h", "1y", "1h30m", "nan", "1e3"])
def test_what_is_no_duration(written):
    with pytest.raises(ValueError, match="not a duration"):
        text.parse_duration(written)


def test_moments(monkeypatch):
    monkeypatch.setattr(text.time, "time", lambda: 1_000_000.0)
    assert text.parse_moment("1h") == 1_003_600_000_000
    assert text.parse_moment("1h", past=True) == 996_400_000_000
    assert text.parse_moment("1970-01-02T00:00:00+00:00") == 86_400_000_000
    assert text.parse_moment("1970-01-02T01:00:00+01:00", past=True) == 86_400_000_000
    with pytest.raises(ValueError, match="not a time"):
        text.parse_moment("tomorrow")


def test_a_moment_is_shown_in_local_time_with_its_zone():
    shown = text.moment(1_700_000_000_000_000)
    assert text.parse_moment(shown) == 1_700_000_000_000_000
    assert shown[19] in "+-"
    assert text.moment(0) == "-"
    assert text.moment(1 << 62) == f"{(1 << 62) // 1_000_000} s"


@given(st.text())
def test_printable_text_has_nothing_that_moves_the_cursor(value):
    assert text.printable(value).isprintable()


def test_printable_text_escapes_and_does_not_drop():
    assert text.printable("a\x1b[31mb\n\ud800") == "a\\x1b[31mb\\n\\ud800"
    assert text.printable("Grüße 模型") == "Grüße 模型"


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1))
def test_columns_of_a_table_begin_at_one_place(rows):
    lines = text.table(("A", "B"), rows)
    assert len(lines) == len(rows) + 1
    start = max(text.width(text.printable(cell)) for cell, _ in [("A", ""), *rows]) + 2
    for line, (first, second) in zip(lines[1:], rows, strict=True):
        shown = text.printable(first)
        assert line == (shown + " " * (start - text.width(shown)) + text.printable(second)).rstrip()


def test_wide_characters_take_two_columns():
    assert text.table(("NAME", "N"), [("模型", "1"), ("ab", "22")], right=(1,)) == [
        "NAME   N",
        "模型   1",
        "ab    22",
    ]


def test_pairs_leave_out_what_is_empty():
    assert text.pairs([("a", "1"), ("longer", "x\ny"), ("none", "")]) == ["a       1", "longer  x\n        y"]
