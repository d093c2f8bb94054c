/** A figure of a few common kinds of traces. It is drawn from numbers and words alone: whatever wrote the figure, nothing of it runs. */

import { html, useState } from "../../lib/html.js";
import { colorAt, rampOf } from "../../lib/colors.js";
import { inline, number } from "../../lib/format.js";
import { scaleOf, word } from "../../lib/scales.js";
import { Axes, frameOf, useWidth } from "./axes.js";

/**
 * @typedef {object} Trace
 * @property {"line" | "points" | "both" | "bar" | "heat" | "box" | "pie"} kind
 * @property {string} name @property {unknown[]} x @property {unknown[]} y @property {unknown[][]} [z] rows of a heat map, the lowest first
 * @property {string[]} [texts] a word for each point @property {boolean} [fill] down to zero @property {boolean} [lying] bars from left to right
 */
/** @typedef {{ title: string, log: boolean, reversed?: boolean }} AxisWords */
/** @typedef {{ title: string, x: AxisWords, y: AxisWords, traces: Trace[], stacked?: boolean }} Drawing */

/** Marks of a trace that are drawn; of more of them every second, third and so on is. */
const MOST_MARKS = 3000;
const MOST_CELLS = 10_000;
const DATE = /^\d{4}-\d\d-\d\d([T ]|$)/;

/** @typedef {{ kind: string, at: (value: unknown) => number, ticks: { at: number, text: string }[], band: number }} Axis */

/** @param {unknown[]} values @param {{ log: boolean, band?: boolean, zero?: boolean, reversed?: boolean }} how @returns {Axis} */
export function axisOf(values, how) {
  const there = values.filter(value => value !== null && value !== undefined);
  const dates = there.length > 0 && there.every(value => typeof value === "string" && DATE.test(value));
  const turned = (/** @type {Axis} */ axis) => (how.reversed ? { ...axis, at: (/** @type {unknown} */ value) => 1 - axis.at(value), ticks: axis.ticks.map(tick => ({ ...tick, at: 1 - tick.at })) } : axis);
  if (dates && !how.band) {
    const time = (/** @type {unknown} */ value) => Date.parse(String(value).replace(" ", "T"));
    const scale = scaleOf(there.map(time));
    return turned({ kind: "date", at: value => scale.at(time(value)), band: 0, ticks: scale.ticks.map(tick => ({ at: tick.at, text: new Date(Number(scale.back(tick.at))).toISOString().slice(0, 10) })) });
  }
  const names = [...new Set(there.map(word))];
  if (how.band && (names.length <= 80 || there.some(value => typeof value !== "number"))) {
    const sorted = there.every(value => typeof value === "number") ? names.sort((one, other) => Number(one.replaceAll(",", "")) - Number(other.replaceAll(",", ""))) : names;
    const place = new Map(sorted.map((name, at) => [name, (at + 0.5) / sorted.length]));
    return turned({ kind: "band", at: value => place.get(word(value)) ?? NaN, band: 1 / sorted.length, ticks: sorted.map(name => ({ at: /** @type {number} */ (place.get(name)), text: name })) });
  }
  const scale = scaleOf(how.zero ? [0, ...there] : there, how.log);
  return turned({ kind: scale.kind, at: scale.at, ticks: scale.ticks, band: how.band ? 1 / Math.max(1, names.length) : 0 });
}

