/** One version: what it is, its files, what it came from, who got it, and its history. */

import { html, useState } from "../lib/html.js";
import { api, ApiError, get, query, request } from "../lib/api.js";
import { ago, bytes, count, inline, moment } from "../lib/format.js";
import { flatten } from "../lib/flatten.js";
import { useResource } from "../lib/resource.js";
import { to } from "../lib/router.js";
import { CopyButton } from "../components/copy.js";
import { History } from "../components/history.js";
import { Icon } from "../components/icons.js";
import { Lazy } from "../components/lazy.js";
import { Markdown } from "../components/markdown.js";
import { Promote } from "../components/promote.js";
import { runTitles } from "../components/runnames.js";
import { Blank, Loaded, State } from "../components/states.js";
import { Usage } from "../components/usage.js";
import { Artifact } from "./links.js";

const TABS = ["overview", "files", "metadata", "lineage", "usage", "history"];

/** @param {{ ns: string, project: string, collection: string, version: string, tab?: string }} props */
export default function Version(props) {
  const { ns, project, version, tab = "overview" } = props;
  // type/name/version, as the wandb SDK prints it.
  return TABS.includes(tab) ? html`<${Shown} ...${props} tab=${tab} />` : html`<${Artifact} ns=${ns} project=${project} collection=${version} version=${tab} />`;
}

/** @param {{ ns: string, project: string, collection: string, version: string, tab: string }} props */
function Shown({ ns, project, collection, version, tab }) {
  const found = useResource(async signal => {
    const [info, about] = await Promise.all([get(api("collections", ns, project, collection, "versions", version), { signal }), get(api("projects", ns, project), { signal })]);
    return { info, registry: about.kind === "registry" };
  }, [ns, project, collection, version]);
  return html`<div class="page"><${Loaded} of=${found}>${(/** @type {{ info: any, registry: boolean }} */ { info, registry }) => {
    const name = `${ns}/${project}/${collection}@v${info.number}`;
    const props = { ns, project, collection, version, info, name, registry, reload: found.reload };
    return html`<${Head} ...${props} />
      <nav class="tabs inner" aria-label="Version">${TABS.map(each => html`<a href=${to(ns, project, "artifacts", collection, version, ...(each === "overview" ? [] : [each]))} aria-current=${each === tab ? "page" : undefined}>
        ${each[0].toUpperCase() + each.slice(1)}${each === "files" ? html`<span class="n">${info.files.toLocaleString("en-US")}</span>` : null}</a>`)}</nav>
      ${info.state === "quarantined" && html`<div class="failure" role="alert"><p><b>Withdrawn:</b> ${info.state_reason}. Its bytes are not served; aliases that pointed here went back to their last good version. Put the same files again, and run <code>runstone scrub</code>, to repair it.</p></div>`}
      ${tab === "files" ? html`<${Lazy} key="files" load=${() => import("../components/filebrowser.js").then(module => module.FileBrowser)} base=${api("collections", ns, project, collection, "versions", `v${info.number}`)} files=${api("collections", ns, project, collection, "versions", `v${info.number}`, "files")} />`
        : tab === "metadata" ? html`<${Metadata} metadata=${info.metadata} />`
        : tab === "lineage" ? html`<${Lazy} key="lineage" load=${() => import("../components/graph.js").then(module => module.Lineage)} name=${name} />`
        : tab === "usage" ? html`<${Consumers} name=${name} />`
        : tab === "history" ? html`<${History} name=${name} />`
        : html`<${Overview} ...${props} />`}`;
  }}</${Loaded}></div>`;
}

/** @param {any} props */
function Head({ ns, project, collection, info, reload }) {
  const [promoting, setPromoting] = useState(false);
  return html`<div class="page-head"><div class="grow">
      <h1 class="row wrap"><a href=${to(ns, project, "artifacts", collection)}>${collection}</a> <span class="muted">v${info.number}</span>
        ${info.aliases.map((/** @type {string} */ alias) => html`<span class="tag">${alias}</span>`)}<${State} state=${info.state} /></h1>
      <p class="sub">${info.type}, stored ${ago(info.created)} by ${info.by}${info.expires ? `, expires ${moment(info.expires)}` : ""}</p></div>
    ${info.state === "live" && html`<button class="btn primary" onClick=${() => setPromoting(true)}><${Icon} name="up" />Move an alias here</button>`}
    ${promoting && html`<${Promote} ns=${ns} project=${project} collection=${collection} number=${info.number} close=${() => setPromoting(false)} done=${reload} />`}
  </div>`;
}

