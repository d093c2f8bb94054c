/** Fields of runs side by side, held against a baseline: those that differ, or all. */

import { html, useMemo, useState } from "../../lib/html.js";
import { colorOf } from "../../lib/colors.js";
import { equal, flatten } from "../../lib/flatten.js";
import { ownTags } from "../../lib/fieldnames.js";
import { count, duration, inline, number } from "../../lib/format.js";
import { param, setParams, to } from "../../lib/router.js";
import { Icon } from "../../components/icons.js";
import { Blank, State } from "../../components/states.js";
import { describe } from "../run/captured.js";

/** @typedef {{ section: string, name: string, values: unknown[], differs: boolean }} Field */

/** Rows that are in the page at once; a project may log a million keys. */
const MOST_ROWS = 500;

/** @param {{ ns: string, project: string, runs: any[] }} props */
export function Fields({ ns, project, runs }) {
  const [find, setFind] = useState("");
  const all = param("all") === "1";
  const turned = param("turned") === "1";
  const base = Math.max(0, runs.findIndex(run => run.name === param("baseline")));
  const fields = useMemo(() => fieldsOf(runs), [runs]);
  const words = find.toLowerCase().split(/\s+/).filter(Boolean);
  const found = fields.filter(field => (all || field.differs || runs.length === 1) && words.every(word => field.name.toLowerCase().includes(word)));
  const shown = found.slice(0, MOST_ROWS);
  const differing = fields.filter(field => field.differs).length;
  const setBase = (/** @type {string} */ name) => setParams({ baseline: name });
  return html`<section class="card" aria-label="Fields">
    <header class="wrap">
      <span class="grow muted" aria-live="polite">${`${count(differing, "field")} of ${fields.length.toLocaleString("en-US")} differ${differing === 1 ? "s" : ""}`}</span>
      <label class="row"><input type="checkbox" class="check" checked=${all} onChange=${() => setParams({ all: all ? "" : "1" })} />All fields</label>
      <label class="row"><input type="checkbox" class="check" checked=${turned} onChange=${() => setParams({ turned: turned ? "" : "1" })} />Runs as rows</label>
      <label class="row filter"><${Icon} name="search" /><input aria-label="Find a field" placeholder="Find a field" value=${find} onInput=${(/** @type {any} */ event) => setFind(event.target.value)} /></label>
    </header>
    ${shown.length === 0 ? html`<${Blank} title=${words.length ? "No field is called that" : "These runs do not differ"}>${!words.length && !all && html`<button class="btn" onClick=${() => setParams({ all: "1" })}>Show all fields</button>`}</${Blank}>`
      : html`<div class="scroll-both beside" tabindex="0" role="region" aria-label="Fields of the runs">${turned ? html`<${Turned} ...${{ ns, project, runs, base, setBase, fields: shown }} />` : html`<${Upright} ...${{ ns, project, runs, base, setBase, fields: shown }} />`}</div>`}
    ${found.length > shown.length && html`<p class="hint body">The first ${shown.length} of ${found.length.toLocaleString("en-US")}; find others by their name.</p>`}
  </section>`;
}

/** @typedef {{ ns: string, project: string, runs: any[], base: number, setBase: (name: string) => void, fields: Field[] }} SheetProps */

/** @param {SheetProps} props */
function Upright({ ns, project, runs, base, setBase, fields }) {
  const sections = [...new Set(fields.map(field => field.section))];
  return html`<table class="table sheet"><thead><tr><th scope="col" class="corner">Field</th>${runs.map((run, at) => html`<th scope="col" key=${run.name}><${Head} ...${{ ns, project, run, base: at === base, setBase }} /></th>`)}</tr></thead>
    ${sections.map(section => html`<tbody key=${section}><tr class="part"><th colspan=${runs.length + 1} scope="colgroup">${section}</th></tr>
      ${fields.filter(field => field.section === section).map(field => html`<tr key=${field.name}><th scope="row" title=${field.name}>${field.name}</th>
        ${field.values.map((value, at) => html`<${Cell} key=${at} field=${field} value=${value} base=${field.values[base]} own=${at === base} />`)}</tr>`)}</tbody>`)}
  </table>`;
}

