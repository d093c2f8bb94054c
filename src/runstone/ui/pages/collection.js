/** A collection: its versions side by side, its aliases through time, and how two versions differ. */

import { html, useState } from "../lib/html.js";
import { api, get, patch, query, unlessMissing } from "../lib/api.js";
import { ago, bytes, count, date, inline, moment } from "../lib/format.js";
import { measure, telling } from "../lib/fieldnames.js";
import { differing, equal, flatten } from "../lib/flatten.js";
import { useResource } from "../lib/resource.js";
import { param, setParams, to } from "../lib/router.js";
import { attempt } from "../lib/toasts.js";
import { Aliases } from "../components/aliases.js";
import { History } from "../components/history.js";
import { Icon } from "../components/icons.js";
import { Markdown } from "../components/markdown.js";
import { Item, Menu } from "../components/menu.js";
import { Blank, Loaded, State } from "../components/states.js";

const TABS = ["versions", "aliases", "compare", "card", "history"];
/** Versions of which the producing run is asked after. */
const ASKED = 40;

/** @typedef {{ number: number, files: number, size: number, metadata: any, description: string, tags: string[], aliases: string[], state: string, state_reason: string, created: number, by: string }} VersionInfo */

/** @param {{ ns: string, project: string, collection: string }} props */
export default function Collection({ ns, project, collection }) {
  const tab = param("tab", "versions");
  const info = useResource(signal => get(api("collections", ns, project, collection), { signal }), [ns, project, collection]);
  const versions = useResource(async signal => {
    const page = await get(api("collections", ns, project, collection, "versions") + query({ limit: 1000 }), { signal });
    return { items: /** @type {VersionInfo[]} */ (page.items), more: Boolean(page.next) };
  }, [ns, project, collection]);
  const place = { ns, project, collection };
  return html`<div class="page"><${Loaded} of=${info}>${(/** @type {any} */ found) => html`
    <div class="page-head"><div class="grow"><h1 class="row wrap">${collection}${found.tags.map((/** @type {string} */ tag) => html`<span class="tag">${tag}</span>`)}</h1>
      <p class="sub">${found.type} with ${count(found.versions, "version")}, made ${ago(found.created)} by ${found.by}</p></div></div>
    <nav class="tabs inner" aria-label="Collection">${TABS.map(each => html`<a href=${to(ns, project, "artifacts", collection) + (each === "versions" ? "" : `?tab=${each}`)} aria-current=${each === tab ? "page" : undefined}>${each[0].toUpperCase() + each.slice(1)}</a>`)}</nav>
    ${tab === "history" ? html`<${History} name=${`${ns}/${project}/${collection}`} />`
      : tab === "card" ? html`<${Card} ...${place} info=${found} reload=${info.reload} />`
      : html`<${Loaded} of=${versions}>${(/** @type {{ items: VersionInfo[], more: boolean }} */ held) => held.items.length === 0
          ? html`<${Blank} title="No version yet"><p><code>runstone put FOLDER ${ns}/${project}/${collection}</code> stores one, and so does any client that logs to it.</p></${Blank}>`
          : tab === "aliases" ? html`<${Aliases} ...${place} versions=${held.items} />`
          : tab === "compare" ? html`<${Compare} ...${place} versions=${held.items} />`
          : html`<${Versions} ...${place} versions=${held.items} more=${held.more} />`}</${Loaded}>`}`}</${Loaded}></div>`;
}