/** @param {any} props */
function Overview({ ns, project, collection, version, info, name, registry }) {
  const around = useResource(async signal => {
    const graph = await get("/api/v1/lineage" + query({ name, depth: 1, limit: 50 }), { signal });
    return { ...graph, titles: await runTitles(graph.nodes.filter((/** @type {any} */ node) => node.kind === "run").map((/** @type {any} */ node) => node.name), signal) };
  }, [name]);
  return html`<div class="split">
    <div class="stack">
      <section class="card" aria-label="Description"><header><h2>${info.type === "model" ? "Model card" : "Description"}</h2></header><div class="body">
        ${info.description ? html`<${Markdown} text=${info.description} base=${api("collections", ns, project, collection, "versions", `v${info.number}`)} />` : html`<p class="muted">Nothing is written about this version. A README.md committed by <code>huggingface_hub</code>, or a description given by any client, is shown here.</p>`}</div></section>
      <${Usage} ns=${ns} project=${project} collection=${collection} version=${/^\d/.test(version) ? `v${version}` : version} type=${info.type} registry=${registry} />
    </div>
    <div class="stack">
      <section class="card" aria-label="About"><header><h2 class="grow">About</h2></header><div class="body"><dl class="props">
        <dt>Size</dt><dd class="num">${bytes(info.size)} in ${count(info.files, "file")}</dd>
        <dt>Stored</dt><dd>${moment(info.created)}</dd>
        <dt>Manifest</dt><dd class="row"><code class="cut" title=${info.digest}>${info.digest.slice(0, 20)}…</code><${CopyButton} text=${info.digest} label="Copy the digest" /></dd>
        ${info.tags.length > 0 && html`<dt>Tags</dt><dd class="row wrap">${info.tags.map((/** @type {string} */ tag) => html`<span class="tag">${tag}</span>`)}</dd>`}
        ${info.hold && html`<dt>Hold</dt><dd>${info.hold}</dd>`}
      </dl></div></section>
      <${Verify} name=${name} disabled=${info.state !== "live"} />
      <section class="card" aria-label="Lineage"><header><h2 class="grow">Lineage</h2><a href=${to(ns, project, "artifacts", collection, version, "lineage")}>Graph</a></header><div class="body">
        <${Loaded} of=${around}>${(/** @type {any} */ graph) => html`<${Beside} graph=${graph} />`}</${Loaded}></div></section>
    </div>
  </div>`;
}

/** @param {{ graph: import("../components/graph.js").Graph & { titles?: Map<string, string> } }} props */
function Beside({ graph }) {
  const named = new Map(graph.nodes.map(node => [node.id, { ...node, title: graph.titles?.get(node.name) }]));
  /** @param {string} title @param {number[]} ids */
  const list = (title, ids) => ids.length > 0 && html`<div><h3>${title}</h3><ul>${ids.map(id => html`<li><${NodeLink} node=${named.get(id)} /></li>`)}</ul></div>`;
  const above = graph.edges.filter(edge => edge.target === graph.root);
  const below = graph.edges.filter(edge => edge.source === graph.root);
  if (!graph.edges.length) return html`<p class="muted">Nothing is linked to it yet.</p>`;
  return html`<div class="stack">
    ${list("Produced by", above.filter(edge => edge.relation === "produced").map(edge => edge.source))}
    ${list("Derived from", above.filter(edge => edge.relation === "derived_to").map(edge => edge.source))}
    ${list("Used by", below.filter(edge => edge.relation === "used_by").map(edge => edge.target))}
    ${list("Derived to", below.filter(edge => edge.relation === "derived_to").map(edge => edge.target))}
    ${list("Fetched by", below.filter(edge => /fetched|invoked/.test(edge.relation)).map(edge => edge.target))}
  </div>`;
}

/** @param {{ node?: import("../components/graph.js").Node }} props */
export function NodeLink({ node }) {
  if (!node) return html`<span class="muted">something that you may not see</span>`;
  const [ns, project, last, ...more] = node.name.split("/");
  if (last && !more.length && node.kind === "run") return html`<a class="break" href=${to(ns, project, "runs", last)}>${project}/${node.title || last}</a>`;
  if (last && !more.length && node.kind === "version") return html`<a class="break" href=${to(ns, project, "artifacts", ...last.split(":"))}>${project}/${last}</a>`;
  return html`<span class="break">${node.name} <span class="muted small">${node.kind}</span></span>`;
}

