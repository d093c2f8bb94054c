/** What the charts of many runs are made of: the names of fields, and a table of some of them. */

import { html } from "../../lib/html.js";
import { api, get, query } from "../../lib/api.js";
import { telling } from "../../lib/fieldnames.js";
import { useResource } from "../../lib/resource.js";
import { askRows } from "../workspace/runs.js";

/** @typedef {{ config: string[], summary: string[] }} Names most runs have the first ones */
/** @typedef {{ run: string, name: string, of: Record<string, any> }} Row */
/** @typedef {{ ns: string, project: string, names: Names, filter: string }} ChartProps */

/** Fields that are offered: those that most runs have. */
const MOST_NAMES = 500;
export const MOST_ROWS = 1000;
/** What is known of every run, and may be an axis as well. */
export const ATTRIBUTES = ["created", "duration", "steps"];

/** @param {string} ns @param {string} project */
export function useFieldNames(ns, project) {
  return useResource(async signal => {
    const [config, summary] = await Promise.all([["config.", "plain"], ["summary.", "numbers"]].map(async ([prefix, kind]) => {
      const found = await get(api("run-queries", ns, project, "fields") + query({ prefix, kind, order: "runs", limit: MOST_NAMES }), { signal });
      return telling(found.items);
    }));
    return { config, summary };
  }, [ns, project]);
}

/**
 * The latest runs that fit a filter, with some of their fields.
 * @param {string} ns @param {string} project @param {string} filter @param {string[]} fields
 */
export function useTable(ns, project, filter, fields) {
  // In whatever order they are asked for, it is the same table.
  const wanted = [...new Set(fields.filter(Boolean))].sort();
  return useResource(async signal => {
    const found = await askRows(ns, project, { filter, order: "created desc", fields: wanted, limit: MOST_ROWS, total: true }, signal);
    const rows = found.items.map((/** @type {any} */ row) => ({ run: row.run, name: row.name, of: Object.fromEntries(wanted.map((field, at) => [field, row.values[at]])) }));
    return { rows: /** @type {Row[]} */ (rows), total: /** @type {number} */ (found.total) };
  }, [ns, project, filter, wanted]);
}

/** @param {{ label: string, value: string, names: Names, set: (field: string) => void, none?: string }} props */
export function FieldSelect({ label, value, names, set, none }) {
  const all = [...names.config, ...names.summary, ...ATTRIBUTES];
  const option = (/** @type {string} */ name) => html`<option value=${name} key=${name} selected=${name === value}>${name}</option>`;
  return html`<label class="field"><span>${label}</span><select class="input" onChange=${(/** @type {any} */ event) => set(event.target.value)}>
    ${none !== undefined && html`<option value="" selected=${!value}>${none}</option>`}
    ${value && !all.includes(value) && option(value)}
    <optgroup label="Summary">${names.summary.map(option)}</optgroup>
    <optgroup label="Config">${names.config.map(option)}</optgroup>
    <optgroup label="Run">${ATTRIBUTES.map(option)}</optgroup>
  </select></label>`;
}

/** Says when there are more runs than are drawn. @param {{ data: { rows: Row[], total: number }, drawn: number }} props */
export function Told({ data, drawn }) {
  const parts = [`${drawn.toLocaleString("en-US")} of ${data.total.toLocaleString("en-US")} runs`];
  if (data.total > data.rows.length) parts.push(`the latest ${data.rows.length.toLocaleString("en-US")} were asked for`);
  if (drawn < data.rows.length) parts.push("the others lack a value");
  return html`<p class="hint" aria-live="polite">${parts.join("; ")}</p>`;
}
