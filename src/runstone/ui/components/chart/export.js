/** A chart as a picture or as numbers. */

import { extent } from "../../lib/lines.js";
import { xText } from "./axes.js";

/** @typedef {import("../../lib/lines.js").Line} Line */

/** @param {string} name @param {Blob} content */
export function save(name, content) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(content), download: name.replace(/[^\w.-]+/g, "_") });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** What the canvas shows, on the ground of the page, with its title. @param {any} chart @param {string} title */
export function savePng(chart, title) {
  const shown = chart.plot.ctx.canvas;
  const head = 28 * (devicePixelRatio || 1);
  const style = getComputedStyle(document.documentElement);
  const picture = Object.assign(document.createElement("canvas"), { width: shown.width, height: shown.height + head });
  const context = /** @type {CanvasRenderingContext2D} */ (picture.getContext("2d"));
  context.fillStyle = style.getPropertyValue("--surface");
  context.fillRect(0, 0, picture.width, picture.height);
  context.fillStyle = style.getPropertyValue("--ink");
  context.font = `${head * 0.46}px system-ui, sans-serif`;
  context.fillText(title, head * 0.4, head * 0.66);
  context.drawImage(shown, 0, head);
  picture.toBlob(blob => blob && save(`${title}.png`, blob));
}

/** Every point that is drawn. @param {Line[]} lines @param {string} axis @param {string} title */
export function saveCsv(lines, axis, title) {
  const rows = [["line", axis, title, "min", "max"]];
  for (const line of lines) {
    for (let at = 0; at < line.x.length; at++) rows.push([line.name, ...[line.x, line.y, line.lo, line.hi].map(column => (column ? String(column[at]) : ""))]);
  }
  const text = rows.map(row => row.map(cell => (/[",\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(",")).join("\n");
  save(`${title}.csv`, new Blob([text + "\n"], { type: "text/csv" }));
}

/**
 * The lines as vectors, with axes and names.
 * @param {Line[]} lines @param {import("./linechart.js").Look} look @param {import("./linechart.js").Range} range @param {string} title
 */
export function svg(lines, look, range, title) {
  const [width, height, left, top, bottom] = [900, 520, 70, 40, 40];
  const up = extent(lines, range, { clip: look.clip, band: look.band, log: look.yLog });
  const legend = Math.min(lines.length, 20) * 18;
  const x = (/** @type {number} */ value) => left + (share(value, range.low, range.high, look.xLog)) * (width - left - 20);
  const y = (/** @type {number} */ value) => height - bottom - share(value, up[0], up[1], look.yLog) * (height - top - bottom);
  const root = node("svg", { xmlns: "http://www.w3.org/2000/svg", viewBox: `0 0 ${width} ${height + legend}`, "font-family": "sans-serif", "font-size": 12 });
  root.append(node("rect", { width, height: height + legend, fill: "#fff" }), node("text", { x: left, y: 24, "font-size": 15 }, title));
  for (let at = 0; at <= 5; at++) {
    const value = at / 5;
    const [across, upward] = [placed(value, range.low, range.high, look.xLog), placed(value, up[0], up[1], look.yLog)];
    root.append(node("line", { x1: left, x2: width - 20, y1: y(upward), y2: y(upward), stroke: "#ddd" }));
    root.append(node("text", { x: left - 6, y: y(upward) + 4, "text-anchor": "end", fill: "#555" }, Number(upward.toPrecision(4))));
    root.append(node("text", { x: x(across), y: height - bottom + 18, "text-anchor": "middle", fill: "#555" }, xText(across, look.axis)));
  }
  lines.forEach((line, index) => {
    const places = Array.from(line.x, (value, at) => [x(value), y(line.y[at])]).filter(place => place.every(Number.isFinite) && place[0] >= left - 1 && place[0] <= width);
    root.append(node("polyline", { points: places.map(place => place.map(each => each.toFixed(1)).join(",")).join(" "), fill: "none", stroke: line.color, "stroke-width": 1.5 }));
    if (index < 20) {
      root.append(node("rect", { x: left, y: height + index * 18, width: 12, height: 4, fill: line.color }));
      root.append(node("text", { x: left + 20, y: height + index * 18 + 7 }, line.name));
    }
  });
  return new XMLSerializer().serializeToString(root);
}

/** @param {string} name @param {Record<string, any>} attributes @param {any} [text] */
function node(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) if (key !== "xmlns") made.setAttribute(key, String(value));
  if (text !== undefined) made.textContent = String(text);
  return made;
}

/** @param {number} value @param {number} low @param {number} high @param {boolean} log */
function share(value, low, high, log) {
  return log ? (Math.log(value) - Math.log(low)) / (Math.log(high) - Math.log(low) || 1) : (value - low) / (high - low || 1);
}

/** @param {number} part @param {number} low @param {number} high @param {boolean} log */
function placed(part, low, high, log) {
  return log ? low * (high / low) ** part : low + (high - low) * part;
}
