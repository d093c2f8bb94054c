/** What is in a file: the server reads a part of it, and this shows the part. */

import { html, useEffect, useRef, useState } from "../lib/html.js";
import { get, query, request } from "../lib/api.js";
import { bytes, count, inline } from "../lib/format.js";
import { useResource } from "../lib/resource.js";
import { CopyButton } from "./copy.js";
import { CloudOf, PageOf, PlotlyFigure } from "./figure/logged.js";
import { Icon } from "./icons.js";
import { Markdown } from "./markdown.js";
import { Picture } from "./picture.js";
import { Blank, Loaded } from "./states.js";
import { VirtualTable } from "./vtable.js";

const IMAGES = /\.(png|jpe?g|gif|webp|bmp|avif|svg)$/i;
const SOUNDS = /\.(wav|mp3|ogg|flac|m4a)$/i;
const FILMS = /\.(mp4|webm|ogv)$/i;
/** Files that are shown as what they are for, and not as the text that they are. */
const LOGGED = /\.(html?|plotly\.json|pts\.json)$/i;
/** Of those, larger ones are shown as text. */
const LARGEST_LOGGED = 16e6;
/** Images of more bytes are not fetched to be looked at. */
const LARGEST_IMAGE = 30e6;
/** Rows that are kept of a table, before the rest is left to the download. */
const ROWS = 20_000;

/** @typedef {import("./filebrowser.js").File} File */

/** @param {{ base: string, file: File }} props */
export function FilePreview({ base, file }) {
  const parts = file.path.split("/").map(encodeURIComponent).join("/");
  const address = `${base}/files/${parts}`;
  return html`<header><b class="cut grow" title=${file.path}>${file.path}</b>
      <span class="muted num small">${bytes(file.size)}</span>
      ${file.sha256 && html`<span class="row small muted mono" title=${`SHA-256 ${file.sha256}`}>${file.sha256.slice(0, 12)}<${CopyButton} text=${file.sha256} label="Copy the SHA-256" /></span>`}
      ${!file.url && html`<a class="btn tiny" href=${address} download=${file.path.split("/").pop()}><${Icon} name="download" />Download</a>`}
    </header>
    <div class="preview">${file.url
      ? html`<${Blank} title="A reference"><p>Its bytes are not held here: <code class="break">${file.url}</code></p></${Blank}>`
      : IMAGES.test(file.path) ? html`<${Image} file=${file} address=${address} />`
      : SOUNDS.test(file.path) ? html`<div class="body"><audio controls preload="none" src=${address} /></div>`
      : FILMS.test(file.path) ? html`<div class="picture"><video controls preload="metadata" src=${address} /></div>`
      : LOGGED.test(file.path) && file.size <= LARGEST_LOGGED ? html`<${Logged} file=${file} base=${base} address=${address} text=${`${base}/preview/${parts}`} />`
      : html`<${Part} file=${file} base=${base} address=${`${base}/preview/${parts}`} />`}</div>`;
}

/** @param {{ file: File, base: string, address: string, text: string }} props */
function Logged({ file, base, address, text }) {
  const [plain, setPlain] = useState(false);
  const found = useResource(async signal => (await request("GET", address, undefined, { signal, accept: "*/*" })).text(), [address]);
  const name = file.path.split("/").pop() || file.path;
  return html`<div class="row bar-of-part"><button class="btn tiny" aria-pressed=${plain} onClick=${() => setPlain(!plain)}>${plain ? "Show what it is" : "Show the text"}</button></div>
    ${plain ? html`<${Part} file=${file} base=${base} address=${text} />` : html`<div class="body"><${Loaded} of=${found}>${(/** @type {string} */ content) => /\.pts\.json$/i.test(name) ? html`<${CloudOf} text=${content} name=${name} />`
      : /\.json$/i.test(name) ? html`<${PlotlyFigure} text=${content} name=${name} address=${address} />` : html`<${PageOf} text=${content} name=${name} address=${address} />`}</${Loaded}></div>`}`;
}

/** @param {{ file: File, address: string }} props */
function Image({ file, address }) {
  if (file.size > LARGEST_IMAGE) return html`<${Blank} title="A large image"><p>${bytes(file.size)} are not loaded just to be looked at; download it.</p></${Blank}>`;
  return html`<div class="picture"><${Picture} src=${address} alt=${file.path} /></div>`;
}

