"""Experiments, runs, params, metrics and tags through the genuine client, read back by it and from our own domain."""

import math
import re

import mlflow
import pytest
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

from runstone.domain import described
from runstone.domain.context import Context
from runstone.domain.runs import lifecycle, points

pytestmark = pytest.mark.filterwarnings("ignore")
OWNER = Context()


def native(served, run):
    project = described.project_numbered(served.store, OWNER, int(run.info.experiment_id))
    return lifecycle.get(served.store, OWNER, f"{project.info.path}/{run.info.run_id}", deleted=True)


def test_the_default_experiment_is_there_and_is_0(client):
    assert client.get_experiment("0").name == "Default"
    assert client.get_experiment_by_name("Default").experiment_id == "0"


@pytest.mark.parametrize("name", ["plain", "with / and : and *", "Größe ✓", "x" * 500, "..", "a.git"])
def test_an_experiment_keeps_any_name(client, name):
    number = client.create_experiment(name, tags={"team": "a"})
    assert int(number) > 0
    assert client.get_experiment(number).name == name
    assert client.get_experiment_by_name(name).experiment_id == number
    assert client.get_experiment(number).tags == {"team": "a"}
    with pytest.raises(MlflowException) as refused:
        client.create_experiment(name)
    assert refused.value.error_code == "RESOURCE_ALREADY_EXISTS"


def test_an_experiment_is_renamed_searched_deleted_and_restored(client, experiment):
    client.rename_experiment(experiment, "renamed: yes")
    client.set_experiment_tag(experiment, "stage", "late")
    found = client.search_experiments(filter_string="name LIKE 'renamed%' AND tags.stage = 'late'")
    assert [each.experiment_id for each in found] == [experiment]
    run = client.create_run(experiment)
    client.delete_experiment(experiment)
    assert client.get_experiment(experiment).lifecycle_stage == "deleted"
    assert client.get_run(run.info.run_id).info.lifecycle_stage == "deleted"
    assert experiment not in [each.experiment_id for each in client.search_experiments()]
    with pytest.raises(MlflowException, match="must be in the 'active' state"):
        client.create_run(experiment)
    client.restore_experiment(experiment)
    assert client.get_run(run.info.run_id).info.lifecycle_stage == "active"


def test_a_run_through_the_fluent_interface(client, experiment, served):
    with mlflow.start_run(experiment_id=experiment, run_name="first", tags={"a": "b"}) as run:
        mlflow.log_params({"lr": 0.1, "layers/depth": 3})
        for step in range(5):
            mlflow.log_metrics({"loss": 1 / (step + 1), "acc.top 1": step}, step=step)
        mlflow.set_tag("note", "good")
        with mlflow.start_run(experiment_id=experiment, nested=True) as child:
            mlflow.log_metric("loss", 7)
    found = client.get_run(run.info.run_id)
    assert re.fullmatch("[0-9a-f]{32}", found.info.run_id)
    assert (found.info.run_name, found.info.status) == ("first", "FINISHED")
    assert found.info.end_time >= found.info.start_time
    assert found.data.params == {"lr": "0.1", "layers/depth": "3"}
    assert found.data.metrics == {"loss": 0.2, "acc.top 1": 4.0}
    assert found.data.tags["note"] == "good"
    assert client.get_run(child.info.run_id).data.tags["mlflow.parentRunId"] == run.info.run_id
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(each.step, each.value) for each in history] == [(step, 1 / (step + 1)) for step in range(5)]
    ours = native(served, found)
    assert (ours.name, ours.state, ours.config) == (
        run.info.run_id,
        "finished",
        {"lr": "0.1", "layers/depth": "3"},
    )
    assert {each.key: each.points for each in points.statistics(served.store, OWNER, ours.path)} == {
        "loss": 5,
        "acc.top 1": 5,
    }


def test_edge_values_and_repeated_points(client, experiment):
    run = client.create_run(experiment).info.run_id
    sent = [
        Metric("m", math.nan, 5, 0),
        Metric("m", math.inf, 6, -3),
        Metric("m", -math.inf, 7, 1),
        Metric("m", 0.1 + 0.2, 8, 1),
    ]
    client.log_batch(run, metrics=sent)
    client.log_batch(run, metrics=sent)
    found = [(each.timestamp, each.step, each.value) for each in client.get_metric_history(run, "m")]
    greatest = 1.7976931348623157e308
    assert math.isnan(found[0][2])
    assert found[1:] == [(6, -3, greatest), (7, 1, -greatest), (8, 1, 0.1 + 0.2)]
    assert client.get_run(run).data.metrics["m"] == 0.1 + 0.2


def test_params_are_set_once_and_a_batch_is_refused_whole(client, experiment):
    run = client.create_run(experiment).info.run_id
    client.log_param(run, "p", "1")
    client.log_param(run, "p", "1")
    with pytest.raises(MlflowException, match="Changing param values is not allowed"):
        client.log_batch(run, params=[Param("p", "2"), Param("q", "1")], tags=[RunTag("t", "1")])
    with pytest.raises(MlflowException, match="Names may only contain"):
        client.log_batch(
            run, metrics=[Metric("good", 1, 1, 0), Metric("b*d", 1, 1, 0)], params=[Param("q", "1")]
        )
    found = client.get_run(run).data
    assert (found.params, found.metrics) == ({"p": "1"}, {})
    assert "t" not in found.tags


