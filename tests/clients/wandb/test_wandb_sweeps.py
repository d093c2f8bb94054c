"""Sweeps of the real SDK with real agent processes, read back through the public API and the domain."""

from __future__ import annotations

import itertools
import json
import random
from types import SimpleNamespace

import pytest
from sdk import since_newer

from runstone import domain
from runstone.domain.context import Context
from runstone.domain.queries import mongo
from runstone.domain.runs import lifecycle as runs
from runstone.domain.runs import listing
from runstone.domain.sweeps import agents, bayes, config, lifecycle

CTX = Context()
#: A program that an agent starts: one run that logs a loss for the parameters that it was given.
PROGRAM = """
import wandb
with wandb.init() as run:
    run.log({"loss": (run.config.x - 3) ** 2 + run.config.get("y", 0)})
"""
#: An agent that asks more often than every five seconds, and runs a function.
AGENT = """
import time
import wandb.agents.pyagent as pyagent
pyagent.Agent.HEARTBEAT_SLEEP_SECONDS = 0.3
def train():
    with wandb.init(settings=wandb.Settings(x_file_stream_transmit_interval=0.2)) as run:
        steps = run.config.get("steps", 1)
        for step in range(steps):
            run.log({"loss": (run.config.x - 3) ** 2 + run.config.get("y", 0)})
            if steps > 1 and run.config.x > 3: time.sleep(0.5)
"""


def sweeps_of(served, project):
    return lifecycle.listed(served.store, CTX, f"local/{project}")


def runs_of(served, project):
    found = listing.find(served.store, CTX, f"local/{project}", mongo.condition(None))
    return [runs.get(served.store, CTX, name) for name in found]


def test_a_grid_is_tried_point_by_point(served, sdk):
    (sdk.folder / "train.py").write_text(PROGRAM)
    (sdk.folder / "grid.yaml").write_text(
        "program: train.py\nmethod: grid\nmetric: {name: loss, goal: minimize}\n"
        "parameters:\n  x: {values: [1, 2]}\n  y: {value: 1}\n"
    )
    out = sdk.command("sweep", "--project", "grid", "grid.yaml")
    name = sweeps_of(served, "grid")[0].name
    assert f"wandb agent local/grid/{name}" in out
    sdk.command("agent", f"local/grid/{name}")
    found = runs_of(served, "grid")
    assert sorted((run.config["x"], run.config["y"]) for run in found) == [(1, 1), (2, 1)]
    assert {(run.sweep, run.state) for run in found} == {(name, "finished")}
    said = sdk.run(f"""
        sweep = wandb.Api().sweep("grid/{name}")
        say([sweep.state, sweep.expected_run_count, len(sweep.runs), sweep.order, sweep.config["method"]])
        say(sweep.best_run().config["x"])
        say([[run.config["x"] for run in agent.runs()] for agent in sweep.agents()])
        say([each.name for each in wandb.Api().project("grid", "local").sweeps()])
    """)
    assert said == [["FINISHED", 2, 2, "+summary_metrics.loss", "grid"], 2, [[1, 2]], [name]]


@since_newer
def test_sweeps_are_found_by_their_state(served, sdk):
    said = sdk.run("""
        name = wandb.sweep({"method": "grid", "parameters": {"x": {"values": [1]}}}, project="by-state")
        wandb.agent(name, lambda: wandb.init().finish(), project="by-state")
        wandb.sweep({"method": "grid", "parameters": {"x": {"values": [1]}}}, project="by-state")
        found = lambda state: [each.name for each in wandb.Api().project("by-state", "local").sweeps(filters={"state": state})]
        say([found("FINISHED") == [name], len(found("PENDING")), len(found("RUNNING"))])
    """)
    assert said == [[True, 1, 0]]


def test_a_bayes_sweep_looks_where_earlier_runs_were_good(served, sdk, monkeypatch):
    """Its seeds are fixed, and one agent runs one run after the other: so the same points are tried each time."""
    pytest.importorskip("optuna")
    seeds = itertools.count(1)
    monkeypatch.setattr(agents, "secrets", SimpleNamespace(randbits=lambda bits: next(seeds)))
    sdk.run(
        AGENT
        + """
sweep = wandb.sweep({"method": "bayes", "metric": {"name": "loss"}, "run_cap": 18,
                     "parameters": {"x": {"min": 0.0, "max": 100.0}, "y": {"values": [0, 50]}}}, project="bayes")
wandb.agent(sweep, train, project="bayes")
    """,
        timeout=400,
    )
    sweep = sweeps_of(served, "bayes")[0]
    assert (sweep.runs, sweep.expected, sweep.state) == (18, 18, "finished")
    found = sorted(runs_of(served, "bayes"), key=lambda run: run.created)
    assert {run.state for run in found} == {"finished"}
    assert sweep.best == min(run.summary["loss"] for run in found)
    # The first are drawn by chance. Of ten by chance, three would be this near to what is best; and each is what the optimiser says
    # of the runs before it.
    later = found[bayes.STARTUP :]
    assert sum(run.config["x"] < 30 for run in later) >= 8, [run.config["x"] for run in found]
    space = config.plan(sweep.config).space
    for number, run in enumerate(found):
        seen = [(config.flat(space, each.config), each.summary["loss"]) for each in found[:number]]
        assert config.nested(bayes.next_point(space, seen, False, number + 1)) == run.config


