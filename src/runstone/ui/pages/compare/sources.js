/** The code of two runs, file by file: what their clients saved of it, with the packages and the changes that were not committed. */

import { html } from "../../lib/html.js";
import { api, get, query, request } from "../../lib/api.js";
import { bytes, count } from "../../lib/format.js";
import { useResource } from "../../lib/resource.js";
import { hunks, lineDiff } from "../../lib/textdiff.js";
import { Blank, Loaded } from "../../components/states.js";
import { Lines } from "./lines.js";

/** @typedef {{ path: string, size: number, sha256: string, address: string }} Source */
/** @typedef {{ path: string, kind: "changed" | "added" | "removed", steps: import("../../lib/textdiff.js").Step[] | null, size: number }} Change */

const CODE = /(^code\/|\.(py|pyx|ipynb|sh|r|jl|c|cc|cpp|cu|h|js|ts|go|rs|ya?ml|toml|cfg|ini|patch|diff)$|(^|\/)(requirements[^/]*\.txt|Dockerfile|Makefile)$)/i;
/** What clients write besides: it says nothing of the code, or is shown as fields. */
const OTHER = /^(media|artifact)\/|^(config\.yaml|wandb-metadata\.json|wandb-summary\.json|output\.log|conda-environment\.yaml\.tmp)$|(^|\/)MLmodel$/;
const MOST_FILES = 2000;
const MOST_SHOWN = 60;
/** Text of a file that is compared, in bytes; of a larger one it is said that it differs. */
const LARGEST = 1_000_000;

/** @param {{ one: any, other: any }} props */
export function Sources({ one, other }) {
  const found = useResource(async signal => {
    const [left, right] = await Promise.all([one, other].map(run => sourcesOf(run, signal)));
    return { changes: await changes(left, right, signal), sides: [left.size, right.size], same: [...left].filter(([path, file]) => right.get(path)?.sha256 === file.sha256).length };
  }, [one.id, other.id]);
  return html`<section class="card" aria-label="Saved code"><header><h2 class="grow">Saved code</h2>${found.data && html`<span class="muted small">${said(found.data)}</span>`}</header>
    <${Loaded} of=${found} lines=${3}>${(/** @type {{ changes: Change[], sides: number[] }} */ data) => html`
      ${data.sides.every(size => size === 0) && html`<${Blank} title="No code was saved"><p><code>wandb.init(save_code=True)</code>, <code>run.log_code()</code>, <code>mlflow.log_artifact("train.py")</code> and <code>run.save("train.py")</code> keep it with the run.</p></${Blank}>`}
      ${data.changes.slice(0, MOST_SHOWN).map(change => html`<${File} key=${change.path} change=${change} />`)}
      ${data.changes.length > MOST_SHOWN && html`<p class="hint body">${count(data.changes.length - MOST_SHOWN, "file")} more differ.</p>`}`}</${Loaded}>
  </section>`;
}

/** @param {{ changes: Change[], sides: number[], same: number }} data */
function said({ changes: found, sides, same }) {
  if (sides.every(size => size === 0)) return "";
  return found.length ? `${count(found.length, "file")} of ${(found.length + same).toLocaleString("en-US")} ${found.length === 1 ? "differs" : "differ"}` : `the same in both: ${count(same, "file")}`;
}

/** @param {{ change: Change }} props */
function File({ change }) {
  const { path, kind, steps, size } = change;
  const changed = steps?.filter(step => step.kind !== "same").length;
  return html`<details class="source" open=${kind === "changed"}><summary class="row"><span class="mono cut grow" title=${path}>${path}</span>
      ${changed ? html`<span class="muted small num">${count(changed, "line")}</span>` : null}<span class="pill ${kind === "added" ? "good" : kind === "removed" ? "bad" : "warn"}">${kind}</span></summary>
    ${steps ? html`<${Lines} steps=${hunks(steps)} label=${`${path}: changes`} />` : html`<p class="hint body">${bytes(size)} are not compared line by line.</p>`}</details>`;
}

/** The code files of a run by path, with those of the code artifacts that it logged. @param {any} run @param {AbortSignal} signal @returns {Promise<Map<string, Source>>} */
async function sourcesOf(run, signal) {
  /** @type {Map<string, Source>} */
  const found = new Map();
  const base = api("runs", run.namespace, run.project, run.name);
  for await (const file of listed(base, signal)) {
    if (CODE.test(file.path) && !OTHER.test(file.path)) found.set(file.path, { ...file, address: `${base}/files/${encoded(file.path)}` });
  }
  const graph = await get("/api/v1/lineage" + query({ name: `run:${run.namespace}/${run.project}/${run.name}`, direction: "downstream", depth: 1, limit: 200 }), { signal });
  for (const node of graph.nodes) {
    // Where `run.log_code` of wandb puts a folder.
    const parts = /^([^/]+)\/([^/]+)\/(source-[^:@]+)[:@](.+)$/.exec(node.kind === "version" ? node.name : "");
    if (!parts) continue;
    const place = api("collections", parts[1], parts[2], parts[3], "versions", parts[4]);
    for await (const file of listed(place, signal)) found.set(file.path, { ...file, address: `${place}/files/${encoded(file.path)}` });
  }
  return found;
}

/** @param {string} base @param {AbortSignal} signal @returns {AsyncGenerator<{ path: string, size: number, sha256: string }>} */
async function* listed(base, signal) {
  let after = "";
  let told = 0;
  do {
    const page = await get(`${base}/files` + query({ limit: 1000, after }), { signal });
    yield* page.items;
    told += page.items.length;
    after = page.next;
  } while (after && told < MOST_FILES);
}

/** @param {string} path */
function encoded(path) {
  return path.split("/").map(encodeURIComponent).join("/");
}

/** @param {Map<string, Source>} left @param {Map<string, Source>} right @param {AbortSignal} signal @returns {Promise<Change[]>} */
async function changes(left, right, signal) {
  const paths = [...new Set([...left.keys(), ...right.keys()])].sort().filter(path => left.get(path)?.sha256 !== right.get(path)?.sha256);
  return Promise.all(paths.map(async (path, at) => {
    const [was, is] = [left.get(path), right.get(path)];
    const size = Math.max(was?.size || 0, is?.size || 0);
    /** @type {Change["kind"]} */
    const kind = !was ? "added" : !is ? "removed" : "changed";
    if (size > LARGEST || at >= MOST_SHOWN) return { path, kind, size, steps: null };
    const [before, after] = await Promise.all([was, is].map(async file => (file ? (await request("GET", file.address, undefined, { signal, accept: "*/*" })).text() : "")));
    return { path, kind, size, steps: before.includes("\0") || after.includes("\0") ? null : lineDiff(before, after) };
  }));
}
