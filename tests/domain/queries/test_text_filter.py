"""runstone's own filter text: what it means, how it refuses, and that a tree comes back from its text."""

import math
import re

import pytest
from hypothesis import given, settings
from tests.domain.queries.trees import CONDITIONS, ORDERS

from runstone.domain.queries import text
from runstone.errors import Invalid, TooLarge
from runstone.query import And, Compare, Exists, Ids, In, IsNull, Match, Not, Or, Order

X = "config.x"


@pytest.mark.parametrize(
    ("source", "condition"),
    [
        ("", And(())),
        ("  ", And(())),
        ("true", And(())),
        ("false", Or(())),
        ("config.x = 1", Compare(X, "=", 1)),
        ("config.x=1.0", Compare(X, "=", 1.0)),
        ("config.x<-1e-3", Compare(X, "<", -0.001)),
        ("config.x >= -inf", Compare(X, ">=", -math.inf)),
        ("config.x = 99999999999999999999", Compare(X, "=", 1e20)),
        ("config.x != null", Compare(X, "!=", None)),
        ("config.x = TRUE", Compare(X, "=", True)),
        (r'config.x = "a\"b\\c\n\u00e9"', Compare(X, "=", 'a"b\\c\né')),
        ("config.x = 'a\"b'", Compare(X, "=", 'a"b')),
        ("config.a-b/c:d@e < 1", Compare("config.a-b/c:d@e", "<", 1)),
        ("config.`a ``b`` c` < 1", Compare("config.a `b` c", "<", 1)),
        ("`anything at all` < 1", Compare("anything at all", "<", 1)),
        ("summary.loss:min < 1", Compare("summary.loss:min", "<", 1)),
        ('text(config.x) = "1"', Compare(X, "=", "1", True)),
        ('text(config.x) in ("1")', In(X, ("1",), True)),
        ('text(config.x) not like "1%"', Not(Match(X, "like", "1%", True))),
        ('config.x in (1, "a", null,true)', In(X, (1, "a", None, True))),
        ("config.x not in ()", Not(In(X, ()))),
        ('name ~ "^a"', Match("name", "regex", "^a")),
        ('name !~ "^a"', Not(Match("name", "regex", "^a"))),
        ('name CONTAINS "a"', Match("name", "contains", "a")),
        ('name not ilike "a"', Not(Match("name", "ilike", "a"))),
        ("config.x exists", Exists(X)),
        ("not config.x exists", Not(Exists(X))),
        ("config.x is null", IsNull(X)),
        ("config.x IS NOT NULL", Not(IsNull(X))),
        ("rows(1, 2)", Ids((1, 2))),
        ("created > 1970-01-01", Compare("created", ">", 0)),
        ("created > 1970-01-01T00:00:01Z", Compare("created", ">", 1_000_000)),
        ("created > '1970-01-01T01:00:01+01:00'", Compare("created", ">", 1_000_000)),
        ("created > 5", Compare("created", ">", 5)),
        ("config.day = 1970-01-02", Compare("config.day", "=", 86_400_000_000)),
        ("config.day = '1970-01-02'", Compare("config.day", "=", "1970-01-02")),
        (
            "config.x exists and config.x = 1 or config.x = 2",
            Or((And((Exists(X), Compare(X, "=", 1))), Compare(X, "=", 2))),
        ),
        (
            "config.x exists and (config.x = 1 or config.x = 2)",
            And((Exists(X), Or((Compare(X, "=", 1), Compare(X, "=", 2))))),
        ),
        ("not config.x exists and config.x is null", And((Not(Exists(X)), IsNull(X)))),
        ("not (config.x exists and config.x is null)", Not(And((Exists(X), IsNull(X))))),
        ("all(config.x exists)", And((Exists(X),))),
        ("any()", Or(())),
    ],
)
def test_what_a_text_means(source, condition):
    assert text.condition(source) == condition


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "loss < 1",
            "column 1: 'loss' is not a field; write config.loss, summary.loss or tags.loss, or one of id, name",
        ),
        ("state = 'x' and config. < 1", "column 23: .*"),
        ("config.x <", "column 11: expected a value: .*, found the end"),
        ("config.x == 1", "column 10: expected '=' (one is enough), found '=='"),
        (
            "config.x",
            "column 9: expected a test: = != < <= > >= in, contains, like, ilike, ~, exists or is null, found the end",
        ),
        ("config.x = running", "column 12: expected a value: text in quotes, .*, found 'running'"),
        ("config.x = 1 config.y = 2", "column 14: expected 'and', 'or' or the end, found 'config.y'"),
        ("config.x = 1 and", "column 17: expected a field, such as .*, found the end"),
        ("(config.x = 1", "column 14: expected 'and', 'or' or ')', found the end"),
        ("config.x = 1)", "column 13: expected 'and', 'or' or the end, found ')'"),
        ("config.x in 1", "column 13: expected '(', found '1'"),
        ("config.x in (1 2)", "column 16: expected ',' or ')', found '2'"),
        ("config.x not = 1", "column 14: expected in, like, ilike or contains after not, found '='"),
        ("config.x is 1", "column 13: expected null, found '1'"),
        ("config.x like 1", "column 15: expected text in quotes, found '1'"),
        ("text(config.x) exists", "column 16: expected = != .* after text(...), found 'exists'"),
        ("text config.x = 1", "column 6: expected '(' and a field after text, found 'config.x'"),
        ("and = 1", "column 1: expected a field, .*, found 'and'"),
        ("config.x = 'a", "column 12: the text that begins here has no closing quote"),
        ("config.`a = 1", "column 7: .*"),
        ("config.x = 1 && config.y = 2", "column 14: write 'and'"),
        ("config.x = 1 || config.y = 2", "column 14: write 'or'"),
        ("! config.x exists", "column 1: write 'not', or != for unequal"),
        ("config.x = 0x10", "column 12: '0x10' cannot be read; .*"),
        ("config.x = 1.2.3", "column 12: .*"),
        (r"config.x = '\q'", r"column 13: .* is not an escape; write .* for a backslash"),
        (r"config.x = '\U00ffffff'", r"column 13: .* is not an escape.*"),
        (
            "created > 'yesterday'",
            "column 11: created: 'yesterday' is not a time; write it as 2026-01-31 or 2026-01-31T12:00:00Z",
        ),
        ("created > 2026-13-01", "column 11: '2026-13-01' is not a time; .*"),
        ("rows(a)", "column 6: expected a row's number, found 'a'"),
        ("rows(-1)", "column 6: expected a row's number, found '-1'"),
    ],
)
def test_a_refusal_names_the_column_and_what_was_expected(source, message):
    with pytest.raises(Invalid) as refused:
        text.condition(source)
    pattern = "".join(".*" if part == ".*" else re.escape(part) for part in re.split(r"(\.\*)", message))
    assert re.match(pattern, refused.value.message), refused.value.message
    assert (
        refused.value.details["column"] == int(re.findall(r"\d+", message)[0])
        if "is not a time" not in message
        else True
    )


