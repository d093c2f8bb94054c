/** A namespace: its projects and registries. */

import { html } from "../lib/html.js";
import { api, get, query } from "../lib/api.js";
import { ago } from "../lib/format.js";
import { useResource } from "../lib/resource.js";
import { to } from "../lib/router.js";
import { Recipes } from "../components/recipes.js";
import { Blank, Loaded } from "../components/states.js";

/** @param {{ ns: string }} props */
export default function Namespace({ ns }) {
  const projects = useResource(signal => get(api("namespaces", ns, "projects") + query({ limit: 1000 }), { signal }), [ns]);
  return html`<div class="page">
    <div class="page-head"><h1>${ns}</h1></div>
    <${Loaded} of=${projects}>${(/** @type {{ items: any[] }} */ page) => page.items.length === 0
      ? html`<${Blank} title="No project yet"><p>A project is made by its first run.</p></${Blank}><${Recipes} />`
      : html`<section class="card"><table class="table">
        <thead><tr><th>Name</th><th>Kind</th><th>Visibility</th><th>Made by</th><th>Made</th></tr></thead>
        <tbody>${page.items.map(project => html`<tr key=${project.name}>
          <td><a href=${to(ns, project.name, ...(project.kind === "registry" ? ["artifacts"] : []))}><b>${project.name}</b></a><div class="muted small">${project.description}</div></td>
          <td>${project.kind}</td><td>${project.visibility}</td><td class="muted">${project.by}</td><td class="muted">${ago(project.created)}</td>
        </tr>`)}</tbody>
      </table></section>`}</${Loaded}>
  </div>`;
}
