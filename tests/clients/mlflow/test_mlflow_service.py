"""What clients ask of the server itself: its version, authentication, unknown routes, and what is refused."""

import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from runstone.config import ServerOptions
from runstone.domain import keys
from runstone.domain.context import Context
from runstone.server.background import Background

pytestmark = pytest.mark.filterwarnings("ignore")


def test_version_and_server_info(served):
    assert requests.get(f"{served.url}/version").text == "3.17.2"
    for root in ("api", "ajax-api"):
        info = requests.get(f"{served.url}/{root}/3.0/mlflow/server-info").json()
        assert info["multipart_uploads_enabled"] is True


def test_an_unknown_route_is_told_in_html_and_a_wrong_method_too(served):
    answer = requests.get(f"{served.url}/api/3.0/mlflow/no/such/route")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/html")
    answer = requests.put(f"{served.url}/api/2.0/mlflow/runs/get", json={})
    assert (answer.status_code, answer.headers["Content-Type"]) == (405, "text/html")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/3.0/mlflow/gateway/secrets/create"),
        ("POST", "/api/3.0/mlflow/prompt-optimization/jobs"),
    ],
)
def test_what_is_not_supported_is_refused_once(served, method, path):
    answer = requests.request(method, served.url + path, json={})
    assert (answer.status_code, answer.json()["error_code"]) == (501, "NOT_IMPLEMENTED")


def test_a_broken_body_is_a_bad_request(served):
    answer = requests.post(
        f"{served.url}/api/2.0/mlflow/runs/create", data="{", headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["error_code"]) == (400, "BAD_REQUEST")


def test_a_key_is_taken_as_basic_password_and_as_bearer_token(tmp_path, monkeypatch):
    with Background(
        ServerOptions(data=str(tmp_path / "data"), port=0, log_format="off", auth="on")
    ) as server:
        key = keys.create(server.store, Context(), "local", "test").key
        with pytest.raises(MlflowException) as refused:
            MlflowClient(server.url).get_experiment("0")
        assert refused.value.error_code == "UNAUTHENTICATED"
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "local")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", key)
        assert MlflowClient(server.url).get_experiment("0").name == "Default"
        monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
        monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", key)
        assert MlflowClient(server.url).get_experiment("0").name == "Default"
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", key[:-1] + "x")
        with pytest.raises(MlflowException) as refused:
            MlflowClient(server.url).get_experiment("0")
        assert refused.value.error_code == "UNAUTHENTICATED"


def test_each_principal_has_experiments_of_its_own(tmp_path):
    from runstone.domain import accounts

    with Background(
        ServerOptions(data=str(tmp_path / "data"), port=0, log_format="off", auth="on")
    ) as server:
        found = {}
        for name in ("ann", "bob"):
            accounts.create_user(server.store, Context(), name)
            key = keys.create(server.store, Context(), name, "test").key
            found[name] = {"Authorization": f"Bearer {key}"}
        address = f"{server.url}/api/2.0/mlflow/experiments"
        made = requests.post(f"{address}/create", json={"name": "mine"}, headers=found["ann"]).json()
        asked = {"experiment_id": made["experiment_id"]}
        assert requests.get(f"{address}/get", params=asked, headers=found["ann"]).status_code == 200
        answer = requests.get(f"{address}/get", params=asked, headers=found["bob"])
        assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
        listed = requests.post(f"{address}/search", json={"max_results": 10}, headers=found["bob"]).json()
        assert [each["name"] for each in listed["experiments"]] == ["Default"]
