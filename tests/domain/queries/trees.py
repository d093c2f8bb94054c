"""Random query trees, values and rows for property tests."""

from hypothesis import strategies as st

from runstone.query import And, Compare, Exists, Ids, In, IsNull, Match, Not, Or, Order

TEXTS = st.text(max_size=8)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats()
VALUES = st.none() | st.booleans() | NUMBERS | TEXTS
FIELDS = st.sampled_from(
    [
        "name",
        "created",
        "state",
        "config.lr",
        "config.a b",
        "config.`",
        "summary.loss:min",
        "tags.ünï",
        "config.not",
        "and",
        "true",
        "`",
        "in",
    ]
) | st.text(min_size=1, max_size=8)
OPERATORS = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
TESTS = st.one_of(
    st.builds(Compare, FIELDS, OPERATORS, VALUES, st.booleans()),
    st.builds(In, FIELDS, st.lists(VALUES, max_size=4).map(tuple), st.booleans()),
    st.builds(Match, FIELDS, st.sampled_from(["contains", "regex", "like", "ilike"]), TEXTS, st.booleans()),
    st.builds(Exists, FIELDS),
    st.builds(IsNull, FIELDS),
    st.builds(Ids, st.lists(st.integers(0, 2**63 - 1), max_size=4).map(tuple)),
)
CONDITIONS = st.recursive(
    TESTS,
    lambda below: st.one_of(
        st.builds(And, st.lists(below, max_size=4).map(tuple)),
        st.builds(Or, st.lists(below, max_size=4).map(tuple)),
        st.builds(Not, below),
    ),
    max_leaves=12,
)
ORDERS = st.lists(st.builds(Order, FIELDS, st.booleans()), max_size=4).map(tuple)
