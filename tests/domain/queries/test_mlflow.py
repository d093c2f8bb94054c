"""mlflow's search language, held to what the genuine mlflow answered (``mlflow_recorded.json``)."""

import json
import re
from pathlib import Path

import pytest
from tests.domain.queries import golden, model

from runstone.domain.queries import mlflow
from runstone.errors import Invalid
from runstone.query import And, Compare, In, IsNull, Match, Not, Or, Order, Query

RECORDED = json.loads(Path(__file__).with_name("mlflow_recorded.json").read_text())
GRAMMARS = {
    "runs": mlflow.RUNS,
    "experiments": mlflow.EXPERIMENTS,
    "models": mlflow.REGISTERED_MODELS,
    "versions": mlflow.MODEL_VERSIONS,
    "logged": mlflow.LOGGED_MODELS,
}
ROWS = golden.dataset()

#: Refused by both, in words of our own: where mlflow's name its parser's tokens, or the operators of another type, or nothing.
OTHER_WORDS = {
    "metrics.a > 1e+5",
    "metrics.1 > 1",
    "metrics.a.1 > 1",
    "metrics.a > 1,metrics.b > 2",
    "start_time LIKE 1",
    "experiments|experiment_id LIKE '1'",
    "experiments|name > 'x'",
    "experiments|creation_time LIKE 1",
    "experiments|tags.a > 'x'",
    "models|tags.a IS NULL",
    "versions|version_number = 1.5",
    "versions|version_number LIKE 1",
    "versions|version_number IN (1)",
    "versions|tags.a IS NOT NULL",
    "versions|name = 1",
    "logged|tags.a IS NULL",
    "logged|creation_timestamp LIKE 1",
    "logged|params.a = 'x' OR params.b = 'y'",
    "versions|tags.a",
}


def split(text):
    kind, bar, rest = text.partition("|")
    return (GRAMMARS[kind], rest) if bar and kind in GRAMMARS else (mlflow.RUNS, text)


def compiled(text):
    grammar, rest = split(text)
    return mlflow.condition(rest, grammar, datasets=lambda key, operator, value: And(()))


def ordered(text):
    grammar, rest = split(text)
    return mlflow.orders([rest], grammar)


def sorted_sets(message):
    """A message with the members of sets and tuples in order: mlflow prints them as they come."""
    return re.sub(
        r"\{[^{}]*\}'?|\([^()]*\)",
        lambda found: str(sorted(re.findall(r"\w[\w ]*|[<>=!]+", found.group()))),
        message,
    )


def agrees(text, recorded, compile):
    try:
        compile(text)
    except Invalid as error:
        assert "found" not in recorded, recorded
        assert (sorted_sets(error.message) == sorted_sets(recorded.get("refused", ""))) == (
            text not in OTHER_WORDS
        ), recorded
    else:
        assert "found" in recorded, recorded


@pytest.mark.parametrize("text", RECORDED["filters"])
def test_a_filter_is_taken_or_refused_as_by_mlflow(text):
    agrees(text, RECORDED["filters"][text], compiled)


@pytest.mark.parametrize("text", RECORDED["orders"])
def test_an_order_is_taken_or_refused_as_by_mlflow(text):
    agrees(text, RECORDED["orders"][text], ordered)


@pytest.mark.parametrize(
    "question",
    [pytest.param(each, id=each.name) for each in golden.QUESTIONS if each.name in RECORDED["golden"]],
)
def test_the_genuine_mlflow_finds_the_same_rows(question):
    recorded = RECORDED["golden"][question.name]
    assert model.execute(dict(question.queries())["mlflow"], ROWS) == recorded["found"]


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("", And(())),
        ("metrics.a > 1", Compare("summary.a", ">", 1.0)),
        ("params.a = '1'", Compare("config.a", "=", "1", True)),
        ("params.a ILIKE 'x%'", Match("config.a", "ilike", "x%", True)),
        ("params.a IS NOT NULL", Not(IsNull("config.a"))),
        ("tags.`mlflow.runName` LIKE 'a%'", Match("name", "like", "a%")),
        ("tags.a = 'it''s'", Compare("tags.a", "=", "it''s")),
        ("run_id NOT IN ('x', 'y')", And((Not(IsNull("id")), Not(In("id", ("x", "y")))))),
        ("run_id IN ('x' 'y', \"z\")", In("id", ("xy", "z"))),
        ("status = 'RUNNING'", In("state", ("running", "preempting"))),
        (
            "status != 'FAILED'",
            In("state", ("running", "preempting", "pending", "finished", "killed", "preempted")),
        ),
        ("status = 'nope'", In("state", ())),
        ("status ILIKE 'r%'", In("state", ("running", "preempting"))),
        ("start_time = 2", And((Compare("created", ">=", 2000), Compare("created", "<", 3000)))),
        ("start_time != 2", Or((Compare("created", "<", 2000), Compare("created", ">=", 3000)))),
        ("start_time = 2.5", Or(())),
        ("start_time != 2.5", Not(IsNull("created"))),
        ("start_time > 2", Compare("created", ">=", 3000)),
        ("start_time >= 2", Compare("created", ">=", 2000)),
        ("start_time < 2", Compare("created", "<", 2000)),
        ("start_time <= 2", Compare("created", "<", 3000)),
        ("start_time > 2.5", Compare("created", ">=", 3000)),
        ("start_time >= 2.5", Compare("created", ">=", 3000)),
        ("start_time < 2.5", Compare("created", "<", 3000)),
        ("start_time <= 2.5", Compare("created", "<", 3000)),
        ("metrics.a = 1e999", Compare("summary.a", "=", float("inf"))),
        ("experiments|experiment_id != '3'", Compare("id", "!=", "3")),
        (
            "versions|version_number >= '3'",
            And((Compare("version", ">=", 3), Not(Compare("tags.mlflow.prompt.is_prompt", "=", "true")))),
        ),
        ("logged|params.lr = 0.1", Compare("config.lr", "=", "0.1", True)),
        (
            "logged|params.lr NOT IN ('a')",
            And((Not(IsNull("config.lr")), Not(In("config.lr", ("a",), True)))),
        ),
    ],
)
def test_what_a_filter_means(text, condition):
    assert compiled(text) == condition


