/** The columns of the runs table: which there are, and how their values are shown. */

import { html, useEffect, useMemo, useState } from "../../lib/html.js";
import { api, get, query } from "../../lib/api.js";
import { ago, duration, inline, moment, number } from "../../lib/format.js";
import { useResource } from "../../lib/resource.js";
import { Icon } from "../../components/icons.js";
import { Dialog } from "../../components/dialog.js";
import { State } from "../../components/states.js";

/** @typedef {{ field: string, runs: number }} Field */

const TIMES = new Set(["created", "started", "updated", "heartbeat", "ended"]);
const USUAL = ["state", "created", "duration", "tags", "notes"];
const OFFERED = ["state", "created", "started", "updated", "ended", "duration", "user", "group", "job_type", "sweep", "host", "commit", "command", "steps", "points", "tags", "notes"];
const MOST_USUAL = 12;

/** The columns of a view: those that were chosen, or else what most runs have; and whether that is known already. @param {string} ns @param {string} project @param {string[] | null} chosen */
export function useColumns(ns, project, chosen) {
  const found = useResource(async signal => {
    const lists = await Promise.all(["summary.", "config."].map(prefix => get(api("run-queries", ns, project, "fields") + query({ prefix, limit: 300 }), { signal })));
    return lists.map(list => /** @type {Field[]} */ (list.items).filter(each => !each.field.includes(":")).sort((one, other) => other.runs - one.runs).slice(0, MOST_USUAL).map(each => each.field));
  }, [ns, project]);
  const columns = useMemo(() => chosen || [...USUAL, ...(found.data || []).flat()], [chosen, found.data]);
  return { columns, known: Boolean(chosen || found.data || found.error) };
}

/** A field without what all of its kind have in common. @param {string} field */
export function title(field) {
  return field.replace(/^(config|summary)\./, "");
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

/**
 * Chooses columns among all fields of the project, which the server looks through.
 * @param {{ ns: string, project: string, chosen: string[], set: (columns: string[] | null) => void, pinned: string[], pin: (field: string) => void, close: () => void }} props
 */
export function ColumnsDialog({ ns, project, chosen, set, pinned, pin, close }) {
  const [typed, setTyped] = useState("");
  const [found, setFound] = useState(/** @type {string[]} */ ([]));
  useEffect(() => {
    const ending = new AbortController();
    const timer = setTimeout(async () => {
      const prefixes = /^(config|summary|tags)\./.test(typed) ? [typed] : [`config.${typed}`, `summary.${typed}`];
      const lists = await Promise.all(prefixes.map(prefix => get(api("run-queries", ns, project, "fields") + query({ prefix, limit: 100 }), { signal: ending.signal }).catch(() => ({ items: [] }))));
      if (!ending.signal.aborted) setFound([...OFFERED.filter(each => each.includes(typed)), ...lists.flatMap(list => list.items.map((/** @type {Field} */ each) => each.field))]);
    }, 150);
    return () => {
      clearTimeout(timer);
      ending.abort();
    };
  }, [typed]);
  const rest = found.filter(field => !chosen.includes(field));
  const box = (/** @type {string} */ field, /** @type {boolean} */ on) => html`<label class="row item" key=${field}><input type="checkbox" class="check" checked=${on}
    onChange=${() => set(on ? chosen.filter(each => each !== field) : [...chosen, field])} /><span class="cut grow">${field}</span>${on && html`<button class="btn tiny icon ${pinned.includes(field) ? "on" : "quiet"}" aria-pressed=${pinned.includes(field)} aria-label=${`Keep ${field} at the left`} title="Keep at the left"
    onClick=${(/** @type {Event} */ event) => { event.preventDefault(); pin(field); }}><${Icon} name="pin" /></button>`}</label>`;
  return html`<${Dialog} title="Columns" close=${close} footer=${html`<button class="btn" onClick=${() => set(null)}>As usual</button><button class="btn primary" onClick=${close}>Done</button>`}>
    <input class="input" aria-label="Find a field" placeholder="Find a field: lr, summary.loss:min" value=${typed} onInput=${(/** @type {any} */ event) => setTyped(event.target.value)} />
    <div class="label">Shown, in this order (drag the heads of the table to change it)</div>
    <div class="picks">${chosen.map(field => box(field, true))}</div>
    <div class="label">Others</div>
    <div class="picks">${rest.slice(0, 200).map(field => box(field, false))}${!rest.length && html`<p class="hint">No field begins so.</p>`}</div>
  </${Dialog}>`;
}
