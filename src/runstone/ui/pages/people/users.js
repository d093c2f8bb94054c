/** The users of the server. */

import { html, useState } from "../../lib/html.js";
import { api, get, patch, post } from "../../lib/api.js";
import { ago } from "../../lib/format.js";
import { useResource } from "../../lib/resource.js";
import { session } from "../../lib/session.js";
import { attempt } from "../../lib/toasts.js";
import { Icon } from "../../components/icons.js";
import { Item, Menu } from "../../components/menu.js";
import { Dialog } from "../../components/dialog.js";
import { Loaded } from "../../components/states.js";
import { People } from "./frame.js";

export default function Users() {
  const admin = Boolean(session.value?.admin);
  const found = useResource(signal => get("/api/v1/users?limit=1000", { signal }), []);
  const [making, setMaking] = useState(false);
  const change = async (/** @type {string} */ name, /** @type {any} */ given) => { if (await attempt(() => patch(api("users", name), given))) found.reload(); };
  return html`<${People} here="/-/users" action=${admin && html`<button class="btn primary" onClick=${() => setMaking(true)}>New user</button>`}>
    <${Loaded} of=${found}>${(/** @type {{ items: any[] }} */ page) => html`<section class="card"><table class="table"><thead><tr><th>User</th><th>Kind</th><th>Standing</th><th>Made</th><th></th></tr></thead>
      <tbody>${page.items.map(user => html`<tr key=${user.name}><td><b>${user.name}</b>${user.full_name && html` <span class="muted">${user.full_name}</span>`}${user.email && html`<div class="muted small">${user.email}</div>`}</td><td>${user.kind}</td>
        <td>${user.disabled ? html`<span class="pill bad">disabled</span>` : user.admin ? html`<span class="pill live">administrator</span>` : html`<span class="pill good">active</span>`}</td><td class="muted">${ago(user.created)}</td>
        <td class="num">${admin && html`<${Menu} kind="quiet tiny icon" title=${`What to do with ${user.name}`} label=${html`<${Icon} name="more" />`}>${(/** @type {() => void} */ close) => html`
          <a class="item" href=${`/-/keys?user=${encodeURIComponent(user.name)}`}>API keys</a>
          ${user.name !== session.value?.name && html`<${Item} onClick=${() => { close(); change(user.name, { admin: !user.admin }); }}>${user.admin ? "No longer an administrator" : "Make an administrator"}</${Item}>
          <${Item} danger=${!user.disabled} onClick=${() => { close(); change(user.name, { disabled: !user.disabled }); }}>${user.disabled ? "Let in again" : "Disable"}</${Item}>`}`}</${Menu}>`}</td></tr>`)}</tbody></table></section>`}</${Loaded}>
    ${making && html`<${Make} close=${(/** @type {boolean} */ made) => { setMaking(false); if (made) found.reload(); }} />`}
  </${People}>`;
}

/** @param {{ close: (made: boolean) => void }} props */
function Make({ close }) {
  const [user, setUser] = useState({ name: "", full_name: "", email: "", kind: "person", admin: false });
  async function make(/** @type {Event} */ event) {
    event.preventDefault();
    if (await attempt(() => post("/api/v1/users", user), `${user.name} is a user now`)) close(true);
  }
  const text = (/** @type {"name" | "full_name" | "email"} */ name, /** @type {string} */ label, /** @type {boolean} */ required) => html`<label class="field"><span>${label}</span><input class="input" required=${required} value=${user[name]} onInput=${(/** @type {any} */ event) => setUser({ ...user, [name]: event.target.value })} /></label>`;
  return html`<${Dialog} title="A new user" close=${() => close(false)}><form class="stack" onSubmit=${make}>
    ${text("name", "Name", true)}${text("full_name", "Full name", false)}${text("email", "E-mail", false)}
    <label class="field"><span>Kind</span><select class="input" onChange=${(/** @type {any} */ event) => setUser({ ...user, kind: event.target.value })}><option value="person">Person</option><option value="service">Service account</option></select></label>
    <label class="row"><input type="checkbox" class="check" checked=${user.admin} onChange=${() => setUser({ ...user, admin: !user.admin })} />Administrator: may do everything, everywhere</label>
    <p class="hint">The user gets a namespace of the same name. Make a key for them next: users sign in with keys alone.</p>
    <button class="btn primary" disabled=${!user.name.trim()}>Make the user</button></form></${Dialog}>`;
}
