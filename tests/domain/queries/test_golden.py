"""Same question, same rows, whichever language asked."""

import pytest
from tests.domain.queries import arrow_rows, columnar, golden, model

from runstone.domain.queries.sql import run_sql

ROWS = golden.dataset()
#: What answers a tree: ``execute(query, rows) -> ids`` in the query's order. The model first; every engine is one more.
EXECUTORS = [
    pytest.param(model.execute, id="model"),
    pytest.param(columnar.in_memory, id="columns"),
    pytest.param(columnar.sealed, id="segments"),
]
NAMED = [pytest.param(each, id=each.name) for each in golden.QUESTIONS]


@pytest.mark.parametrize("execute", EXECUTORS)
@pytest.mark.parametrize("question", NAMED)
def test_every_language_finds_the_same_rows(question, execute):
    asked = dict(question.queries())
    expected = model.execute(asked["tree"], ROWS)
    for language, query in asked.items():
        assert list(execute(query, ROWS)) == expected, language


@pytest.mark.parametrize("question", NAMED)
def test_what_a_language_cannot_ask_is_said(question):
    for language in golden.LANGUAGES:
        assert (getattr(question, language) is None) == (language in question.without), language


def test_the_set_is_wide():
    assert len({question.name for question in golden.QUESTIONS}) == len(golden.QUESTIONS) >= 40
    sizes = [len(model.execute(dict(question.queries())["tree"], ROWS)) for question in golden.QUESTIONS]
    assert [name for name, size in zip(golden.QUESTIONS, sizes, strict=True) if not size] == [
        question for question in golden.QUESTIONS if question.name == "nothing"
    ]


@pytest.mark.parametrize("question", [each for each in NAMED if each.values[0].sql is not None])
def test_sql_finds_the_same_rows(question):
    expected = model.execute(dict(question.queries())["tree"], ROWS)
    order = "" if "ORDER BY" in question.sql else " ORDER BY row DESC"
    found = run_sql(
        f"SELECT row FROM runs {question.sql}{order}", {"runs": arrow_rows.runs(ROWS)}, isolated=False
    )
    assert found["row"].to_pylist() == expected