/** @param {{ ns: string, project: string, collection: string, versions: VersionInfo[], more: boolean }} props */
function Versions({ ns, project, collection, versions, more }) {
  const columns = param("columns").split("\n").filter(Boolean);
  const produced = useResource(signal => producers(ns, project, collection, versions.slice(0, ASKED), signal), [ns, project, collection, versions.length]);
  const rows = versions.map(version => ({ version, run: produced.data?.get(version.number), values: new Map([
    ...[...flatten(version.metadata ?? {})].map(([path, value]) => /** @type {[string, unknown]} */ ([`metadata.${path}`, value])),
    ...[...flatten(produced.data?.get(version.number)?.summary ?? {})].map(([path, value]) => /** @type {[string, unknown]} */ ([`summary.${path}`, value])),
  ]) }));
  const offered = [...new Set(rows.flatMap(row => [...row.values.keys()]))].sort();
  const chosen = param("columns") ? columns : usual(offered.filter(name => rows.some(row => typeof row.values.get(name) === "number")));
  /** @param {string} name */
  const toggle = name => setParams({ columns: (chosen.includes(name) ? chosen.filter(each => each !== name) : [...chosen, name]).join("\n") });
  const base = [param("a"), param("b")].filter(Boolean);
  return html`<section class="card" aria-label="Versions">
    <header class="wrap"><span class="grow">${count(versions.length, "version")}${more ? " and older ones" : ""}</span>
      ${base.length === 2 ? html`<a class="btn tiny" href=${to(ns, project, "artifacts", collection) + query({ tab: "compare", a: base[0], b: base[1] })}>Compare v${base[0]} and v${base[1]}</a>` : html`<span class="muted small">Choose two to compare</span>`}
      <${Menu} kind="" label=${html`<${Icon} name="columns" />Columns`} title="Columns">${offered.length === 0 ? html`<div class="head">No metadata or metrics</div>` : offered.slice(0, 300).map(name => html`<${Item} checked=${chosen.includes(name)} onClick=${() => toggle(name)}><span class="cut">${name}</span></${Item}>`)}</${Menu}></header>
    <div class="scroll-x"><table class="table">
      <thead><tr><th><span class="sr-only">Compare</span></th><th>Version</th><th>Aliases</th><th>State</th>${chosen.map(name => html`<th class="num" title=${name}>${name.split(".").slice(1).join(".")}</th>`)}<th class="num">Files</th><th class="num">Size</th><th>Run</th><th>Stored</th><th>By</th></tr></thead>
      <tbody>${rows.map(({ version, run, values }) => html`<tr key=${version.number}>
        <td><input type="checkbox" class="check" aria-label=${`Compare v${version.number}`} checked=${base.includes(String(version.number))} onChange=${() => choose(base, String(version.number))} /></td>
        <td><a href=${to(ns, project, "artifacts", collection, `v${version.number}`)}><b>v${version.number}</b></a></td>
        <td><div class="row wrap">${version.aliases.map(alias => html`<span class="tag">${alias}</span>`)}</div></td>
        <td><${State} state=${version.state} /></td>
        ${chosen.map(name => html`<td class="num">${inline(values.get(name), 40)}</td>`)}
        <td class="num">${version.files.toLocaleString("en-US")}</td><td class="num">${bytes(version.size)}</td>
        <td>${run && html`<a class="cut" href=${to(run.namespace, run.project, "runs", run.name)}>${run.display_name || run.name}</a>`}</td>
        <td class="muted" title=${moment(version.created)}>${ago(version.created)}</td><td class="muted">${version.by}</td></tr>`)}</tbody>
    </table></div></section>`;
}

/** Which columns are shown by themselves: what was said of the versions, and the metrics that tell most. @param {string[]} offered */
function usual(offered) {
  const said = offered.filter(name => name.startsWith("metadata."));
  const metrics = telling(offered.filter(name => name.startsWith("summary.")).map(field => ({ field, runs: 1 })));
  const first = metrics.length ? [measure(metrics)] : [];
  return [...said.slice(0, 3), ...first, ...metrics.filter(name => !first.includes(name))].slice(0, Math.max(4, Math.min(said.length, 3) + 2));
}

/** @param {string[]} base @param {string} number */
function choose(base, number) {
  const [a, b] = base.includes(number) ? base.filter(each => each !== number) : [...base, number].slice(-2);
  setParams({ a, b });
}

/** The run that produced each version. @param {string} ns @param {string} project @param {string} collection @param {VersionInfo[]} versions @param {AbortSignal} signal @returns {Promise<Map<number, any>>} */
async function producers(ns, project, collection, versions, signal) {
  const found = new Map();
  await Promise.all(versions.map(async ({ number }) => {
    const graph = await get("/api/v1/lineage" + query({ name: `${ns}/${project}/${collection}@v${number}`, direction: "upstream", depth: 2, limit: 20 }), { signal });
    // Of a version that was made from another one, the run of that one counts too: a registry's are.
    const sources = new Set([graph.root, ...graph.edges.filter((/** @type {any} */ edge) => edge.relation === "derived_to" && edge.target === graph.root).map((/** @type {any} */ edge) => edge.source)]);
    const edge = graph.edges.find((/** @type {any} */ each) => each.relation === "produced" && sources.has(each.target));
    const run = graph.nodes.find((/** @type {any} */ node) => node.id === edge?.source && node.kind === "run");
    const parts = run?.name.split("/");
    if (parts?.length === 3) found.set(number, await unlessMissing(get(api("runs", ...parts), { signal }), undefined));
  }));
  return found;
}

