/** Home: the projects and runs that changed last, how the system is, and how to begin. */

import { Fragment, html } from "../lib/html.js";
import { get } from "../lib/api.js";
import { colorOf } from "../lib/colors.js";
import { ago, bytes, count } from "../lib/format.js";
import { useResource } from "../lib/resource.js";
import { hash, to } from "../lib/router.js";
import { session } from "../lib/session.js";
import { Recipes } from "../components/recipes.js";
import { isPrinted, Printed } from "./links.js";
import { Blank, Bones, Failure, Loaded, State } from "../components/states.js";

export default function Home() {
  if (isPrinted(hash.value)) return html`<${Printed} key=${hash.value} hash=${hash.value} />`;
  return html`<${Latest} />`;
}

function Latest() {
  const overview = useResource(signal => get("/api/v1/overview", { signal }), []);
  return html`<div class="page">
    <div class="page-head"><div class="grow"><h1>${session.value?.local ? "Projects" : `Projects of ${session.value?.name}`}</h1></div></div>
    <${Loaded} of=${overview} lines=${6}>${(/** @type {Overview} */ found) => found.projects.length === 0 ? html`<${Begin} />` : html`<div class="split">
      <div class="stack"><${Projects} projects=${found.projects} /><${Recent} runs=${found.recent} /></div>
      <div class="stack"><${Health} /><h2>Connect a client</h2><${Recipes} /></div>
    </div>`}</${Loaded}>
  </div>`;
}

/**
 * @typedef {{ project: { namespace: string, name: string, kind: string, description: string }, changed: number, runs: number | null }} Project
 * @typedef {{ namespace: string, project: string, by: string, row: import("./workspace/runs.js").Row }} Recent
 * @typedef {{ projects: Project[], recent: Recent[] }} Overview
 */

function Begin() {
  return html`<${Fragment}>
    <${Blank} title="Nothing is logged here yet"><p>Point a client that you have at this server, and run what you always run. A project appears here with its first run; this page needs no set-up.</p></${Blank}>
    <${Recipes} />
    <${Health} />
  </${Fragment}>`;
}

/** @param {{ projects: Project[] }} props */
function Projects({ projects }) {
  return html`<section class="card" aria-label="Projects"><table class="table">
    <thead><tr><th>Project</th><th class="num">Runs</th><th>Changed</th></tr></thead>
    <tbody>${projects.slice(0, 40).map(({ project, changed, runs }) => html`<tr key=${project.namespace + "/" + project.name}>
      <td><a href=${to(project.namespace, project.name, ...(project.kind === "registry" ? ["artifacts"] : []))}><span class="muted">${project.namespace} / </span><b>${project.name}</b></a>
        ${project.kind === "registry" && html` <span class="tag">registry</span>`}
        ${project.description && html`<div class="muted small cut" style=${{ maxWidth: "52ch" }}>${project.description}</div>`}</td>
      <td class="num">${runs === null ? "" : runs.toLocaleString("en-US")}</td>
      <td class="muted">${ago(changed)}</td>
    </tr>`)}</tbody>
  </table></section>`;
}

/** @param {{ runs: Recent[] }} props */
function Recent({ runs }) {
  if (!runs.length) return null;
  return html`<section class="card" aria-label="Recent runs"><header><h2>Recent runs</h2></header><div class="scroll-x"><table class="table">
    <thead><tr><th>Run</th><th>Project</th><th>State</th><th>By</th><th>Changed</th></tr></thead>
    <tbody>${runs.map(({ namespace, project, by, row }) => html`<tr key=${`${namespace}/${project}/${row.run}`}>
      <td><a class="row" href=${to(namespace, project, "runs", row.run)}><span class="dot" style=${{ background: colorOf(row.run) }} /><span class="cut" style=${{ maxWidth: "30ch" }}>${row.name}</span></a></td>
      <td><a class="muted cut" href=${to(namespace, project)}>${project}</a></td>
      <td><${State} state=${row.state} /></td><td class="muted">${by}</td><td class="muted">${ago(row.updated)}</td>
    </tr>`)}</tbody>
  </table></div></section>`;
}

function Health() {
  const found = useResource(async signal => {
    const health = await get("/health", { signal });
    const text = await (await fetch("/metrics", { signal })).text();
    const value = (/** @type {string} */ name) => Number(new RegExp(`^\\S*${name}\\S* (\\S+)$`, "m").exec(text)?.[1] ?? NaN);
    return { ...health, size: value("index_bytes"), uptime: value("start_time") };
  }, []);
  return html`<section class="card" aria-label="System"><header><h2 class="grow">System</h2>${found.data && html`<span class="pill good">answers, and takes changes</span>`}</header>
    <div class="body">${found.error ? html`<${Failure} error=${found.error} retry=${found.reload} />` : !found.data ? html`<${Bones} />` : html`<dl class="props num">
      <dt>Version</dt><dd>${found.data.version}</dd>
      <dt>Change log</dt><dd>${count(found.data.log, "entry").replace("entrys", "entries")}</dd>
      ${Number.isFinite(found.data.size) && html`<dt>Index</dt><dd>${bytes(found.data.size)}</dd>`}
      <dt>Store</dt><dd class="mono cut" title=${found.data.store}>${found.data.store.slice(0, 12)}</dd>
    </dl>`}</div></section>`;
}
