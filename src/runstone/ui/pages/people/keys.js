/** The API keys of a user: made, shown once, and ended. */

import { html, useState } from "../../lib/html.js";
import { api, del, get, post } from "../../lib/api.js";
import { ago, date } from "../../lib/format.js";
import { useResource } from "../../lib/resource.js";
import { param, setParams } from "../../lib/router.js";
import { session } from "../../lib/session.js";
import { attempt, tell } from "../../lib/toasts.js";
import { Dialog } from "../../components/dialog.js";
import { Snippet } from "../../components/copy.js";
import { Blank, Loaded } from "../../components/states.js";
import { People } from "./frame.js";

const DAY = 86_400_000_000;

/** @typedef {{ id: number, name: string, hint: string, role: string, created: number, expires: number, revoked: number }} Key */

export default function Keys() {
  const user = param("user") || session.value?.name || "";
  const found = useResource(signal => get(api("users", user, "keys"), { signal }), [user]);
  const [making, setMaking] = useState(false);
  const [ending, setEnding] = useState(/** @type {Key | null} */ (null));
  async function end() {
    if (ending && await attempt(() => del(api("keys", ending.id)), `${ending.name || "The key"} is ended`)) found.reload();
    setEnding(null);
  }
  return html`<${People} here="/-/keys" action=${html`<button class="btn primary" onClick=${() => setMaking(true)}>New key</button>`}>
    ${user !== session.value?.name && html`<p>Keys of <b>${user}</b>. <button class="btn tiny" onClick=${() => setParams({ user: null })}>See mine</button></p>`}
    ${session.value?.local && html`<p class="hint">This server is in local mode: on this machine any key, or none, is its owner's. The keys here count as soon as it asks for them (<code>runstone up --auth on</code>, or any other address).</p>`}
    <${Loaded} of=${found}>${(/** @type {{ items: Key[] }} */ page) => page.items.length === 0 ? html`<${Blank} title="No key yet"><p>A key is what clients of any kind sign in with. It is shown once, when it is made.</p></${Blank}>`
      : html`<section class="card scroll-x"><table class="table"><thead><tr><th>Name</th><th>Ends in</th><th>May</th><th>Made</th><th>Expires</th><th></th></tr></thead>
        <tbody>${[...page.items].reverse().map(key => html`<tr key=${key.id}><td><b>${key.name || "unnamed"}</b></td><td class="mono">…${key.hint}</td><td>${key.role ? `act as a ${key.role}` : "all that its user may"}</td><td class="muted">${ago(key.created)}</td>
          <td class="muted">${key.revoked ? html`<span class="pill bad">ended ${ago(key.revoked)}</span>` : key.expires ? (key.expires < Date.now() * 1000 ? html`<span class="pill warn">expired</span>` : date(key.expires)) : "never"}</td>
          <td class="num">${!key.revoked && html`<button class="btn tiny danger" aria-label=${`End ${key.name || "the key"}`} onClick=${() => setEnding(key)}>End</button>`}</td></tr>`)}</tbody></table></section>`}</${Loaded}>
    ${making && html`<${Make} user=${user} close=${() => { setMaking(false); found.reload(); }} />`}
    ${ending && html`<${Dialog} title="End the key?" close=${() => setEnding(null)} footer=${html`<button class="btn" onClick=${() => setEnding(null)}>Keep it</button><button class="btn primary" onClick=${end}>End it</button>`}>
      <p>Whoever uses <b>${ending.name || "this key"}</b> (…${ending.hint}) is shut out at once, and so are the browsers that signed in with it. This cannot be taken back.</p></${Dialog}>`}
  </${People}>`;
}

/** @param {{ user: string, close: () => void }} props */
function Make({ user, close }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState("");
  const [days, setDays] = useState("0");
  const [made, setMade] = useState("");
  async function make(/** @type {Event} */ event) {
    event.preventDefault();
    await attempt(async () => {
      const expires = Number(days) ? Date.now() * 1000 + Number(days) * DAY : 0;
      setMade((await post(api("users", user, "keys"), { name, role, expires })).key);
      tell("The key is made");
    });
  }
  if (made) {
    return html`<${Dialog} title="Your new key" close=${close} footer=${html`<button class="btn primary" onClick=${close}>I have copied it</button>`}>
      <p>It is shown this once. Nobody can show it again: the server keeps only a digest of it.</p><${Snippet} text=${made} label="The key" /></${Dialog}>`;
  }
  return html`<${Dialog} title=${`A new key for ${user}`} close=${close}><form class="stack" onSubmit=${make}>
    <label class="field"><span>What it is for</span><input class="input" value=${name} placeholder="laptop" required onInput=${(/** @type {any} */ event) => setName(event.target.value)} /></label>
    <label class="field"><span>What it may do</span><select class="input" onChange=${(/** @type {any} */ event) => setRole(event.target.value)}><option value="">All that its user may</option>${["reader", "member", "owner"].map(each => html`<option value=${each}>At most what a ${each} may</option>`)}</select></label>
    <label class="field"><span>How long it holds</span><select class="input" onChange=${(/** @type {any} */ event) => setDays(event.target.value)}>${[["0", "Until it is ended"], ["7", "7 days"], ["30", "30 days"], ["90", "90 days"], ["365", "A year"]].map(([value, text]) => html`<option value=${value}>${text}</option>`)}</select></label>
    <button class="btn primary" disabled=${!name.trim()}>Make the key</button></form></${Dialog}>`;
}
