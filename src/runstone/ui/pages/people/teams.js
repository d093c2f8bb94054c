/** Teams and organisations, and who belongs to them. */

import { html, useState } from "../../lib/html.js";
import { api, del, get, post, put } from "../../lib/api.js";
import { ago } from "../../lib/format.js";
import { useResource } from "../../lib/resource.js";
import { param, setParams, to } from "../../lib/router.js";
import { attempt } from "../../lib/toasts.js";
import { Dialog } from "../../components/dialog.js";
import { Blank, Loaded } from "../../components/states.js";
import { People } from "./frame.js";

const ROLES = ["reader", "member", "owner"];

export default function Teams() {
  const chosen = param("team");
  const found = useResource(signal => get("/api/v1/namespaces?limit=1000", { signal }), []);
  const [making, setMaking] = useState(false);
  return html`<${People} here="/-/teams" action=${html`<button class="btn primary" onClick=${() => setMaking(true)}>New team</button>`}>
    <${Loaded} of=${found}>${(/** @type {{ items: any[] }} */ page) => html`<div class="split even"><section class="card"><table class="table"><thead><tr><th>Namespace</th><th>Kind</th><th>Region</th></tr></thead>
      <tbody>${page.items.map(each => html`<tr key=${each.name}><td><button class="inplace" aria-current=${each.name === chosen ? "true" : undefined} onClick=${() => setParams({ team: each.name }, { push: true })}><b>${each.name}</b>${each.description && html`<div class="muted small">${each.description}</div>`}</button></td><td>${each.kind}</td><td class="muted">${each.region || "–"}</td></tr>`)}</tbody></table></section>
      ${chosen ? html`<${Members} key=${chosen} team=${chosen} />` : html`<${Blank} title="Choose a namespace to see who belongs to it" />`}</div>`}</${Loaded}>
    ${making && html`<${Make} close=${(/** @type {string} */ made) => { setMaking(false); if (made) { found.reload(); setParams({ team: made }); } }} />`}
  </${People}>`;
}

/** @param {{ team: string }} props */
function Members({ team }) {
  const found = useResource(signal => get(api("namespaces", team, "members"), { signal }), [team]);
  const [user, setUser] = useState("");
  const set = async (/** @type {string} */ name, /** @type {string} */ role) => {
    const done = await attempt(() => (role ? put(api("namespaces", team, "members", name), { role }) : del(api("namespaces", team, "members", name))));
    found.reload();
    return done;
  };
  async function add(/** @type {Event} */ event) {
    event.preventDefault();
    if (user.trim() && await set(user.trim(), "member")) setUser("");
  }
  return html`<section class="card" aria-label=${`Members of ${team}`}><header><h2 class="grow cut">Members of ${team}</h2><a class="btn tiny" href=${to(team)}>Projects</a></header>
    <${Loaded} of=${found}>${(/** @type {{ items: any[] }} */ page) => html`<table class="table"><tbody>${page.items.map(each => html`<tr key=${each.user}><td><b>${each.user}</b></td><td class="muted">${ago(each.since)}</td>
      <td><select class="input" aria-label=${`Role of ${each.user}`} onChange=${(/** @type {any} */ event) => set(each.user, event.target.value)}>${ROLES.map(role => html`<option value=${role} selected=${role === each.role}>${role}</option>`)}</select></td>
      <td class="num"><button class="btn tiny danger" aria-label=${`Remove ${each.user}`} onClick=${() => set(each.user, "")}>Remove</button></td></tr>`)}</tbody></table>`}</${Loaded}>
    <form class="row body" onSubmit=${add}><input class="input" aria-label="User to add" placeholder="User to add" value=${user} onInput=${(/** @type {any} */ event) => setUser(event.target.value)} /><button class="btn" disabled=${!user.trim()}>Add</button></form></section>`;
}

/** @param {{ close: (made: string) => void }} props */
function Make({ close }) {
  const [team, setTeam] = useState({ name: "", kind: "team", description: "" });
  async function make(/** @type {Event} */ event) {
    event.preventDefault();
    if (await attempt(() => post("/api/v1/namespaces", team), `${team.name} is made, and you own it`)) close(team.name);
  }
  return html`<${Dialog} title="A new team" close=${() => close("")}><form class="stack" onSubmit=${make}>
    <label class="field"><span>Name</span><input class="input" required value=${team.name} onInput=${(/** @type {any} */ event) => setTeam({ ...team, name: event.target.value })} /></label>
    <label class="field"><span>Description</span><input class="input" value=${team.description} onInput=${(/** @type {any} */ event) => setTeam({ ...team, description: event.target.value })} /></label>
    <label class="field"><span>Kind</span><select class="input" onChange=${(/** @type {any} */ event) => setTeam({ ...team, kind: event.target.value })}><option value="team">Team</option><option value="organisation">Organisation</option></select></label>
    <button class="btn primary" disabled=${!team.name.trim()}>Make it</button></form></${Dialog}>`;
}
