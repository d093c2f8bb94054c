/** A table of any number of rows and columns: only what is in sight is in the document, and rows come from the server as they come into sight. */

import { html, useEffect, useLayoutEffect, useRef, useState } from "../lib/html.js";
import { Icon } from "./icons.js";

/**
 * @template R
 * @typedef {object} Column
 * @property {string} id @property {string} title @property {number} width
 * @property {boolean} [pinned] stays at the left @property {boolean} [numeric]
 * @property {boolean} [sortable] @property {boolean} [movable] @property {any} [head] instead of the title
 * @property {(row: R) => any} cell
 */
/**
 * @template R
 * @typedef {object} TableProps
 * @property {string} label @property {number} total @property {Column<R>[]} columns
 * @property {(index: number) => R | undefined} row @property {(first: number, last: number) => void} [need] rows that are in sight
 * @property {(row: R) => string} rowKey @property {(row: R) => void} [open] @property {(row: R) => boolean} [selected]
 * @property {{ id: string, descending: boolean }} [sort] @property {(id: string) => void} [onSort]
 * @property {(id: string, width: number) => void} [onResize] @property {(id: string, before: string) => void} [onMove]
 * @property {number} [rowHeight] @property {any} [empty] @property {unknown} [version] changes when rows do
 */

/** Beyond this browsers no longer place things exactly; a longer table is scrolled in proportion. */
const TALLEST = 8_000_000;
const BEYOND = 6;

