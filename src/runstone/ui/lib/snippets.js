/** How each client gets a version. */

/**
 * @param {{ ns: string, project: string, collection: string, version: string, type: string, registry: boolean, local: boolean }} of
 * @returns {{ name: string, title: string, code: string }[]}
 */
export function snippets({ ns, project, collection, version, type, registry, local }) {
  const origin = location.origin;
  const name = `${ns}/${project}/${collection}`;
  const number = Number(/^v?(\d+)$/.exec(version)?.[1] || 0);
  const key = local ? "hf_0000000000000000000000000000000000000000" : "hf_…";
  const wandbProject = registry ? `wandb-registry-${project}` : project;
  const model = project === "models" ? collection : `${project}.${collection}`;
  const repo = `${ns}/${project}.${collection}`;
  const kind = type === "dataset" ? "dataset" : "model";
  return [
    { name: "python", title: "Python", code: `import runstone

fetched = runstone.fetch("${name}@${version}", url="${origin}")
print(fetched.path)` },
    { name: "cli", title: "Command line", code: `export RUNSTONE_URL=${origin}${local ? "" : `\nexport RUNSTONE_API_KEY=${key}`}
runstone get ${name}@${version} ${collection}` },
    { name: "wandb", title: "wandb", code: `# export WANDB_BASE_URL=${origin} WANDB_API_KEY=${key}
import wandb

artifact = wandb.Api().artifact("${ns}/${wandbProject}/${collection}:${number ? `v${number - 1}` : version}")
artifact.download()` },
    ...(type === "model" && registry ? [{ name: "mlflow", title: "mlflow", code: `# export MLFLOW_TRACKING_URI=${origin}${local ? "" : ` MLFLOW_TRACKING_TOKEN=${key}`}
import mlflow

path = mlflow.artifacts.download_artifacts("models:/${model}${number ? `/${number}` : `@${version}`}")` }] : []),
    { name: "hub", title: "huggingface_hub", code: `# export HF_ENDPOINT=${origin}${local ? ` HF_TOKEN=${key}` : ` HF_TOKEN=${key}`}
from huggingface_hub import snapshot_download

path = snapshot_download("${repo}", repo_type="${kind}", revision="${version}")` },
    { name: "curl", title: "curl", code: `curl -H 'Authorization: Bearer ${key}' \\
  '${origin}/api/v1/collections/${name}/versions/${version}/files'` },
  ];
}
