/** The lines of parallel coordinates on a canvas, and over it the axes, each of which takes a brush. */

import { html, useEffect, useMemo, useRef, useState } from "../../lib/html.js";
import { faded } from "../../lib/colors.js";
import { isDark } from "../../lib/prefs.js";
import { navigate, param, setParams, to } from "../../lib/router.js";
import { scaleOf, word } from "../../lib/scales.js";
import { Icon } from "../../components/icons.js";
import { quoted } from "../workspace/filterbar.js";

/** @typedef {import("./data.js").Row} Row */
/** @typedef {import("../../lib/scales.js").Scale} Scale */
/** @typedef {Record<string, [number, number]>} Brushes of a field: the places from which and to which */

const HEIGHT = 420;
const [TOP, BOTTOM, SIDE] = [46, 18, 74];
const STEP = 0.05;
/** Values that are not there are drawn below the axis. */
const NOWHERE = -0.035;

/** @param {{ ns: string, project: string, filter: string, rows: Row[], axes: string[], target: string, remove: (field: string) => void }} props */
export function Plot({ ns, project, filter, rows, axes, target, remove }) {
  const root = useRef(/** @type {HTMLElement | null} */ (null));
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const [width, setWidth] = useState(0);
  const [near, setNear] = useState(/** @type {Row | null} */ (null));
  const brushes = readBrushes(param("brush"), axes);
  const scales = useMemo(() => axes.map(field => scaleOf(rows.map(row => row.of[field]), spread(rows, field))), [rows, axes.join("\n")]);
  const places = useMemo(() => rows.map(row => axes.map((field, at) => scales[at].at(row.of[field]))), [rows, scales]);
  const held = rows.filter((_, index) => axes.every((field, at) => inside(brushes[field], places[index][at])));
  const x = (/** @type {number} */ at) => (axes.length > 1 ? SIDE + (at * (width - 2 * SIDE)) / (axes.length - 1) : width / 2);

  useEffect(() => {
    const watcher = new ResizeObserver(([entry]) => setWidth(entry.contentRect.width));
    watcher.observe(/** @type {HTMLElement} */ (root.current));
    return () => watcher.disconnect();
  }, []);
  useEffect(() => {
    if (!canvas.current || !width) return;
    const shade = scales[axes.indexOf(target)];
    const among = new Set(held);
    const lines = rows.map((row, index) => ({ at: places[index], on: among.has(row), near: row === near, color: shade.shade(row.of[target]) }));
    draw(canvas.current, width, lines, x);
  }, [rows, scales, width, JSON.stringify(brushes), near, isDark.value]);

  /** @param {string} field @param {[number, number] | null} range */
  function brush(field, range) {
    const made = { ...brushes };
    if (range) made[field] = range;
    else delete made[field];
    setParams({ brush: Object.keys(made).length ? JSON.stringify(made) : null });
  }
  /** The run whose line is nearest to the pointer. @param {PointerEvent | MouseEvent} event */
  function find(event) {
    const box = /** @type {HTMLElement} */ (root.current).getBoundingClientRect();
    const place = axes.length > 1 ? ((event.clientX - box.left - SIDE) / (width - 2 * SIDE)) * (axes.length - 1) : 0;
    const first = Math.max(0, Math.min(axes.length - 2, Math.floor(place)));
    const among = new Set(held);
    let best = /** @type {Row | null} */ (null);
    let least = 14;
    rows.forEach((row, index) => {
      if (!among.has(row)) return;
      const [one, other] = [height(places[index][first]), height(places[index][first + 1] ?? places[index][first])];
      const far = Math.abs(one + (other - one) * (place - first) - (event.clientY - box.top));
      if (far < least) [best, least] = [row, far];
    });
    return best;
  }
  const brushed = Object.keys(brushes).length > 0;
  return html`<div class="parallel" ref=${root} style=${{ height: `${HEIGHT}px` }}>
      <canvas ref=${canvas} role="img" aria-label=${`${held.length} of ${rows.length} runs over ${axes.length} axes`} onPointerMove=${(/** @type {PointerEvent} */ event) => setNear(find(event))} onPointerLeave=${() => setNear(null)}
        onClick=${(/** @type {MouseEvent} */ event) => { const row = find(event); if (row) navigate(to(ns, project, "runs", row.run)); }} />
      ${width > 0 && axes.map((field, at) => html`<${Axis} key=${field} field=${field} scale=${scales[at]} left=${x(at)} room=${(width - 2 * SIDE) / Math.max(1, axes.length - 1)} range=${brushes[field]} brush=${(/** @type {any} */ range) => brush(field, range)} remove=${field === target ? undefined : () => remove(field)} />`)}
      ${near && html`<div class="tip parallel-tip"><div class="row first"><span class="cut">${near.name}</span></div></div>`}
    </div>
    <div class="row wrap body"><span class="hint grow">${brushed ? `${held.length.toLocaleString("en-US")} of ${rows.length.toLocaleString("en-US")} runs in the brushes` : "Drag along an axis to keep the runs that pass there; with keys, ↑ ↓ move a brush and Shift widens it."}</span>
      ${brushed && html`<button class="btn" onClick=${() => setParams({ brush: null })}>Clear the brushes</button><a class="btn" href=${`${to(ns, project)}?${new URLSearchParams({ filter: narrowed(filter, brushes, axes, scales) })}`}>Open these in the workspace</a>`}</div>`;
}

