/** Where panels stand and how large they are: drag the head of one to another place, or its corner; with keys, by its menu and the arrows. */

import { html, useEffect, useRef, useState } from "../../lib/html.js";

export const GAP = 12;
/** A column of the grid is at least as wide, and a panel usually as high. */
export const LEAST = 300;
export const HIGH = 268;
const LOWEST = 160;
const HIGHEST = 1200;
const STEP = 20;
const KIND = "text/x-panel";

/** The panels of a section in the order that was chosen: those that were placed first, then the others. @param {string[]} keys @param {string[] | undefined} placed */
export function arranged(keys, placed) {
  if (!placed?.length) return keys;
  const there = new Set(keys);
  const first = placed.filter(key => there.has(key));
  const taken = new Set(first);
  return [...first, ...keys.filter(key => !taken.has(key))];
}

/**
 * The order after a panel was moved to a place, as far as it is another than the usual one.
 * @param {string[]} keys in the order that is shown @param {string} key @param {number} to @param {number} before how many were placed
 */
export function moved(keys, key, to, before) {
  const order = keys.filter(each => each !== key);
  order.splice(to, 0, key);
  return order.slice(0, Math.max(before, to + 1, keys.indexOf(key) + 1));
}

/** How many columns a grid has; 1 before it is there. @param {{ current: HTMLElement | null }} root @param {boolean} there */
export function useGrid(root, there) {
  const [columns, setColumns] = useState(1);
  useEffect(() => {
    if (!root.current) return undefined;
    const watcher = new ResizeObserver(([entry]) => setColumns(Math.max(1, Math.floor((entry.contentRect.width + GAP) / (LEAST + GAP)))));
    watcher.observe(root.current);
    return () => watcher.disconnect();
  }, [there]);
  return columns;
}

/** @typedef {{ wide?: number, high?: number }} Size */
/** @typedef {{ columns: number, size: Size, resize: (size: Size | null) => void, move: (key: string, before: string) => void, step: (key: string, by: number) => void, top: boolean, lift: (key: string) => void }} Place */

/** @param {Size} size @param {number} columns */
export function styleOf(size, columns) {
  return { ...(size.wide && size.wide > 1 && columns > 1 ? { gridColumn: `span ${Math.min(size.wide, columns)}` } : {}), ...(size.high ? { height: `${size.high}px` } : {}) };
}

/** What makes the head of a panel a handle. @param {string} id */
export function handle(id) {
  return {
    draggable: true,
    onDragStart: (/** @type {DragEvent} */ event) => {
      event.dataTransfer?.setData(KIND, id);
      if (event.dataTransfer) event.dataTransfer.effectAllowed = "move";
    },
  };
}

/** What makes a panel a place where another can be let go. @param {string} id @param {Place | undefined} place */
export function target(id, place) {
  if (!place) return {};
  const mark = (/** @type {DragEvent} */ event, /** @type {boolean} */ on) => /** @type {HTMLElement} */ (event.currentTarget).toggleAttribute("data-over", on);
  return {
    onDragOver: (/** @type {DragEvent} */ event) => {
      if (!event.dataTransfer?.types.includes(KIND)) return;
      event.preventDefault();
      mark(event, true);
    },
    onDragLeave: (/** @type {DragEvent} */ event) => mark(event, false),
    onDrop: (/** @type {DragEvent} */ event) => {
      mark(event, false);
      const from = event.dataTransfer?.getData(KIND);
      if (!from) return;
      event.preventDefault();
      place.move(from, id);
    },
  };
}

/** The corner that a panel is resized by. @param {{ id: string, place: Place }} props */
export function Corner({ id, place }) {
  const root = useRef(/** @type {HTMLElement | null} */ (null));
  const { columns, size, resize } = place;
  /** @param {PointerEvent} event */
  function begin(event) {
    event.preventDefault();
    const grip = /** @type {HTMLElement} */ (root.current);
    const panel = /** @type {HTMLElement} */ (grip.closest(".panel"));
    grip.setPointerCapture(event.pointerId);
    const wide = Math.min(size.wide || 1, columns);
    const box = panel.getBoundingClientRect();
    const cell = (box.width - (wide - 1) * GAP) / wide;
    const at = (/** @type {PointerEvent} */ now) => ({
      wide: Math.max(1, Math.min(columns, Math.round((box.width + now.clientX - event.clientX + GAP) / (cell + GAP)))),
      high: Math.max(LOWEST, Math.min(HIGHEST, Math.round((box.height + now.clientY - event.clientY) / STEP) * STEP)),
    });
    grip.onpointermove = now => Object.assign(panel.style, { gridColumn: "" }, styleOf(at(now), columns));
    grip.onpointerup = now => {
      grip.onpointermove = grip.onpointerup = null;
      const made = at(now);
      resize(made.wide === 1 && Math.abs(made.high - HIGH) < STEP / 2 ? null : made);
    };
  }
  /** @param {KeyboardEvent} event */
  function onKey(event) {
    const step = /** @type {Record<string, [number, number]>} */ ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -2 * STEP], ArrowDown: [0, 2 * STEP] })[event.key];
    if (!step) return;
    event.preventDefault();
    resize({ wide: Math.max(1, Math.min(columns, (size.wide || 1) + step[0])), high: Math.max(LOWEST, Math.min(HIGHEST, (size.high || HIGH) + step[1])) });
  }
  return html`<button class="corner" ref=${root} aria-label=${`Size of ${id}: arrow keys`} title="Drag to resize; double click for the usual size" onPointerDown=${begin} onKeyDown=${onKey} onDblClick=${() => resize(null)} />`;
}