def test_limits():
    for deep in ("(" * 100 + "true" + ")" * 100, "not " * 100 + "true", "all(" * 100 + "true" + ")" * 100):
        with pytest.raises(TooLarge, match="deeper than 64"):
            text.condition(deep)
    with pytest.raises(TooLarge, match="more than 1000"):
        text.condition(" or ".join(["true"] * 1001))
    with pytest.raises(TooLarge, match="the most is 100000"):
        text.condition(f"config.x in ({','.join(['1'] * 100_001)})")
    with pytest.raises(TooLarge, match="characters"):
        text.condition(" " * (1 << 21))
    with pytest.raises(TooLarge, match="more than 16"):
        text.orders(",".join(["name"] * 17))


def test_orders():
    assert text.orders("") == ()
    assert text.orders("summary.loss desc, created") == (Order("summary.loss", True), Order("created"))
    assert text.orders("config.`a,b` ASC,name DESC") == (Order("config.a,b"), Order("name", True))
    for source, message in {
        "loss": "column 1: 'loss' is not a field",
        "name,": "column 6: expected a field",
        "name up": "column 6: expected ',', 'asc', 'desc' or the end, found 'up'",
    }.items():
        with pytest.raises(Invalid, match=message):
            text.orders(source)


def test_a_name_of_another_table_is_taken_if_it_is_known():
    assert text.condition("version > 3", {"version"}) == Compare("version", ">", 3)
    assert text.condition("whatever > 3", None) == Compare("whatever", ">", 3)
    with pytest.raises(Invalid, match="'state' is not a field"):
        text.condition("state = 'x'", {"version"})


@settings(deadline=None)
@given(CONDITIONS)
def test_a_tree_comes_back_from_its_text(condition):
    printed = text.condition_text(condition)
    assert same(text.condition(printed, None), condition)


@settings(deadline=None)
@given(ORDERS)
def test_orders_come_back_from_their_text(orders):
    assert text.orders(text.orders_text(orders), None) == orders


def same(one, other):
    """Equal, with NaN equal to itself, and 1 unlike 1.0 and true."""
    return repr(one) == repr(other)


@pytest.mark.parametrize(
    ("condition", "printed"),
    [
        (
            And((Compare("config.lr", "<", 0.01), Or((Exists("tags.a"), Not(Compare("state", "=", "x")))))),
            'config.lr < 0.01 and (tags.a exists or not state = "x")',
        ),
        (Not(In("config.a b", (1, "x"))), 'config.`a b` not in (1, "x")'),
        (Not(IsNull("odd name")), "`odd name` is not null"),
        (Compare("created", "=", "x"), '`created` = "x"'),
        (Not(And((Exists("name"), Exists("user")))), "not (name exists and user exists)"),
        (Compare("name", "=", "two\nlines"), r'name = "two\u000alines"'),
    ],
)
def test_what_a_tree_reads_like(condition, printed):
    assert text.condition_text(condition) == printed
