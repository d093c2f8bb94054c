/** What a run logged that is not a number: images, sounds, films, pages, tables and histograms, step by step. */

import { html, useEffect, useMemo, useState } from "../../lib/html.js";
import { api, post, request } from "../../lib/api.js";
import { inline, number } from "../../lib/format.js";
import { useKeys } from "../../lib/keys.js";
import { useResource } from "../../lib/resource.js";
import { Figure } from "../../components/figure/figure.js";
import { CloudOf, PageOf, PlotlyFigure } from "../../components/figure/logged.js";
import { charts, drawn } from "../../components/figure/wandbcharts.js";
import { Picture } from "../../components/picture.js";
import { Blank, Loaded } from "../../components/states.js";
import { VirtualTable } from "../../components/vtable.js";
import { fileAddress } from "./files.js";

const MOST_STEPS = 2000;
/** Content that is fetched to be shown, in bytes; what is larger is downloaded. */
const LARGEST = 16_000_000;

/** @param {any} value */
function isMedia(value) {
  return value && typeof value === "object" && typeof value._type === "string";
}

/** @param {{ info: any, turn: number }} props */
export function Media({ info, turn }) {
  const keys = useMemo(() => Object.entries(info.summary || {}).filter(([, value]) => isMedia(value)).map(([key]) => key).sort().slice(0, 200), [info.summary]);
  const rows = useResource(async signal => {
    if (!keys.length) return [];
    const path = api("runs", info.namespace, info.project, info.name, "rows", "query");
    return (await post(path, { keys, limit: MOST_STEPS }, { signal })).rows;
  }, [info.id, keys]);
  useEffect(() => { if (turn) rows.reload(); }, [turn]);
  if (!keys.length) return html`<${Blank} title="No media"><p>Images, sounds, films, pages, tables and histograms that the run logs are here.</p></${Blank}>`;
  return html`<${Loaded} of=${rows}>${(/** @type {[number, number, any][]} */ found) => html`<${Steps} info=${info} keys=${keys} rows=${found} />`}</${Loaded}>`;
}

/** @param {{ info: any, keys: string[], rows: [number, number, any][] }} props */
function Steps({ info, keys, rows }) {
  const steps = rows.filter(row => keys.some(key => isMedia(row[2][key]))).map(row => row[0]);
  const [chosen, setChosen] = useState(/** @type {number | null} */ (null));
  const at = chosen === null ? steps.length - 1 : Math.min(chosen, steps.length - 1);
  const step = steps[at];
  const move = (/** @type {number} */ by) => setChosen(Math.max(0, Math.min(steps.length - 1, at + by)));
  useKeys([
    { keys: "mod+arrowleft", what: "The step before", act: () => move(-1), typing: true },
    { keys: "mod+arrowright", what: "The next step", act: () => move(1), typing: true },
  ], [at, steps.length]);
  /** @param {string} key */
  const latest = key => rows.findLast(row => row[0] <= step && isMedia(row[2][key]));
  return html`<div class="page wide">
    ${steps.length > 1 && html`<div class="card stepper row"><label class="row grow"><span>Step <b class="num">${step}</b></span>
      <input class="grow" type="range" min="0" max=${steps.length - 1} value=${at} aria-valuetext=${`step ${step}`} onInput=${(/** @type {any} */ event) => setChosen(Number(event.target.value))} /></label>
      <span class="muted num">${at + 1} of ${steps.length}</span></div>`}
    <div class="media-grid">${keys.map(key => {
      const row = latest(key);
      return html`<section class="card media" key=${key} aria-label=${key}><header><h2 class="grow cut">${key}</h2>${row && row[0] !== step && html`<span class="muted small">of step ${row[0]}</span>`}</header>
        <div class="body" data-kind=${row && row[2][key]._type}>${row ? html`<${Shown} info=${info} name=${key} value=${row[2][key]} />` : html`<p class="muted">Not logged by this step.</p>`}</div></section>`;
    })}</div>
  </div>`;
}

