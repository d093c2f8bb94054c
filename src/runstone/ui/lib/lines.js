/** From what the server drew to the lines of a chart: the axis along x, expressions, smoothing, groups. */

import { smooth } from "./smoothing.js";

/**
 * @typedef {object} Line
 * @property {string} id @property {string} name @property {string} color @property {string[]} runs full names of what it stands for
 * @property {Float64Array} x @property {Float64Array} y @property {Float64Array} [lo] @property {Float64Array} [hi]
 * @property {Float64Array} [raw] y before it was smoothed
 */

/** The x of a line on an axis; times are seconds. @param {import("./series.js").Drawn} drawn @param {string} axis */
export function along(drawn, axis) {
  if (axis === "time") return drawn.x.map(value => value / 1e6);
  if (axis === "relative") return drawn.x.map(value => (value - drawn.started) / 1e6);
  return drawn.x;
}

/**
 * An expression over several keys of a run, where all of them have a bucket.
 * @param {import("./series.js").Drawn[]} drawn of one run @param {{ keys: string[], compute: import("./expression.js").Compute }} expression
 * @returns {import("./series.js").Drawn | null}
 */
export function combine(drawn, expression) {
  const of = new Map(drawn.map(each => [each.key, each]));
  const parts = expression.keys.map(key => of.get(key));
  const first = parts[0];
  if (!first || parts.some(part => !part)) return null;
  const places = parts.map(part => new Map(Array.from(/** @type {any} */ (part).x, (value, at) => [value, at])));
  const x = [];
  const y = [];
  for (const value of first.x) {
    if (!places.every(place => place.has(value))) continue;
    x.push(value);
    y.push(expression.compute(name => {
      const at = expression.keys.indexOf(name);
      return /** @type {any} */ (parts[at]).y[/** @type {number} */ (places[at].get(value))];
    }));
  }
  const computed = Float64Array.from(y);
  return { ...first, key: "", x: Float64Array.from(x), y: computed, lo: computed, hi: computed };
}

/** Points in the order of x, which a key along x may not be in. @param {Line} line @returns {Line} */
export function ordered(line) {
  let sorted = true;
  for (let at = 1; at < line.x.length && sorted; at++) sorted = line.x[at] >= line.x[at - 1];
  if (sorted) return line;
  const order = Array.from(line.x.keys()).sort((one, other) => line.x[one] - line.x[other]);
  const pick = (/** @type {Float64Array | undefined} */ column) => column && Float64Array.from(order, at => column[at]);
  return { ...line, x: /** @type {Float64Array} */ (pick(line.x)), y: /** @type {Float64Array} */ (pick(line.y)), lo: pick(line.lo), hi: pick(line.hi) };
}

/** @param {Line} line @param {import("./smoothing.js").Smoothing} how @returns {Line} */
export function smoothed(line, how) {
  const y = smooth(line.x, line.y, how);
  return y === line.y ? line : { ...line, y, raw: line.y };
}

/**
 * Lines of a group as one: their mean, and a band from the least to the greatest of them, on a grid over all of x.
 * @param {Line[]} lines @param {{ id: string, name: string, color: string }} group @param {number} [places]
 * @returns {Line}
 */
export function band(lines, group, places = 500) {
  const runs = lines.flatMap(line => line.runs);
  if (lines.length === 1) return { ...lines[0], ...group, runs };
  let first = Infinity;
  let last = -Infinity;
  const every = new Set(/** @type {number[]} */ ([]));
  for (const line of lines) {
    first = Math.min(first, line.x[0]);
    last = Math.max(last, line.x[line.x.length - 1]);
    if (every.size <= places) line.x.forEach(value => every.add(value));
  }
  const x = every.size <= places ? Float64Array.from(every).sort() : Float64Array.from({ length: places }, (_, at) => first + ((last - first) * at) / (places - 1));
  const [y, lo, hi] = [new Float64Array(x.length), new Float64Array(x.length), new Float64Array(x.length)];
  const at = lines.map(() => 0);
  for (let place = 0; place < x.length; place++) {
    let [sum, count, least, most] = [0, 0, Infinity, -Infinity];
    lines.forEach((line, index) => {
      const value = between(line, x[place], at, index);
      if (!Number.isFinite(value)) return;
      sum += value;
      count++;
      least = Math.min(least, value);
      most = Math.max(most, value);
    });
    y[place] = count ? sum / count : NaN;
    lo[place] = count ? least : NaN;
    hi[place] = count ? most : NaN;
  }
  return { ...group, runs, x, y, lo, hi };
}

/** The value of a line at x, between its points; NaN beyond its ends. @param {Line} line @param {number} x @param {number[]} at @param {number} index */
function between(line, x, at, index) {
  const { x: xs, y: ys } = line;
  let place = at[index];
  while (place < xs.length - 1 && xs[place + 1] <= x) place++;
  at[index] = place;
  if (x < xs[0] || x > xs[xs.length - 1]) return NaN;
  if (xs[place] === x || place === xs.length - 1) return ys[place];
  return ys[place] + ((ys[place + 1] - ys[place]) * (x - xs[place])) / (xs[place + 1] - xs[place]);
}

/**
 * The least and greatest of what is drawn; with `clip`, of all but the outermost hundredth at either end.
 * @param {Line[]} lines @param {{ low: number, high: number }} range along x @param {{ clip: boolean, band: boolean, log: boolean }} how
 * @returns {[number, number]}
 */
export function extent(lines, range, how) {
  let [least, most] = [Infinity, -Infinity];
  const all = [];
  for (const line of lines) {
    const spread = how.band && line.lo && line.hi;
    for (let at = 0; at < line.x.length; at++) {
      if (line.x[at] < range.low || line.x[at] > range.high) continue;
      const low = spread ? /** @type {Float64Array} */ (line.lo)[at] : line.y[at];
      const high = spread ? /** @type {Float64Array} */ (line.hi)[at] : line.y[at];
      if (!Number.isFinite(low) || !Number.isFinite(high) || (how.log && low <= 0)) continue;
      if (how.clip) all.push(line.y[at]);
      if (low < least) least = low;
      if (high > most) most = high;
    }
  }
  if (how.clip && all.length > 20) {
    const sorted = Float64Array.from(all).sort();
    least = sorted[Math.floor(sorted.length * 0.01)];
    most = sorted[Math.ceil(sorted.length * 0.99) - 1];
  }
  if (least > most) return how.log ? [0.1, 1] : [0, 1];
  if (how.log) return least === most ? [least / 2, most * 2] : [least, most];
  const margin = (most - least) * 0.04 || Math.abs(most) * 0.1 || 1;
  return [least - margin, most + margin];
}
