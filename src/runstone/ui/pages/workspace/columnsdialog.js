/** Choosing the columns of the runs table among all fields of the project. */

import { html, useEffect, useState } from "../../lib/html.js";
import { api, get, query } from "../../lib/api.js";
import { Dialog } from "../../components/dialog.js";
import { Icon } from "../../components/icons.js";

/** @typedef {import("../../lib/fieldnames.js").Field} Field */

const OFFERED = ["state", "created", "started", "updated", "ended", "duration", "user", "group", "job_type", "sweep", "host", "commit", "command", "steps", "points", "tags", "notes"];

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