def test_runs_are_searched_ordered_and_paged(client, experiment):
    for at in range(7):
        run = client.create_run(experiment, start_time=1000 + at, run_name=f"r{at}").info.run_id
        client.log_batch(
            run,
            metrics=[Metric("loss", math.nan if at == 3 else float(at), 1, 0)] if at != 5 else [],
            params=[Param("kind", "even" if at % 2 == 0 else "odd")],
        )
        if at == 6:
            client.delete_run(run)

    def names(text="", view=ViewType.ACTIVE_ONLY, **asked):
        return [run.info.run_name for run in client.search_runs([experiment], text, view, **asked)]

    assert names() == ["r5", "r4", "r3", "r2", "r1", "r0"]
    assert names(order_by=["metrics.loss DESC"]) == ["r4", "r2", "r1", "r0", "r3", "r5"]
    assert names("metrics.loss > 0 AND params.kind = 'even'") == ["r4", "r2"]
    assert names("attributes.run_name LIKE 'r%' AND start_time < 1002") == ["r1", "r0"]
    assert names("", ViewType.DELETED_ONLY) == ["r6"]
    assert names("tags.absent IS NULL", ViewType.ALL, order_by=["start_time ASC"])[0] == "r0"
    first = client.search_runs([experiment], max_results=4)
    second = client.search_runs([experiment], max_results=4, page_token=first.token)
    assert [run.info.run_name for run in [*first, *second]] == ["r5", "r4", "r3", "r2", "r1", "r0"]
    assert second.token is None
    with pytest.raises(MlflowException, match="Invalid clause"):
        names("metrics.loss > 1 OR metrics.loss < 0")


def test_a_run_made_by_other_means_is_seen_by_mlflow(client, served, experiment):
    project = described.project_numbered(served.store, OWNER, int(experiment)).info.path
    lifecycle.create(
        served.store, OWNER, f"{project}/sunny-walk", display_name="theirs", config={"opt": {"lr": 0.5}}
    )
    points.log_rows(served.store, OWNER, f"{project}/sunny-walk", [(1, 2_000, {"loss": 0.25})])
    (found,) = client.search_runs([experiment])
    assert re.fullmatch("[0-9a-f]{32}", found.info.run_id)
    again = client.get_run(found.info.run_id)
    assert (again.info.run_name, again.data.params, again.data.metrics) == (
        "theirs",
        {"opt.lr": "0.5"},
        {"loss": 0.25},
    )
    client.log_metric(found.info.run_id, "loss", 0.125, step=2)
    assert client.get_run(found.info.run_id).data.metrics == {"loss": 0.125}


def test_a_search_goes_over_experiments_in_one_order_and_knows_runs_by_their_ids(client, served, experiment):
    other = client.create_experiment("of another search over two")
    made = {}
    for at, where in enumerate([experiment, other] * 4):
        run = client.create_run(where, start_time=1000 + at // 2, run_name=f"r{at}").info.run_id
        client.log_batch(run, metrics=[Metric("loss", float(at * 3 % 8), 1, 0)])
        made[f"r{at}"] = run
    project = described.project_numbered(served.store, OWNER, int(other)).info.path
    lifecycle.create(served.store, OWNER, f"{project}/theirs", display_name="theirs", started=5)

    def names(text="", **asked):
        found = client.search_runs([experiment, other], text, **asked)
        return [run.info.run_name for run in found]

    ordered = ["r5", "r2", "r7", "r4", "r1", "r6", "r3", "r0", "theirs"]
    assert names(order_by=["metrics.loss DESC"]) == ordered
    pages, token = [], None
    for _ in range(3):
        page = client.search_runs(
            [experiment, other], "", order_by=["metrics.loss DESC"], max_results=3, page_token=token
        )
        pages.append([run.info.run_name for run in page])
        token = page.token
        if len(pages) == 1:  # a page is the one behind what was seen, whatever came before it since
            late = client.create_run(experiment, run_name="late").info.run_id
            client.log_batch(late, metrics=[Metric("loss", 100.0, 1, 0)])
    assert (pages, token) == ([ordered[:3], ordered[3:6], ordered[6:]], None)
    client.delete_run(late)
    theirs = client.search_runs([other], "run_name = 'theirs'")[0].info.run_id
    few = f"('{made['r1']}', '{theirs}', '{'0' * 31}f', 'nonsense')"
    assert sorted(names(f"run_id IN {few}")) == ["r1", "theirs"]
    assert names(f"run_id = '{made['r3']}'") == ["r3"]
    assert len(names(f"run_id != '{made['r3']}'")) == 8
    assert len(names(f"run_id NOT IN {few}")) == 7
    assert names(f"run_id LIKE '%{made['r3'][8:]}' AND start_time > 0") == ["r3"]
    assert names(f"artifact_uri LIKE '%{made['r2']}%'") == ["r2"]
    assert len(names("user_id != 'nobody'")) == 9


def test_a_search_asks_the_user_that_is_shown(client, experiment):
    run = client.create_run(experiment).info
    assert [
        found.info.run_id for found in client.search_runs([experiment], f"user_id = '{run.user_id}'")
    ] == [run.run_id]
