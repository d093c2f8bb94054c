"""Large files: uploads in parts and downloads of ranges, as the genuine client does them by itself when the server says it can."""

import hashlib
import os
import random
from pathlib import Path

import mlflow
import pytest
import requests

from runstone.domain.context import Context
from runstone.domain.runs import files

pytestmark = pytest.mark.filterwarnings("ignore")
SIZE = int(os.environ.get("RUNSTONE_TEST_MLFLOW_BYTES", str(24 << 20))) + 4321
PART = 5 << 20


@pytest.fixture
def run(client, experiment):
    return client.create_run(experiment).info


@pytest.fixture
def large(tmp_path):
    noise, path = random.Random(5), tmp_path / "weights.bin"
    with path.open("wb") as target:
        left = SIZE
        while left:
            left -= target.write(noise.randbytes(min(left, 1 << 20)))
    return path


@pytest.fixture
def in_parts(monkeypatch):
    """The client's thresholds, low enough for a test; that it goes in parts at all is the server's word."""
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", str(PART))
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", str(PART))
    monkeypatch.setenv("MLFLOW_MULTIPART_DOWNLOAD_MINIMUM_FILE_SIZE", str(PART))
    monkeypatch.setenv("MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE", str(PART))


def sha256(path):
    with Path(path).open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def test_the_client_goes_in_parts_by_itself(client, run, large, served, in_parts, tmp_path, monkeypatch):
    puts, ranges = [], []
    put, get = requests.put, requests.Session.request
    monkeypatch.setattr(requests, "put", lambda url, **given: puts.append(url) or put(url, **given))

    def seen(self, method, url, **given):
        if "Range" in (given.get("headers") or {}) or "range" in (given.get("headers") or {}):
            ranges.append(url)
        return get(self, method, url, **given)

    monkeypatch.setattr(requests.Session, "request", seen)
    client.log_artifact(run.run_id, str(large), "deep/er")
    assert len(puts) == -(-SIZE // PART) and all("mpu-parts" in url for url in puts)
    got = client.download_artifacts(run.run_id, "deep/er/weights.bin", str(tmp_path.parent))
    assert sha256(got) == sha256(large)
    assert len(ranges) >= SIZE // PART and all("/signed/" in url for url in ranges)
    entry = next(iter(files.listed(served.store, Context(), project_run(served, run))))
    assert (entry.path, entry.size, entry.sha256) == ("deep/er/weights.bin", SIZE, sha256(large))


def project_run(served, run):
    from runstone.domain import described

    project = described.project_numbered(served.store, Context(), int(run.experiment_id)).info.path
    return f"{project}/{run.run_id}"


def test_what_came_in_parts_is_not_stored_twice(client, run, large, served, in_parts, tmp_path):
    def packed():
        return sum(each.stat().st_size for each in Path(served.store.path, "packs").rglob("*.pack"))

    before = packed()
    other = tmp_path / "other.bin"
    other.write_bytes(large.read_bytes()[::-1])  # bytes that no other test has brought
    client.log_artifact(run.run_id, str(other))
    parts = -(-SIZE // PART)
    assert packed() - before < SIZE + (parts + 2) * 4 * (128 << 10), "but for the chunks at the seams"


def test_parts_come_in_any_order_and_again(served, run):
    folder = run.artifact_uri.removeprefix("mlflow-artifacts:/")
    root = f"{served.url}/api/2.0/mlflow-artifacts/mpu"
    begun = requests.post(f"{root}/create/{folder}", json={"path": "/tmp/x.bin", "num_parts": 3}).json()
    contents = [b"a" * 100, b"b" * 70_000, b"c"]
    told = []
    for at in (2, 0, 1, 1):
        credential = begun["credentials"][at]
        answer = requests.put(credential["url"], data=contents[at])
        told.append({"part_number": credential["part_number"], "etag": answer.headers["ETag"], "url": "x"})
    done = {"path": "/tmp/x.bin", "upload_id": begun["upload_id"], "parts": told}
    answer = requests.post(f"{root}/complete/{folder}", json=done)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    for _ in range(2):  # a client that lost the answer asks again
        assert requests.post(f"{root}/complete/{folder}", json=done | {"parts": told[:3]}).json() == {}
    address = f"{served.url}/api/2.0/mlflow-artifacts/artifacts/{folder}/x.bin"
    assert requests.get(address).content == b"".join(contents)
    aborted = {"path": "/tmp/y.bin", "upload_id": begun["upload_id"]}
    assert requests.post(f"{root}/abort/{folder}", json=aborted).json() == {}


@pytest.mark.parametrize(
    ("step", "body", "message"),
    [
        ("create", {"num_parts": 1}, "Missing value for required parameter 'path'"),
        ("create", {"path": "x", "num_parts": 0}, "num_parts must be between 1"),
        ("create", {"path": "x", "num_parts": 10_001}, "num_parts must be between 1"),
        ("create", {"path": "..", "num_parts": 1}, "Invalid path"),
        ("complete", {"path": "x", "parts": []}, "Missing value for required parameter 'parts'"),
        ("complete", {"path": "x", "parts": [{"part_number": 2, "etag": "0" * 64}]}, "numbered from 1"),
        ("complete", {"path": "x", "parts": [{"part_number": 1, "etag": "0" * 64}]}, ""),
        ("complete", {"path": "x", "parts": [{"part_number": 1, "etag": "nonsense"}]}, "not a SHA-256"),
        ("complete", {"path": "x", "parts": "many"}, "Missing value"),
    ],
)
def test_bad_parts_are_refused(served, run, step, body, message):
    folder = run.artifact_uri.removeprefix("mlflow-artifacts:/")
    answer = requests.post(f"{served.url}/api/2.0/mlflow-artifacts/mpu/{step}/{folder}", json=body)
    assert answer.status_code == 400 and message in answer.json()["message"]
    assert requests.get(f"{served.url}/api/2.0/mlflow-artifacts/artifacts/{folder}/x").status_code == 404


def test_signed_addresses_answer_ranges_and_nothing_else(client, served, run):
    client.log_text(run.run_id, "0123456789", "a b/ü.txt")
    asked = {"run_id": run.run_id, "path": "a b/ü.txt", "expiration": 60}
    root = f"{served.url}/api/2.0/mlflow/artifacts"
    told = requests.post(f"{root}/presigned-download-url", json=asked).json()
    assert told["file_size"] == 10
    part = requests.get(told["presigned_url"], headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234")
    assert requests.put(told["presigned_url"], data=b"x").status_code == 403
    other = told["presigned_url"].replace("%C3%BC", "y")
    assert requests.get(other).status_code == 403
    late = requests.post(f"{root}/presigned-download-url", json=asked | {"expiration": 604_801})
    assert (late.status_code, late.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    up = requests.post(f"{root}/presigned-upload-url", json={"run_id": run.run_id, "path": "up.bin"}).json()
    assert requests.put(up["presigned_url"], data=b"uploaded").status_code == 200
    assert mlflow.artifacts.load_text(f"runs:/{run.run_id}/up.bin") == "uploaded"
    both = requests.post(f"{root}/presigned-upload-url", json={"path": "x"})
    assert "Exactly one of run_id and model_id" in both.json()["message"]
    missing = requests.get(
        f"{served.url}/api/2.0/mlflow-artifacts/presigned/{run.experiment_id}/{run.run_id}/artifacts/no"
    )
    assert (missing.status_code, missing.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_a_file_of_a_version_is_answered_by_its_own_route(client, served, run):
    client.log_text(run.run_id, "weights", "m/w.bin")
    client.create_registered_model("with a file")
    client.create_model_version("with a file", f"runs:/{run.run_id}/m", run_id=run.run_id)
    asked = {"name": "with a file", "version": "1", "path": "w.bin"}
    for root in ("", "/ajax-api/2.0/mlflow"):
        answer = requests.get(f"{served.url}{root}/model-versions/get-artifact", params=asked)
        assert answer.content == b"weights"
    gone = requests.get(f"{served.url}/model-versions/get-artifact", params=asked | {"path": "no"})
    assert (gone.status_code, gone.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
