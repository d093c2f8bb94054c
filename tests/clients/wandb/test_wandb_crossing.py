"""One model, many clients: what the wandb SDK logs and links, mlflow, the Hub's client and runstone's own have, and the reverse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from sdk import ANY_KEY

import runstone


def python(program: str, folder: Path, **environment: str) -> list:
    """What a program says as JSON lines that begin with SAID."""
    head = "import json\ndef say(value): print('SAID ' + json.dumps(value), flush=True)\n"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "HF_"))}
    done = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(program)],
        cwd=folder,
        env=kept | {"HOME": str(folder)} | environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line[5:]) for line in done.stdout.splitlines() if line.startswith("SAID ")]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, but those that a client keeps for itself."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".cache" not in path.parts and ".runstone" not in str(path)
    }


def test_what_wandb_links_everybody_has(served, sdk, tmp_path):
    sdk.run("""
        import os
        os.makedirs("net/deep")
        with open("net/model.bin", "wb") as file: file.write(bytes(range(256)) * 3000)
        with open("net/deep/config.json", "w") as file: file.write('{"a": 1}')
        with wandb.init(project="cross", id="maker") as run:
            artifact = wandb.Artifact("net", type="model"); artifact.add_dir("net")
            run.log_artifact(artifact)
            run.link_artifact(artifact, "wandb-registry-models/crossed", aliases=["champion"])
    """)
    expected = contents(sdk.folder / "net")
    assert len(expected) == 2
    found = python(
        """
        import os, mlflow
        mlflow.set_tracking_uri(os.environ["URL"]); mlflow.set_registry_uri(os.environ["URL"])
        client = mlflow.MlflowClient()
        say([model.name for model in client.search_registered_models() if model.name == "crossed"])
        version = client.get_model_version_by_alias("crossed", "champion")
        say([version.version, version.name])
        client.set_registered_model_alias("crossed", "from-mlflow", version.version)
        say(mlflow.artifacts.download_artifacts("models:/crossed@champion", dst_path="by-mlflow"))
        """,
        tmp_path,
        URL=served.url,
        MLFLOW_DISABLE_TELEMETRY="true",
        GIT_PYTHON_REFRESH="quiet",
    )
    assert found[:2] == [["crossed"], ["1", "crossed"]]
    assert contents(tmp_path / "by-mlflow") == expected
    python(
        """
        from huggingface_hub import snapshot_download
        snapshot_download("local/crossed", revision="champion", local_dir="by-hub")
        """,
        tmp_path,
        HF_ENDPOINT=served.url,
        HF_TOKEN=ANY_KEY,
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_HUB_DISABLE_PROGRESS_BARS="1",
        HF_HUB_DISABLE_XET="1",
    )
    assert contents(tmp_path / "by-hub") == expected
    with runstone.connect(served.url, key=ANY_KEY) as remote:
        remote.get("local/models/crossed@champion", tmp_path / "by-runstone")
    assert contents(tmp_path / "by-runstone") == expected
    assert sdk.run("say(sorted(wandb.Api().artifact('wandb-registry-models/crossed:v0').aliases))") == [
        ["champion", "from-mlflow", "latest"]
    ]


def test_what_mlflow_registers_wandb_uses(served, sdk, tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "weights").write_bytes(b"w" * 100_000)
    (tmp_path / "made" / "MLmodel").write_text("flavors: {}\n")
    python(
        """
        import os, mlflow
        mlflow.set_tracking_uri(os.environ["URL"]); mlflow.set_registry_uri(os.environ["URL"])
        client = mlflow.MlflowClient()
        run = client.create_run(client.create_experiment("of-mlflow"))
        client.log_artifacts(run.info.run_id, "made", "model")
        client.create_registered_model("theirs")
        version = client.create_model_version("theirs", f"runs:/{run.info.run_id}/model", run.info.run_id, description="by mlflow")
        client.set_registered_model_alias("theirs", "prod", version.version)
        """,
        tmp_path,
        URL=served.url,
        MLFLOW_DISABLE_TELEMETRY="true",
        GIT_PYTHON_REFRESH="quiet",
    )
    said = sdk.run("""
        with wandb.init(project="cross", id="taker") as run:
            artifact = run.use_artifact("wandb-registry-models/theirs:prod")
            say([artifact.version, sorted(artifact.aliases), artifact.type, artifact.description, artifact.manifest.digest() == artifact.digest])
            say(artifact.download(root="taken")); artifact.verify("taken")
        say([[each.name for each in wandb.Api().registry("models").collections(filter={"name": "theirs"})],
             [run.id for run in artifact.used_by()], artifact.logged_by() is not None])
    """)
    assert said[0] == ["v0", ["latest", "prod"], "model", "by mlflow", True]
    assert contents(sdk.folder / "taken") == contents(tmp_path / "made")
    assert said[2][:2] == [["theirs"], ["taker"]]
