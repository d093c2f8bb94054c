/** What happened to an object: every entry of the change log about it, with a proof that is checked here and not by the server. */

import { html, useState } from "../lib/html.js";
import { api, get, query } from "../lib/api.js";
import { ago, inline, moment } from "../lib/format.js";
import { flatten } from "../lib/flatten.js";
import { preference } from "../lib/prefs.js";
import { ProofError, verify } from "../lib/proof.js";
import { useResource } from "../lib/resource.js";
import { Icon } from "./icons.js";
import { Blank, Loaded } from "./states.js";

/** Keys of logs by their names, as they were when this browser first saw them. */
const trusted = preference("log-keys", /** @type {Record<string, string>} */ ({}));
const WORDS = /** @type {Record<string, string>} */ ({
  create_collection: "made the collection", update_collection: "changed the collection", delete_collection: "deleted the collection",
  commit_version: "stored the version", update_version: "changed the version", delete_version: "deleted the version",
  quarantine_version: "withdrew the version: damaged", release_version: "released the version again",
  move_alias: "moved an alias", delete_alias: "took an alias away", create_project: "made the project", update_project: "changed the project",
  create_run: "began the run", update_run: "changed the run", set_run_state: "set the state", log_points: "logged points", log_lines: "logged lines",
  rewind_run: "rewound the run", undo_rewind: "took a rewind back", delete_run: "deleted the run", restore_run: "restored the run",
  put_run_files: "saved files", remove_run_files: "removed files", add_edge: "linked lineage", set_labels: "set labels", set_field_class: "classed a field",
});
const OMITTED = new Set(["actor", "reason", "collection", "version", "run", "project"]);

/**
 * @param {{ name: string }} props `name` as the history of the API has it: a project, a collection, a version, or `run:` and a run
 */
export function History({ name }) {
  const records = useResource(signal => everything(name, signal), [name]);
  return html`<div class="stack">
    <${Proof} name=${name} />
    <${Loaded} of=${records}>${(/** @type {Found} */ found) => found.items.length === 0
      ? html`<${Blank} title="Nothing yet" />`
      : html`<section class="card" aria-label="Changes"><ol class="timeline">${found.items.map(record => html`<${Entry} key=${record.seq} record=${record} />`)}</ol>
        ${found.more && html`<p class="muted small" style=${{ padding: "8px 16px" }}>Only the last ${found.items.length} changes are shown; <code>runstone history</code> has all.</p>`}</section>`}</${Loaded}>
  </div>`;
}

/** @typedef {{ seq: number, time: number, kind: string, id: string, actor: string, command: any }} LogRecord @typedef {{ items: LogRecord[], more: boolean }} Found */

/** The newest first. @param {string} name @param {AbortSignal} signal @returns {Promise<Found>} */
async function everything(name, signal) {
  const items = [];
  let after = "";
  for (let pages = 0; pages < 5; pages++) {
    const page = await get("/api/v1/history" + query({ name, limit: 1000, after }), { signal });
    items.push(...page.items);
    after = page.next;
    if (!after) break;
  }
  return { items: items.reverse(), more: Boolean(after) };
}

/** @param {{ record: LogRecord }} props */
function Entry({ record }) {
  const [open, setOpen] = useState(false);
  const said = record.command || {};
  const fields = [...flatten(Object.fromEntries(Object.entries(said).filter(([field, value]) => !OMITTED.has(field) && value !== null)))];
  const what = record.kind.endsWith("alias") && said.alias ? ` ${said.alias}${said.version ? ` to v${said.version}` : ""}` : said.state ? ` ${said.state}` : "";
  return html`<li>
    <div class="row wrap">
      <button class="btn tiny icon quiet" aria-expanded=${open} aria-label=${`Details of entry ${record.seq}`} disabled=${!fields.length} onClick=${() => setOpen(!open)}><${Icon} name=${open ? "down" : "right"} /></button>
      <b>${record.actor || "somebody"}</b><span>${WORDS[record.kind] || record.kind.replaceAll("_", " ")}${what}</span>
      ${record.command === null && html`<span class="tag">payload erased</span>`}
      <span class="muted end small num" title=${moment(record.time)}>${ago(record.time)} · entry ${record.seq}</span>
    </div>
    ${said.reason && html`<blockquote>${said.reason}</blockquote>`}
    ${open && html`<dl class="props small">${fields.map(([field, value]) => [html`<dt class="mono">${field}</dt>`, html`<dd class="mono">${inline(value, 2000)}</dd>`])}</dl>`}
  </li>`;
}

/** @typedef {{ verdict?: import("../lib/proof.js").Verdict, error?: string, vkey?: string, fresh?: boolean, withheld?: number }} Checked */

/** @param {{ name: string }} props */
function Proof({ name }) {
  const [state, setState] = useState(/** @type {Checked & { busy?: boolean }} */ ({}));
  async function check() {
    setState({ busy: true });
    try {
      setState(await checked(name));
    } catch (error) {
      setState({ error: error instanceof ProofError ? `This history is NOT proven: ${error.message}.` : error instanceof Error ? error.message : String(error) });
    }
  }
  const { verdict, error } = state;
  return html`<section class="card" aria-label="Proof"><div class="body row wrap">
    <div class="grow">
      ${error ? html`<p class="hint bad" role="alert">${error}</p>`
        : verdict ? html`<p role="status"><span class="pill good">proven</span> ${verdict.entries.length === 1 ? "The change is" : `All ${verdict.entries.length} changes are`} in the signed log of ${verdict.size.toLocaleString("en-US")} entries; this browser checked every hash${verdict.signed ? " and the signature" : ""}.</p>
          <p class="hint break">Log <code>${verdict.origin}</code>, root <code>${verdict.root.slice(0, 16)}…</code>${state.withheld ? `, ${state.withheld} payloads withheld or erased` : ""}.
            ${!verdict.signed && " This browser knows no Ed25519, so who signed the log was not checked."}
            ${state.fresh ? " Its key was seen here for the first time: compare it with what your administrator says." : " Its key is the one that this browser saw first."}</p>
          <p class="hint break">Key <code>${state.vkey}</code></p>`
        : html`<p class="muted">Every change is an entry of a signed, hashed log. The proof is checked in this browser, so not even the server has to be believed.</p>`}
    </div>
    <a class="btn" href=${"/api/v1/proof" + query({ name })} download="proof.json"><${Icon} name="download" />Proof</a>
    <button class="btn primary" disabled=${state.busy} onClick=${check}><${Icon} name="check" />${state.busy ? "Checking…" : "Verify"}</button>
  </div></section>`;
}

/** @param {string} name @returns {Promise<Checked>} */
async function checked(name) {
  const [bundle, { vkey }] = await Promise.all([get("/api/v1/proof" + query({ name })), get(api("log", "key"))]);
  const origin = vkey.split("+")[0];
  const known = trusted.value[origin];
  if (known && known !== vkey) throw new ProofError("the server names another key than the one that this browser saw first");
  const verdict = await verify(bundle, vkey);
  trusted.value = { ...trusted.value, [origin]: vkey };
  return { verdict, vkey, fresh: !known, withheld: verdict.entries.filter(entry => !entry.known).length };
}
