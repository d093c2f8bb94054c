/** Axes of figures that are drawn as SVG. */

import { html } from "../../lib/html.js";

/** @typedef {import("../../lib/scales.js").Scale} Scale */
/** @typedef {{ width: number, height: number, left: number, bottom: number, x: (at: number) => number, y: (at: number) => number }} Frame */

/** A figure with room for what is written at its axes. @param {Scale} up @param {number} [bottom] @returns {Frame} */
export function frameOf(up, bottom = 46) {
  const [width, height, margin] = [1000, 370, 14];
  const left = Math.min(180, 34 + Math.max(...up.ticks.map(tick => tick.text.length), 2) * 7);
  return {
    width, height, left, bottom,
    x: at => left + margin + at * (width - left - 2 * margin - 10),
    y: at => height - bottom - margin - at * (height - bottom - 2 * margin - 8),
  };
}

/** @param {{ frame: Frame, across: Scale, up: Scale, x: string, y: string }} props */
export function Axes({ frame, across, up, x, y }) {
  const { width, height, left, bottom } = frame;
  const room = Math.max(4, Math.floor((width - left) / Math.max(1, across.ticks.length) / 7));
  return html`<g class="axes" aria-hidden="true">
    ${up.ticks.map(tick => html`<g key=${tick.text}><line x1=${left} x2=${width - 10} y1=${frame.y(tick.at)} y2=${frame.y(tick.at)} /><text x=${left - 6} y=${frame.y(tick.at) + 4} text-anchor="end">${tick.text}</text></g>`)}
    ${across.ticks.map(tick => html`<g key=${tick.text}><line x1=${frame.x(tick.at)} x2=${frame.x(tick.at)} y1="8" y2=${height - bottom} /><text x=${frame.x(tick.at)} y=${height - bottom + 16} text-anchor="middle">${tick.text.length > room ? tick.text.slice(0, room - 1) + "…" : tick.text}</text></g>`)}
    <text class="title" x=${(left + width) / 2} y=${height - 6} text-anchor="middle">${x}</text>
    <text class="title" transform=${`translate(12 ${(height - bottom) / 2}) rotate(-90)`} text-anchor="middle">${y}</text>
  </g>`;
}
