/** The columns of the runs table: which there are, and how their values are shown. */

import { html, useMemo } from "../../lib/html.js";
import { api, get, query } from "../../lib/api.js";
import { telling, title } from "../../lib/fieldnames.js";
import { ago, duration, inline, moment, number } from "../../lib/format.js";
import { useResource } from "../../lib/resource.js";
import { State } from "../../components/states.js";

/** @typedef {import("../../lib/fieldnames.js").Field} Field */

const TIMES = new Set(["created", "started", "updated", "heartbeat", "ended"]);
const USUAL = ["state", "created", "duration", "tags", "notes"];
const MOST_USUAL = 12;

/** The columns of a view: those that were chosen, or else what most runs have; and whether that is known already. @param {string} ns @param {string} project @param {string[] | null} chosen */
export function useColumns(ns, project, chosen) {
  const found = useResource(async signal => {
    // Files and tables that were logged say nothing in a cell.
    const wanted = [["summary.", "numbers"], ["config.", "plain"]];
    const lists = await Promise.all(wanted.map(([prefix, kind]) => get(api("run-queries", ns, project, "fields") + query({ prefix, kind, order: "runs", limit: 4 * MOST_USUAL }), { signal })));
    return lists.map(list => telling(list.items).slice(0, MOST_USUAL));
  }, [ns, project]);
  const columns = useMemo(() => chosen || [...USUAL, ...(found.data || []).flat()], [chosen, found.data]);
  return { columns, known: Boolean(chosen || found.data || found.error) };
}

/** @param {string} field */
export function width(field) {
  return field === "notes" ? 220 : field === "tags" ? 170 : field === "state" ? 104 : TIMES.has(field) ? 110 : Math.max(84, Math.min(220, 34 + title(field).length * 7.5));
}

/** @param {string} field @param {any} value */
export function show(field, value) {
  if (value === null || value === undefined) return html`<span class="muted">–</span>`;
  if (field === "state") return html`<${State} state=${value} />`;
  if (TIMES.has(field)) return html`<span class="muted" title=${moment(value)}>${ago(value)}</span>`;
  if (field === "duration") return html`<span>${duration(value)}</span>`;
  if (typeof value === "number") return html`<span title=${String(value)}>${number(value)}</span>`;
  const text = inline(value);
  return html`<span title=${text}>${text}</span>`;
}

/** @param {string} field */
export function isNumeric(field) {
  return field.startsWith("summary.") || field === "duration" || field === "steps" || field === "points";
}
