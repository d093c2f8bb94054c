"""Runs of the real SDK: made, logged, resumed, failed; read back through the native domain."""

from __future__ import annotations

import math

from runstone import domain
from runstone.domain.context import Context
from runstone.domain.runs import rows

CTX = Context()


def logged(served, name):
    """Steps and values of a run, without what the SDK adds by itself."""
    return [
        (step, {key: value for key, value in values.items() if key not in ("_timestamp", "_runtime")})
        for step, _, values in rows.read(
            served.store, CTX, name, wanted=lambda key: not key.startswith("system/")
        )
    ]


def test_a_run_is_made_and_everything_arrives(served, sdk):
    sdk.run("""
        run = wandb.init(project="first", id="one", name="shown", group="g", job_type="train", tags=["a", "b"],
                         notes="some words", config={"lr": 0.1, "deep": {"x": [1, None, "t"]}, "nan": float("nan")})
        for step in range(5):
            run.log({"loss": 1 / (step + 1), "deep": {"a": step, "b": {"c": "text"}}, "odd": float("inf")})
        print("hello from the run")
        run.config.update({"late": 3})
        run.summary["best"] = {"value": 7}
        run.finish()
    """)
    run = domain.runs.lifecycle.get(served.store, CTX, "local/first/one")
    assert (run.display_name, run.group, run.job_type, run.notes) == ("shown", "g", "train", "some words")
    assert run.state == "finished"
    assert run.tags == {"a": "", "b": ""}
    assert run.config.pop("nan") == "NaN" or math.isnan(run.config.get("nan", math.nan))
    assert run.config == {"lr": 0.1, "deep": {"x": [1, None, "t"]}, "late": 3}
    assert logged(served, "local/first/one") == [
        (step, {"loss": 1 / (step + 1), "deep.a": step, "deep.b.c": "text", "odd": math.inf})
        for step in range(5)
    ]
    assert run.summary["best"] == {"value": 7}
    assert run.summary["loss"] == 0.2
    lines = domain.runs.console.read(served.store, CTX, "local/first/one")
    assert "hello from the run" in [line.text for line in lines]
