"""Conditions and orders over rows, as the query tree defines them."""

import math

import pytest

from runstone.domain.queries import text
from runstone.domain.runs import browsing
from runstone.errors import Invalid

ROW = {
    "id": 7, "name": "run-1", "config.lr": 0.1, "config.n": 1, "config.on": True, "config.list": [1],
    "config.none": None, "summary.x": math.nan, "tags.a": "",
}  # fmt: skip
TRUE = [
    "", "true", "config.lr < 0.2", "config.lr = 0.1", "config.n = 1", "config.n = 1.0", "config.n != 2", "config.on = true",
    "config.list exists", "config.none exists", "config.none is null", "config.more is null", "config.lr is not null",
    "summary.x = nan", "summary.x != 1", "tags.a exists", "tags.a = ''", "name in ('x', 'run-1')", "config.n in (3, 1)",
    "name contains 'un-'", "name like 'run%'", "name like 'r_n-1'", "name ilike 'RUN%1'", "name like '%'", "name like '%%%%%1'",
    "text(config.n) = '1'", "text(config.on) = 'True'", "text(config.lr) like '0%'", "text(config.n) in ('1')",
    "config.lr > 1 or name >= 'run'", "not config.more = 1", "not (config.lr > 1 and name = 'run-1')", "rows(7, 8)",
]  # fmt: skip
FALSE = [
    "false", "config.lr > 0.2", "config.n = '1'", "config.on = 1", "config.n = true", "config.more = 1", "config.more != 1",
    "config.none = null", "config.none != 1", "config.list = 1", "config.list != 1", "summary.x < 1", "summary.x >= nan", "summary.x != nan",
    "tags.b exists", "name in ('x')", "config.n in ('1')", "config.lr contains '0'", "name like 'run'", "name like 'RUN%'",
    "name ilike 'run_'", "config.n like '1'", "not name = 'run-1'", "rows(8)", "config.lr < 0.2 and name = 'x'",
]  # fmt: skip


@pytest.mark.parametrize("source", TRUE)
def test_a_row_fulfils(source):
    assert browsing.matches(text.condition(source, None), ROW, 7)


@pytest.mark.parametrize("source", FALSE)
def test_a_row_does_not_fulfil(source):
    assert not browsing.matches(text.condition(source, None), ROW, 7)


@pytest.mark.parametrize("source", ["name ~ '(a+)+$'", "name like '%a%a%a%a%a%'"])
def test_a_pattern_that_may_take_for_ever_is_refused(source):
    with pytest.raises(Invalid):
        browsing.matches(text.condition(source, None), ROW, 7)


def test_an_order_has_a_place_for_every_value(library):
    values = [2, "b", None, math.nan, False, [1], 1.5, "a", True, -math.inf, {"x": {}}]
    for number, value in enumerate(values):
        library.create_run(f"p/{number}", config={"v": value})
    library.create_run("p/none")

    def listed(order):
        return [run.config.get("v", "missing") for run in library.list_runs("p", order=order)]

    ranked = [False, True, -math.inf, 1.5, 2, "a", "b"]
    assert listed("config.v")[:7] == ranked and listed("config.v desc")[:7] == ranked[::-1]
    for order in ("config.v", "config.v desc"):
        rest = listed(order)[7:]
        assert math.isnan(rest[0])
        # Ties come newest first; an empty map in a map has no field of the map's own name.
        assert rest[1:] == [[1], "missing", {"x": {}}, None]


def test_a_field_that_is_hidden_does_not_take_the_run_with_it(people):
    people.ann.create_run("lab/p/r", notes="n")
    people.ann.set_field_class("lab/p", "name", "secret")
    people.ann.set_field_class("lab/p", "notes", "secret")
    assert [run.notes for run in people.ria.list_runs("lab/p")] == [""]
    assert people.ria.list_runs("lab/p", filter="name = 'r'") == []
    assert len(people.ann.list_runs("lab/p", filter="notes = 'n'")) == 1
