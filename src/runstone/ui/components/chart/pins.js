/** Points of a chart that were pinned, each with its value and what was written to it. */

import { number } from "../../lib/format.js";
import { search } from "./painter.js";

/** @typedef {import("../../lib/lines.js").Line} Line */
/** @typedef {import("./painter.js").Frame} Frame */
/** @typedef {{ line: string, x: number, axis: string, text: string }} Pin `line` is the run, or the group */
/** @typedef {{ pin: Pin, line: Line, at: number }} Placed */

/** The pins of an axis that are on lines which are there, at the points nearest to them. @param {Pin[]} pins @param {Line[]} lines @param {string} axis @returns {Placed[]} */
export function placed(pins, lines, axis) {
  return pins.flatMap(pin => {
    const line = pin.axis === axis && lines.find(each => each.id === pin.line);
    if (!line || !line.x.length) return [];
    let at = search(line.x, value => value >= pin.x);
    if (at >= line.x.length || (at > 0 && pin.x - line.x[at - 1] < line.x[at] - pin.x)) at--;
    return Number.isFinite(line.y[at]) ? [{ pin, line, at }] : [];
  });
}

/** @param {CanvasRenderingContext2D} context @param {Placed[]} found @param {Frame} frame @param {{ ink: string, ground: string, edge: string }} colors */
export function paintPins(context, found, frame, colors) {
  const { ratio, left, top, width, height } = frame;
  context.save();
  context.font = `${11 * ratio}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  context.textAlign = "left";
  for (const { pin, line, at } of found) {
    const [x, y] = [frame.x(line.x[at]), frame.y(line.y[at])];
    if (x < left || x > left + width || y < top - 1 || y > top + height + 1) continue;
    context.strokeStyle = colors.edge;
    context.lineWidth = ratio;
    context.setLineDash([3 * ratio, 3 * ratio]);
    context.beginPath();
    context.moveTo(x, top);
    context.lineTo(x, top + height);
    context.stroke();
    context.setLineDash([]);
    context.beginPath();
    context.arc(x, y, 4 * ratio, 0, 7);
    context.fillStyle = colors.ground;
    context.fill();
    context.lineWidth = 2 * ratio;
    context.strokeStyle = line.color;
    context.stroke();
    const words = `${number(line.y[at])}${pin.text ? "  " + (pin.text.length > 40 ? pin.text.slice(0, 39) + "…" : pin.text) : ""}`;
    const wide = context.measureText(words).width + 10 * ratio;
    const from = Math.max(left + 2, Math.min(left + width - wide - 2, x + 8 * ratio));
    const middle = Math.max(top + 10 * ratio, Math.min(top + height - 10 * ratio, y - 14 * ratio));
    context.fillStyle = colors.ground;
    context.strokeStyle = colors.edge;
    context.lineWidth = ratio;
    context.beginPath();
    context.rect(from, middle - 8 * ratio, wide, 16 * ratio);
    context.fill();
    context.stroke();
    context.fillStyle = colors.ink;
    context.fillText(words, from + 5 * ratio, middle);
  }
  context.restore();
}
