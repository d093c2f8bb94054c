/** What a run is: its config and summary, where it ran, from which code, and how to do it again. */

import { html, useMemo, useState } from "../../lib/html.js";
import { api, patch } from "../../lib/api.js";
import { ownTags } from "../../lib/fieldnames.js";
import { ago, inline, moment, number } from "../../lib/format.js";
import { attempt } from "../../lib/toasts.js";
import { CopyButton, Snippet } from "../../components/copy.js";
import { Icon } from "../../components/icons.js";
import { describe, reproduce } from "./captured.js";

/** Values that are shown before one looks for a name. */
const FIRST = 300;
/** Characters of notes that are shown before all of them are asked for. */
const LONG = 20_000;
/** Bytes that the server takes as notes. */
const MOST = 256 * 1024;

/** @param {{ info: any, reload: () => void }} props */
export function Overview({ info, reload }) {
  const told = useMemo(() => describe(info), [info]);
  return html`<div class="page wide"><div class="split even">
    <div class="stack">
      <${Values} title="Config" value=${info.config} nothing="Nothing is configured." />
      <section class="card" aria-label="Environment"><header><h2>Environment</h2></header><div class="body">
        <dl class="props">${told.facts.map(([name, value]) => html`<dt key=${name}>${name}</dt><dd class=${/command|commit|program|remote/i.test(name) ? "mono" : ""}>${value}</dd>`)}
          ${!told.facts.length && html`<dt>Nothing was captured.</dt>`}</dl>
      </div></section>
      ${told.packages.length > 0 && html`<${Packages} packages=${told.packages} />`}
    </div>
    <div class="stack">
      <${About} info=${info} reload=${reload} />
      <${Values} title="Summary" value=${info.summary} nothing="Nothing is logged yet." />
      <section class="card" aria-label="How to reproduce"><header><h2>How to reproduce</h2></header><div class="body stack">
        <${Snippet} text=${reproduce(info, told)} label="Commands that run it again" />
        ${told.diff && html`<details><summary>Changes that were not committed</summary><pre class="code" tabindex="0">${told.diff.slice(0, 200_000)}</pre></details>`}
      </div></section>
    </div>
  </div></div>`;
}

/** @param {{ info: any, reload: () => void }} props */
function About({ info, reload }) {
  const [typed, setTyped] = useState(/** @type {string | null} */ (null));
  const path = api("runs", info.namespace, info.project, info.name);
  async function save() {
    if (typed !== null && (typed === info.notes || await attempt(() => patch(path, { notes: typed })))) {
      setTyped(null);
      reload();
    }
  }
  const size = typed === null ? 0 : new TextEncoder().encode(typed).length;
  const tags = Object.entries(ownTags(info.tags));
  return html`<section class="card" aria-label="About"><header><h2 class="grow">About</h2>
      ${typed === null ? html`<button class="btn tiny" onClick=${() => setTyped(info.notes)}>Edit notes</button>` : html`<button class="btn tiny primary" onClick=${save}>Save</button><button class="btn tiny" onClick=${() => setTyped(null)}>Cancel</button>`}</header>
    <div class="body stack">
      ${typed === null ? info.notes && html`<${Notes} text=${info.notes} />` : html`<textarea class="input" rows="6" aria-label="Notes" value=${typed} onInput=${(/** @type {any} */ event) => setTyped(event.target.value)} />${size > MOST / 2 && html`<p class="hint ${size > MOST ? "bad" : ""}" role="status">${size.toLocaleString("en-US")} of ${MOST.toLocaleString("en-US")} bytes.${size > MOST ? " Longer text belongs among the run's files, or in a report." : ""}</p>`}`}
      <dl class="props">
        ${tags.length > 0 && html`<dt>Tags</dt><dd class="row wrap">${tags.slice(0, 100).map(([name, text]) => html`<span class="tag" key=${name} title=${name}>${text ? `${name}: ${text}` : name}</span>`)}</dd>`}
        ${[["Group", info.group], ["Job type", info.job_type], ["Sweep", info.sweep]].filter(each => each[1]).map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}
        <dt>Started</dt><dd class="num" title=${ago(info.started)}>${moment(info.started)}</dd>
        ${info.finished > 0 && html`<dt>Ended</dt><dd class="num">${moment(info.finished)}</dd>`}
        <dt>Last sign of life</dt><dd class="num">${ago(info.updated)}</dd>
        <dt>Steps</dt><dd class="num">${(info.step + 1).toLocaleString("en-US")}</dd>
        <dt>Name</dt><dd class="row"><code class="break">${info.namespace}/${info.project}/${info.name}</code><${CopyButton} text=${`${info.namespace}/${info.project}/${info.name}`} /></dd>
        ${info.rewinds > 0 && html`<dt>Rewound</dt><dd>${info.rewinds} times</dd>`}
      </dl>
    </div></section>`;
}

