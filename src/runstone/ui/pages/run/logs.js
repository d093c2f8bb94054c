/** The console of a run: all of its lines, of which those in sight are there, followed to the end while it goes on. */

import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { api, get, query } from "../../lib/api.js";
import { count, moment } from "../../lib/format.js";
import { useResource } from "../../lib/resource.js";
import { param, setParams } from "../../lib/router.js";
import { Blank, Failure, Loaded } from "../../components/states.js";
import { Icon } from "../../components/icons.js";

const HEIGHT = 19;
const PAGE = 500;
/** Colours and other signs for terminals. */
const SIGNS = /\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07/g;

/** @typedef {{ number: number, time: number, stream: string, level: string, text: string }} Line */

/** @param {{ info: any, turn: number }} props */
export function Logs({ info, turn }) {
  const path = api("runs", info.namespace, info.project, info.name, "lines");
  const find = param("find");
  return html`<div class="logs">
    <div class="pane-head row wrap">
      <label class="row filter" style=${{ flex: "1 1 240px", maxWidth: "420px" }}><${Icon} name="search" /><input class="grow" data-filter aria-label="Find in the log" placeholder="Find in the log" value=${find} onChange=${(/** @type {any} */ event) => setParams({ find: event.target.value })} /></label>
      <span class="muted num grow">${count(info.lines, "line")}</span>
      <a class="btn quiet" href=${`${path}?limit=1000`} target="_blank" rel="noopener"><${Icon} name="file" />First 1,000 as JSON</a>
    </div>
    ${find ? html`<${Found} path=${path} find=${find} />` : html`<${All} path=${path} total=${info.lines} turn=${turn} running=${info.state === "running"} />`}
  </div>`;
}

/** @param {{ path: string, find: string }} props */
function Found({ path, find }) {
  const [most, setMost] = useState(PAGE);
  const found = useResource(async signal => {
    /** @type {Line[]} */
    const items = [];
    let start = 0;
    for (;;) {
      const page = await get(path + query({ search: find, limit: Math.min(PAGE, most - items.length), start }), { signal });
      items.push(...page.items);
      if (!page.next || items.length >= most) return { items, more: Boolean(page.next) };
      start = Number(page.next);
    }
  }, [path, find, most]);
  return html`<${Loaded} of=${found}>${(/** @type {{ items: Line[], more: boolean }} */ page) => html`<div class="log-box grow" tabindex="0" role="region" aria-label="Lines that were found">
    ${page.items.map(line => html`<${Shown} key=${line.number} line=${line} find=${find} />`)}
    ${page.items.length === 0 && html`<${Blank} title="No line has that" />`}
    ${page.more && html`<button class="btn more" onClick=${() => setMost(most + PAGE)}>Find more</button>`}
  </div>`}</${Loaded}>`;
}

/** @param {{ path: string, total: number, turn: number, running: boolean }} props */
function All({ path, total, turn, running }) {
  const root = useRef(/** @type {HTMLElement | null} */ (null));
  const pages = useRef(/** @type {Map<number, Line[]>} */ (new Map()));
  const asking = useRef(/** @type {Set<number>} */ (new Set()));
  const [, redraw] = useState(0);
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  const [view, setView] = useState({ top: 0, height: 600 });
  const [follows, setFollows] = useState(true);
  const place = Math.floor(view.top / HEIGHT);
  const [first, last] = [Math.max(0, place - 20), Math.min(total, place + Math.ceil(view.height / HEIGHT) + 20)];

  /** @param {number} page @param {boolean} [again] */
  function load(page, again) {
    if (asking.current.has(page) || (pages.current.has(page) && !again)) return;
    asking.current.add(page);
    get(path + query({ start: page * PAGE, limit: PAGE })).then(found => {
      pages.current.set(page, found.items);
      setError(null);
      redraw(now => now + 1);
    }, setError).finally(() => asking.current.delete(page));
  }
  useEffect(() => {
    for (let page = Math.floor(first / PAGE); page <= Math.floor(Math.max(0, last - 1) / PAGE); page++) load(page);
  }, [first, last]);
  // What is being written: the last page, where lines are added and rewritten.
  useEffect(() => load(Math.floor(Math.max(0, total - 1) / PAGE), true), [total, turn]);
  useEffect(() => { if (follows && root.current) root.current.scrollTop = root.current.scrollHeight; });

  const lines = [];
  for (let at = first; at < last; at++) {
    const line = pages.current.get(Math.floor(at / PAGE))?.[at % PAGE];
    if (line) lines.push(html`<${Shown} key=${at} line=${line} top=${at * HEIGHT} />`);
  }
  if (!total) return html`<${Blank} title="Nothing is written yet"><p>What the run prints appears here, as it does.</p></${Blank}>`;
  return html`${error && html`<${Failure} error=${error} retry=${() => load(Math.floor(first / PAGE), true)} />`}
    <div class="log-box grow" ref=${root} tabindex="0" role="log" aria-label="Console" aria-live="off" onScroll=${(/** @type {any} */ event) => {
      const box = event.target;
      setView({ top: box.scrollTop, height: box.clientHeight });
      setFollows(box.scrollTop + box.clientHeight >= box.scrollHeight - 30);
    }}><div style=${{ position: "relative", height: `${total * HEIGHT}px` }}>${lines}</div></div>
    ${running && !follows && html`<button class="btn primary to-end" onClick=${() => setFollows(true)}>Follow the end</button>`}`;
}

/** @param {{ line: Line, top?: number, find?: string }} props */
function Shown({ line, top, find }) {
  const text = line.text.replace(SIGNS, "");
  const at = find ? text.toLowerCase().indexOf(find.toLowerCase()) : -1;
  return html`<div class="log-line ${line.stream}" style=${top === undefined ? {} : { position: "absolute", top: `${top}px` }}><span class="log-number num" title=${moment(line.time)}>${line.number + 1}</span><span>${at < 0 ? text : html`${text.slice(0, at)}<mark>${text.slice(at, at + (find || "").length)}</mark>${text.slice(at + (find || "").length)}`}</span></div>`;
}
