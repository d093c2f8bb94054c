/** How to connect each client, by tab. */

import { html, useState } from "../lib/html.js";
import { recipes } from "../lib/connect.js";
import { session } from "../lib/session.js";
import { Snippet } from "./copy.js";

/** @param {{ project?: string }} props */
export function Recipes({ project }) {
  const all = recipes(location.origin, Boolean(session.value?.local), project);
  const [name, setName] = useState(all[0].name);
  const chosen = all.find(each => each.name === name) || all[0];
  return html`<section class="card" aria-label="Connect a client">
    <header class="tabs" style=${{ position: "static", padding: "0 8px", borderRadius: "8px 8px 0 0" }} role="tablist">
      ${all.map(each => html`<a href="#" role="tab" aria-selected=${each.name === name} aria-current=${each.name === name ? "page" : undefined}
        onClick=${(/** @type {Event} */ event) => { event.preventDefault(); setName(each.name); }}>${each.title}</a>`)}
    </header>
    <div class="body stack">
      <${Snippet} text=${chosen.code} label=${`How to connect ${chosen.title}`} />
      <p class="hint">${session.value?.local ? "This server is in local mode: any key is its owner's." : html`Keys are made under <a href="/-/keys">API keys</a>.`} One project takes runs of every client.</p>
    </div>
  </section>`;
}