/** @param {{ info: any, name: string, value: any }} props */
function Shown({ info, name, value }) {
  const kind = value._type;
  const path = typeof value.path === "string" ? value.path : "";
  if (kind === "images/separated") return html`<${Pictures} info=${info} paths=${list(value.filenames)} captions=${list(value.captions)} />`;
  if (kind === "image-file" && path) return html`<${Pictures} info=${info} paths=${[path]} captions=${[value.caption]} />`;
  if (/^audio/.test(kind)) return html`${paths(value).map(each => html`<audio controls preload="none" src=${fileAddress(info, each)} key=${each} />`)}`;
  if (/^video/.test(kind)) return html`${paths(value).map(each => /\.gif$/.test(each) ? html`<${Picture} src=${fileAddress(info, each)} alt=${name} />` : html`<video controls preload="metadata" src=${fileAddress(info, each)} key=${each} />`)}`;
  if (kind === "plotly-file" && path) return html`<${Plotly} info=${info} name=${name} path=${path} />`;
  if (/^object3D/.test(kind) && /\.pts\.json$/.test(path)) return html`<${Cloud} info=${info} name=${name} path=${path} />`;
  if (kind === "html-file" && path) return html`<${Page} info=${info} name=${name} path=${path} />`;
  if (/table-file$/.test(kind) && path) return html`<${Table} info=${info} name=${name} path=${path} />`;
  if (kind === "histogram") return html`<${Histogram} value=${value} />`;
  return html`<p class="muted">${WORDS[kind] || kind}</p>${paths(value).map(each => html`<p key=${each}><a href=${fileAddress(info, each)} download>Download ${each.split("/").pop()}</a></p>`)}
    ${!paths(value).length && html`<pre class="code" tabindex="0">${inline(value, 5000)}</pre>`}`;
}

/** What is not drawn here, in words. */
const WORDS = /** @type {Record<string, string>} */ ({
  "molecule-file": "A molecule. It is not drawn here: open the file in a viewer such as PyMOL or Mol*.",
  "object3D-file": "A mesh. It is not drawn here: open the file in a viewer of 3-D objects.",
  "bokeh-file": "A figure of Bokeh. It is not drawn here.",
});

/** @param {{ info: any, name: string, path: string }} props */
function Plotly({ info, name, path }) {
  const found = useText(info, path);
  return html`<${Loaded} of=${found}>${(/** @type {string} */ text) => html`<${PlotlyFigure} text=${text} name=${name} address=${fileAddress(info, path)} />`}</${Loaded}>`;
}

/** @param {{ info: any, name: string, path: string }} props */
function Cloud({ info, name, path }) {
  const found = useText(info, path);
  return html`<${Loaded} of=${found}>${(/** @type {string} */ text) => html`<${CloudOf} text=${text} name=${name} />`}</${Loaded}>`;
}

/** @param {any} value @returns {string[]} */
function list(value) {
  return Array.isArray(value) ? value.map(each => (typeof each === "string" ? each : "")) : [];
}

/** @param {any} value */
function paths(value) {
  return value.path ? [String(value.path)] : [...list(value.filenames), ...list(value.audio?.map?.((/** @type {any} */ each) => each.path))].filter(Boolean);
}

/** @param {{ info: any, paths: string[], captions: any[] }} props */
function Pictures({ info, paths: given, captions }) {
  const [large, setLarge] = useState(false);
  return html`<div class="pictures ${large || given.length === 1 ? "large" : ""}">${given.slice(0, 108).map((path, at) => html`<figure key=${path}><button class="inplace" aria-label="Larger or smaller" onClick=${() => setLarge(!large)}><${Picture} src=${fileAddress(info, path)} alt=${captions[at] || path.split("/").pop()} /></button>
    ${captions[at] && html`<figcaption class="cut" title=${captions[at]}>${captions[at]}</figcaption>`}</figure>`)}</div>`;
}

/** @param {any} info @param {string} path */
function useText(info, path) {
  return useResource(async signal => {
    const response = await request("GET", fileAddress(info, path), undefined, { signal, accept: "*/*" });
    if (Number(response.headers.get("Content-Length")) > LARGEST) throw new Error("This is too large to be shown here; download it under Files.");
    return response.text();
  }, [info.id, path]);
}

/** @param {{ info: any, name: string, path: string }} props */
function Page({ info, name, path }) {
  const found = useText(info, path);
  return html`<${Loaded} of=${found}>${(/** @type {string} */ text) => html`<${PageOf} text=${text} name=${name} address=${fileAddress(info, path)} />`}</${Loaded}>`;
}