/** @param {{ file: File, base: string, address: string }} props */
function Part({ file, base, address }) {
  const first = useResource(signal => get(address + query({ limit: 200 }), { signal }), [address]);
  return html`<${Loaded} of=${first}>${(/** @type {any} */ part) => part.kind === "table" ? html`<${Table} address=${address} first=${part} />`
    : part.kind === "tensors" ? html`<${Tensors} address=${address} first=${part} />`
    : part.kind === "text" ? html`<${Text} file=${file} base=${base} address=${address} first=${part} />`
    : html`<${Blank} title="Not shown"><p>${bytes(file.size)} of bytes that are no text, table or image that is known here.</p></${Blank}>`}</${Loaded}>`;
}

/**
 * The parts of a file from the first on; `more` loads the next.
 * @param {string} address @param {any} first @param {Record<string, number>} [asked]
 */
function useParts(address, first, asked) {
  const [parts, setParts] = useState([first]);
  const busy = useRef(false);
  useEffect(() => setParts([first]), [first]);
  const last = parts[parts.length - 1];
  async function more() {
    if (busy.current || !last.next) return;
    busy.current = true;
    try {
      const next = await get(address + query({ limit: 1000, after: last.next, ...asked }));
      setParts(now => (now[now.length - 1] === last ? [...now, next] : now));
    } finally {
      busy.current = false;
    }
  }
  return { parts, more, whole: !last.next };
}

/** @param {{ address: string, first: any }} props */
function Table({ address, first }) {
  const [column, setColumn] = useState(0);
  const head = useResource(async signal => (column ? get(address + query({ limit: 200, column }), { signal }) : first), [address, column]);
  return html`<${Loaded} of=${head}>${(/** @type {any} */ part) => html`
    <${Rows} key=${column} address=${address} first=${part} column=${column} />
    ${part.width > part.columns.length && html`<div class="row" style=${{ padding: "8px 12px" }}>
      <button class="btn tiny" disabled=${!column} onClick=${() => setColumn(Math.max(0, column - 100))}>Columns before</button>
      <span class="muted small num">${column + 1}–${column + part.columns.length} of ${part.width.toLocaleString("en-US")} columns</span>
      <button class="btn tiny" disabled=${column + part.columns.length >= part.width} onClick=${() => setColumn(column + 100)}>Columns behind</button>
    </div>`}`}</${Loaded}>`;
}

/** @param {{ address: string, first: any, column: number }} props */
function Rows({ address, first, column }) {
  const { parts, more, whole } = useParts(address, first, { column });
  const rows = parts.flatMap(part => part.rows);
  const full = rows.length >= ROWS;
  const columns = [
    { id: "#", title: "", width: 62, pinned: true, numeric: true, cell: (/** @type {number} */ at) => html`<span class="muted">${at.toLocaleString("en-US")}</span>` },
    ...first.columns.map((/** @type {[string, string]} */ [name, type], /** @type {number} */ at) => ({
      id: String(at), title: name, width: widthOf(name, rows, at), numeric: /int|float|double|decimal/.test(type),
      head: html`<span title=${`${name}: ${type}`}>${name} <span class="muted">${type === "text" || type === "json" ? "" : type}</span></span>`,
      cell: (/** @type {number} */ index) => cellOf(rows[index]?.[at]),
    })),
  ];
  return html`<div class="sheet"><${VirtualTable} label="Rows" total=${rows.length + (whole || full ? 0 : 1)} columns=${columns} row=${(/** @type {number} */ at) => (at < rows.length ? at : undefined)}
      rowKey=${(/** @type {number} */ at) => String(at)} rowHeight=${26} version=${rows.length} need=${(/** @type {number} */ _, /** @type {number} */ end) => end > rows.length && !full && more()} /></div>
    <p class="hint" style=${{ padding: "6px 12px" }}>${first.total !== null ? count(first.total, "row") : whole ? count(rows.length, "row") : `${rows.length.toLocaleString("en-US")} rows and more`}, ${count(first.width, "column")}${full && !whole ? ". Scrolling ends here; download the file for the rest." : ""}</p>`;
}

/** @param {string} name @param {any[][]} rows @param {number} at */
function widthOf(name, rows, at) {
  const longest = Math.max(name.length + 6, ...rows.slice(0, 30).map(row => inline(row[at], 60).length));
  return Math.min(360, 30 + longest * 7);
}

/** @param {unknown} value */
function cellOf(value) {
  if (value === null || value === undefined) return html`<span class="muted">null</span>`;
  if (typeof value === "object") return html`<span class="mono small" title=${JSON.stringify(value, null, 1).slice(0, 2000)}>${inline(value)}</span>`;
  return html`<span title=${String(value)}>${inline(value, 2001)}</span>`;
}

