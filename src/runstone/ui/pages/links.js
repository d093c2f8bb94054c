/** Addresses that clients print, led to the pages here that show the same: those of mlflow behind a hash, sweeps and artifacts as wandb has them. */

import { html, useEffect, useState } from "../lib/html.js";
import { get, query } from "../lib/api.js";
import { navigate, to } from "../lib/router.js";
import { Blank, Bones } from "../components/states.js";

/** Where mlflow keeps registered models without a registry in their name. */
const MODELS = "models";
const EXPERIMENT = /^#\/experiments\/(\d+)(?:\/runs\/(\w+))?/;
const MODEL = /^#\/models\/([^/?]+)(?:\/versions\/(\d+))?/;

/** Whether what follows the hash is such an address. @param {string} hash */
export function isPrinted(hash) {
  return EXPERIMENT.test(hash) || MODEL.test(hash);
}

/** @param {{ hash: string }} props */
export function Printed({ hash }) {
  return html`<${Led} there=${() => ofMlflow(hash)} what=${hash} />`;
}

/** A sweep: its runs. @param {{ ns: string, project: string, sweep: string }} props */
export function Sweep({ ns, project, sweep }) {
  return html`<${Led} what=${sweep} there=${async () => to(ns, project) + query({ filter: `sweep = ${JSON.stringify(sweep)}` })} />`;
}

/** A version by its type, name and number from 0, which is how wandb counts. @param {{ ns: string, project: string, collection: string, version: string }} props */
export function Artifact({ ns, project, collection, version }) {
  return html`<${Led} what=${`${collection} ${version}`} there=${async () => to(ns, project, "artifacts", collection, ours(version))} />`;
}

/** A collection of a registry, whose path is in the query: `namespace/wandb-registry-NAME/COLLECTION`. */
export function Registry() {
  const asked = new URLSearchParams(location.search);
  const [ns, project, collection] = (asked.get("selectionPath") || "").split("/");
  const version = asked.get("version");
  return html`<${Led} what=${asked.get("selectionPath") || "a registry"} there=${async () => (collection ? to(ns, project.replace(/^wandb-registry-/, ""), "artifacts", collection, ...(version ? [ours(version)] : [])) : "")} />`;
}

/** @param {string} version */
function ours(version) {
  const number = /^v(\d+)$/.exec(version);
  return number ? `v${Number(number[1]) + 1}` : version;
}

/** @param {{ what: string, there: () => Promise<string> }} props */
function Led({ what, there }) {
  const [wrong, setWrong] = useState("");
  useEffect(() => {
    there().then(address => (address ? navigate(address, { replace: true }) : setWrong("Nothing of this server that you may see is meant by it.")), error => setWrong(error.message));
  }, [what]);
  return html`<div class="page">${wrong ? html`<${Blank} title="This address leads nowhere"><p class="break">${what}: ${wrong}</p><a class="btn" href="/">All projects</a></${Blank}>` : html`<${Bones} />`}</div>`;
}

/** @param {string} hash */
async function ofMlflow(hash) {
  const { namespaces } = await get("/api/v1/whoami");
  const model = MODEL.exec(hash);
  if (model) {
    const [registry, name] = split(decodeURIComponent(model[1]));
    return to(namespaces[0], registry, "artifacts", name, ...(model[2] ? [`v${model[2]}`] : []));
  }
  const [, id, run] = EXPERIMENT.exec(hash) || [];
  // Only that dialect knows a project by its number.
  const { experiment } = await get("/api/2.0/mlflow/experiments/get" + query({ experiment_id: id }));
  const workspace = experiment.workspace && experiment.workspace !== "default" ? experiment.workspace : namespaces[0];
  return to(workspace, experiment.name, ...(run ? ["runs", run] : []));
}

/** A registered model of mlflow is of the registry before the dot, if there is one. @param {string} name */
function split(name) {
  const dot = name.indexOf(".");
  return dot > 0 ? [name.slice(0, dot), name.slice(dot + 1)] : [MODELS, name];
}