/** @param {{ field: string, scale: Scale, left: number, room: number, range?: [number, number], brush: (range: [number, number] | null) => void, remove?: () => void }} props */
function Axis({ field, scale, left, room, range, brush, remove }) {
  const [drag, setDrag] = useState(/** @type {[number, number] | null} */ (null));
  const shown = drag || range;
  /** @param {PointerEvent} event */
  function begin(event) {
    const element = /** @type {HTMLElement} */ (event.currentTarget);
    element.setPointerCapture(event.pointerId);
    const box = element.getBoundingClientRect();
    const place = (/** @type {PointerEvent} */ at) => Math.max(0, Math.min(1, 1 - (at.clientY - box.top) / box.height));
    const from = place(event);
    let made = /** @type {[number, number]} */ ([from, from]);
    element.onpointermove = moved => {
      const at = place(moved);
      made = [Math.min(from, at), Math.max(from, at)];
      setDrag(made);
    };
    element.onpointerup = () => {
      element.onpointermove = element.onpointerup = null;
      setDrag(null);
      brush(made[1] - made[0] > 0.01 ? rounded(made) : null);
    };
  }
  /** @param {KeyboardEvent} event */
  function onKey(event) {
    const step = /** @type {Record<string, number>} */ ({ ArrowUp: STEP, ArrowDown: -STEP })[event.key];
    if (event.key === "Escape" || event.key === "Delete") brush(null);
    else if (!step) return;
    else {
      const [low, high] = range || [step > 0 ? 0.5 : 0, step > 0 ? 1 : 0.5];
      const moved = !range ? [low, high] : event.shiftKey ? [low, high + step] : [low + step, high + step];
      if (moved[1] - moved[0] > 0.01 && moved[0] > -1e-9 && moved[1] < 1 + 1e-9) brush(rounded(/** @type {any} */ (moved)));
    }
    event.preventDefault();
  }
  const said = range ? `from ${word(scale.back(range[0]))} to ${word(scale.back(range[1]))}` : "no brush";
  return html`<div class="axis" style=${{ left: `${left}px` }}>
    <div class="axis-head" style=${{ width: `${Math.max(60, Math.min(170, room - 6))}px` }}><span class="cut" title=${field}>${field.replace(/^(config|summary)\./, "")}</span>${remove && html`<button class="eye" aria-label=${`Take the axis ${field} away`} onClick=${remove}><${Icon} name="close" /></button>`}</div>
    <div class="axis-line" style=${{ top: `${TOP}px`, bottom: `${BOTTOM}px` }} tabindex="0" role="slider" aria-orientation="vertical" aria-label=${`Brush of ${field}`} aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round((range ? range[0] : 0) * 100)} aria-valuetext=${said} onPointerDown=${begin} onKeyDown=${onKey}>
      ${shown && html`<span class="brush" style=${{ bottom: `${shown[0] * 100}%`, height: `${(shown[1] - shown[0]) * 100}%` }} />`}
      ${scale.ticks.map(tick => html`<span class="tick" key=${tick.text} style=${{ bottom: `${tick.at * 100}%` }}>${tick.text}</span>`)}</div>
  </div>`;
}

