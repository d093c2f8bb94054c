"""What runs read and make, and what the client logs by itself: datasets, models, autologging, asynchronous logging, system metrics."""

import time

import mlflow
import numpy as np
import pytest
from mlflow.entities import LoggedModelInput

from runstone.domain import described
from runstone.domain.context import Context
from runstone.domain.runs import inputs, lifecycle

pytestmark = pytest.mark.filterwarnings("ignore")
OWNER = Context()


def path_of(served, run):
    project = described.project_numbered(served.store, OWNER, int(run.info.experiment_id)).info.path
    return f"{project}/{run.info.run_id}"


def test_datasets_are_logged_once_and_found_by(client, experiment, served):
    array = mlflow.data.from_numpy(
        np.arange(6.0).reshape(3, 2), name="numbers", source="https://example.org/n.npy"
    )
    with mlflow.start_run(experiment_id=experiment) as first:
        mlflow.log_input(array, context="training", tags={"part": "a"})
        mlflow.log_input(array, context="never seen")
    with mlflow.start_run(experiment_id=experiment) as second:
        mlflow.log_input(array, context="validation")
    with mlflow.start_run(experiment_id=experiment):
        mlflow.log_metric("m", 1)
    got = client.get_run(first.info.run_id).inputs.dataset_inputs
    assert [(each.dataset.name, each.dataset.digest) for each in got] == [("numbers", array.digest)]
    assert {tag.key: tag.value for tag in got[0].tags} == {"mlflow.data.context": "training", "part": "a"}
    assert "tensor-spec" in got[0].dataset.schema

    def found(text):
        return [each.info.run_id for each in client.search_runs([experiment], text)]

    assert found("dataset.name = 'numbers'") == [second.info.run_id, first.info.run_id]
    assert found("dataset.context = 'validation'") == [second.info.run_id]
    assert found(f"dataset.digest = '{array.digest}' AND attributes.run_id = '{first.info.run_id}'") == [
        first.info.run_id
    ]
    assert found("dataset.name = 'others'") == []
    uses = inputs.of(served.store, OWNER, path_of(served, first))
    assert [(dataset.name, labels["part"]) for dataset, labels in uses.datasets] == [("numbers", "a")]


def test_what_a_purged_run_read_goes_with_it(client, experiment, served):
    array = mlflow.data.from_numpy(np.zeros(3), name="gone")
    with mlflow.start_run(experiment_id=experiment) as run:
        mlflow.log_input(array)
    client.delete_run(run.info.run_id)
    path = path_of(served, run)
    assert [dataset.name for dataset, _ in inputs.of(served.store, OWNER, path).datasets] == ["gone"]
    lifecycle.purge(served.store, OWNER, path)
    project = path.rpartition("/")[0]
    assert inputs.used_in(served.store, OWNER, project) == []


def test_metrics_of_a_model_say_where_they_come_from(client, experiment):
    model = client.create_logged_model(experiment, name="net", model_type="agent", params={"depth": "3"})
    array = mlflow.data.from_numpy(np.ones(3), name="test set")
    with mlflow.start_run(experiment_id=experiment) as run:
        mlflow.log_metric("acc", 0.8, step=2, model_id=model.model_id, dataset=array)
        mlflow.log_metrics({"f1": 0.5}, model_id=model.model_id)
        client.log_inputs(run.info.run_id, models=[LoggedModelInput(model.model_id)])
    metrics = {each.key: each for each in client.get_logged_model(model.model_id).metrics}
    assert metrics["acc"].value == 0.8 and metrics["acc"].run_id == run.info.run_id
    assert (metrics["acc"].dataset_name, metrics["acc"].dataset_digest) == ("test set", array.digest)
    assert metrics["f1"].dataset_name is None
    assert client.get_run(run.info.run_id).data.metrics == {"acc": 0.8, "f1": 0.5}
    assert [each.model_id for each in client.get_run(run.info.run_id).inputs.model_inputs] == [model.model_id]

    def found(text="", **asked):
        return [each.model_id for each in client.search_logged_models([experiment], text, **asked)]

    other = client.create_logged_model(experiment, name="other").model_id
    assert found("metrics.acc > 0.7") == [model.model_id]
    assert found("metrics.acc > 0.9") == []
    assert found(datasets=[{"dataset_name": "test set"}]) == [model.model_id]
    assert found("metrics.f1 > 0", datasets=[{"dataset_name": "test set"}]) == []
    assert found("name = 'other'") == [other]
    assert found("params.depth = '3' AND model_type = 'agent'") == [model.model_id]
    assert found(order_by=[{"field_name": "metrics.acc", "ascending": False}]) == [model.model_id, other]