/** Notes, a long one in part until all of it is asked for. @param {{ text: string }} props */
function Notes({ text }) {
  const [whole, setWhole] = useState(false);
  const cut = !whole && text.length > LONG;
  return html`<p class="notes break">${cut ? text.slice(0, LONG) + "…" : text}</p>
    ${cut && html`<button class="btn more" onClick=${() => setWhole(true)}>Show all ${text.length.toLocaleString("en-US")} characters</button>`}`;
}

/** A map of any depth, as names and values. @param {{ title: string, value: any, nothing: string }} props */
function Values({ title, value, nothing }) {
  const [typed, setTyped] = useState("");
  const all = useMemo(() => flat(value), [value]);
  const found = all.filter(([name]) => name.toLowerCase().includes(typed.toLowerCase()));
  return html`<section class="card" aria-label=${title}><header><h2 class="grow">${title} <span class="muted small">${all.length || ""}</span></h2>
      ${all.length > 8 && html`<label class="row filter"><${Icon} name="search" /><input aria-label=${`Find in ${title}`} placeholder="Find" value=${typed} onInput=${(/** @type {any} */ event) => setTyped(event.target.value)} /></label>`}
      ${all.length > 0 && html`<${CopyButton} text=${JSON.stringify(value, null, 2)} label="Copy as JSON" />`}</header>
    ${all.length ? html`<table class="table pairs"><tbody>${found.slice(0, FIRST).map(([name, each]) => html`<tr key=${name}><th scope="row" class="mono" title=${name}>${name}</th><td class="mono num" title=${inline(each, 2000)}>${typeof each === "number" ? number(each, 6) : inline(each, 400)}</td></tr>`)}</tbody></table>
      ${found.length > FIRST && html`<p class="hint" style=${{ padding: "8px 16px" }}>${found.length - FIRST} more: find them by name.</p>`}` : html`<div class="body muted">${nothing}</div>`}
  </section>`;
}

/** @param {any} value @returns {[string, any][]} */
function flat(value) {
  /** @type {[string, any][]} */
  const found = [];
  /** @param {any} each @param {string} path @param {number} depth */
  function walk(each, path, depth) {
    if (each && typeof each === "object" && !Array.isArray(each) && !("_type" in each) && depth < 20 && Object.keys(each).length) {
      for (const [name, inner] of Object.entries(each)) walk(inner, path ? `${path}.${name}` : name, depth + 1);
    } else if (path) found.push([path, each && each._type ? `(${each._type})` : each]);
  }
  walk(value, "", 0);
  return found.filter(([name]) => !/^_|^system\//.test(name));
}

/** @param {{ packages: [string, string][] }} props */
function Packages({ packages }) {
  return html`<section class="card"><details><summary class="body">${packages.length} packages</summary>
    <table class="table pairs"><tbody>${packages.map(([name, version]) => html`<tr key=${name}><th scope="row" class="mono">${name}</th><td class="mono">${version}</td></tr>`)}</tbody></table></details></section>`;
}
