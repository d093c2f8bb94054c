/** How each client is pointed at this server: shown where there is nothing yet. */

/** @param {string} origin @param {boolean} local @param {string} [project] @returns {{ name: string, title: string, code: string }[]} */
export function recipes(origin, local, project = "demo") {
  const key = local ? "hf_0000000000000000000000000000000000000000" : "hf_…";
  return [
    { name: "wandb", title: "wandb", code: `export WANDB_BASE_URL=${origin}
export WANDB_API_KEY=${key}

python - <<'PYTHON'
import wandb
with wandb.init(project="${project}", config={"lr": 0.01}) as run:
    for step in range(100):
        run.log({"loss": 1 / (step + 1)})
PYTHON` },
    { name: "mlflow", title: "mlflow", code: `export MLFLOW_TRACKING_URI=${origin}${local ? "" : `\nexport MLFLOW_TRACKING_TOKEN=${key}`}

python - <<'PYTHON'
import mlflow
mlflow.set_experiment("${project}")
with mlflow.start_run():
    mlflow.log_param("lr", 0.01)
    for step in range(100):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
PYTHON` },
    { name: "hub", title: "huggingface_hub", code: `export HF_ENDPOINT=${origin}${local ? "" : `\nexport HF_TOKEN=${key}`}

python - <<'PYTHON'
from huggingface_hub import HfApi
api = HfApi()
api.create_repo("my-model")
api.upload_file(path_or_fileobj=b"hello", path_in_repo="README.md", repo_id="my-model")
PYTHON` },
    { name: "native", title: "runstone", code: `${local ? "" : `export RUNSTONE_API_KEY=${key}\n\n`}python - <<'PYTHON'
import runstone
with runstone.connect("${origin}") as store, store.run("${project}", config={"lr": 0.01}) as run:
    for step in range(100):
        run.log({"loss": 1 / (step + 1)})
PYTHON` },
  ];
}