/** @param {{ ns: string, project: string, collection: string, versions: VersionInfo[] }} props */
function Compare({ ns, project, collection, versions }) {
  const numbers = versions.map(version => String(version.number));
  const b = param("b") || numbers[0];
  const a = param("a") || numbers[1] || numbers[0];
  const files = useResource(async signal => {
    const [one, other] = await Promise.all([a, b].map(number => get(api("collections", ns, project, collection, "versions", `v${number}`, "files") + query({ limit: 1000 }), { signal })));
    return changes(one.items, other.items);
  }, [ns, project, collection, a, b]);
  const [one, other] = [a, b].map(number => versions.find(version => String(version.number) === number));
  if (!one || !other) return html`<${Blank} title="No such version" />`;
  const rows = differing([one, other].map(version => flatten({ metadata: version.metadata ?? {}, description: version.description || undefined, tags: version.tags, files: version.files, size: version.size })));
  /** @param {string} name @param {string} value */
  const select = (name, value) => html`<select class="input" style=${{ width: "auto" }} aria-label=${name === "a" ? "First version" : "Second version"} value=${value} onChange=${(/** @type {any} */ event) => setParams({ [name]: event.target.value })}>${numbers.map(number => html`<option value=${number}>v${number}</option>`)}</select>`;
  return html`<div class="stack"><div class="row">${select("a", a)}<span class="muted">with</span>${select("b", b)}</div>
    <section class="card" aria-label="What differs"><header><h2>What differs</h2></header>${rows.length === 0 ? html`<${Blank} title="Nothing"><p>Metadata, description and tags are the same.</p></${Blank}>` : html`<div class="scroll-x"><table class="table diff"><thead><tr><th>Field</th><th>v${a}</th><th>v${b}</th></tr></thead>
      <tbody>${rows.map(row => html`<tr key=${row.name}><td class="mono small">${row.name}</td><td class="was break">${inline(row.values[0], 1000)}</td><td class="is break">${inline(row.values[1], 1000)}</td></tr>`)}</tbody></table></div>`}</section>
    <section class="card" aria-label="Files"><header><h2>Files</h2></header><${Loaded} of=${files}>${(/** @type {Change[]} */ found) => found.length === 0 ? html`<${Blank} title="Nothing"><p>Every file is the same.</p></${Blank}>` : html`<div class="scroll-x"><table class="table"><thead><tr><th>File</th><th></th><th class="num">v${a}</th><th class="num">v${b}</th></tr></thead>
      <tbody>${found.slice(0, 2000).map(change => html`<tr key=${change.path}><td class="mono small break">${change.path}</td><td><span class="pill ${change.kind === "added" ? "good" : change.kind === "removed" ? "bad" : "warn"}">${change.kind}</span></td><td class="num">${change.was === undefined ? "" : bytes(change.was)}</td><td class="num">${change.is === undefined ? "" : bytes(change.is)}</td></tr>`)}</tbody></table></div>`}</${Loaded}></section></div>`;
}

/** @typedef {{ path: string, kind: "added" | "removed" | "changed", was?: number, is?: number }} Change @typedef {{ path: string, size: number, sha256: string, url: string, etag: string }} File */

/** @param {File[]} one @param {File[]} other @returns {Change[]} */
function changes(one, other) {
  const [before, after] = [one, other].map(files => new Map(files.map(file => [file.path, file])));
  /** @type {Change[]} */
  const found = [];
  for (const path of new Set([...before.keys(), ...after.keys()])) {
    const [was, is] = [before.get(path), after.get(path)];
    if (!was || !is) found.push({ path, kind: was ? "removed" : "added", was: was?.size, is: is?.size });
    else if (!equal([was.sha256, was.url, was.etag], [is.sha256, is.url, is.etag])) found.push({ path, kind: "changed", was: was.size, is: is.size });
  }
  return found.sort((x, y) => (x.path < y.path ? -1 : 1));
}

/** @param {{ ns: string, project: string, collection: string, info: any, reload: () => void }} props */
function Card({ ns, project, collection, info, reload }) {
  const [text, setText] = useState(/** @type {string | null} */ (null));
  async function save() {
    if (await attempt(() => patch(api("collections", ns, project, collection), { description: text }), "Saved")) {
      setText(null);
      reload();
    }
  }
  return html`<section class="card" aria-label="Card"><header><h2 class="grow">Card</h2>${text === null
      ? html`<button class="btn tiny" onClick=${() => setText(info.description)}>Edit</button>`
      : html`<button class="btn tiny" onClick=${() => setText(null)}>Cancel</button><button class="btn tiny primary" onClick=${save}>Save</button>`}</header>
    <div class="body">${text !== null ? html`<textarea class="input mono" rows="18" aria-label="Markdown" value=${text} onInput=${(/** @type {any} */ event) => setText(event.target.value)} />`
      : info.description ? html`<${Markdown} text=${info.description} />` : html`<p class="muted">What is this for, what was it made from, and what is it not good at? Markdown; changed ${date(info.updated)}.</p>`}</div></section>`;
}
