/** Choosing the columns of the runs table among all fields of the project. */

import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { askFields } from "../../lib/fieldnames.js";
import { Dialog } from "../../components/dialog.js";
import { Icon } from "../../components/icons.js";

/** @typedef {import("../../lib/fieldnames.js").Field} Field */

const MOST = 100;
const OFFERED = ["state", "created", "started", "updated", "ended", "duration", "user", "group", "job_type", "sweep", "host", "commit", "command", "steps", "points", "tags", "notes"];

/**
 * Chooses columns among all fields of the project, which the server looks through.
 * @param {{ ns: string, project: string, chosen: string[], set: (columns: string[] | null) => void, pinned: string[], pin: (field: string) => void, close: () => void }} props
 */
export function ColumnsDialog({ ns, project, chosen, set, pinned, pin, close }) {
  const [typed, setTyped] = useState("");
  const [found, setFound] = useState({ fields: /** @type {string[]} */ ([]), next: "", asked: true });
  const mine = useRef(0);
  async function ask(/** @type {string} */ after) {
    const ticket = ++mine.current;
    const kind = typed.includes(":") ? "all" : "plain";
    const words = /^(config|summary|tags)\./.test(typed) ? { prefix: typed } : { contains: typed };
    const page = await askFields(ns, project, { ...words, kind, after, limit: MOST }, () => ticket === mine.current);
    if (ticket !== mine.current) return;
    const offered = after ? [] : OFFERED.filter(each => each.includes(typed));
    // What every run has is offered by name already.
    const fields = [...offered, ...page.items.map(each => each.field).filter(field => field.includes("."))];
    setFound(now => ({ fields: after ? [...now.fields, ...fields] : fields, next: page.next, asked: false }));
  }
  useEffect(() => {
    setFound(now => ({ ...now, asked: true }));
    const timer = setTimeout(() => ask(""), 150);
    return () => {
      clearTimeout(timer);
      mine.current++;
    };
  }, [typed]);
  const rest = found.fields.filter(field => !chosen.includes(field));
  const box = (/** @type {string} */ field, /** @type {boolean} */ on) => html`<label class="row item" key=${field}><input type="checkbox" class="check" checked=${on}
    onChange=${() => set(on ? chosen.filter(each => each !== field) : [...chosen, field])} /><span class="cut grow">${field}</span>${on && html`<button class="btn tiny icon ${pinned.includes(field) ? "on" : "quiet"}" aria-pressed=${pinned.includes(field)} aria-label=${`Keep ${field} at the left`} title="Keep at the left"
    onClick=${(/** @type {Event} */ event) => { event.preventDefault(); pin(field); }}><${Icon} name="pin" /></button>`}</label>`;
  return html`<${Dialog} title="Columns" close=${close} footer=${html`<button class="btn" onClick=${() => set(null)}>As usual</button><button class="btn primary" onClick=${close}>Done</button>`}>
    <input class="input" aria-label="Find a field" placeholder="Find a field: lr, val loss, summary.loss:min" value=${typed} onInput=${(/** @type {any} */ event) => setTyped(event.target.value)} />
    <div class="label">Shown, in this order (drag the heads of the table to change it)</div>
    <div class="picks">${chosen.map(field => box(field, true))}</div>
    <div class="label">Others</div>
    <div class="picks">${rest.map(field => box(field, false))}${!rest.length && html`<p class="hint">${found.asked ? "Looking…" : "No field is called that."}</p>`}
      ${found.next && !found.asked && html`<button class="btn tiny more" onClick=${() => ask(found.next)}>More</button>`}</div>
  </${Dialog}>`;
}
