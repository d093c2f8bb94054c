/** Lines on a canvas. A line with more points than the canvas has columns is reduced to what each column would show of it. */

import { faded } from "../../lib/colors.js";

/** @typedef {import("../../lib/lines.js").Line} Line */
/**
 * @typedef {object} Frame where the values of a chart are on its canvas, in device pixels
 * @property {(x: number) => number} x @property {(y: number) => number} y
 * @property {number} left @property {number} top @property {number} width @property {number} height
 * @property {number} ratio device pixels to one of CSS
 */
/** @typedef {{ band: boolean, raw: boolean, width: number, alpha: number }} Style */

/**
 * @param {CanvasRenderingContext2D} context @param {Line[]} lines @param {Frame} frame @param {Style} style
 */
export function paint(context, lines, frame, style) {
  context.save();
  context.beginPath();
  context.rect(frame.left, frame.top, frame.width, frame.height);
  context.clip();
  context.lineJoin = "round";
  context.lineCap = "round";
  for (const line of lines) {
    if (style.band && line.lo && line.hi) fill(context, line, frame);
    if (style.raw && line.raw) {
      context.lineWidth = frame.ratio;
      context.strokeStyle = faded(line.color, 0.28);
      trace(context, line.x, line.raw, frame);
    }
    context.lineWidth = style.width * frame.ratio;
    context.strokeStyle = style.alpha < 1 ? faded(line.color, style.alpha) : line.color;
    trace(context, line.x, line.y, frame);
  }
  context.restore();
}

/** @param {CanvasRenderingContext2D} context @param {Float64Array} xs @param {Float64Array} ys @param {Frame} frame */
function trace(context, xs, ys, frame) {
  context.beginPath();
  const [from, to] = visible(xs, frame);
  if (to - from > 2 * frame.width) columns(context, xs, ys, frame, from, to);
  else points(context, xs, ys, frame, from, to);
  context.stroke();
  if (to - from === 1 && Number.isFinite(ys[from])) {
    context.beginPath();
    context.arc(frame.x(xs[from]), frame.y(ys[from]), 2.5 * frame.ratio, 0, 7);
    context.fillStyle = context.strokeStyle;
    context.fill();
  }
}

/** @param {CanvasRenderingContext2D} context @param {Float64Array} xs @param {Float64Array} ys @param {Frame} frame @param {number} from @param {number} to */
function points(context, xs, ys, frame, from, to) {
  let down = false;
  for (let at = from; at < to; at++) {
    const y = ys[at];
    const place = frame.y(y);
    if (!Number.isFinite(place)) {
      down = false;
      continue;
    }
    if (!down) context.moveTo(frame.x(xs[at]), place);
    // Also to itself: a point between two gaps is a dot.
    context.lineTo(frame.x(xs[at]), place);
    down = true;
  }
}

/** @param {CanvasRenderingContext2D} context @param {Float64Array} xs @param {Float64Array} ys @param {Frame} frame @param {number} from @param {number} to */
function columns(context, xs, ys, frame, from, to) {
  let column = NaN;
  let [least, most, last, down] = [0, 0, 0, false];
  for (let at = from; at < to; at++) {
    const y = frame.y(ys[at]);
    if (!Number.isFinite(y)) continue;
    const x = Math.round(frame.x(xs[at]));
    if (x !== column) {
      if (down && least !== most) {
        context.lineTo(column, least);
        context.lineTo(column, most);
        context.lineTo(column, last);
      }
      if (down) context.lineTo(x, y);
      else context.moveTo(x, y);
      [column, least, most, down] = [x, y, y, true];
    } else if (y < least) least = y;
    else if (y > most) most = y;
    last = y;
  }
}

/** @param {CanvasRenderingContext2D} context @param {Line} line @param {Frame} frame */
function fill(context, line, frame) {
  const [lo, hi] = [/** @type {Float64Array} */ (line.lo), /** @type {Float64Array} */ (line.hi)];
  const [from, to] = visible(line.x, frame);
  context.beginPath();
  let begun = false;
  for (let at = from; at < to; at++) {
    const place = frame.y(hi[at]);
    if (!Number.isFinite(place)) continue;
    if (begun) context.lineTo(frame.x(line.x[at]), place);
    else context.moveTo(frame.x(line.x[at]), place);
    begun = true;
  }
  for (let at = to - 1; at >= from; at--) {
    const place = frame.y(lo[at]);
    if (Number.isFinite(place)) context.lineTo(frame.x(line.x[at]), place);
  }
  context.closePath();
  context.fillStyle = faded(line.color, 0.16);
  context.fill();
}

/** The points of a line that a frame shows, and one more at either side. @param {Float64Array} xs @param {Frame} frame */
function visible(xs, frame) {
  const first = search(xs, place => frame.x(place) >= frame.left);
  const last = search(xs, place => frame.x(place) > frame.left + frame.width);
  return [Math.max(0, first - 1), Math.min(xs.length, last + 1)];
}

/** The first place of ascending values at which something holds. @param {Float64Array} values @param {(value: number) => boolean} holds */
export function search(values, holds) {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(values[middle])) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * Of each line the point nearest to x, the nearest line to a place first.
 * @param {Line[]} lines @param {number} x @param {number} top in device pixels @param {Frame} frame
 * @returns {{ line: Line, at: number, far: number }[]}
 */
export function nearest(lines, x, top, frame) {
  const found = [];
  const reach = 40 * frame.ratio;
  for (const line of lines) {
    let at = search(line.x, value => value >= x);
    if (at >= line.x.length || (at > 0 && x - line.x[at - 1] < line.x[at] - x)) at--;
    if (at < 0 || !Number.isFinite(line.y[at])) continue;
    const aside = Math.abs(frame.x(line.x[at]) - frame.x(x));
    if (aside > reach) continue;
    found.push({ line, at, far: Math.abs(frame.y(line.y[at]) - top) + aside / 4 });
  }
  return found.sort((one, other) => one.far - other.far);
}
