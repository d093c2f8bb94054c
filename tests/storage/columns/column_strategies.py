"""Random rows, trees and questions."""

from hypothesis import strategies as st

from runstone.query import (
    Aggregate,
    And,
    Compare,
    Exists,
    Ids,
    In,
    IsNull,
    Match,
    Not,
    Or,
    Order,
    Query,
)

FIELDS = ["a", "b", "config.lr", "ü", "rare"]
# Few texts and numbers, so that they meet; with the letters that fold beyond ASCII, and ends that look like patterns.
texts = st.one_of(
    st.sampled_from(
        [
            "",
            "a",
            "A",
            "ab",
            "b",
            "aab",
            "ask",
            "ASK",
            "a\u017f\u212a",
            "1",
            "1.0",
            "True",
            "é",
            "日本",
            "a%",
            "_",
            "x.y",
        ]
    ),
    st.text(alphabet="abkS.é\n\U0001f600", max_size=6),
)
numbers = st.one_of(
    st.sampled_from(
        [
            0,
            1,
            -1,
            1.0,
            0.5,
            -0.0,
            0.0,
            float("inf"),
            float("-inf"),
            float("nan"),
            2**53 + 1,
            -(10**400),
            1e300,
            5e-324,
        ]
    ),
    st.integers(-3, 3),
    st.floats(width=16),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.one_of(scalars, st.sampled_from([[], [1], {"a": 1}]))
# A fixed type for most fields makes lanes that all rows share, as real projects have.
rows = st.one_of(
    st.dictionaries(st.sampled_from(FIELDS), values, max_size=5),
    st.fixed_dictionaries({"a": numbers, "b": texts}, optional={"config.lr": st.booleans(), "rare": values}),
)
ids = st.integers(0, 40)
fields = st.sampled_from([*FIELDS, "missing"])
patterns = st.one_of(
    st.tuples(st.just("contains"), texts),
    st.tuples(st.sampled_from(["like", "ilike"]), st.text(alphabet="abAkKsS%_1.é", max_size=6)),
    st.tuples(
        st.just("regex"),
        st.sampled_from(
            ["a", "^a", "a+b", "(?i)ask", "b?$", "^$", "a|b", "[ab]k?", "x\\.y", "1(\\.0)?", "."]
        ),
    ),
)
comparisons = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
leaves = st.one_of(
    st.builds(Compare, fields, comparisons, scalars, st.booleans()),
    st.builds(In, fields, st.lists(scalars, max_size=12).map(tuple), st.booleans()),
    st.builds(lambda field, how, text: Match(field, how[0], how[1], text), fields, patterns, st.booleans()),
    st.builds(Exists, fields),
    st.builds(IsNull, fields),
    st.builds(Ids, st.lists(ids, max_size=6).map(tuple)),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=6,
)
orders = st.lists(st.builds(Order, fields, st.booleans()), max_size=3).map(tuple)
aggregates = st.lists(
    st.builds(Aggregate, st.sampled_from(["count", "min", "max", "mean", "sum"]), fields), max_size=2
).map(lambda found: (Aggregate("count"), *found))
questions = st.builds(
    lambda tree, order: Query(filter=tree, order=order, limit=1000, total=True), trees, orders
)
