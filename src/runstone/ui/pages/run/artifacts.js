/** The versions that a run used and made. */

import { html } from "../../lib/html.js";
import { get, query } from "../../lib/api.js";
import { ago } from "../../lib/format.js";
import { useResource } from "../../lib/resource.js";
import { to } from "../../lib/router.js";
import { Blank, Loaded } from "../../components/states.js";

/** @param {{ info: any }} props */
export function Artifacts({ info }) {
  const found = useResource(signal => get("/api/v1/lineage" + query({ name: `run:${info.namespace}/${info.project}/${info.name}`, depth: 1 }), { signal }), [info.id, info.updated]);
  return html`<div class="page wide"><${Loaded} of=${found}>${(/** @type {any} */ graph) => {
    const names = new Map(graph.nodes.map((/** @type {any} */ node) => [node.id, node]));
    const used = graph.edges.filter((/** @type {any} */ edge) => edge.target === graph.root).map((/** @type {any} */ edge) => ({ ...edge, other: names.get(edge.source) }));
    const made = graph.edges.filter((/** @type {any} */ edge) => edge.source === graph.root).map((/** @type {any} */ edge) => ({ ...edge, other: names.get(edge.target) }));
    if (!used.length && !made.length) return html`<${Blank} title="No artifacts"><p>Versions that the run uses or makes are here: <code>run.use_artifact</code> and <code>run.log_artifact</code>, or their kin of other clients.</p></${Blank}>`;
    return html`<div class="split even"><${Side} title="Used" edges=${used} nothing="It used nothing." /><${Side} title="Made" edges=${made} nothing="It made nothing." /></div>`;
  }}</${Loaded}></div>`;
}

/** @param {{ title: string, edges: any[], nothing: string }} props */
function Side({ title, edges, nothing }) {
  return html`<section class="card" aria-label=${title}><header><h2>${title}</h2></header>${edges.length ? html`<table class="table"><tbody>${edges.map(edge => html`<tr key=${edge.other?.id}>
    <td><${Version} name=${edge.other?.name || ""} /></td><td class="muted">${edge.relation.replace("_", " ")}</td><td class="muted num">${ago(edge.time)}</td></tr>`)}</tbody></table>` : html`<div class="body muted">${nothing}</div>`}</section>`;
}

/** @param {{ name: string }} props */
function Version({ name }) {
  const parts = /^([^/]+)\/([^/]+)\/([^:@]+)[:@](.+)$/.exec(name);
  return parts ? html`<a class="break" href=${to(parts[1], parts[2], "artifacts", parts[3], parts[4])}>${name}</a>` : html`<span class="break">${name}</span>`;
}
