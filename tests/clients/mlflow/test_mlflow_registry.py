"""The model registry through the genuine client: names, versions, aliases, stages, tags, and models that are logged and loaded."""

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from runstone.domain import aliases, described, versions
from runstone.domain.context import Context

pytestmark = pytest.mark.filterwarnings("ignore")
OWNER = Context()


def test_a_registered_model_lives_and_dies(client):
    made = client.create_registered_model("life (of) ü", {"a": "b"}, "what it is")
    assert (made.name, made.tags, made.description) == ("life (of) ü", {"a": "b"}, "what it is")
    with pytest.raises(MlflowException) as refused:
        client.create_registered_model("life (of) ü")
    assert refused.value.error_code == "RESOURCE_ALREADY_EXISTS"
    client.set_registered_model_tag("life (of) ü", "c", "d")
    client.delete_registered_model_tag("life (of) ü", "a")
    client.update_registered_model("life (of) ü", "more")
    client.create_model_version("life (of) ü", "s3://bucket/m")
    client.rename_registered_model("life (of) ü", "life two")
    found = client.get_registered_model("life two")
    assert (found.tags, found.description, found.latest_versions[0].version) == ({"c": "d"}, "more", "1")
    client.delete_registered_model("life two")
    for name in ("life (of) ü", "life two"):
        with pytest.raises(MlflowException, match=r"Registered Model with name=.* not found"):
            client.get_registered_model(name)


def test_numbers_are_never_given_again_and_aliases_move(client, served):
    client.create_registered_model("numbers")
    for _ in range(3):
        client.create_model_version("numbers", "s3://bucket/m", description="d", tags={"k": "v"})
    client.set_registered_model_alias("numbers", "champion", "3")
    assert client.get_model_version_by_alias("numbers", "champion").version == "3"
    client.set_registered_model_alias("numbers", "champion", "2")
    client.set_registered_model_alias("numbers", "old", "1")
    assert client.get_registered_model("numbers").aliases == {"champion": "2", "old": "1"}
    assert client.get_model_version("numbers", "2").aliases == ["champion"]
    assert aliases.get(served.store, OWNER, "local/models/numbers", "champion").version == 2
    client.delete_model_version("numbers", "3")
    client.delete_model_version("numbers", "1")
    assert client.get_registered_model("numbers").aliases == {"champion": "2"}
    assert client.create_model_version("numbers", "s3://bucket/m").version == "4"
    assert client.get_model_version_by_alias("numbers", "latest").version == "4"
    client.delete_registered_model_alias("numbers", "champion")
    with pytest.raises(MlflowException, match="Registered model alias champion not found"):
        client.get_model_version_by_alias("numbers", "champion")
    with pytest.raises(MlflowException, match="not found"):
        client.get_model_version("numbers", "3")
    for bad in ("latest", "v3", "a b"):
        with pytest.raises(MlflowException):
            client.set_registered_model_alias("numbers", bad, "2")


def test_stages(client):
    client.create_registered_model("staged")
    for _ in range(2):
        client.create_model_version("staged", "s3://bucket/m")
    client.transition_model_version_stage("staged", "1", "production")
    assert client.get_model_version("staged", "1").current_stage == "Production"
    client.transition_model_version_stage("staged", "2", "Production", archive_existing_versions=True)
    assert client.get_model_version("staged", "1").current_stage == "Archived"
    assert {each.current_stage: each.version for each in client.get_latest_versions("staged")} == {
        "Archived": "1",
        "Production": "2",
    }
    with pytest.raises(MlflowException, match="Invalid Model Version stage"):
        client.transition_model_version_stage("staged", "1", "Best")


def test_models_and_versions_are_searched(client):
    for name, kind in (("find-a", "x"), ("find-b", "y"), ("find-c", "x")):
        client.create_registered_model(name, {"kind": kind})
        for run in ("one", "two"):
            client.create_model_version(name, f"s3://{name}/{run}", tags={"from": run})
    found = client.search_registered_models("name LIKE 'find-%' AND tag.kind = 'x'", order_by=["name DESC"])
    assert [each.name for each in found] == ["find-c", "find-a"]
    found = client.search_model_versions("name = 'find-b'")
    assert [each.version for each in found] == ["2", "1"]
    found = client.search_model_versions("name LIKE 'find-%' AND tag.from = 'two'", order_by=["name ASC"])
    assert [(each.name, each.version) for each in found] == [
        ("find-a", "2"),
        ("find-b", "2"),
        ("find-c", "2"),
    ]
    first = client.search_registered_models("name LIKE 'find-%'", max_results=2)
    second = client.search_registered_models("name LIKE 'find-%'", max_results=2, page_token=first.token)
    assert [each.name for each in [*first, *second]] == ["find-a", "find-b", "find-c"]


def test_an_sklearn_model_is_logged_registered_and_loaded(client, experiment, served, tmp_path):
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
    with mlflow.start_run(experiment_id=experiment) as run:
        mlflow.log_metric("score", 1.0)
        logged = mlflow.sklearn.log_model(model, name="line", registered_model_name="line")
    client.set_registered_model_alias("line", "champion", "1")
    for uri in ("models:/line@champion", "models:/line/1", logged.model_uri):
        loaded = mlflow.sklearn.load_model(uri, dst_path=str(tmp_path))
        assert loaded.predict([[10.0]])[0] == pytest.approx(21.0)
    version = client.get_model_version("line", "1")
    assert (version.run_id, version.source) == (run.info.run_id, logged.model_uri)
    assert client.get_logged_model(logged.model_id).status.value == "READY"
    assert [each.model_id for each in client.search_logged_models([experiment])] == [logged.model_id]
    assert client.search_runs([experiment])[0].info.run_id == run.info.run_id

    name = "local/models/line@v1"
    manifest = {each.path: each.sha256 for each in versions.files(served.store, OWNER, name)}
    assert {"MLmodel", "requirements.txt"} < set(manifest)
    assert described.version(served.store, OWNER, name).info.aliases == ("champion",)

    copied = client.copy_model_version("models:/line/1", "line copy")
    assert copied.version == "1"
    copy = described.list_collections(served.store, OWNER, "local/models")
    path = next(each.info.name for each in copy if each.properties.get("title") == "line copy")
    again = versions.files(served.store, OWNER, f"local/models/{path}@v1")
    assert {each.path: each.sha256 for each in again} == manifest
    # A version keeps its files when the logged model that it was made from is gone.
    client.delete_logged_model(logged.model_id)
    loaded = mlflow.sklearn.load_model("models:/line/1")
    assert loaded.predict([[1.0]])[0] == pytest.approx(3.0)


def test_the_artifacts_of_a_run_are_registered_without_a_copy(client, experiment, served):
    run = client.create_run(experiment).info
    client.log_text(run.run_id, "weights", "model/data/w.bin")
    client.create_registered_model("from a run")
    made = client.create_model_version("from a run", f"{run.artifact_uri}/model", run_id=run.run_id)
    uri = client.get_model_version_download_uri("from a run", made.version)
    assert mlflow.artifacts.load_text(f"{uri}/data/w.bin") == "weights"
    with pytest.raises(MlflowException, match="Invalid model version source"):
        client.create_model_version("from a run", "/etc", run_id=run.run_id)
