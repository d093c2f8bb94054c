/** A metric by a field: a bar for the mean of each value, or a box from quarter to quarter. */

import { html } from "../../lib/html.js";
import { colorAt } from "../../lib/colors.js";
import { measure, parameter } from "../../lib/fieldnames.js";
import { number } from "../../lib/format.js";
import { param, setParams } from "../../lib/router.js";
import { isNumeric, scaleOf, word } from "../../lib/scales.js";
import { Blank, Loaded } from "../../components/states.js";
import { Axes, frameOf, useWidth } from "../../components/figure/axes.js";
import { FieldSelect, Told, useTable } from "./data.js";

/** @typedef {{ name: string, values: number[] }} Group */

/** Different numbers of a field up to which each has a group of its own; more of them are put together by ranges. */
const MOST_NUMBERS = 10;
const RANGES = 6;
const MOST_GROUPS = 24;

/** @param {import("./data.js").ChartProps} props */
export function Groups({ ns, project, names, filter }) {
  const metric = param("y", measure(names.summary) || "duration");
  const by = param("by", parameter(names.config) || "created");
  const kind = param("kind") === "bar" ? "bar" : "box";
  const found = useTable(ns, project, filter, [metric, by]);
  return html`<section class="card" aria-label="Bars and boxes">
    <div class="row wrap controls body">
      <${FieldSelect} label="Metric" value=${metric} names=${names} set=${(/** @type {string} */ field) => setParams({ y: field })} />
      <${FieldSelect} label="By" value=${by} names=${names} set=${(/** @type {string} */ field) => setParams({ by: field })} />
      <label class="field"><span>Drawn as</span><select class="input" onChange=${(/** @type {any} */ event) => setParams({ kind: event.target.value === "bar" ? "bar" : "" })}><option value="box" selected=${kind === "box"}>Boxes</option><option value="bar" selected=${kind === "bar"}>Bars of the mean</option></select></label>
    </div>
    <${Loaded} of=${found}>${(/** @type {any} */ data) => html`<${Figure} data=${data} metric=${metric} by=${by} kind=${kind} />`}</${Loaded}>
  </section>`;
}

/** @param {{ data: { rows: import("./data.js").Row[], total: number }, metric: string, by: string, kind: "bar" | "box" }} props */
function Figure({ data, metric, by, kind }) {
  const { root, width } = useWidth();
  const rows = data.rows.filter(row => Number.isFinite(row.of[metric]) && row.of[by] !== null && row.of[by] !== undefined);
  const all = grouped(rows.map(row => [row.of[by], row.of[metric]]));
  if (!all.length) return html`<div ref=${root}><${Blank} title="No run has both"><p>None of the runs has a number as <code>${metric}</code> and a value of <code>${by}</code>.</p></${Blank}></div>`;
  const groups = all.slice(0, MOST_GROUPS);
  const figures = groups.map(group => ({ ...group, ...figuresOf(group.values) }));
  const up = scaleOf(kind === "bar" ? [0, ...figures.map(each => each.mean)] : figures.flatMap(each => [each.least, each.most]));
  const frame = frameOf(up, { width });
  const place = (/** @type {number} */ index) => (index + 0.5) / groups.length;
  const across = { .../** @type {any} */ (up), ticks: groups.map((group, index) => ({ at: place(index), text: group.name })) };
  const wide = Math.min(90, (width * 0.52) / groups.length);
  return html`<div class="figure" ref=${root}><svg viewBox=${`0 0 ${frame.width} ${frame.height}`} role="img" aria-label=${`${metric} by ${by}: ${groups.length} groups`}>
    <${Axes} frame=${frame} across=${across} up=${up} x=${by} y=${kind === "bar" ? `mean of ${metric}` : metric} />
    ${figures.map((each, index) => html`<g key=${each.name} class="group" style=${{ color: colorAt(index) }}><title>${told(each)}</title>${kind === "bar" ? html`<${Bar} frame=${frame} up=${up} at=${frame.x(place(index))} wide=${wide} mean=${each.mean} />` : html`<${Box} frame=${frame} up=${up} at=${frame.x(place(index))} wide=${wide} of=${each} />`}</g>`)}
  </svg></div>
  <div class="body"><${Told} data=${data} drawn=${rows.length} />${all.length > groups.length && html`<p class="hint">The ${groups.length} largest of ${all.length} groups.</p>`}
    <details><summary>Figures</summary><div class="scroll-x"><table class="table"><thead><tr><th>${by}</th>${["Runs", "Mean", "Median", "Least", "Greatest"].map(name => html`<th class="num" key=${name}>${name}</th>`)}</tr></thead>
      <tbody>${figures.map(each => html`<tr key=${each.name}><td>${each.name}</td>${[each.values.length, each.mean, each.median, each.least, each.most].map((value, at) => html`<td class="num" key=${at}>${number(value)}</td>`)}</tr>`)}</tbody></table></div></details></div>`;
}

