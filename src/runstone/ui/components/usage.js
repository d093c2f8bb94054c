/** How to get a version with each client, by tab. */

import { html, useState } from "../lib/html.js";
import { session } from "../lib/session.js";
import { snippets } from "../lib/snippets.js";
import { Snippet } from "./copy.js";

/** @param {{ ns: string, project: string, collection: string, version: string, type: string, registry: boolean }} props */
export function Usage(props) {
  const all = snippets({ ...props, local: Boolean(session.value?.local) });
  const [name, setName] = useState(all[0].name);
  const chosen = all.find(each => each.name === name) || all[0];
  return html`<section class="card" aria-label="Use it">
    <header><h2 class="grow">Use it</h2><select class="input" style=${{ width: "auto" }} aria-label="Client" value=${name} onChange=${(/** @type {any} */ event) => setName(event.target.value)}>
      ${all.map(each => html`<option value=${each.name}>${each.title}</option>`)}</select></header>
    <div class="body"><${Snippet} text=${chosen.code} label=${`How to get it with ${chosen.title}`} /></div>
  </section>`;
}
