"""Killed servers and clients, answers that were lost, requests that come twice: nothing is doubled, nothing acknowledged is lost."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time

import mlflow
import pytest
import requests

pytestmark = pytest.mark.filterwarnings("ignore")
STEPS = int(os.environ.get("RUNSTONE_TEST_MLFLOW_STEPS", "60"))
API = "/api/2.0/mlflow/"


class Server:
    """A server of a directory, in a process of its own, on a port that it keeps over its lives."""

    def __init__(self, data):
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.data, self.url = str(data), f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        command = [sys.executable, "-m", "runstone.server", "--data", self.data, "--port", str(self.port)]
        self.process = subprocess.Popen([*command, "--log-format", "off"], stdout=subprocess.PIPE)
        assert self.process.stdout.readline()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def server(tmp_path):
    made = Server(tmp_path / "data")
    yield made
    made.kill()


def test_a_client_goes_on_over_a_server_that_is_killed(server, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
    script = f"""
        import mlflow
        mlflow.set_tracking_uri({server.url!r})
        client = mlflow.MlflowClient()
        run = client.create_run(client.create_experiment("killed")).info.run_id
        print(run, flush=True)
        for step in range({STEPS}):
            client.log_metric(run, "m", step * 0.5, timestamp=step, step=step)
            client.log_param(run, f"p{{step}}", step)
            print(step, flush=True)
    """
    client = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        run = client.stdout.readline().strip()
        for line in client.stdout:
            if int(line) in (STEPS // 3, 2 * STEPS // 3):
                server.kill()
                server.start()
        assert client.wait(60) == 0
    finally:
        client.kill()
        client.wait()
        client.stdout.close()
    mlflow.set_tracking_uri(server.url)
    found = mlflow.MlflowClient(server.url)
    history = found.get_metric_history(run, "m")
    assert [(each.step, each.value) for each in history] == [(step, step * 0.5) for step in range(STEPS)]
    assert found.get_run(run).data.params == {f"p{step}": str(step) for step in range(STEPS)}


def test_what_comes_twice_counts_once(server):
    def post(path, body):
        answer = requests.post(server.url + API + path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    experiment = post("experiments/create", {"name": "twice"})["experiment_id"]
    run = post("runs/create", {"experiment_id": experiment})["run"]["info"]["run_id"]
    points = [{"key": "m", "value": at, "timestamp": at, "step": at} for at in range(50)]
    batch = {
        "run_id": run,
        "metrics": points,
        "params": [{"key": "p", "value": "1"}],
        "tags": [{"key": "t", "value": "u"}],
    }
    dataset = {"dataset": {"name": "d", "digest": "1", "source_type": "s", "source": "t"}}
    for _ in range(3):
        post("runs/log-batch", batch)
        post("runs/log-inputs", {"run_id": run, "datasets": [dataset]})
        post("runs/log-parameter", {"run_id": run, "key": "q", "value": "2"})
        requests.put(
            f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/a.bin",
            data=b"x" * 9,
        )
    server.kill()
    server.start()
    got = requests.get(server.url + API + "runs/get", params={"run_id": run}).json()["run"]
    asked = {"run_id": run, "metric_key": "m"}
    history = requests.get(server.url + API + "metrics/get-history", params=asked).json()["metrics"]
    assert [each["step"] for each in history] == list(range(50))
    assert [each["key"] for each in got["data"]["params"]] == ["p", "q"]
    assert len(got["inputs"]["dataset_inputs"]) == 1
    listed = requests.get(server.url + API + "artifacts/list", params={"run_id": run}).json()["files"]
    assert listed == [{"path": "a.bin", "is_dir": False, "file_size": 9}]


def test_an_upload_that_breaks_off_leaves_nothing(server):
    experiment = requests.post(server.url + API + "experiments/create", json={"name": "cut"}).json()[
        "experiment_id"
    ]
    made = requests.post(server.url + API + "runs/create", json={"experiment_id": experiment}).json()
    run = made["run"]["info"]["run_id"]
    path = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/cut.bin"
    with socket.create_connection(("127.0.0.1", server.port)) as plain:
        head = f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 20000000\r\n\r\n"
        plain.sendall(head.encode() + b"x" * 9_000_000)
    end = time.monotonic() + 20
    while requests.get(server.url + path).status_code != 404:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert (
        requests.get(server.url + API + "artifacts/list", params={"run_id": run}).json().get("files") is None
    )
    assert requests.put(server.url + path, data=b"whole").status_code == 200
    assert requests.get(server.url + path).content == b"whole"


def test_a_killed_client_leaves_what_was_acknowledged(server):
    script = f"""
        import mlflow
        mlflow.set_tracking_uri({server.url!r})
        client = mlflow.MlflowClient()
        run = client.create_run(client.create_experiment("gone")).info.run_id
        print(run, flush=True)
        step = 0
        while True:
            client.log_metric(run, "m", step, timestamp=step, step=step)
            print(step, flush=True)
            step += 1
    """
    client = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    )
    run, acknowledged = client.stdout.readline().strip(), -1
    while acknowledged < 15:
        acknowledged = int(client.stdout.readline())
    client.send_signal(signal.SIGKILL)
    rest = client.stdout.read().split()
    client.wait()
    client.stdout.close()
    acknowledged = int(rest[-1]) if rest else acknowledged
    history = mlflow.MlflowClient(server.url).get_metric_history(run, "m")
    assert [each.step for each in history][: acknowledged + 1] == list(range(acknowledged + 1))
    assert len(history) <= acknowledged + 2
    assert mlflow.MlflowClient(server.url).get_run(run).info.status == "RUNNING"