/** Reads every byte on the server, and says how far it is. @param {{ name: string, disabled: boolean }} props */
function Verify({ name, disabled }) {
  const [state, setState] = useState(/** @type {{ done?: number, total?: number, report?: any, error?: string }} */ ({}));
  async function verify() {
    setState({ done: 0, total: 0 });
    try {
      const response = await request("POST", api("verify"), { name });
      await lines(response, said => {
        if (said.error) throw new ApiError(said.error.status, said.error.code, said.error.detail);
        setState(said);
      });
    } catch (error) {
      setState({ error: error instanceof Error ? error.message : String(error) });
    }
  }
  const busy = state.done !== undefined;
  return html`<section class="card" aria-label="Integrity"><header><h2 class="grow">Integrity</h2><button class="btn tiny" disabled=${busy || disabled} onClick=${verify}><${Icon} name="check" />Verify</button></header>
    <div class="body" role="status">${state.error ? html`<p class="hint bad">${state.error}</p>`
      : state.report ? html`<p><span class="pill good">every byte is right</span> ${count(state.report.files, "file")}, ${bytes(state.report.bytes)} read and hashed${state.report.references ? `; ${state.report.references} references to bytes elsewhere were not` : ""}.</p>`
      : busy ? html`<p class="row"><progress value=${state.done} max=${state.total || 1} aria-label="Verified" /> <span class="num muted">${bytes(state.done || 0)} of ${bytes(state.total || 0)}</span></p>`
      : html`<p class="muted">Reads every byte of this version and compares it with its manifest.</p>`}</div></section>`;
}

/** The JSON values of an answer, a line each, as they come. @param {Response} response @param {(said: any) => void} each */
async function lines(response, each) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const decoder = new TextDecoder();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    held += decoder.decode(value, { stream: !done });
    const parts = held.split("\n");
    held = parts.pop() || "";
    for (const part of parts) if (part.trim()) each(JSON.parse(part));
    if (done) return;
  }
}

/** @param {{ metadata: any }} props */
function Metadata({ metadata }) {
  const [wanted, setWanted] = useState("");
  const rows = [...flatten(metadata ?? {})].filter(([path, value]) => `${path} ${inline(value, 1000)}`.toLowerCase().includes(wanted.toLowerCase()));
  if (!metadata || !Object.keys(metadata).length) return html`<${Blank} title="No metadata"><p>Clients can give a version any JSON when they log it.</p></${Blank}>`;
  return html`<section class="card" aria-label="Metadata"><header><input class="input" style=${{ width: "280px" }} type="search" placeholder="Filter" aria-label="Filter metadata" value=${wanted} onInput=${(/** @type {any} */ event) => setWanted(event.target.value)} /><span class="muted end small">${count(rows.length, "value")}</span>
      <${CopyButton} text=${JSON.stringify(metadata, null, 2)} label="Copy as JSON" /></header>
    <div class="scroll-x"><table class="table"><tbody>${rows.slice(0, 2000).map(([path, value]) => html`<tr key=${path}><td class="mono small">${path}</td><td class="break">${inline(value, 4000)}</td></tr>`)}</tbody></table></div></section>`;
}

/** Who got the bytes. @param {{ name: string }} props */
function Consumers({ name }) {
  const graph = useResource(signal => get("/api/v1/lineage" + query({ name, direction: "downstream", depth: 1, limit: 1000 }), { signal }), [name]);
  return html`<${Loaded} of=${graph}>${(/** @type {import("../components/graph.js").Graph} */ found) => {
    const named = new Map(found.nodes.map(node => [node.id, node]));
    const edges = found.edges.filter(edge => edge.source === found.root && edge.relation !== "derived_to").sort((one, other) => other.time - one.time);
    return edges.length === 0 ? html`<${Blank} title="Nobody has fetched it"><p>Downloads by any client are noted here with who asked for them; a serving process gives its name with <code>X-Runstone-Consumer</code>, or <code>runstone.fetch(…, consumer="…")</code>.</p></${Blank}>`
      : html`<section class="card" aria-label="Who got it"><div class="scroll-x"><table class="table"><thead><tr><th>Who</th><th>How</th><th class="num">Seen</th><th>Last</th><th>As</th></tr></thead>
        <tbody>${edges.map(edge => html`<tr key=${`${edge.target} ${edge.relation}`}><td><${NodeLink} node=${named.get(edge.target)} /></td><td>${edge.relation.replace("_", " ")}</td><td class="num">${edge.count} ×</td><td class="muted" title=${moment(edge.time)}>${ago(edge.time)}</td><td class="muted">${/** @type {any} */ (edge).by}</td></tr>`)}</tbody></table></div></section>`;
  }}</${Loaded}>`;
}