/** @param {{ info: any, name: string, path: string }} props */
function Table({ info, name, path }) {
  const found = useText(info, path);
  return html`<${Loaded} of=${found}>${(/** @type {string} */ text) => html`<${Rows} info=${info} name=${name} text=${text} />`}</${Loaded}>`;
}

/** @param {{ info: any, name: string, text: string }} props */
function Rows({ info, name, text }) {
  const [typed, setTyped] = useState("");
  const [plain, setPlain] = useState(false);
  const [sort, setSort] = useState(/** @type {{ id: string, descending: boolean } | undefined} */ (undefined));
  const table = useMemo(() => {
    try {
      const { columns, data } = JSON.parse(text);
      return { columns: columns.map(String), data: data.filter(Array.isArray) };
    } catch {
      return null;
    }
  }, [text]);
  const rows = useMemo(() => {
    const word = typed.toLowerCase();
    const kept = (table?.data || []).map((/** @type {any[]} */ cells, /** @type {number} */ at) => ({ at, cells })).filter((/** @type {any} */ row) => !word || row.cells.some((/** @type {any} */ cell) => inline(cell).toLowerCase().includes(word)));
    if (!sort) return kept;
    const [column, sign] = [Number(sort.id), sort.descending ? -1 : 1];
    return kept.sort((/** @type {any} */ one, /** @type {any} */ other) => sign * (typeof one.cells[column] === "number" && typeof other.cells[column] === "number" ? one.cells[column] - other.cells[column] : inline(one.cells[column]).localeCompare(inline(other.cells[column]))));
  }, [table, typed, sort]);
  const chart = useMemo(() => charts(info.info).find(each => each.table === name), [info.id, name]);
  const drawing = useMemo(() => (chart && table ? drawn(chart, table) : null), [chart, table]);
  if (drawing && chart && !plain) return html`<${Figure} drawing=${drawing} label=${`${chart.name}: ${drawing.title || chart.preset}`} /><button class="btn tiny" onClick=${() => setPlain(true)}>Show the table</button>`;
  if (!table) return html`<p class="hint bad">The table does not parse; download it under Files.</p>`;
  const columns = table.columns.map((/** @type {string} */ title, /** @type {number} */ at) => ({ id: String(at), title, width: Math.max(80, Math.min(260, 40 + title.length * 8)), sortable: true, numeric: typeof table.data[0]?.[at] === "number", cell: (/** @type {any} */ row) => html`<span title=${inline(row.cells[at], 2000)}>${inline(row.cells[at])}</span>` }));
  return html`<div class="logged-table"><label class="row filter"><input class="grow" aria-label=${`Find in ${name}`} placeholder="Find in the table" value=${typed} onInput=${(/** @type {any} */ event) => setTyped(event.target.value)} /><span class="num">${rows.length}</span>${drawing && html`<button class="btn tiny" onClick=${() => setPlain(false)}>Chart</button>`}</label>
    <${VirtualTable} label=${name} total=${rows.length} columns=${columns} row=${(/** @type {number} */ at) => rows[at]} rowKey=${(/** @type {any} */ row) => String(row.at)} sort=${sort} onSort=${(/** @type {string} */ id) => setSort({ id, descending: sort?.id === id && !sort.descending })} /></div>`;
}

/** @param {{ value: any }} props */
function Histogram({ value }) {
  const counts = (Array.isArray(value.values) ? value.values : []).map(Number).filter(Number.isFinite);
  const bins = (Array.isArray(value.bins) ? value.bins : []).map(Number);
  const most = Math.max(1, ...counts);
  const [width, height] = [400, 140];
  return html`<figure><svg class="histogram" viewBox="0 0 ${width} ${height}" preserveAspectRatio="none" role="img" aria-label=${`Histogram from ${number(bins[0])} to ${number(bins[bins.length - 1])}`}>
    ${counts.map((/** @type {number} */ each, /** @type {number} */ at) => html`<rect x=${(at * width) / counts.length} y=${height - (each / most) * height} width=${Math.max(1, width / counts.length - 0.6)} height=${(each / most) * height}><title>${number(bins[at])} to ${number(bins[at + 1])}: ${each}</title></rect>`)}</svg>
    <figcaption class="row num muted small"><span>${number(bins[0])}</span><span class="end">${number(bins[bins.length - 1])}</span></figcaption></figure>`;
}