/** @param {{ frame: import("../../components/figure/axes.js").Frame, up: import("../../lib/scales.js").Scale, at: number, wide: number, mean: number }} props */
function Bar({ frame, up, at, wide, mean }) {
  const [zero, end] = [frame.y(up.at(0)), frame.y(up.at(mean))];
  return html`<rect x=${at - wide / 2} width=${wide} y=${Math.min(zero, end)} height=${Math.max(1, Math.abs(zero - end))} fill="currentColor" />`;
}

/** @param {{ frame: import("../../components/figure/axes.js").Frame, up: import("../../lib/scales.js").Scale, at: number, wide: number, of: ReturnType<typeof figuresOf> }} props */
function Box({ frame, up, at, wide, of }) {
  const y = (/** @type {number} */ value) => frame.y(up.at(value));
  const dash = (/** @type {number} */ value, /** @type {number} */ part) => html`<line x1=${at - wide * part} x2=${at + wide * part} y1=${y(value)} y2=${y(value)} />`;
  return html`<g class="box"><line x1=${at} x2=${at} y1=${y(of.least)} y2=${y(of.most)} />${dash(of.least, 0.2)}${dash(of.most, 0.2)}
    <rect x=${at - wide / 2} width=${wide} y=${y(of.third)} height=${Math.max(1, y(of.first) - y(of.third))} />${dash(of.median, 0.5)}<circle cx=${at} cy=${y(of.mean)} r="3.5" /></g>`;
}

/** @param {number[]} values */
export function figuresOf(values) {
  const sorted = [...values].sort((one, other) => one - other);
  /** @param {number} share */
  const quantile = share => {
    const place = (sorted.length - 1) * share;
    const [low, high] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
    return low + (high - low) * (place - Math.floor(place));
  };
  return { least: sorted[0], first: quantile(0.25), median: quantile(0.5), third: quantile(0.75), most: sorted[sorted.length - 1], mean: values.reduce((sum, value) => sum + value, 0) / values.length };
}

/** @param {Group & ReturnType<typeof figuresOf>} of */
function told(of) {
  return `${of.name}: ${of.values.length} runs, mean ${number(of.mean)}, median ${number(of.median)}, from ${number(of.least)} to ${number(of.most)}`;
}

/** @param {[unknown, number][]} pairs @returns {Group[]} */
function grouped(pairs) {
  const keys = pairs.map(([key]) => key);
  const many = isNumeric(keys) && new Set(keys).size > MOST_NUMBERS;
  const found = new Map(/** @type {[string, number[]][]} */ ([]));
  const edges = many ? edgesOf(/** @type {number[]} */ (keys).filter(Number.isFinite)) : [];
  for (const [key, value] of pairs) {
    const name = many ? rangeOf(/** @type {number} */ (key), edges) : word(key);
    found.set(name, [...(found.get(name) || []), value]);
  }
  const groups = [...found].map(([name, values]) => ({ name, values }));
  if (many) return edges.slice(1).map((_, at) => groups.find(group => group.name === named(edges, at))).filter(group => group !== undefined);
  if (groups.length > MOST_GROUPS) return groups.sort((one, other) => other.values.length - one.values.length);
  if (isNumeric(keys)) return groups.sort((one, other) => sizeOf(one.name) - sizeOf(other.name));
  return groups.sort((one, other) => one.name.localeCompare(other.name, "en", { numeric: true }));
}

/** The number that a name was written from. @param {string} name */
const sizeOf = name => Number(name.replaceAll(",", ""));

/** Ranges with as many runs in each as can be. @param {number[]} values */
function edgesOf(values) {
  const sorted = values.sort((one, other) => one - other);
  return [...new Set(Array.from({ length: RANGES + 1 }, (_, at) => sorted[Math.round((at / RANGES) * (sorted.length - 1))]))];
}

/** @param {number[]} edges @param {number} at */
const named = (edges, at) => `${number(edges[at], 3)} – ${number(edges[at + 1], 3)}`;

/** @param {number} value @param {number[]} edges */
function rangeOf(value, edges) {
  let at = 0;
  while (at < edges.length - 2 && value >= edges[at + 1]) at++;
  return named(edges, at);
}
