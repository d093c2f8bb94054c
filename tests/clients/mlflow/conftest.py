"""The genuine mlflow client against a live server of ours."""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
# A flush of mlflow's queue takes two seconds.
os.environ.setdefault("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")

import warnings

import pytest
from genuine import genuine_server

from runstone.config import ServerOptions
from runstone.server.background import Background

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    data = tmp_path_factory.mktemp("mlflow") / "data"
    with Background(ServerOptions(data=str(data), port=0, log_format="off")) as server:
        yield server


@pytest.fixture(scope="session")
def genuine(tmp_path_factory):
    with genuine_server(tmp_path_factory.mktemp("genuine")) as url:
        yield url


@pytest.fixture
def client(served):
    mlflow.set_tracking_uri(served.url)
    mlflow.set_registry_uri(served.url)
    yield mlflow.MlflowClient(served.url, served.url)
    while mlflow.active_run():
        mlflow.end_run()


@pytest.fixture
def experiment(client, request):
    return client.create_experiment(f"of {request.node.name}")
