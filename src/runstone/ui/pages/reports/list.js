/** The reports of a project. */

import { html, useState } from "../../lib/html.js";
import { api, get, post, query } from "../../lib/api.js";
import { ago } from "../../lib/format.js";
import { useResource } from "../../lib/resource.js";
import { navigate, to } from "../../lib/router.js";
import { attempt } from "../../lib/toasts.js";
import { Dialog } from "../../components/dialog.js";
import { Icon } from "../../components/icons.js";
import { Blank, Loaded } from "../../components/states.js";
import { nameFor } from "../workspace/views.js";
import { KIND } from "./report.js";
import { KIND as WANDB } from "./wandb.js";

const FIRST = `What was tried, and what came of it.

\`\`\`panel
{ "title": "Loss", "keys": ["loss"], "filter": "", "runs": 10 }
\`\`\`
`;

/** @param {{ ns: string, project: string }} props */
export default function Reports({ ns, project }) {
  const found = useResource(async signal => {
    const pages = await Promise.all([KIND, WANDB].map(kind => get(api("projects", ns, project, "documents") + query({ kind, limit: 1000 }), { signal })));
    return { items: pages.flatMap(page => page.items).sort((one, other) => other.updated - one.updated) };
  }, [ns, project]);
  const [making, setMaking] = useState(false);
  return html`<div class="page">
    <header class="page-head"><div class="grow"><h1>Reports</h1><p class="sub">Markdown with panels that are alive, or fixed as they were.</p></div><button class="btn primary" onClick=${() => setMaking(true)}><${Icon} name="plus" />New report</button></header>
    <${Loaded} of=${found}>${(/** @type {any} */ page) => (page.items.length === 0 ? html`<${Blank} title="No report yet"><p>A report tells others what runs have shown, with the charts beside the words.</p></${Blank}>`
      : html`<section class="card scroll-x" aria-label="Reports"><table class="table"><thead><tr><th>Report</th><th>By</th><th>Changed</th></tr></thead><tbody>
        ${page.items.map((/** @type {any} */ each) => html`<tr key=${each.name}><td><a href=${to(ns, project, "reports", each.name) + (each.kind === WANDB ? "?by=wandb" : "")}>${each.title || each.name}</a> ${each.kind === WANDB && html`<span class="tag" title="Written with wandb-workspaces">wandb</span>`} ${each.private && html`<span class="tag">private</span>`}</td><td>${each.by}</td><td class="muted">${ago(each.updated)}</td></tr>`)}
      </tbody></table></section>`)}</${Loaded}>
    ${making && html`<${NewReport} ns=${ns} project=${project} close=${() => setMaking(false)} />`}
  </div>`;
}

/** @param {{ ns: string, project: string, close: () => void }} props */
function NewReport({ ns, project, close }) {
  const [title, setTitle] = useState("");
  const [alone, setAlone] = useState(false);
  const make = () => attempt(async () => {
    const made = await post(api("projects", ns, project, "documents"), { kind: KIND, name: nameFor(title), title: title.trim(), spec: { text: FIRST }, private: alone });
    navigate(`${to(ns, project, "reports", made.name)}?edit=1`);
  });
  return html`<${Dialog} title="New report" close=${close} footer=${html`<button class="btn" onClick=${close}>Cancel</button><button class="btn primary" disabled=${!title.trim()} onClick=${make}>Write it</button>`}>
    <label class="field"><span>Title</span><input class="input" maxlength="120" value=${title} onInput=${(/** @type {any} */ event) => setTitle(event.target.value)} onKeyDown=${(/** @type {KeyboardEvent} */ event) => event.key === "Enter" && title.trim() && make()} /></label>
    <label class="row"><input type="checkbox" class="check" checked=${alone} onChange=${() => setAlone(!alone)} />Private: for me alone</label>
  </${Dialog}>`;
}