def test_what_is_tried_next_depends_on_what_was_found():
    pytest.importorskip("optuna")
    space = config.plan(
        {"method": "bayes", "metric": {"name": "m"}, "parameters": {"x": {"min": 0.0, "max": 100.0}}}
    ).space
    chance = random.Random(7)
    tried = [{path: each.draw(chance) for path, each in space.items()} for _ in range(40)]
    for best in (10, 90):
        for maximize in (False, True):
            sign = -1 if maximize else 1
            seen = [(each, sign * abs(next(iter(each.values())) - best)) for each in tried]
            found = [next(iter(bayes.next_point(space, seen, maximize, seed).values())) for seed in range(20)]
            assert sum(abs(each - best) < 20 for each in found) >= 15, found


def test_hyperband_ends_what_falls_behind(served, sdk):
    sdk.run(
        AGENT
        + """
sweep = wandb.sweep({"method": "grid", "metric": {"name": "loss"}, "early_terminate": {"type": "hyperband", "min_iter": 2, "eta": 2},
                     "parameters": {"x": {"values": [3, 4, 9]}, "steps": {"value": 60}}}, project="band")
wandb.agent(sweep, train, project="band")
    """
    )
    points = {run.config["x"]: run.step + 1 for run in runs_of(served, "band")}
    assert points[3] == 60
    assert points[4] < 60
    assert points[9] < 60


def test_pausing_resuming_stopping_and_canceling(served, sdk):
    config = {"method": "random", "parameters": {"x": {"min": 0, "max": 10}}}
    names = [lifecycle.create(served.store, CTX, "local/states", config).name for _ in range(2)]
    agent = agents.join(served.store, CTX, f"local/states/{names[0]}", "here")
    assert agents.heartbeat(served.store, CTX, agent, ())[0].what == "run"
    sdk.command("sweep", "--pause", f"local/states/{names[0]}")
    assert agents.heartbeat(served.store, CTX, agent, ()) == []
    sdk.command("sweep", "--resume", f"local/states/{names[0]}")
    order = agents.heartbeat(served.store, CTX, agent, ())[0]
    assert 0 <= order.params["x"] <= 10
    sdk.command("sweep", "--stop", f"local/states/{names[0]}")
    assert agents.heartbeat(served.store, CTX, agent, [order.run]) == []
    assert agents.heartbeat(served.store, CTX, agent, ())[0].what == "exit"
    agent = agents.join(served.store, CTX, f"local/states/{names[1]}", "here")
    order = agents.heartbeat(served.store, CTX, agent, ())[0]
    sdk.command("sweep", "--cancel", f"local/states/{names[1]}")
    assert agents.heartbeat(served.store, CTX, agent, [order.run])[0].what == "stop"
    assert agents.heartbeat(served.store, CTX, agent, ())[0].what == "exit"
    assert [each.state for each in sweeps_of(served, "states")] == ["finished", "canceled"]


@since_newer
def test_runs_that_were_there_before_and_runs_that_the_caller_chose(served, sdk):
    said = sdk.run(
        AGENT
        + """
for x in (2, 8):
    with wandb.init(project="prior", id=f"p{x}", config={"x": x}) as run: run.log({"loss": x})
config = {"method": "random", "metric": {"name": "loss"}, "parameters": {"x": {"values": [5]}}, "run_cap": 1}
name = wandb.sweep(config, project="prior", prior_runs=["p2", "p8"])
sweep = wandb.Api().sweep(f"prior/{name}")
chosen = sweep.enqueue_run({"x": {"value": 7}}, display_name="mine")
wandb.agent(name, train, project="prior")
sweep = wandb.Api().sweep(f"prior/{name}")
say([sorted(run.config["x"] for run in sweep.runs), sweep.best_run().id, wandb.Api().run(f"prior/{chosen}").name, sweep.state])
    """
    )
    assert said == [[[2, 5, 7, 8], "p2", "mine", "FINISHED"]]


def test_a_deleted_sweep_ends_its_agent(served, sdk):
    name = lifecycle.create(
        served.store, CTX, "local/gone", {"method": "random", "parameters": {"x": {"value": 1}}}
    ).name
    process = sdk.start(
        AGENT
        + f"""
say("on")
def slow(): say("begun"); time.sleep(2)
wandb.agent("{name}", slow, project="gone")
say("over")
    """
    )
    while "begun" not in process.stdout.readline():
        pass
    lifecycle.delete(served.store, CTX, f"local/gone/{name}")
    out, _ = process.communicate(timeout=60)
    assert "over" in out


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"method": "magic", "parameters": {"x": {"value": 1}}}, "method"),
        ({"method": "grid", "parameters": {}}, "parameters"),
        ({"method": "grid", "parameters": {"x": {"min": 0.0, "max": 1.0}}}, "'x'"),
        ({"method": "random", "parameters": {"a": {"parameters": {"b": {"distribution": "odd"}}}}}, "'a.b'"),
        ({"method": "bayes", "parameters": {"x": {"value": 1}}}, "metric"),
        (
            {"method": "random", "parameters": {"x": {"value": 1}}, "early_terminate": {"type": "x"}},
            "early_terminate",
        ),
    ],
)
def test_a_configuration_that_cannot_be_is_refused_by_name(served, sdk, config, named):
    sdk.run(f"wandb.sweep({config!r}, project='wrong')", fails=True)
    assert named in sdk.output
    assert "wrong" not in json.dumps(
        [project.name for project in domain.projects.list_projects(served.store, CTX, "local")]
    )