/** @param {SheetProps} props */
function Turned({ ns, project, runs, base, setBase, fields }) {
  return html`<table class="table sheet"><thead><tr><th scope="col" class="corner">Run</th>${fields.map(field => html`<th scope="col" key=${field.section + field.name} title=${`${field.section}: ${field.name}`}><span class="muted">${field.section}</span><br />${field.name}</th>`)}</tr></thead>
    <tbody>${runs.map((run, at) => html`<tr key=${run.name}><th scope="row"><${Head} ...${{ ns, project, run, base: at === base, setBase }} /></th>
      ${fields.map(field => html`<${Cell} key=${field.section + field.name} field=${field} value=${field.values[at]} base=${field.values[base]} own=${at === base} />`)}</tr>`)}</tbody>
  </table>`;
}

/** @param {{ ns: string, project: string, run: any, base: boolean, setBase: (name: string) => void }} props */
function Head({ ns, project, run, base, setBase }) {
  const name = run.display_name || run.name;
  return html`<span class="row beside-head"><span class="dot" style=${{ background: colorOf(run.name) }} /><a class="cut" href=${to(ns, project, "runs", run.name)} title=${name}>${name}</a>
    ${base ? html`<span class="tag">baseline</span>` : html`<button class="btn tiny quiet" aria-label=${`Hold the others against ${name}`} onClick=${() => setBase(run.name)}>make baseline</button>`}</span>`;
}

/** @param {{ field: Field, value: unknown, base: unknown, own: boolean }} props */
function Cell({ field, value, base, own }) {
  if (field.name === "state" && field.section === "Run") return html`<td><${State} state=${String(value)} /></td>`;
  const other = !own && !equal(value, base);
  const text = value === undefined ? "–" : field.name === "duration" && field.section === "Run" ? duration(Number(value)) : inline(value);
  const change = other && typeof value === "number" && typeof base === "number" && base !== 0 ? 100 * (value - base) / Math.abs(base) : NaN;
  return html`<td class=${`${typeof value === "number" ? "num" : ""} ${own ? "own" : other ? "is" : ""} ${value === undefined ? "muted" : ""}`} title=${value === undefined ? "not there" : String(text)}>
    <span class="value">${text}</span>${Number.isFinite(change) && html`<span class="change">${Math.abs(change) >= 1000 ? `× ${number(Number(value) / Number(base), 2)}` : `${change > 0 ? "+" : "−"}${Number(Math.abs(change).toPrecision(2))}%`}</span>`}</td>`;
}

/** The fields of runs, section by section. @param {any[]} runs @returns {Field[]} */
function fieldsOf(runs) {
  const told = runs.map(run => describe(run));
  return [
    ...rows("Run", runs.map(run => new Map(/** @type {[string, unknown][]} */ ([["state", run.state], ["duration", run.finished ? (run.finished - run.started) / 1e6 : undefined], ["user", run.by], ["group", run.group], ["job_type", run.job_type], ["tags", Object.keys(ownTags(run.tags)).sort().join(", ")], ["notes", run.notes]].filter(([, value]) => value !== "" && value !== undefined))))),
    ...rows("Config", runs.map(run => logged(flatten(run.config)))),
    ...rows("Summary", runs.map(run => logged(flatten(files(run.summary))))),
    ...rows("Environment", told.map(each => new Map(each.facts))),
  ];
}

/** Logged files as one value each, which differ where the files do. @param {Record<string, any>} summary */
function files(summary) {
  const told = (/** @type {any} */ value) => {
    const names = Array.isArray(value.filenames) ? value.filenames.map(String) : [];
    return value.sha256 ? `${value._type} ${String(value.sha256).slice(0, 10)}` : names.length ? `${value._type} ${names[0].split("/").pop()}${names.length > 1 ? ` and ${names.length - 1} more` : ""}` : value.values ?? value;
  };
  return Object.fromEntries(Object.entries(summary || {}).map(([name, value]) => [name, value && typeof value === "object" && typeof value._type === "string" ? told(value) : value]));
}

/** Without what clients keep for themselves. @param {Map<string, unknown>} map */
function logged(map) {
  return new Map([...map].filter(([name]) => !/^_|^system\//.test(name)));
}

/** @param {string} section @param {Map<string, unknown>[]} maps @returns {Field[]} */
function rows(section, maps) {
  const names = [...new Set(maps.flatMap(map => [...map.keys()]))];
  if (section !== "Run" && section !== "Environment") names.sort();
  return names.map(name => {
    const values = maps.map(map => map.get(name));
    return { section, name, values, differs: values.some(value => !equal(value, values[0])) };
  });
}