const BYTES = /** @type {Record<string, number>} */ ({ F64: 8, I64: 8, U64: 8, F32: 4, I32: 4, U32: 4, F16: 2, BF16: 2, I16: 2, U16: 2 });

/** @param {{ address: string, first: any }} props */
function Tensors({ address, first }) {
  const { parts, more, whole } = useParts(address, first);
  const [wanted, setWanted] = useState("");
  useEffect(() => { if (!whole && parts.length < 100) more(); }, [parts.length]);
  const tensors = parts.flatMap(part => part.tensors);
  const shown = tensors.filter(tensor => tensor.name.toLowerCase().includes(wanted.toLowerCase()));
  const elements = (/** @type {any} */ tensor) => tensor.shape.reduce((/** @type {number} */ product, /** @type {number} */ side) => product * side, 1);
  const parameters = tensors.reduce((sum, tensor) => sum + elements(tensor), 0);
  const types = [...new Set(tensors.map(tensor => tensor.dtype))];
  const columns = [
    { id: "name", title: "Tensor", width: 330, pinned: true, cell: (/** @type {any} */ tensor) => html`<span class="mono small" title=${tensor.name}>${tensor.name}</span>` },
    { id: "dtype", title: "Type", width: 80, cell: (/** @type {any} */ tensor) => tensor.dtype },
    { id: "shape", title: "Shape", width: 160, cell: (/** @type {any} */ tensor) => html`<span class="num">${tensor.shape.join(" × ") || "scalar"}</span>` },
    { id: "count", title: "Elements", width: 120, numeric: true, cell: (/** @type {any} */ tensor) => elements(tensor).toLocaleString("en-US") },
    { id: "size", title: "Size", width: 100, numeric: true, cell: (/** @type {any} */ tensor) => bytes(tensor.size) },
    { id: "offset", title: "Offset", width: 120, numeric: true, cell: (/** @type {any} */ tensor) => tensor.offset.toLocaleString("en-US") },
  ];
  return html`<div class="row wrap" style=${{ padding: "10px 12px" }}>
      <span><b class="num">${parameters.toLocaleString("en-US")}</b> parameters in ${count(first.total, "tensor")}</span>
      ${types.map(type => html`<span class="tag" title=${`${BYTES[type] || "?"} bytes an element`}>${type}</span>`)}
      <input class="input end" style=${{ width: "220px" }} placeholder="Filter by name" aria-label="Filter tensors by name" value=${wanted} onInput=${(/** @type {any} */ event) => setWanted(event.target.value)} />
    </div>
    <div class="sheet"><${VirtualTable} label="Tensors" total=${shown.length} columns=${columns} row=${(/** @type {number} */ at) => shown[at]} rowKey=${(/** @type {any} */ tensor) => tensor.name} rowHeight=${26} version=${shown.length} /></div>
    ${Object.keys(first.metadata || {}).length > 0 && html`<dl class="props small" style=${{ padding: "10px 12px" }}>${Object.entries(first.metadata).map(([name, value]) => [html`<dt>${name}</dt>`, html`<dd class="mono">${inline(value, 500)}</dd>`])}</dl>`}`;
}

/** @param {{ file: File, base: string, address: string, first: any }} props */
function Text({ file, base, address, first }) {
  const { parts, more, whole } = useParts(address, first);
  const [plain, setPlain] = useState(false);
  const text = parts.map(part => part.text).join("");
  const markdown = /\.(md|markdown)$/i.test(file.path) && whole;
  return html`${markdown && html`<div class="row" style=${{ padding: "8px 12px" }}><button class="btn tiny" aria-pressed=${plain} onClick=${() => setPlain(!plain)}>${plain ? "Show as a page" : "Show the text"}</button></div>`}
    ${markdown && !plain ? html`<div style=${{ padding: "0 16px 16px" }}><${Markdown} text=${text} base=${base} /></div>`
      : html`<pre class="text" tabindex="0" aria-label="Content">${whole && /\.json$/i.test(file.path) ? indented(text) : text}</pre>`}
    ${!whole && html`<div class="row" style=${{ padding: "8px 12px" }}><button class="btn" onClick=${more}>Show more</button><span class="muted small num">${bytes(text.length)} of ${bytes(file.size)}</span></div>`}`;
}

/** JSON indented, if it is any. @param {string} text */
function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