def test_a_time_is_the_millisecond_it_falls_into():
    rows = {i: {"created": 1000 + i} for i in (-1, 0, 999, 1000)}
    for operator, found in {
        "=": [999, 0],
        "!=": [1000, -1],
        "<": [-1],
        "<=": [999, 0, -1],
        ">": [1000],
        ">=": [1000, 999, 0],
    }.items():
        assert model.execute(Query(filter=mlflow.condition(f"start_time {operator} 1")), rows) == found, (
            operator
        )


@pytest.mark.parametrize(
    "text",
    [
        "models|",
        "models|tags.`mlflow.prompt.is_prompt` != 'true'",
        "models|tag.`mlflow.prompt.is_prompt` = 'false'",
    ],
)
def test_prompts_hide_unless_they_are_asked_for(text):
    prompt = {"name": "p", "tags.mlflow.prompt.is_prompt": "true"}
    rows = {1: prompt, 2: {"name": "m"}, 3: {"name": "n", "tags.mlflow.prompt.is_prompt": "false"}}
    assert model.execute(Query(filter=compiled(text)), rows) == [3, 2]
    assert model.execute(Query(filter=compiled("models|tags.`mlflow.prompt.is_prompt` = 'true'")), rows) == [
        1
    ]


def test_dataset_clauses_are_resolved_by_the_caller():
    asked = []
    mlflow.condition(
        "dataset.name = 'a' AND datasets.digest NOT IN ('b', 'c')",
        datasets=lambda *clause: asked.append(clause) or And(()),
    )
    assert asked == [("name", "=", "a"), ("digest", "NOT IN", ("b", "c"))]
    with pytest.raises(Invalid, match="inputs cannot be asked about here"):
        mlflow.condition("dataset.name = 'a'")


def test_orders_end_with_mlflows_own():
    assert mlflow.orders(None) == (Order("created", True), Order("id"))
    assert mlflow.orders(["metrics.`a b` DESC", "start_time"]) == (
        Order("summary.a b", True),
        Order("created"),
        Order("id"),
    )
    assert mlflow.orders(["version_number"], mlflow.MODEL_VERSIONS) == (Order("version"), Order("name"))
    assert mlflow.orders(["timestamp DESC"], mlflow.REGISTERED_MODELS) == (
        Order("updated", True),
        Order("name"),
    )
    assert mlflow.orders([{"field_name": "metrics.a", "ascending": False}], mlflow.LOGGED_MODELS)[0] == Order(
        "summary.a", True
    )
    with pytest.raises(Invalid, match="contains duplicate fields"):
        mlflow.orders(["metrics.a", "metric.a DESC"])


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("name", "must be a list of dictionaries"),
        ({}, "must be specified"),
        ({"field_name": "params.a"}, "Only metrics are supported"),
        ({"field_name": "nope"}, "Invalid order by field name: nope"),
        ({"field_name": "name", "ascending": "yes"}, "must be a boolean"),
        ({"field_name": "name", "dataset_digest": "d"}, "can only be specified if `dataset_name`"),
        ({"field_name": "metrics.a", "dataset_name": "d"}, "is not supported"),
    ],
)
def test_orders_of_logged_models_are_objects(order, message):
    with pytest.raises(Invalid, match=message):
        mlflow.orders([order], mlflow.LOGGED_MODELS)