/** @param {TableProps<any>} props */
export function VirtualTable(props) {
  const { label, total, columns, row, need, rowKey, open, selected, rowHeight = 30 } = props;
  const root = useRef(/** @type {HTMLElement | null} */ (null));
  const [view, setView] = useState({ top: 0, left: 0, width: 800, height: 400 });
  const [active, setActive] = useState(0);

  useLayoutEffect(() => {
    const element = /** @type {HTMLElement} */ (root.current);
    const measure = () => setView({ top: element.scrollTop, left: element.scrollLeft, width: element.clientWidth, height: element.clientHeight });
    const watcher = new ResizeObserver(measure);
    watcher.observe(element);
    let frame = 0;
    const onScroll = () => { frame ||= requestAnimationFrame(() => { frame = 0; measure(); }); };
    element.addEventListener("scroll", onScroll, { passive: true });
    return () => {
      watcher.disconnect();
      cancelAnimationFrame(frame);
      element.removeEventListener("scroll", onScroll);
    };
  }, []);

  const space = total * rowHeight;
  const height = Math.min(space, TALLEST);
  const room = Math.max(1, view.height - 32);
  const scale = height > room && space > height ? (space - room) / (height - room) : 1;
  const place = view.top * scale;
  const first = Math.max(0, Math.floor(place / rowHeight) - BEYOND);
  const last = Math.min(total, Math.ceil((place + room) / rowHeight) + BEYOND);
  useEffect(() => { if (last > first) need?.(first, last); }, [first, last, total, props.version]);

  const pinned = columns.filter(column => column.pinned);
  const free = columns.filter(column => !column.pinned);
  const pinnedWidth = pinned.reduce((sum, column) => sum + column.width, 0);
  const width = free.reduce((sum, column) => sum + column.width, pinnedWidth);
  const placed = inSight(free, pinnedWidth, view.left, view.width);

  /** @param {number} index */
  function reveal(index) {
    const element = /** @type {HTMLElement} */ (root.current);
    setActive(index);
    if (index * rowHeight < place) element.scrollTop = index * rowHeight / scale;
    else if ((index + 1) * rowHeight > place + room) element.scrollTop = ((index + 1) * rowHeight - room) / scale;
  }
  /** @param {KeyboardEvent} event */
  function onKey(event) {
    if (event.target !== root.current || !total) return;
    const page = Math.max(1, Math.floor(room / rowHeight) - 1);
    const step = /** @type {Record<string, number>} */ ({ ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -total, End: total })[event.key];
    if (step) reveal(Math.max(0, Math.min(total - 1, active + step)));
    else if (event.key === "Enter" && open && row(active) !== undefined) open(row(active));
    else if (event.key === "ArrowRight" || event.key === "ArrowLeft") /** @type {HTMLElement} */ (root.current).scrollLeft += event.key === "ArrowRight" ? 120 : -120;
    else return;
    event.preventDefault();
  }

  const rows = [];
  for (let index = first; index < last; index++) {
    const item = row(index);
    const top = view.top + index * rowHeight - place;
    rows.push(html`<div class="vrow" role="row" aria-rowindex=${index + 2} key=${item === undefined ? `#${index}` : rowKey(item)}
      aria-selected=${item !== undefined && selected?.(item) ? "true" : undefined} data-active=${index === active || undefined}
      style=${{ transform: `translateY(${Math.round(top * 100) / 100}px)`, width: `${width}px`, height: `${rowHeight}px` }}
      onClick=${() => setActive(index)}>
      ${pinned.length > 0 && html`<div class="vpinned" role="presentation" style=${{ width: `${pinnedWidth}px` }}>${pinned.map((column, at) => html`<div key=${column.id} role="gridcell" class="vcell ${column.numeric ? "num" : ""}"
        style=${{ left: `${offset(pinned, at)}px`, width: `${column.width}px` }}>${item === undefined ? (at === pinned.length - 1 ? html`<span class="bone" style=${{ width: "60%" }} />` : null) : column.cell(item)}</div>`)}</div>`}
      ${placed.map(({ column, left }) => html`<div key=${column.id} role="gridcell" class="vcell ${column.numeric ? "num" : ""}"
        style=${{ left: `${left}px`, width: `${column.width}px` }}>${item === undefined ? null : column.cell(item)}</div>`)}
    </div>`);
  }

  return html`<div class="vtable grow" role="grid" tabindex="0" aria-label=${label} aria-rowcount=${total + 1} aria-colcount=${columns.length}
      ref=${root} onKeyDown=${onKey}>
    <div class="vhead" role="row" aria-rowindex="1" style=${{ width: `${Math.max(width, view.width)}px` }}>
      ${pinned.length > 0 && html`<div class="vpinned" role="presentation" style=${{ width: `${pinnedWidth}px` }}>
        ${pinned.map((column, at) => html`<${Head} key=${column.id} column=${column} left=${offset(pinned, at)} table=${props} />`)}</div>`}
      ${placed.map(({ column, left }) => html`<${Head} key=${column.id} column=${column} left=${left} table=${props} />`)}
    </div>
    <div class="vbody" role="presentation" style=${{ height: `${height}px`, width: `${width}px` }}>${rows}</div>
    ${total === 0 && props.empty}
  </div>`;
}

/** @param {{ column: Column<any>, left: number, table: TableProps<any> }} props */
function Head({ column, left, table }) {
  const sorted = table.sort?.id === column.id ? (table.sort.descending ? "descending" : "ascending") : undefined;
  /** @param {PointerEvent} event */
  function resize(event) {
    event.preventDefault();
    event.stopPropagation();
    const grip = /** @type {HTMLElement} */ (event.target);
    grip.setPointerCapture(event.pointerId);
    const start = event.clientX;
    /** @param {PointerEvent} moved */
    grip.onpointermove = moved => table.onResize?.(column.id, Math.max(40, Math.min(800, column.width + moved.clientX - start)));
    grip.onpointerup = () => { grip.onpointermove = null; };
  }
  return html`<div role="columnheader" class="vcell ${column.numeric ? "num" : ""}" aria-sort=${sorted} style=${{ left: `${left}px`, width: `${column.width}px` }}
      draggable=${column.movable ? "true" : undefined}
      onDragStart=${(/** @type {DragEvent} */ event) => event.dataTransfer?.setData("text/x-column", column.id)}
      onDragOver=${(/** @type {DragEvent} */ event) => column.movable && event.dataTransfer?.types.includes("text/x-column") && event.preventDefault()}
      onDrop=${(/** @type {DragEvent} */ event) => { event.preventDefault(); table.onMove?.(event.dataTransfer?.getData("text/x-column") || "", column.id); }}>
    ${column.head !== undefined ? column.head : column.sortable
      ? html`<button class="vsort" title=${`${column.title}: sort`} onClick=${() => table.onSort?.(column.id)}>${column.title}</button>${sorted && html`<${Icon} name=${sorted === "ascending" ? "up" : "down"} />`}`
      : html`<span>${column.title}</span>`}
    ${table.onResize && html`<span class="vgrip" onPointerDown=${resize} />`}
  </div>`;
}

/** @param {Column<any>[]} columns @param {number} at */
function offset(columns, at) {
  let left = 0;
  for (let index = 0; index < at; index++) left += columns[index].width;
  return left;
}

/** @param {Column<any>[]} columns @param {number} start @param {number} scrolled @param {number} width */
function inSight(columns, start, scrolled, width) {
  const found = [];
  let left = start;
  for (const column of columns) {
    if (left + column.width > scrolled + start - 200 && left < scrolled + width + 200) found.push({ column, left });
    left += column.width;
  }
  return found;
}