def test_sklearn_is_logged_by_itself(client, experiment):
    from sklearn.linear_model import Ridge

    mlflow.set_experiment(experiment_id=experiment)
    mlflow.sklearn.autolog(log_datasets=True)
    try:
        with mlflow.start_run() as run:
            Ridge(alpha=0.25).fit(np.arange(10.0).reshape(5, 2), np.arange(5.0))
    finally:
        mlflow.sklearn.autolog(disable=True)
    found = client.get_run(run.info.run_id)
    assert found.data.params["alpha"] == "0.25" and "training_r2_score" in found.data.metrics
    assert found.inputs.dataset_inputs[0].dataset.name == "dataset"
    model = found.outputs.model_outputs[0].model_id
    loaded = mlflow.sklearn.load_model(f"models:/{model}")
    assert loaded.alpha == 0.25
    assert client.get_logged_model(model).source_run_id == run.info.run_id


def test_xgboost_is_logged_by_itself(client, experiment):
    import xgboost

    pick = np.random.default_rng(3)
    features = pick.random((60, 3))
    table = xgboost.DMatrix(features, features @ [1.0, 2.0, 3.0])
    mlflow.set_experiment(experiment_id=experiment)
    mlflow.xgboost.autolog(registered_model_name="boosted")
    try:
        with mlflow.start_run() as run:
            trained = xgboost.train({"max_depth": 2, "eta": 0.5}, table, 8, evals=[(table, "train")])
    finally:
        mlflow.xgboost.autolog(disable=True)
    found = client.get_run(run.info.run_id)
    assert found.data.params["max_depth"] == "2" and found.data.params["num_boost_round"] == "8"
    history = client.get_metric_history(run.info.run_id, "train-rmse")
    assert [each.step for each in history] == list(range(8))
    assert history[-1].value < history[0].value
    assert found.data.metrics["train-rmse"] == history[-1].value
    importance = [each.path for each in client.list_artifacts(run.info.run_id)]
    assert "feature_importance_weight.json" in importance
    for uri in (f"models:/{found.outputs.model_outputs[0].model_id}", "models:/boosted/1"):
        loaded = mlflow.xgboost.load_model(uri)
        assert np.array_equal(loaded.predict(table), trained.predict(table))
        assert np.allclose(mlflow.pyfunc.load_model(uri).predict(features), trained.predict(table))


def test_asynchronous_logging_loses_nothing(client, experiment):
    with mlflow.start_run(experiment_id=experiment) as run:
        waiting = [mlflow.log_metrics({"a": at, "b": -at}, step=at, synchronous=False) for at in range(300)]
        waiting.append(mlflow.log_params({"p": 1}, synchronous=False))
        for each in waiting:
            each.wait()
    for key, sign in (("a", 1), ("b", -1)):
        history = client.get_metric_history(run.info.run_id, key)
        assert [(each.step, each.value) for each in history] == [(at, sign * at) for at in range(300)]
    assert client.get_run(run.info.run_id).data.params == {"p": "1"}


def test_system_metrics_and_nested_runs(client, experiment):
    mlflow.set_system_metrics_sampling_interval(0.2)
    mlflow.set_system_metrics_samples_before_logging(1)
    try:
        with mlflow.start_run(experiment_id=experiment, log_system_metrics=True) as parent:
            with mlflow.start_run(experiment_id=experiment, nested=True) as child:
                mlflow.log_metric("m", 1)
            end = time.monotonic() + 20
            while not any(
                key.startswith("system/") for key in client.get_run(parent.info.run_id).data.metrics
            ):
                assert time.monotonic() < end
                time.sleep(0.2)
    finally:
        mlflow.set_system_metrics_sampling_interval(None)
        mlflow.set_system_metrics_samples_before_logging(None)
    asked = f"tags.mlflow.parentRunId = '{parent.info.run_id}'"
    assert [each.info.run_id for each in client.search_runs([experiment], asked)] == [child.info.run_id]