/** @param {number} place */
function height(place) {
  return TOP + (1 - (Number.isFinite(place) ? place : NOWHERE)) * (HEIGHT - TOP - BOTTOM);
}

/** @param {HTMLCanvasElement} canvas @param {number} width @param {{ at: number[], on: boolean, near: boolean, color: string }[]} lines @param {(at: number) => number} x */
function draw(canvas, width, lines, x) {
  const ratio = devicePixelRatio || 1;
  [canvas.width, canvas.height] = [width * ratio, HEIGHT * ratio];
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.scale(ratio, ratio);
  const order = (/** @type {{ on: boolean, near: boolean }} */ line) => (line.near ? 2 : line.on ? 1 : 0);
  const grey = isDark.peek() ? "#4a5361" : "#c3c9d2";
  const alpha = lines.length > 300 ? 0.45 : lines.length > 80 ? 0.65 : 0.85;
  for (const line of [...lines].sort((one, other) => order(one) - order(other))) {
    context.beginPath();
    line.at.forEach((place, at) => (at ? bend(context, x(at - 1), height(line.at[at - 1]), x(at), height(place)) : context.moveTo(x(at), height(place))));
    context.strokeStyle = line.near ? line.color : line.on ? faded(line.color, alpha) : faded(grey, 0.35);
    context.lineWidth = line.near ? 3 : line.on ? 1.4 : 1;
    context.stroke();
  }
}

/** @param {CanvasRenderingContext2D} context @param {number} fromX @param {number} fromY @param {number} toX @param {number} toY */
function bend(context, fromX, fromY, toX, toY) {
  const third = (toX - fromX) / 3;
  context.bezierCurveTo(fromX + third, fromY, toX - third, toY, toX, toY);
}

/** Whether a field is drawn by its logarithm: rates of learning and the like span decades. @param {Row[]} rows @param {string} field */
function spread(rows, field) {
  const values = rows.map(row => row.of[field]).filter(Number.isFinite);
  const [low, high] = values.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, -Infinity]);
  return low > 0 && high / low >= 100;
}

/** @param {[number, number] | undefined} range @param {number} place */
function inside(range, place) {
  return !range || (place >= range[0] - 1e-9 && place <= range[1] + 1e-9);
}

/** @param {[number, number]} range @returns {[number, number]} */
function rounded(range) {
  return [Number(Math.max(0, range[0]).toFixed(4)), Number(Math.min(1, range[1]).toFixed(4))];
}

/** @param {string} text @param {string[]} axes @returns {Brushes} */
function readBrushes(text, axes) {
  try {
    const given = Object.entries(JSON.parse(text || "{}"));
    return Object.fromEntries(given.filter(([field, range]) => axes.includes(field) && Array.isArray(range) && range.length === 2 && range.every(Number.isFinite)));
  } catch {
    return {};
  }
}

/** The filter of the runs that are in all brushes. @param {string} filter @param {Brushes} brushes @param {string[]} axes @param {Scale[]} scales */
function narrowed(filter, brushes, axes, scales) {
  const parts = Object.entries(brushes).map(([field, [low, high]]) => {
    const scale = scales[axes.indexOf(field)];
    if (scale.kind === "number") return `${quoted(field)} >= ${scale.back(low)} and ${quoted(field)} <= ${scale.back(high)}`;
    return `${quoted(field)} in (${scale.ticks.filter(tick => inside([low, high], tick.at)).map(tick => JSON.stringify(tick.text)).join(", ")})`;
  });
  return [filter && `(${filter})`, ...parts].filter(Boolean).join(" and ");
}
