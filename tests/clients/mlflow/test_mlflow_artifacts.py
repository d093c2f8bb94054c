"""Artifacts through the genuine client and over plain HTTP, compared byte for byte with what went in and with the run's own files."""

import hashlib
import os
from pathlib import Path

import mlflow
import pytest
import requests

from runstone.domain import described
from runstone.domain.context import Context
from runstone.domain.runs import files

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def run(client, experiment):
    return client.create_run(experiment).info


@pytest.fixture
def proxy(served, run):
    path = run.artifact_uri.removeprefix("mlflow-artifacts:/")
    return f"{served.url}/api/2.0/mlflow-artifacts/artifacts/{path}"


def test_files_go_up_are_listed_and_come_back(client, run, served, tmp_path):
    contents = {
        "a.txt": b"text",
        "empty": b"",
        "deep/er/Größe mit Raum.bin": os.urandom(300_000),
        "deep/b c.py": b"x = 1\n",
    }
    for path, data in contents.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    client.log_artifacts(run.run_id, str(tmp_path))
    assert [(each.path, each.is_dir, each.file_size) for each in client.list_artifacts(run.run_id)] == [
        ("a.txt", False, 4),
        ("deep", True, None),
        ("empty", False, None),
    ]
    assert [each.path for each in client.list_artifacts(run.run_id, "deep")] == ["deep/b c.py", "deep/er"]
    assert client.list_artifacts(run.run_id, "a.txt") == client.list_artifacts(run.run_id, "none") == []
    got = client.download_artifacts(run.run_id, "", str(tmp_path.parent))
    for path, data in contents.items():
        assert Path(got, path).read_bytes() == data
    project = described.project_numbered(served.store, Context(), int(run.experiment_id)).info.path
    stored = files.listed(served.store, Context(), f"{project}/{run.run_id}")
    assert {each.path: each.sha256 for each in stored} == {
        path: hashlib.sha256(data).hexdigest() for path, data in contents.items()
    }


def test_a_file_is_replaced_read_in_part_and_deleted(proxy):
    assert requests.put(f"{proxy}/d/x.yaml", data=b"first").status_code == 200
    assert requests.put(f"{proxy}/d/x.yaml", data=iter([b"sec", b"ond"])).content == b""
    whole = requests.get(f"{proxy}/d/x.yaml")
    assert (whole.content, whole.headers["Content-Type"]) == (b"second", "text/plain")
    assert whole.headers["Content-Disposition"] == "attachment; filename=x.yaml"
    part = requests.get(f"{proxy}/d/x.yaml", headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b"eco")
    assert (
        requests.get(f"{proxy}/d/x.yaml", headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    )
    for _ in range(2):
        assert requests.delete(f"{proxy}/d").status_code == 200
        gone = requests.get(f"{proxy}/d/x.yaml")
        assert (gone.status_code, gone.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.parametrize("path", ["%2e%2e/x", "a/%2e%2e/%2e%2e/x", "a//b", "C:%5Cx", "a%00b"])
def test_hostile_paths_are_refused(proxy, path):
    answer = requests.put(f"{proxy}/{path}", data=b"x")
    assert (answer.status_code, answer.json()) == (
        400,
        {"error_code": "INVALID_PARAMETER_VALUE", "message": "Invalid path"},
    )


def test_a_file_of_many_pieces_is_taken_in_as_it_comes(client, run, tmp_path):
    big = tmp_path / "big.bin"
    big.write_bytes(os.urandom(9 << 20))
    client.log_artifact(run.run_id, str(big))
    got = client.download_artifacts(run.run_id, "big.bin", str(tmp_path / ".."))
    assert Path(got).read_bytes() == big.read_bytes()


def test_text_dict_and_deleted_runs(client, run):
    client.log_text(run.run_id, "hello", "notes/a.txt")
    client.log_dict(run.run_id, {"a": 1}, "d.json")
    uri = f"runs:/{run.run_id}/notes/a.txt"
    assert mlflow.artifacts.load_text(uri) == "hello"
    assert mlflow.artifacts.load_dict(f"runs:/{run.run_id}/d.json") == {"a": 1}
    client.delete_run(run.run_id)
    with pytest.raises(requests.HTTPError, match="'active' state"):
        client.log_text(run.run_id, "late", "b.txt")
