/** The collections of a project or registry, by type. */

import { html, useState } from "../lib/html.js";
import { api, get, post, query } from "../lib/api.js";
import { ago, count } from "../lib/format.js";
import { useResource } from "../lib/resource.js";
import { navigate, param, setParams, to } from "../lib/router.js";
import { attempt } from "../lib/toasts.js";
import { Dialog } from "../components/dialog.js";
import { Icon } from "../components/icons.js";
import { Blank, Loaded } from "../components/states.js";

/** Collections of which aliases are asked after. */
const ASKED = 60;

/** @typedef {{ name: string, type: string, description: string, tags: string[], versions: number, latest: number, updated: number, by: string, aliases?: any[] }} Collection */

/** @param {{ ns: string, project: string }} props */
export default function Artifacts({ ns, project }) {
  const about = useResource(signal => get(api("projects", ns, project), { signal }), [ns, project]);
  const found = useResource(signal => load(ns, project, signal), [ns, project]);
  const [making, setMaking] = useState(false);
  const registry = about.data?.kind === "registry";
  const wanted = param("q").toLowerCase();
  const type = param("type");
  return html`<div class="page">
    <div class="page-head"><div class="grow"><h1>${registry ? `Registry ${project}` : "Artifacts"}</h1>
      ${about.data?.description && html`<p class="sub">${about.data.description}</p>`}</div>
      <button class="btn" onClick=${() => setMaking(true)}><${Icon} name="plus" />New collection</button></div>
    <${Loaded} of=${found}>${(/** @type {Collection[]} */ all) => {
      const types = [...new Set(all.map(each => each.type))].sort();
      const shown = all.filter(each => (!type || each.type === type) && (!wanted || `${each.name} ${each.description} ${each.tags.join(" ")}`.toLowerCase().includes(wanted)));
      return all.length === 0 ? html`<${Blank} title="No artifacts yet"><p>Models, datasets and whatever else runs log as artifacts appear here, and so does what <code>runstone put FOLDER ${ns}/${project}/NAME</code> stores.</p></${Blank}>`
        : html`<section class="card" aria-label="Collections">
          <header class="wrap"><input class="input" style=${{ width: "260px" }} type="search" placeholder="Name, tag or description" aria-label="Filter collections" value=${param("q")} onInput=${(/** @type {any} */ event) => setParams({ q: event.target.value })} />
            <div class="row" role="group" aria-label="Type">${["", ...types].map(each => html`<button class="btn tiny ${type === each ? "on" : ""}" aria-pressed=${type === each} onClick=${() => setParams({ type: each })}>${each || "all types"}</button>`)}</div>
            <span class="muted end small">${count(shown.length, "collection")}</span></header>
          <div class="scroll-x"><table class="table">
            <thead><tr><th>Name</th><th>Type</th><th class="num">Versions</th><th>Aliases</th><th>Tags</th><th>Changed</th><th>By</th></tr></thead>
            <tbody>${shown.map(each => html`<tr key=${each.name}>
              <td><a href=${to(ns, project, "artifacts", each.name)}><b>${each.name}</b></a>${each.description && html`<div class="muted small cut" style=${{ maxWidth: "48ch" }}>${firstLine(each.description)}</div>`}</td>
              <td>${each.type}</td><td class="num">${each.versions}</td>
              <td><div class="row wrap">${each.aliases?.slice(0, 5).map(alias => html`<a class="tag" href=${to(ns, project, "artifacts", each.name, alias.alias)}>${alias.alias} → v${alias.version}</a>`)}</div></td>
              <td><div class="row wrap">${each.tags.slice(0, 4).map(tag => html`<span class="tag">${tag}</span>`)}</div></td>
              <td class="muted">${ago(each.updated)}</td><td class="muted">${each.by}</td>
            </tr>`)}</tbody></table></div>
          ${shown.length === 0 && html`<${Blank} title="Nothing fits"><p>No collection has this in its name, tags or description.</p></${Blank}>`}
        </section>`;
    }}</${Loaded}>
    ${making && html`<${NewCollection} ns=${ns} project=${project} close=${() => setMaking(false)} />`}
  </div>`;
}

/** @param {string} text */
const firstLine = text => text.replace(/^---[\s\S]*?---\n/, "").split("\n").map(line => line.replace(/^#+\s*/, "").trim()).find(Boolean) || "";

/** @param {string} ns @param {string} project @param {AbortSignal} signal @returns {Promise<Collection[]>} */
async function load(ns, project, signal) {
  /** @type {Collection[]} */
  const all = [];
  let after = "";
  do {
    const page = await get(api("projects", ns, project, "collections") + query({ limit: 1000, after }), { signal });
    all.push(...page.items);
    after = page.next;
  } while (after && all.length < 10_000);
  await Promise.all(all.slice(0, ASKED).map(async each => {
    each.aliases = (await get(api("collections", ns, project, each.name, "aliases"), { signal })).items;
  }));
  return all;
}

/** @param {{ ns: string, project: string, close: () => void }} props */
function NewCollection({ ns, project, close }) {
  const [name, setName] = useState("");
  const [type, setType] = useState("model");
  const [description, setDescription] = useState("");
  /** @param {Event} [event] */
  async function make(event) {
    event?.preventDefault();
    if (await attempt(() => post(api("projects", ns, project, "collections"), { name, type, description }), `Made ${name}`)) navigate(to(ns, project, "artifacts", name));
  }
  return html`<${Dialog} title="New collection" close=${close} footer=${html`<button class="btn" onClick=${close}>Cancel</button><button class="btn primary" disabled=${!name || !type} onClick=${make}>Make it</button>`}>
    <form class="stack" onSubmit=${make}>
      <label class="field"><span>Name</span><input class="input" value=${name} onInput=${(/** @type {any} */ event) => setName(event.target.value)} /></label>
      <label class="field"><span>Type</span><input class="input" list="types" value=${type} onInput=${(/** @type {any} */ event) => setType(event.target.value)} /><datalist id="types"><option value="model" /><option value="dataset" /></datalist></label>
      <label class="field"><span>Description</span><textarea class="input" rows="3" value=${description} onInput=${(/** @type {any} */ event) => setDescription(event.target.value)} /></label>
    </form>
  </${Dialog}>`;
}