/** @param {{ drawing: Drawing, label: string, height?: number }} props */
export function Figure({ drawing, label, height = 300 }) {
  const { root, width } = useWidth(420);
  const [near, setNear] = useState(/** @type {{ left: number, top: number, words: string } | null} */ (null));
  const { traces } = drawing;
  const kinds = new Set(traces.map(trace => trace.kind));
  const title = drawing.title && html`<figcaption class="cut" title=${drawing.title}>${drawing.title}</figcaption>`;
  if (kinds.has("pie")) return html`<figure class="drawing" ref=${root}>${title}<${Pie} trace=${/** @type {Trace} */ (traces.find(trace => trace.kind === "pie"))} label=${label} /></figure>`;
  const lying = traces.some(trace => trace.lying);
  const banded = kinds.has("bar") || kinds.has("heat") || kinds.has("box");
  const sums = drawing.stacked ? stackedSums(traces) : null;
  const ends = traces.flatMap(trace => (lying ? trace.x : trace.y));
  const [along, up] = [traces.flatMap(trace => trace.x), sums ? [...sums] : ends];
  const across = axisOf(lying ? up : along, { log: drawing.x.log, band: banded && !lying, zero: lying, reversed: drawing.x.reversed });
  const rising = axisOf(lying ? traces.flatMap(trace => trace.y) : up, { log: drawing.y.log, band: kinds.has("heat") || lying, zero: kinds.has("bar") && !lying, reversed: drawing.y.reversed });
  const frame = frameOf(rising, { width, height, margin: kinds.has("heat") || banded ? 2 : 10 });
  /** @type {{ x: number, y: number, words: string }[]} */
  const places = [];
  const drawn = traces.map((trace, index) => draw({ trace, index, traces, frame, across, up: rising, stacked: Boolean(drawing.stacked), places }));
  /** @param {PointerEvent} event */
  function point(event) {
    const { left, top } = /** @type {Element} */ (event.currentTarget).getBoundingClientRect();
    const [x, y] = [event.clientX - left, event.clientY - top];
    let best = null;
    let least = 40 ** 2;
    for (const place of places) {
      const far = (place.x - x) ** 2 + (place.y - y) ** 2;
      if (far < least) [best, least] = [place, far];
    }
    setNear(best && { left: best.x, top: best.y, words: best.words });
  }
  const named = traces.filter(trace => trace.name);
  return html`<figure class="drawing" ref=${root}>${title}
    <svg width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} role="img" aria-label=${label} onPointerMove=${point} onPointerLeave=${() => setNear(null)}>
      <${Axes} frame=${frame} across=${across} up=${rising} x=${drawing.x.title} y=${drawing.y.title} />${drawn}
      ${near && html`<circle class="near" cx=${near.left} cy=${near.top} r="4" />`}</svg>
    ${near && html`<div class="tip" style=${{ [near.left > width / 2 ? "right" : "left"]: `${(near.left > width / 2 ? width - near.left : near.left) + 12}px`, top: `${near.top}px` }}>${near.words}</div>`}
    ${(named.length > 1 || (named.length === 1 && traces.length > 1)) && html`<ul class="legend" aria-label="Traces">${traces.map((trace, at) => trace.name && html`<li class="row" key=${at}><span class="swatch" style=${{ background: colorAt(at) }} /><span class="cut">${trace.name}</span></li>`)}</ul>`}
  </figure>`;
}

/** @param {Trace[]} traces */
function stackedSums(traces) {
  const sums = new Map(/** @type {[string, number][]} */ ([]));
  for (const trace of traces) trace.x.forEach((x, at) => sums.set(word(x), (sums.get(word(x)) || 0) + (Number(trace.y[at]) || 0)));
  return sums.values();
}

/** @typedef {{ trace: Trace, index: number, traces: Trace[], frame: import("./axes.js").Frame, across: Axis, up: Axis, stacked: boolean, places: { x: number, y: number, words: string }[] }} Told */

/** @param {Told} told */
function draw(told) {
  const { kind } = told.trace;
  return kind === "heat" ? heat(told) : kind === "box" ? box(told) : kind === "bar" ? bars(told) : line(told);
}

/** @param {Trace} trace @param {number} at */
function words(trace, at) {
  return [trace.name, `${inline(trace.x[at], 60)}, ${inline(trace.y[at], 60)}`, trace.texts?.[at]].filter(Boolean).join(": ");
}

