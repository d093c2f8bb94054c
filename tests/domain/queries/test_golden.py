"""Same question, same rows, whichever language asked."""

import pytest
from tests.domain.queries import golden, model

ROWS = golden.dataset()
NAMED = [pytest.param(each, id=each.name) for each in golden.QUESTIONS]


@pytest.mark.parametrize("question", NAMED)
def test_every_language_finds_the_same_rows(question):
    asked = dict(question.queries())
    expected = model.execute(asked.pop("tree"), ROWS)
    for language, query in asked.items():
        assert model.execute(query, ROWS) == expected, language


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
