"""One store, many clients: what one of them registers, the others list, point at and load, byte for byte."""

import hashlib
import os
from pathlib import Path

import mlflow
import pytest

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

from huggingface_hub import HfApi, snapshot_download

from runstone.domain import aliases, described, lineage, links, versions
from runstone.domain.context import Context
from runstone.library import Library

pytestmark = pytest.mark.filterwarnings("ignore")
OWNER = Context()
TOKEN = "hf_" + "a" * 40


def contents(folder):
    return {
        str(each.relative_to(folder)): each.read_bytes()
        for each in sorted(Path(folder).rglob("*"))
        if each.is_file() and ".cache" not in each.parts
    }


@pytest.fixture
def weights(tmp_path):
    folder = tmp_path / "weights"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "w.bin").write_bytes(os.urandom(300_000))
    (folder / "config.json").write_text('{"layers": 2}')
    return folder


def test_what_mlflow_registers_is_seen_by_the_library_and_the_hub(
    client, experiment, served, weights, tmp_path
):
    run = client.create_run(experiment).info
    client.log_artifacts(run.run_id, str(weights), "model")
    client.create_registered_model("shared-net")
    client.create_model_version("shared-net", f"runs:/{run.run_id}/model", run_id=run.run_id)
    client.set_registered_model_alias("shared-net", "champion", "1")
    library = Library(served.store, OWNER)
    assert library.resolve("local/models/shared-net@champion").version == 1
    stored = {
        each.path: each.sha256 for each in versions.files(served.store, OWNER, "local/models/shared-net@v1")
    }
    assert stored == {path: hashlib.sha256(data).hexdigest() for path, data in contents(weights).items()}
    api = HfApi(endpoint=served.url, token=TOKEN)
    assert "local/shared-net" in [each.id for each in api.list_models(author="local")]
    got = snapshot_download(
        "local/shared-net",
        revision="champion",
        endpoint=served.url,
        token=TOKEN,
        local_dir=tmp_path / "got",
        cache_dir=tmp_path / "cache",
    )
    assert contents(got) == contents(weights)


def test_what_the_hub_takes_in_is_a_registered_model(client, served, weights):
    api = HfApi(endpoint=served.url, token=TOKEN)
    api.create_repo("local/from-the-hub", private=True)
    api.upload_folder(repo_id="local/from-the-hub", folder_path=weights)
    assert "from-the-hub" in [each.name for each in client.search_registered_models()]
    latest = client.get_registered_model("from-the-hub").latest_versions[0].version
    assert client.search_model_versions("name = 'from-the-hub'")[0].version == latest
    client.set_registered_model_alias("from-the-hub", "champion", latest)
    assert aliases.get(served.store, OWNER, "local/models/from-the-hub", "champion").version == int(latest)
    got = mlflow.artifacts.download_artifacts("models:/from-the-hub@champion")
    assert {path: data for path, data in contents(got).items() if path in contents(weights)} == contents(
        weights
    )


def test_the_run_of_a_version_that_others_linked_is_told_from_its_lineage(
    client, experiment, served, weights
):
    library = Library(served.store, OWNER)
    run = client.create_run(experiment).info.run_id
    held = described.project_numbered(served.store, OWNER, int(experiment)).info
    made = library.put(f"{held.path}/net", weights, type="model")
    lineage.link(served.store, OWNER, f"run:{held.path}/{run}", "produced", f"{held.path}/net@v1")
    links.link(served.store, OWNER, made.id, "local/models/linked-net", ("champion",))
    found = client.get_model_version_by_alias("linked-net", "champion")
    assert found.run_id == run
    assert [each.run_id for each in client.search_model_versions(f"run_id = '{run}'")] == [run]
    library.put("local/models/made-by-nobody", weights, type="model")
    assert client.get_model_version("made-by-nobody", "1").run_id == ""


def test_another_registry_is_listed_by_its_name_aliased_and_loaded(client, served, weights):
    library = Library(served.store, OWNER)
    library.create_project("local/vision", kind="registry")
    library.put("local/vision/net", weights)
    library.put("local/vision/pictures", weights, type="dataset")
    named = [each.name for each in client.search_registered_models("name LIKE 'vision.%'")]
    assert named == ["vision.net"]
    client.set_registered_model_alias("vision.net", "champion", "1")
    assert aliases.get(served.store, OWNER, "local/vision/net", "champion").version == 1
    assert contents(mlflow.artifacts.download_artifacts("models:/vision.net@champion")) == contents(weights)
    client.set_model_version_tag("vision.net", "1", "k", "v")
    assert client.get_model_version("vision.net", "1").tags == {"k": "v"}
    copied = client.copy_model_version("models:/vision.net@champion", "copied from vision")
    assert contents(
        mlflow.artifacts.download_artifacts(f"models:/copied from vision/{copied.version}")
    ) == contents(weights)
    made = client.create_registered_model("vision.second")
    assert made.name == "vision.second"
    assert "second" in [each.name for each in library.collections("local/vision")]
    client.rename_registered_model("vision.net", "plain net")
    assert client.get_registered_model("plain net").latest_versions[0].version == "1"
    client.create_registered_model("no-registry.has-this-name")
    assert client.get_registered_model("no-registry.has-this-name").name == "no-registry.has-this-name"
