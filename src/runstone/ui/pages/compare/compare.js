/** Runs beside each other: what differs in their fields and their code, and how parameters go with metrics over many of them. */

import { html, useMemo } from "../../lib/html.js";
import { ApiError, api, get } from "../../lib/api.js";
import { count } from "../../lib/format.js";
import { useResource } from "../../lib/resource.js";
import { param, setParams, to } from "../../lib/router.js";
import { Blank, Loaded } from "../../components/states.js";
import { FilterBar } from "../workspace/filterbar.js";
import { askRows } from "../workspace/runs.js";
import { Code } from "./code.js";
import { Fields } from "./fields.js";
import { useFieldNames } from "./data.js";
import { Groups } from "./groups.js";
import { Parallel } from "./parallel.js";
import { Scatter } from "./scatter.js";

const TABS = [["fields", "Fields"], ["code", "Code and environment"], ["scatter", "Scatter"], ["parallel", "Parallel coordinates"], ["groups", "Bars and boxes"]];
/** Runs that are put side by side, and those of them that are taken when none was chosen. */
const MOST_BESIDE = 24;
const USUAL = 5;

/** @param {{ ns: string, project: string }} props */
export default function Compare({ ns, project }) {
  const tab = TABS.some(([name]) => name === param("tab")) ? param("tab") : "fields";
  const given = param("runs");
  const chosen = useMemo(() => [...new Set(given.split(",").filter(Boolean))], [given]);
  const filter = param("filter");
  const many = tab !== "fields" && tab !== "code";
  return html`<div class="page wide compare">
    <header class="page-head"><div class="grow"><h1>Compare</h1>
      <p class="sub">${chosen.length ? html`${count(chosen.length, "chosen run")}. <button class="link" onClick=${() => setParams({ runs: "", baseline: "" }, { push: true })}>Compare the runs of a filter instead</button>`
        : html`The latest runs of the filter${many ? "" : `, ${USUAL} at most`}. Choose others by their boxes in <a href=${to(ns, project, "table")}>the runs table</a>.`}</p></div></header>
    ${!chosen.length && html`<${FilterBar} ns=${ns} project=${project} value=${filter} error=${null} set=${(/** @type {string} */ text) => setParams({ filter: text })} />`}
    <nav class="tabs inner" aria-label="Ways to compare">${TABS.map(([name, title]) => html`<a key=${name} href=${address(name)} aria-current=${name === tab ? "page" : undefined}>${title}</a>`)}</nav>
    ${many ? html`<${Many} ns=${ns} project=${project} tab=${tab} chosen=${chosen} filter=${filter} />` : html`<${Beside} ns=${ns} project=${project} tab=${tab} chosen=${chosen} filter=${filter} />`}
  </div>`;
}

/** @param {string} tab */
function address(tab) {
  const params = new URLSearchParams(location.search);
  params.set("tab", tab);
  return `${location.pathname}?${params}`;
}

/** @typedef {{ ns: string, project: string, tab: string, chosen: string[], filter: string }} Props */

/** @param {Props} props */
function Beside({ ns, project, tab, chosen, filter }) {
  const found = useResource(async signal => {
    const names = chosen.length ? chosen.slice(0, MOST_BESIDE) : (await askRows(ns, project, { filter, order: "created desc", fields: [], limit: USUAL }, signal)).items.map((/** @type {any} */ row) => row.run);
    const gone = /** @type {string[]} */ ([]);
    const runs = await Promise.all(names.map((/** @type {string} */ name) => get(api("runs", ns, project, name), { signal }).catch(error => {
      if (!(error instanceof ApiError) || error.passing) throw error;
      gone.push(name);
    })));
    return { runs: runs.filter(Boolean), gone };
  }, [ns, project, chosen, filter]);
  return html`<${Loaded} of=${found} lines=${8}>${(/** @type {any} */ data) => html`
    ${data.gone.length > 0 && html`<p class="hint bad" role="alert">Not found: ${data.gone.join(", ")}</p>`}
    ${chosen.length > MOST_BESIDE && html`<p class="hint">The first ${MOST_BESIDE} of ${chosen.length} runs are side by side; the charts show all of them.</p>`}
    ${data.runs.length === 0 ? html`<${Blank} title="No run to compare"><p>Choose runs by their boxes in <a href=${to(ns, project, "table")}>the runs table</a>, then <b>Compare</b>.</p></${Blank}>`
      : tab === "code" ? html`<${Code} ns=${ns} project=${project} runs=${data.runs} />` : html`<${Fields} ns=${ns} project=${project} runs=${data.runs} />`}
  `}</${Loaded}>`;
}

/** @param {Props} props */
function Many({ ns, project, tab, chosen, filter }) {
  const names = useFieldNames(ns, project);
  const asked = chosen.length ? `id in (${chosen.map(name => JSON.stringify(name)).join(", ")})` : filter;
  const view = /** @type {Record<string, any>} */ ({ scatter: Scatter, parallel: Parallel, groups: Groups })[tab];
  return html`<${Loaded} of=${names} lines=${6}>${(/** @type {import("./data.js").Names} */ data) => (data.config.length + data.summary.length === 0
    ? html`<${Blank} title="No run has a field yet"><p>Charts of runs are there when some have a config and a summary.</p></${Blank}>`
    : html`<${view} key=${tab} ns=${ns} project=${project} names=${data} filter=${asked} />`)}</${Loaded}>`;
}
