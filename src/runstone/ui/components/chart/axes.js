/** The axes of a chart, and values of theirs as text. */

import { duration, moment, number, short } from "../../lib/format.js";

/** @param {string} name */
function color(name) {
  return () => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** @param {import("./linechart.js").Look} look */
export function axes(look) {
  const shared = {
    stroke: color("--ink-3"),
    font: "11px system-ui, sans-serif",
    grid: { stroke: color("--edge"), width: 1 },
    ticks: { show: false },
    border: { show: false },
  };
  const across = look.axis === "relative"
    ? { values: (/** @type {any} */ _, /** @type {number[]} */ splits) => splits.map(duration), incrs: SPANS, space: 70 }
    : look.axis === "time" ? { space: 70 } : { values: (/** @type {any} */ _, /** @type {number[]} */ splits) => splits.map(tick), space: 60 };
  return [
    { ...shared, ...across, size: 26, gap: 4 },
    { ...shared, size: width, gap: 4, space: 34, values: (/** @type {any} */ _, /** @type {number[]} */ splits) => ticks(splits) },
  ];
}

const SPANS = [1e-3, 1e-2, 0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 2592000];

/** @param {number | null} value */
function tick(value) {
  if (value === null || value === undefined) return "";
  return Math.abs(value) >= 10_000 && Number.isFinite(value) ? short(value) : number(value, 4);
}

/** Values along an axis, in as many digits as tell them apart. @param {(number | null)[]} splits */
function ticks(splits) {
  const texts = splits.map(tick);
  for (let digits = 5; digits <= 12 && new Set(texts.filter(Boolean)).size < texts.filter(Boolean).length; digits++) splits.forEach((value, at) => { texts[at] = value === null ? "" : number(value, digits); });
  return texts;
}

/** As wide as the longest text. @param {any} _ @param {string[] | null} values */
function width(_, values) {
  const longest = Math.max(3, ...(values || []).map(text => (text || "").length));
  return 14 + longest * 6.4;
}

/** A place along x. @param {number} x @param {string} axis */
export function xText(x, axis) {
  if (axis === "time") return moment(x * 1e6);
  if (axis === "relative") return duration(x);
  return axis === "step" ? `step ${Math.round(x).toLocaleString("en-US")}` : `${axis} ${number(x)}`;
}
