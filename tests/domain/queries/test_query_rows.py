"""Questions asked of rows one by one, held to the model of the query tree."""

import pytest
from tests.domain.queries import golden, model

from runstone.domain.queries import rows

ROWS = golden.dataset()


@pytest.mark.parametrize("question", golden.QUESTIONS, ids=lambda each: each.name)
def test_rows_are_found_and_ordered_as_the_model_does(question):
    query = dict(question.queries())["tree"]
    newest_first = sorted(ROWS, reverse=True)
    found = [row_id for row_id in newest_first if rows.matches(query.filter, ROWS[row_id], row_id)]
    found = rows.ordered(found, query.order, lambda row_id: ROWS[row_id])
    assert found[: query.limit] == model.execute(query, ROWS)
