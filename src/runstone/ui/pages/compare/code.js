/** Code and environment of two runs, as what differs between their texts. */

import { html, useMemo } from "../../lib/html.js";
import { count } from "../../lib/format.js";
import { param, setParams } from "../../lib/router.js";
import { hunks, lineDiff } from "../../lib/textdiff.js";
import { Blank } from "../../components/states.js";
import { describe } from "../run/captured.js";
import { Lines } from "./lines.js";
import { Sources } from "./sources.js";

/** @param {{ ns: string, project: string, runs: any[] }} props */
export function Code({ runs }) {
  const base = runs.find(run => run.name === param("baseline")) || runs[0];
  const others = runs.filter(run => run !== base);
  const other = others.find(run => run.name === param("other")) || others[0];
  if (!other) return html`<${Blank} title="One run alone differs from nothing"><p>Choose two runs or more.</p></${Blank}>`;
  const named = (/** @type {any} */ run) => run.display_name || run.name;
  const select = (/** @type {string} */ label, /** @type {string} */ name, /** @type {any} */ value, /** @type {any[]} */ among) => html`<label class="field"><span>${label}</span><select class="input" onChange=${(/** @type {any} */ event) => setParams({ [name]: event.target.value })}>
    ${among.map(run => html`<option value=${run.name} key=${run.name} selected=${run === value}>${named(run)}</option>`)}</select></label>`;
  return html`<div class="stack">
    <div class="row wrap controls">${select("Baseline", "baseline", base, runs)}${select("Held against it", "other", other, others)}</div>
    <${Texts} one=${base} other=${other} />
  </div>`;
}

/** @param {{ one: any, other: any }} props */
function Texts({ one, other }) {
  const parts = useMemo(() => {
    const [left, right] = [describe(one), describe(other)];
    const lines = (/** @type {[string, string][]} */ pairs, /** @type {string} */ between) => pairs.map(([name, value]) => `${name}${between}${value}`).join("\n");
    return [
      { title: "Command, commit and machine", steps: lineDiff(lines(left.facts, ": "), lines(right.facts, ": ")) },
      { title: "Packages", steps: lineDiff(lines(left.packages.sort(), "=="), lines(right.packages.sort(), "==")) },
      { title: "Changes that were not committed", steps: lineDiff(left.diff, right.diff) },
    ];
  }, [one, other]);
  // What was not captured of either is not worth a card.
  return html`<${Sources} one=${one} other=${other} />${parts.filter(part => part.steps.length).map(part => html`<${Part} key=${part.title} ...${part} />`)}`;
}

/** @param {{ title: string, steps: import("../../lib/textdiff.js").Step[] }} props */
function Part({ title, steps }) {
  const changed = steps.filter(step => step.kind !== "same").length;
  return html`<section class="card" aria-label=${title}><header><h2 class="grow">${title}</h2><span class="muted small">${!steps.length ? "neither run has any" : changed ? count(changed, "changed line") : "the same in both"}</span></header>
    ${changed > 0 && html`<${Lines} steps=${hunks(steps)} label=${`${title}: changes`} />`}
  </section>`;
}
