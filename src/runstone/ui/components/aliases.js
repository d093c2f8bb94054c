/** Aliases through time: where each points, where it pointed, who moved it and why. */

import { html, useMemo, useState } from "../lib/html.js";
import { api, get, unlessMissing } from "../lib/api.js";
import { ago, moment } from "../lib/format.js";
import { useResource } from "../lib/resource.js";
import { to } from "../lib/router.js";
import { Promote } from "./promote.js";
import { Blank, Loaded } from "./states.js";

/** @typedef {{ seq: number, time: number, version: number, previous: number, by: string, reason: string, alias: string }} Step */

/** @param {{ ns: string, project: string, collection: string, versions: { number: number }[] }} props */
export function Aliases({ ns, project, collection, versions }) {
  const steps = useResource(signal => everything(ns, project, collection, signal), [ns, project, collection]);
  return html`<${Loaded} of=${steps}>${(/** @type {Step[]} */ found) => found.length === 0
    ? html`<${Blank} title="No alias yet"><p>An alias such as <code>prod</code> is what others ask for; it is moved from a version's page, and every step of it is kept.</p></${Blank}>`
    : html`<${Timeline} ...${{ ns, project, collection, versions }} steps=${found} reload=${steps.reload} />`}</${Loaded}>`;
}

/** Every step of every alias that a collection has or had, the newest first. @param {string} ns @param {string} project @param {string} collection @param {AbortSignal} signal @returns {Promise<Step[]>} */
async function everything(ns, project, collection, signal) {
  const changes = await get("/api/v1/history?limit=1000&name=" + encodeURIComponent(`${ns}/${project}/${collection}`), { signal });
  const names = new Set(changes.items.map((/** @type {any} */ record) => record.command?.alias).filter(Boolean));
  const held = await get(api("collections", ns, project, collection, "aliases"), { signal });
  for (const each of held.items) names.add(each.alias);
  const found = await Promise.all([...names].map(async alias => {
    const page = await unlessMissing(get(api("collections", ns, project, collection, "aliases", alias, "history") + "?limit=1000", { signal }), { items: [] });
    return page.items.map((/** @type {Step} */ step) => ({ ...step, alias }));
  }));
  return found.flat().sort((one, other) => other.seq - one.seq);
}

/** @param {{ ns: string, project: string, collection: string, versions: { number: number }[], steps: Step[], reload: () => void }} props */
function Timeline({ ns, project, collection, versions, steps, reload }) {
  const [place, setPlace] = useState(steps.length);
  const [moving, setMoving] = useState(/** @type {{ alias: string, number: number } | null} */ (null));
  const ordered = useMemo(() => [...steps].reverse(), [steps]);
  const at = Math.min(place, ordered.length);
  const then = ordered[at - 1];
  const pointed = new Map(ordered.slice(0, at).map(step => [step.alias, step]));
  const now = at === ordered.length;
  /** @param {number} number */
  const link = number => html`<a href=${to(ns, project, "artifacts", collection, `v${number}`)}>v${number}</a>`;
  return html`<div class="stack">
    <section class="card" aria-label="As of"><header><h2 class="grow">${now ? "Where aliases point" : `Where aliases pointed on ${moment(then?.time || 0)}`}</h2>${!now && html`<button class="btn tiny" onClick=${() => setPlace(steps.length)}>Now</button>`}</header>
      <div class="body stack">
        <label class="field"><span>As of ${now ? "now" : `entry ${then?.seq ?? 0} of the log`}</span><input type="range" min="0" max=${ordered.length} value=${at} aria-label="As of" aria-valuetext=${now ? "now" : moment(then?.time || 0) || "before the first"} onInput=${(/** @type {any} */ event) => setPlace(Number(event.target.value))} /></label>
        <div class="scroll-x"><table class="table"><thead><tr><th>Alias</th><th>Version</th><th>Since</th><th>By</th><th>Reason</th><th></th></tr></thead>
          <tbody>${[...pointed.values()].filter(step => step.version).sort((one, other) => one.alias.localeCompare(other.alias)).map(step => html`<tr key=${step.alias}><td><b>${step.alias}</b></td><td>${link(step.version)}</td><td class="muted" title=${moment(step.time)}>${now ? ago(step.time) : moment(step.time)}</td><td>${step.by}</td><td class="break">${step.reason}</td>
            <td class="num">${now && html`<button class="btn tiny" onClick=${() => setMoving({ alias: step.alias, number: step.previous || versions[0].number })}>${step.previous ? `Back to v${step.previous}` : "Move"}</button>`}</td></tr>`)}</tbody></table></div>
        ${pointed.size === 0 && html`<p class="muted">There was no alias yet.</p>`}
      </div></section>
    <section class="card" aria-label="Steps"><header><h2>Every step</h2></header><ol class="timeline">${steps.map(step => html`<li key=${`${step.alias} ${step.seq}`} class=${then && step.seq > then.seq ? "later" : ""}><div class="row wrap"><b>${step.by}</b><span>${step.version ? html`${step.previous ? "moved" : "made"} <b>${step.alias}</b>${step.previous ? html` from ${link(step.previous)}` : ""} to ${link(step.version)}` : html`took <b>${step.alias}</b> away from ${link(step.previous)}`}</span><span class="muted end small num" title=${moment(step.time)}>${ago(step.time)} · entry ${step.seq}</span></div>
      ${step.reason && html`<blockquote>${step.reason}</blockquote>`}</li>`)}</ol></section>
    ${moving && html`<${Promote} ...${{ ns, project, collection }} number=${moving.number} alias=${moving.alias} close=${() => setMoving(null)} done=${reload} />`}
  </div>`;
}
