/** Axes of figures that are drawn as SVG, as wide as there is room for: what is written is as large as all other text. */

import { html, useLayoutEffect, useRef, useState } from "../../lib/html.js";

/** @typedef {import("../../lib/scales.js").Scale} Scale */
/** @typedef {Pick<Scale, "ticks">} Ticks */
/** @typedef {{ width: number, height: number, left: number, bottom: number, x: (at: number) => number, y: (at: number) => number }} Frame */

/** How wide an element is, and what goes into its `ref`. @param {number} [first] before it is known */
export function useWidth(first = 800) {
  const root = useRef(/** @type {any} */ (null));
  const [width, setWidth] = useState(first);
  useLayoutEffect(() => {
    const measure = () => root.current && setWidth(Math.max(200, Math.floor(root.current.clientWidth - 2 * parseFloat(getComputedStyle(root.current).paddingLeft))));
    measure();
    const watcher = new ResizeObserver(measure);
    watcher.observe(root.current);
    return () => watcher.disconnect();
  }, []);
  return { root, width };
}

/** A figure with room for what is written at its axes. @param {Ticks} up @param {{ width: number, height?: number, bottom?: number, margin?: number }} size @returns {Frame} */
export function frameOf(up, { width, height = 400, bottom = 46, margin = 14 }) {
  const left = Math.min(Math.max(120, width * 0.25), 34 + Math.max(...up.ticks.map(tick => tick.text.length), 2) * 6.6);
  return {
    width, height, left, bottom,
    x: at => left + margin + at * (width - left - 2 * margin - 10),
    y: at => height - bottom - margin - at * (height - bottom - 2 * margin - 8),
  };
}

/** @param {{ frame: Frame, across: Ticks, up: Ticks, x: string, y: string }} props */
export function Axes({ frame, across, up, x, y }) {
  const { width, height, left, bottom } = frame;
  const longest = Math.floor((left - 30) / 6.2);
  const room = (width - left) / Math.max(1, across.ticks.length);
  // Words that would run into each other are left out, every other or more of them.
  const every = Math.max(1, Math.ceil(Math.min(48, 6.4 * Math.max(...across.ticks.map(tick => tick.text.length), 1)) / room));
  const letters = Math.max(5, Math.floor((room * every - 6) / 6.2));
  const cut = (/** @type {string} */ text, /** @type {number} */ most) => (text.length > most ? text.slice(0, most - 1) + "…" : text);
  return html`<g class="axes" aria-hidden="true">
    ${up.ticks.map(tick => html`<g key=${tick.text}><line x1=${left} x2=${width - 10} y1=${frame.y(tick.at)} y2=${frame.y(tick.at)} /><text x=${left - 6} y=${frame.y(tick.at) + 4} text-anchor="end">${cut(tick.text, Math.max(4, longest))}</text></g>`)}
    ${across.ticks.map((tick, at) => html`<g key=${tick.text}><line x1=${frame.x(tick.at)} x2=${frame.x(tick.at)} y1="8" y2=${height - bottom} />${at % every === 0 && html`<text x=${frame.x(tick.at)} y=${height - bottom + 16} text-anchor="middle">${cut(tick.text, letters)}</text>`}</g>`)}
    <text class="title" x=${(left + width) / 2} y=${height - 6} text-anchor="middle">${cut(x, Math.floor(width / 7))}</text>
    <text class="title" transform=${`translate(12 ${(height - bottom) / 2}) rotate(-90)`} text-anchor="middle">${cut(y, Math.floor(height / 7))}</text>
  </g>`;
}
