"""The SDK of an earlier minor version, installed beside the one that the other tests use."""

from __future__ import annotations

import subprocess
import sys

import pytest
from sdk import Sdk

from runstone import domain
from runstone.domain.context import Context

VERSION = "0.29"


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of the older SDK; what it needs is there for the newer, but for one package."""
    folder = tmp_path_factory.mktemp("older")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-input",
        "--target",
        str(folder),
    ]
    command += [f"wandb=={VERSION}.*", "sentry-sdk"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip(f"wandb {VERSION} cannot be installed here: {done.stderr[-300:]}")
    return str(folder)


def test_an_older_sdk_logs_links_and_fetches(served, sdk: Sdk, older: str):
    said = sdk.run(
        """
        say(wandb.__version__)
        with wandb.init(project="older", id="maker", config={"lr": 1}) as run:
            run.log({"x": 1.5})
            artifact = wandb.Artifact("net", type="model", metadata={"a": 1})
            with artifact.new_file("deep/w.txt") as file: file.write("weights")
            run.log_artifact(artifact, aliases=["latest", "best"]).wait()
            run.link_artifact(artifact, "wandb-registry-oldreg/Net", aliases=["prod"])
        with wandb.init(project="older", id="user") as run:
            used = run.use_artifact("wandb-registry-oldreg/Net:prod")
            say([used.version, used.source_name, used.metadata, open(used.download(root="got") + "/deep/w.txt").read()])
            draft = run.use_artifact("net:best").new_draft()
            with draft.new_file("more.txt") as file: file.write("more")
            say(run.log_artifact(draft).wait().version)
        api = wandb.Api()
        say([[run.id for run in api.artifact("older/net:v0").used_by()], sorted(api.artifact("older/net:v1").manifest.entries),
             [each.name for each in api.registry("oldreg").collections()], [row["x"] for row in api.run("older/maker").scan_history()]])
        """,
        PYTHONPATH=older,
    )
    assert said[0].startswith(VERSION)
    assert said[1:] == [
        ["v0", "net:v0", {"a": 1}, "weights"],
        "v1",
        [["user"], ["deep/w.txt", "more.txt"], ["Net"], [1.5]],
    ]
    files = domain.versions.files(served.store, Context(), "local/oldreg/Net@prod")
    assert [(file.path, file.size) for file in files] == [("deep/w.txt", 7)]
