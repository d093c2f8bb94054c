/** Moving an alias by compare-and-set: whoever moved it meanwhile is shown, and not overrun. */

import { html, useEffect, useRef, useState } from "../lib/html.js";
import { api, ApiError, get, put } from "../lib/api.js";
import { ago } from "../lib/format.js";
import { useResource } from "../lib/resource.js";
import { tell } from "../lib/toasts.js";
import { Dialog } from "./dialog.js";
import { Loaded } from "./states.js";

/** @param {{ ns: string, project: string, collection: string, number: number, alias?: string, close: () => void, done: () => void }} props */
export function Promote({ ns, project, collection, number, alias = "", close, done }) {
  const held = useResource(signal => get(api("collections", ns, project, collection, "aliases"), { signal }), []);
  return html`<${Dialog} title=${`Point an alias at v${number}`} close=${close}>
    <${Loaded} of=${held}>${(/** @type {{ items: any[] }} */ page) => html`<${Form} ...${{ ns, project, collection, number, alias, close, done }} aliases=${page.items} />`}</${Loaded}>
  </${Dialog}>`;
}

/** @param {any} props */
function Form({ ns, project, collection, number, alias, aliases, close, done }) {
  const [name, setName] = useState(alias || aliases.find((/** @type {any} */ each) => each.version !== number)?.alias || "prod");
  const [reason, setReason] = useState("");
  const [error, setError] = useState("");
  const [known, setKnown] = useState(/** @type {Record<string, any>} */ (Object.fromEntries(aliases.map((/** @type {any} */ each) => [each.alias, each]))));
  const now = known[name];
  const first = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => first.current?.focus(), []);
  /** @param {Event} [event] */
  async function move(event) {
    event?.preventDefault();
    try {
      await put(api("collections", ns, project, collection, "aliases", name), { version: `v${number}`, expected: now?.version || 0 }, { reason });
      tell(`${name} points at v${number}`);
      done();
      close();
    } catch (problem) {
      if (!(problem instanceof ApiError)) throw problem;
      setError(problem.message);
      if (problem.status === 412) {
        const page = await get(api("collections", ns, project, collection, "aliases"));
        setKnown(Object.fromEntries(page.items.map((/** @type {any} */ each) => [each.alias, each])));
      }
    }
  }
  return html`<form class="stack" onSubmit=${move}>
    <label class="field"><span>Alias</span><input class="input" ref=${first} list="aliases" value=${name} onInput=${(/** @type {any} */ event) => { setName(event.target.value); setError(""); }} />
      <datalist id="aliases">${aliases.map((/** @type {any} */ each) => html`<option value=${each.alias} />`)}</datalist></label>
    <p class="hint">${now ? now.version === number ? `${name} points here already.` : html`${name} points at <b>v${now.version}</b>, moved by ${now.by} ${ago(now.time)}. It is moved only if it still does.` : "A new alias is made."}</p>
    <label class="field"><span>Reason</span><input class="input" placeholder="Why; kept in the history" value=${reason} onInput=${(/** @type {any} */ event) => setReason(event.target.value)} /></label>
    ${error && html`<p class="hint bad" role="alert">${error}</p>`}
    <div class="row"><button type="button" class="btn end" onClick=${close}>Cancel</button><button class="btn primary" disabled=${!name || now?.version === number}>${now ? `Move from v${now.version} to v${number}` : `Make ${name || "it"}`}</button></div>
  </form>`;
}
