"""Whatever is asked: a tree that the model can answer and that keeps the limits, or Invalid. Never another error, never a hang."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.domain.queries import golden, model
from tests.domain.queries.filters_mlflow import FILTERS, ORDERS
from tests.domain.queries.trees import VALUES

from runstone.domain.queries import bounds, mlflow, mongo, text
from runstone.errors import Invalid
from runstone.query import And, Query

ROWS = {row_id: row for row_id, row in golden.dataset().items() if row_id < 20}
GRAMMARS = st.sampled_from(
    [mlflow.RUNS, mlflow.EXPERIMENTS, mlflow.REGISTERED_MODELS, mlflow.MODEL_VERSIONS, mlflow.LOGGED_MODELS]
)
PIECES = [
    *"()[]{}`'\"\\.,;:%_-+*/=<>!~$#&| \t\n0159aé",
    *("AND", "OR", "NOT", "IN", "IS", "NULL", "LIKE", "ILIKE", "DESC", "ASC", "contains", "exists", "true", "nan"),
    *("metrics.", "params.", "tags.", "attributes.", "dataset.", "config.", "summary.", "run_id", "status", "start_time", "created"),
    *("text(", "all(", "rows(", "1e5", "-1", "2026-01-31", "''", '"x"', "--", "/*", "*/"),
]  # fmt: skip
SOUP = st.lists(st.sampled_from(PIECES) | st.characters(), max_size=30).map("".join)
FILTERS_OF_MLFLOW = [each.partition("|")[2] or each for each in FILTERS]
FILTERS_OF_TEXT = [golden._parts(each.text)[0] for each in golden.QUESTIONS if each.text is not None]
FILTERS_OF_MONGO = [golden._parts(each.mongo)[0] for each in golden.QUESTIONS if each.mongo is not None]


@st.composite
def mutated(draw, valid):
    """A valid text with some pieces of it cut, doubled, moved or replaced."""
    source = draw(st.sampled_from(valid))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(source)))
        end = draw(st.integers(start, min(len(source), start + 8)))
        source = source[:start] + draw(st.sampled_from([*PIECES, "", source[start:end] * 2])) + source[end:]
    return source


def holds(compile):
    try:
        found = compile()
    except Invalid as error:
        assert error.message
        return
    if isinstance(found, tuple):
        model.execute(Query(order=found), ROWS)
    else:
        bounds.checked(found)
        # Whether a pattern is one is for RE2 to say, when the question is answered.
        if "how='regex'" not in repr(found):
            model.execute(Query(filter=found), ROWS)


@settings(deadline=None)
@given(SOUP | st.text() | mutated(FILTERS_OF_MLFLOW), GRAMMARS)
def test_any_text_as_mlflow_filter(source, grammar):
    holds(lambda: mlflow.condition(source, grammar, datasets=lambda *clause: And(())))


@settings(deadline=None)
@given(SOUP | mutated(ORDERS), GRAMMARS)
def test_any_text_as_mlflow_order(source, grammar):
    holds(lambda: mlflow.orders([source], grammar))


@settings(deadline=None)
@given(SOUP | st.text() | mutated(FILTERS_OF_TEXT))
def test_any_text_as_filter(source):
    holds(lambda: text.condition(source))


@settings(deadline=None)
@given(SOUP)
def test_any_text_as_order(source):
    holds(lambda: text.orders(source))
    holds(lambda: mongo.orders(source))


OPERATORS = "$and $or $nor $not $eq $ne $gt $lte $in $nin $exists $regex $options $contains $all $size"
NAMES = (
    "config.lr config.opt.value summary_metrics.loss tags tags.a state created_at keys_info.keys.loss config"
)
KEYS = st.sampled_from(f"{OPERATORS} {NAMES}".split()) | st.text(max_size=4)
JSON = st.recursive(
    VALUES,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below, max_size=3),
    max_leaves=15,
)


@settings(deadline=None)
@given(st.dictionaries(KEYS, JSON, max_size=3) | JSON)
def test_any_json_as_filter(document):
    holds(lambda: mongo.condition(document))
    holds(lambda: mongo.condition(json.dumps(document)))


@settings(deadline=None)
@given(st.sampled_from(FILTERS_OF_MONGO), st.data())
def test_mutated_filters(document, data):
    source = data.draw(mutated([json.dumps(document)]))
    holds(lambda: mongo.condition(source))


@settings(deadline=None)
@given(JSON, GRAMMARS)
def test_any_json_as_mlflow_order(document, grammar):
    holds(lambda: mlflow.orders([document], grammar))


@pytest.mark.parametrize(
    "piece",
    [
        "'",
        '"',
        "`",
        "(",
        "('",
        "(\"'",
        "/*",
        "--",
        "\\'",
        "''",
        "a.",
        "1",
        "-",
        "metrics.a > 1 AND ",
        "!",
        "a.`",
        "not ",
        "= ",
        "x in (",
    ],
)
@pytest.mark.timeout(20)
def test_long_texts_do_not_hang(piece):
    source = piece * (20_000 // len(piece))
    for compile in (
        mlflow.condition,
        text.condition,
        mongo.condition,
        mongo.orders,
        text.orders,
        lambda each: mlflow.orders([each]),
    ):
        holds(lambda compile=compile: compile(source))
