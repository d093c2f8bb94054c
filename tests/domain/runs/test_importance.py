"""Importance of parameters: what a metric was made of is found again, and what tells nothing is left out."""

import math
import random
import sys

import pytest

import runstone
from runstone.domain.runs import importance
from runstone.errors import Invalid

RUNS = 60


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """Runs whose loss is made of ``lr`` and, less, of ``optimizer``; other fields have no part in it."""
    chance = random.Random(7)
    with runstone.open(tmp_path_factory.mktemp("importance") / "data") as opened:
        for number in range(RUNS):
            lr, optimizer = chance.random(), chance.choice(["adam", "sgd", "lion"])
            loss = (3 * lr - 1) ** 2 + {"adam": 0, "sgd": 0.4, "lion": 0.8}[optimizer]
            config = {
                "model": {"lr": lr},
                "optimizer": optimizer,
                "noise": chance.random(),
                "constant": 5,
                "title": f"run {number}",
                "flag": chance.random() < 0.5,
                "holes": math.nan if number % 3 == 0 else chance.random(),
                "huge": 10**400 if number == 0 else number % 7,
                "list": [number],
                "_wandb": {"x": number},
                "mixed": "all" if number % 2 else number % 4,
            }
            with opened.run("vision", f"r{number}", config=config, system=0) as run:
                run.log({"loss": math.nan if number == 3 else loss, "same": 1.0, "lr": lr})
        yield opened


def asked(library, target, **given):
    return importance.importance(library.store, library.ctx, "local/vision", target, **given)


def test_what_a_metric_is_made_of_comes_first(library):
    found = asked(library, "summary.loss")
    assert (found.method, found.runs, found.note) == ("forest", RUNS - 1, "")
    fields = [item.field for item in found.items]
    assert set(fields[:2]) == {"config.model.lr", "config.optimizer"}
    shares = {item.field: item.importance for item in found.items}
    assert sum(shares.values()) == pytest.approx(1)
    assert shares[fields[0]] + shares[fields[1]] > 0.8
    assert {item.kind for item in found.items if item.field in ("config.optimizer", "config.flag")} == {
        "category"
    }
    correlations = {item.field: item.correlation for item in found.items}
    assert 0.3 < correlations["config.optimizer"] <= 1
    assert abs(correlations["config.noise"]) < 0.35


def test_constants_and_names_rank_nowhere(library):
    fields = {item.field for item in asked(library, "summary.loss").items}
    assert not fields & {"config.constant", "config.title", "config.list", "config._wandb.x"}
    assert {"config.mixed", "config.holes", "config.huge"} <= fields
    assert {item.field: item.runs for item in asked(library, "summary.loss").items}["config.holes"] == 40


def test_the_same_question_has_the_same_answer(library):
    assert asked(library, "summary.loss") == asked(library, "summary.loss")


def test_a_monotone_dependence_has_a_correlation_of_one(library):
    found = asked(library, "summary.lr:max")
    assert found.items[0].field == "config.model.lr"
    assert found.items[0].correlation == pytest.approx(1)


def test_few_runs_and_constant_targets_say_so(library):
    assert asked(library, "summary.same").method == "none"
    assert asked(library, "summary.nothing").runs == 0
    few = asked(library, "summary.loss", filter="config.model.lr < 0.2")
    assert few.method == "correlation" and "20 runs" in few.note and few.items
    assert few.items[0].importance is None
    assert asked(library, "summary.loss", limit=25).runs == 25
    for wrong in ("", "config.model.lr"):
        with pytest.raises(Invalid, match="metric"):
            asked(library, wrong)


def test_without_scikit_learn_there_is_correlation(library, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    found = asked(library, "summary.loss")
    assert found.method == "correlation" and "runstone[analysis]" in found.note
    assert "config.model.lr" in [item.field for item in found.items][:3]
