"""Data catalogs read models, versions and runs through mlflow's interface: unmodified, in environments of their own.

``RUNSTONE_TEST_DATAHUB`` is the ``datahub`` command of an environment with ``acryl-datahub[mlflow]``.
"""

import json
import os
import subprocess

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")
DATAHUB = os.environ.get("RUNSTONE_TEST_DATAHUB", "")


@pytest.mark.skipif(not DATAHUB, reason="RUNSTONE_TEST_DATAHUB names no datahub command")
def test_datahub_ingests_models_versions_and_runs(client, experiment, served, tmp_path):
    run = client.create_run(experiment, run_name="trained").info
    client.log_metric(run.run_id, "accuracy", 0.9)
    client.log_param(run.run_id, "depth", "3")
    client.set_terminated(run.run_id)
    client.log_text(run.run_id, "weights", "model/w.bin")
    client.create_registered_model("catalogued", tags={"team": "a"}, description="for the catalog")
    client.create_model_version("catalogued", f"{run.artifact_uri}/model", run_id=run.run_id)
    client.set_registered_model_alias("catalogued", "champion", "1")
    recipe = {
        "source": {
            "type": "mlflow",
            "config": {
                "tracking_uri": served.url,
                "registry_uri": served.url,
                "materialize_dataset_inputs": False,
            },
        },
        "sink": {"type": "file", "config": {"filename": str(tmp_path / "sunk.json")}},
    }
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    environment = os.environ | {"DATAHUB_TELEMETRY_ENABLED": "false", "HOME": str(tmp_path)}
    done = subprocess.run(
        [DATAHUB, "ingest", "-c", str(tmp_path / "recipe.json"), "--no-default-report"],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    sunk = json.loads((tmp_path / "sunk.json").read_text())
    told = json.dumps(sunk)
    assert "for the catalog" in told and "catalogued" in told
    kinds = {each.get("entityType") for each in sunk}
    assert {"mlModel", "mlModelGroup", "dataProcessInstance", "container"} <= kinds
    run_facts = json.dumps([each for each in sunk if each.get("entityType") == "dataProcessInstance"])
    assert run.run_id in run_facts and "accuracy" in run_facts and "depth" in run_facts
    model = json.dumps([each for each in sunk if each.get("entityType") == "mlModel"])
    assert "catalogued_1" in model
