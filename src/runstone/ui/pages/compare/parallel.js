/** Parallel coordinates of many runs, and how each parameter goes with the metric they are coloured by. */

import { html } from "../../lib/html.js";
import { api, post } from "../../lib/api.js";
import { measure } from "../../lib/fieldnames.js";
import { number } from "../../lib/format.js";
import { useResource } from "../../lib/resource.js";
import { param, setParams } from "../../lib/router.js";
import { Icon } from "../../components/icons.js";
import { Blank, Loaded } from "../../components/states.js";
import { FieldSelect, Told, useTable } from "./data.js";
import { Plot } from "./plot.js";
import { Key } from "./scatter.js";
import { scaleOf } from "../../lib/scales.js";

const USUAL = 6;
const MOST_SHOWN = 40;

/** @typedef {{ field: string, kind: string, runs: number, correlation: number | null, importance: number | null }} Importance */

/** @param {import("./data.js").ChartProps} props */
export function Parallel({ ns, project, names, filter }) {
  const target = param("target", measure(names.summary) || "duration");
  const found = useResource(signal => post(api("run-queries", ns, project, "importance"), { target, filter }, { signal }), [ns, project, target, filter]);
  const ranked = /** @type {Importance[]} */ (found.data?.items || []);
  const chosen = listed(param("axes"));
  const axes = chosen || (ranked.length ? ranked.map(each => each.field) : names.config).slice(0, USUAL);
  const setAxes = (/** @type {string[] | null} */ fields) => setParams({ axes: fields && JSON.stringify(fields) });
  const set = (/** @type {string} */ field) => setParams({ target: field, axes: null, brush: null });
  return html`<div class="parallel-page">
    <section class="card" aria-label="Parallel coordinates">
      <div class="row wrap controls body"><${FieldSelect} label="Metric" value=${target} names=${{ config: [], summary: names.summary }} set=${set} />
        <${FieldSelect} label="Add an axis" value="" none="Choose a field" names=${names} set=${(/** @type {string} */ field) => field && setAxes([...axes.filter(each => each !== field), field])} />
        ${chosen && html`<button class="btn quiet" onClick=${() => setAxes(null)}>Axes as usual</button>`}</div>
      <${Drawn} ...${{ ns, project, filter, target, axes: [...axes.filter(each => each !== target), target] }} remove=${(/** @type {string} */ field) => setAxes(axes.filter(each => each !== field))} />
    </section>
    <section class="card" aria-label="Importance of parameters"><header><h2 class="grow">Importance for ${target.replace("summary.", "")}</h2></header>
      <${Loaded} of=${found}>${(/** @type {any} */ data) => html`<${Ranking} data=${data} axes=${axes} toggle=${(/** @type {string} */ field) => setAxes(axes.includes(field) ? axes.filter(each => each !== field) : [...axes, field])} />`}</${Loaded}>
    </section>
  </div>`;
}

/** @param {{ ns: string, project: string, filter: string, target: string, axes: string[], remove: (field: string) => void }} props */
function Drawn({ ns, project, filter, target, axes, remove }) {
  const found = useTable(ns, project, filter, axes);
  return html`<${Loaded} of=${found}>${(/** @type {{ rows: import("./data.js").Row[], total: number }} */ data) => {
    const rows = data.rows.filter(row => row.of[target] !== null && row.of[target] !== undefined);
    if (!rows.length) return html`<${Blank} title="No run has logged that"><p>None of the runs has a value of <code>${target}</code>.</p></${Blank}>`;
    return html`<${Plot} ...${{ ns, project, filter, rows, axes, target, remove }} />
      <div class="row wrap body"><${Key} scale=${scaleOf(rows.map(row => row.of[target]))} name=${target} /><span class="grow" /><${Told} data=${data} drawn=${rows.length} /></div>`;
  }}</${Loaded}>`;
}

/** @param {{ data: any, axes: string[], toggle: (field: string) => void }} props */
function Ranking({ data, axes, toggle }) {
  const items = /** @type {Importance[]} */ (data.items);
  if (!items.length) return html`<${Blank} title="Nothing to rank"><p>${data.note || "No field of the config differs between these runs."}</p></${Blank}>`;
  const forest = data.method === "forest";
  return html`<p class="hint body">${forest ? "Importance: the share of a field in what a random forest can tell of the metric. " : `${data.note}. `}Correlation is of ranks; for categories it has no sign. ${data.runs.toLocaleString("en-US")} runs.</p>
    <div class="scroll-both ranking" tabindex="0" role="region" aria-label="Ranking"><table class="table"><thead><tr><th>Parameter</th>${forest && html`<th>Importance</th>`}<th>Correlation</th></tr></thead><tbody>
      ${items.slice(0, MOST_SHOWN).map(item => html`<tr key=${item.field}><td><button class="inplace row" aria-pressed=${axes.includes(item.field)} title=${`${item.field}: ${axes.includes(item.field) ? "take its axis away" : "give it an axis"}`} onClick=${() => toggle(item.field)}><${Icon} name=${axes.includes(item.field) ? "check" : "plus"} /><span class="cut">${item.field.replace("config.", "")}</span></button></td>
        ${forest && html`<td><${Measure} value=${item.importance} /></td>`}<td><${Measure} value=${item.correlation} signed=${item.kind === "number"} /></td></tr>`)}
    </tbody></table></div>`;
}

/** @param {{ value: number | null, signed?: boolean }} props */
function Measure({ value, signed = false }) {
  if (value === null) return html`<span class="muted">–</span>`;
  return html`<span class="row measure"><span class="gauge"><span class=${value < 0 ? "less" : ""} style=${{ width: `${Math.min(100, Math.abs(value) * 100)}%` }} /></span><span class="num">${signed && value > 0 ? "+" : ""}${number(Number(value.toFixed(2)))}</span></span>`;
}

/** Names of fields in the address. @param {string} text @returns {string[] | null} */
function listed(text) {
  try {
    const found = JSON.parse(text || "null");
    return Array.isArray(found) ? found.filter(each => typeof each === "string").slice(0, 20) : null;
  } catch {
    return null;
  }
}