/** @param {Told} told */
function line({ trace, index, frame, across, up, places }) {
  const color = colorAt(index);
  const found = trace.x.map((x, at) => ({ x: frame.x(across.at(x)), y: frame.y(up.at(trace.y[at])), at }));
  const there = (/** @type {{ x: number, y: number }} */ place) => Number.isFinite(place.x) && Number.isFinite(place.y);
  const every = Math.ceil(found.length / MOST_MARKS);
  const marks = found.filter((place, at) => at % every === 0 && there(place));
  for (const place of marks) places.push({ x: place.x, y: place.y, words: words(trace, place.at) });
  let path = "";
  found.forEach((place, at) => { if (there(place)) path += `${at && there(found[at - 1]) ? "L" : "M"}${place.x.toFixed(1)} ${place.y.toFixed(1)}`; });
  const [first, last] = [found.find(there), found.findLast(there)];
  const ground = frame.y(Math.max(0, Math.min(1, Number.isFinite(up.at(0)) ? up.at(0) : 0)));
  return html`<g key=${index}>
    ${trace.fill && first && last && html`<path d=${`${path}L${last.x.toFixed(1)} ${ground}L${first.x.toFixed(1)} ${ground}Z`} fill=${color} fill-opacity="0.18" />`}
    ${trace.kind !== "points" && html`<path d=${path} fill="none" stroke=${color} stroke-width="1.6" stroke-linejoin="round" />`}
    ${trace.kind !== "line" && marks.map(place => html`<circle key=${place.at} cx=${place.x.toFixed(1)} cy=${place.y.toFixed(1)} r="3" fill=${color} fill-opacity="0.75" />`)}</g>`;
}

/** @param {Told} told */
function bars({ trace, index, traces, frame, across, up, stacked, places }) {
  const among = traces.filter(each => each.kind === "bar");
  const [mine, all] = [among.indexOf(trace), stacked ? 1 : among.length];
  const flat = Boolean(trace.lying);
  const [base, end] = flat ? [up, across] : [across, up];
  const span = Math.abs(flat ? frame.y(0) - frame.y(1) : frame.x(1) - frame.x(0)) * (base.band || 1 / Math.max(1, trace.x.length));
  const thick = Math.max(1, (span * 0.76) / all);
  return html`<g key=${index}>${trace.x.slice(0, MOST_MARKS).map((_, at) => {
    const [name, value] = flat ? [trace.y[at], trace.x[at]] : [trace.x[at], trace.y[at]];
    const below = stacked ? among.slice(0, mine).reduce((sum, each) => sum + (Number((flat ? each.x : each.y)[(flat ? each.y : each.x).findIndex(other => word(other) === word(name))]) || 0), 0) : 0;
    const place = base.at(name);
    const [from, to] = [end.at(below), end.at(below + Number(value))];
    if (![place, from, to].every(Number.isFinite)) return null;
    const middle = (flat ? frame.y(place) : frame.x(place)) + (stacked ? 0 : (mine - (all - 1) / 2) * thick);
    const [one, other] = flat ? [frame.x(from), frame.x(to)] : [frame.y(from), frame.y(to)];
    const [low, size] = [Math.min(one, other), Math.max(1, Math.abs(one - other))];
    places.push(flat ? { x: other, y: middle, words: words(trace, at) } : { x: middle, y: other, words: words(trace, at) });
    return flat ? html`<rect x=${low} y=${middle - thick / 2} width=${size} height=${thick} fill=${colorAt(index)} />` : html`<rect x=${middle - thick / 2} y=${low} width=${thick} height=${size} fill=${colorAt(index)} />`;
  })}</g>`;
}

