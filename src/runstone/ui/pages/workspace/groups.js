/** Runs grouped by fields: how many there are in each, and the mean and range of what they logged. */

import { html, useEffect } from "../../lib/html.js";
import { api, post } from "../../lib/api.js";
import { colorOf } from "../../lib/colors.js";
import { title } from "../../lib/fieldnames.js";
import { number } from "../../lib/format.js";
import { useResource } from "../../lib/resource.js";
import { Loaded } from "../../components/states.js";
import { quoted } from "./filterbar.js";

const MOST_FIGURES = 5;

/** @param {{ ns: string, project: string, state: import("./view.js").ViewState, columns: string[], turn: number }} props */
export function Groups({ ns, project, state, columns, turn }) {
  const view = state.now.value;
  const measured = columns.filter(field => field.startsWith("summary.")).slice(0, MOST_FIGURES);
  const figures = ["count()", ...measured.flatMap(field => [`mean(${field})`, `min(${field})`, `max(${field})`])];
  const found = useResource(signal => post(api("run-queries", ns, project, "group"), { by: view.group, figures, filter: view.filter, order: "`count()` desc", limit: 1000 }, { signal }), [ns, project, view.group, view.filter, figures]);
  useEffect(() => { if (turn) found.reload(); }, [turn]);
  /** @param {any[]} key */
  function open(key) {
    const parts = view.group.map((field, at) => (key[at] === null ? `${quoted(field)} is null` : `${quoted(field)} = ${JSON.stringify(key[at])}`));
    state.set({ group: [], filter: [view.filter && `(${view.filter})`, ...parts].filter(Boolean).join(" and ") });
  }
  return html`<div class="grow scroll-both" tabindex="0" role="region" aria-label="Groups"><${Loaded} of=${found}>${(/** @type {any} */ page) => html`<table class="table">
    <thead><tr><th>${view.group.map(title).join(", ")}</th><th class="num">Runs</th>${measured.map(field => html`<th class="num" title=${field}>${title(field)}</th>`)}</tr></thead>
    <tbody>${page.items.map((/** @type {any} */ group) => {
      const name = view.group.map((field, at) => `${title(field)}: ${group.key[at] ?? "–"}`).join(", ");
      return html`<tr key=${JSON.stringify(group.key)}>
        <td><button class="inplace row" onClick=${() => open(group.key)} title="See its runs"><span class="dot" style=${{ background: colorOf(name) }} /><span class="cut">${group.key.map((/** @type {any} */ value) => String(value ?? "–")).join(", ")}</span></button></td>
        <td class="num">${group.figures[0].toLocaleString("en-US")}</td>
        ${measured.map((field, at) => html`<td class="num" key=${field} title=${`${number(group.figures[2 + at * 3])} to ${number(group.figures[3 + at * 3])}`}>${number(group.figures[1 + at * 3])}</td>`)}
      </tr>`;
    })}</tbody>
  </table>`}</${Loaded}></div>`;
}