/** @param {Told} told */
function heat({ trace, index, frame, across, up, places }) {
  const rows = trace.z || [];
  const values = /** @type {number[]} */ (rows.flat().filter(value => typeof value === "number" && Number.isFinite(value)));
  const [low, high] = values.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, -Infinity]);
  const [wide, tall] = [(frame.x(1) - frame.x(0)) * across.band, Math.abs(frame.y(0) - frame.y(1)) * up.band];
  const written = rows.length <= 12 && trace.x.length <= 12 && wide > 26 && tall > 14;
  const cells = rows.length * trace.x.length > MOST_CELLS ? [] : rows.flatMap((row, down) => row.map((value, at) => ({ value, x: trace.x[at], y: trace.y[down] })));
  return html`<g key=${index}>${cells.map(cell => {
    const [x, y] = [frame.x(across.at(cell.x)), frame.y(up.at(cell.y))];
    if (!Number.isFinite(x) || !Number.isFinite(y)) return null;
    const share = typeof cell.value === "number" ? (cell.value - low) / (high - low || 1) : NaN;
    places.push({ x, y, words: `${inline(cell.x, 40)}, ${inline(cell.y, 40)}: ${inline(cell.value)}` });
    return html`<rect x=${x - wide / 2} y=${y - tall / 2} width=${wide + 0.5} height=${tall + 0.5} fill=${rampOf(share)} />${written && html`<text class="cell" x=${x} y=${y + 4} text-anchor="middle" style=${{ fill: share > 0.7 ? "#10161f" : "#fff" }}>${number(cell.value, 3)}</text>`}`;
  })}${!cells.length && html`<text x=${frame.x(0.5)} y=${frame.y(0.5)} text-anchor="middle">too many cells to draw</text>`}</g>`;
}

/** @param {Told} told */
function box({ trace, index, frame, across, up, places }) {
  const groups = new Map(/** @type {[string, number[]][]} */ ([]));
  trace.y.forEach((value, at) => { if (typeof value === "number" && Number.isFinite(value)) groups.set(word(trace.x[at]), [...(groups.get(word(trace.x[at])) || []), value]); });
  const wide = Math.min(60, (frame.x(1) - frame.x(0)) * across.band * 0.5);
  return html`<g key=${index} class="box" style=${{ color: colorAt(index) }}>${[...groups].map(([name, values]) => {
    const sorted = values.sort((one, other) => one - other);
    const at = (/** @type {number} */ share) => { const place = (sorted.length - 1) * share; const down = Math.floor(place); return sorted[down] + ((sorted[down + 1] ?? sorted[down]) - sorted[down]) * (place - down); };
    const [least, low, middle, high, most] = [0, 0.25, 0.5, 0.75, 1].map(share => frame.y(up.at(at(share))));
    const x = frame.x(across.at(name));
    places.push({ x, y: middle, words: `${name}: median ${number(at(0.5))}, quarters ${number(at(0.25))} to ${number(at(0.75))}, from ${number(at(0))} to ${number(at(1))}` });
    return html`<line x1=${x} x2=${x} y1=${least} y2=${low} /><line x1=${x} x2=${x} y1=${high} y2=${most} /><rect x=${x - wide / 2} width=${wide} y=${high} height=${Math.max(1, low - high)} /><line x1=${x - wide / 2} x2=${x + wide / 2} y1=${middle} y2=${middle} />`;
  })}</g>`;
}

/** @param {{ trace: Trace, label: string }} props */
function Pie({ trace, label }) {
  const values = trace.y.map(value => Math.max(0, Number(value) || 0));
  const whole = values.reduce((sum, value) => sum + value, 0) || 1;
  let from = 0;
  const parts = values.slice(0, 60).map((value, at) => {
    const [start, end] = [from, from += value / whole];
    const spot = (/** @type {number} */ turn) => `${(100 + 90 * Math.sin(turn * 2 * Math.PI)).toFixed(2)} ${(100 - 90 * Math.cos(turn * 2 * Math.PI)).toFixed(2)}`;
    const path = value / whole > 0.9999 ? "M100 10A90 90 0 1 1 99.99 10Z" : `M100 100L${spot(start)}A90 90 0 ${end - start > 0.5 ? 1 : 0} 1 ${spot(end)}Z`;
    return html`<path key=${at} d=${path} fill=${colorAt(at)} stroke="var(--surface)"><title>${word(trace.x[at])}: ${number(value)}</title></path>`;
  });
  return html`<div class="row wrap"><svg viewBox="0 0 200 200" width="200" height="200" role="img" aria-label=${label}>${parts}</svg>
    <ul class="stack small">${values.slice(0, 30).map((value, at) => html`<li class="row" key=${at}><span class="dot" style=${{ background: colorAt(at) }} />${word(trace.x[at])} <span class="muted num">${((100 * value) / whole).toFixed(1)} %</span></li>`)}</ul></div>`;
}
