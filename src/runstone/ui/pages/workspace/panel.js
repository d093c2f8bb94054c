/** A panel: a key of the runs that are shown, as lines. It asks the server when it comes into sight, and forgets when it has been out of sight. */

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../../lib/html.js";
import { ApiError } from "../../lib/api.js";
import { parse } from "../../lib/expression.js";
import { along, band, combine, ordered, smoothed } from "../../lib/lines.js";
import { colorOf } from "../../lib/colors.js";
import { whenBack } from "../../lib/resource.js";
import { navigate, to } from "../../lib/router.js";
import { draw } from "../../lib/series.js";
import { attempt } from "../../lib/toasts.js";
import { LineChart, MOST_BANDS } from "../../components/chart/linechart.js";
import { along as momentsAlong, useMoments } from "../../components/chart/moments.js";
import { Dialog } from "../../components/dialog.js";
import { Icon } from "../../components/icons.js";
import { Lazy } from "../../components/lazy.js";
import { Item, Menu } from "../../components/menu.js";
import { Corner, handle, styleOf, target } from "./layout.js";
import { Look } from "./look.js";

/** @typedef {import("../../lib/series.js").Drawn} Drawn */

const NONE = /** @type {import("./runs.js").Shown[]} */ ([]);

/**
 * @typedef {object} PanelProps
 * @property {string} ns @property {string} project @property {string} id the key, or what the panel is called
 * @property {string} y an expression, if it is one @property {import("./view.js").ViewState} state
 * @property {import("./runs.js").Shown[] | null} shown @property {import("./workspace.js").Live} live @property {() => void} [remove]
 * @property {() => void} [enlarge] shows it over the whole page; without, it does so itself
 * @property {import("./layout.js").Place} [place] where it stands and how large it is; without, it stays where it is
 */

/** @param {PanelProps} props */
export function Panel(props) {
  const root = useRef(/** @type {HTMLElement | null} */ (null));
  const [near, setNear] = useState(false);
  useEffect(() => {
    const watcher = new IntersectionObserver(entries => setNear(entries[entries.length - 1].isIntersecting), { rootMargin: "250px 0px" });
    watcher.observe(/** @type {HTMLElement} */ (root.current));
    return () => watcher.disconnect();
  }, []);
  const { place } = props;
  return html`<article class="panel" ref=${root} aria-label=${props.id} style=${place ? styleOf(place.size, place.columns) : {}} ...${target(props.id, place)}>${near && props.shown ? html`<${Body} ...${props} />` : html`<h3 class="cut">${props.id}</h3>`}
    ${place && html`<${Corner} id=${props.id} place=${place} />`}</article>`;
}

/** @param {PanelProps} props */
function Body(props) {
  const [full, setFull] = useState(false);
  return html`<${Plot} ...${props} enlarge=${props.enlarge || (() => setFull(true))} />
    ${full && html`<${FullPanel} ...${props} close=${() => setFull(false)} />`}`;
}

/** A panel over the whole page, with its settings; the arrows lead to its neighbours. @param {PanelProps & { close: () => void, turn?: (by: number) => void }} props */
export function FullPanel(props) {
  const { turn, close } = props;
  useEffect(() => {
    /** @param {KeyboardEvent} event */
    const onKey = event => {
      const by = /** @type {Record<string, number>} */ ({ ArrowLeft: -1, ArrowRight: 1 })[event.key];
      if (!by || (event.target instanceof HTMLElement && /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName))) return;
      event.preventDefault();
      turn?.(by);
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [turn]);
  return html`<${Dialog} kind="full" title=${props.id} close=${close}>
      <div class="full-panel"><${Plot} key=${props.id} ...${props} large /><aside><${Look} view=${{ ...props.state.now.value, ...props.state.now.value.own[props.id] }} set=${(/** @type {any} */ change) => props.state.setOwn(props.id, change)} keys=${[]} />
        ${props.state.now.value.own[props.id] && html`<button class="btn" onClick=${() => props.state.setOwn(props.id, null)}>As all other panels</button>`}
        ${turn && html`<p class="hint">← and → lead to the panels beside it.</p>`}</aside></div>
    </${Dialog}>`;
}

/** @param {PanelProps & { enlarge?: () => void, large?: boolean }} props */
function Plot({ ns, project, id, y, state, shown, live, remove, place, enlarge, large }) {
  const base = state.now.value;
  const own = base.own[id];
  const view = useMemo(() => ({ ...base, ...own }), [base, own]);
  const [range, setRange] = useState(/** @type {{ low: number, high: number } | null} */ (null));
  const [open, setOpen] = useState("");
  const [pinning, setPinning] = useState(/** @type {import("./pins.js").Point | null} */ (null));
  const chart = useRef(/** @type {any} */ (null));
  useEffect(() => setRange(null), [view.axis]);
  const expression = useMemo(() => (y ? parse(y) : null), [y]);
  const keys = expression ? expression.keys : [id];
  const { drawn, error, loading } = useDrawn(shown || [], keys, view, range, live, large ? 1000 : 400);
  const lines = useMemo(() => toLines(drawn, shown || [], view, expression), [drawn, shown, view.axis, view.smoothing, view.group, expression]);
  const happened = useMoments(view.moments && shown ? shown : NONE, live);
  const moments = useMemo(() => momentsAlong(happened, view.axis, run => drawn?.find(each => each.run === run)?.started), [happened, view.axis, drawn]);
  const look = lookOf(view);
  const drawnLines = open ? lines.filter(line => line.id === open) : lines;

  /** @param {import("../../lib/lines.js").Line} line */
  function pick(line) {
    if (line.runs.length === 1) navigate(to(ns, project, "runs", line.runs[0].split("/").slice(2).join("/")));
    else setOpen(open ? "" : line.id);
  }
  const across = () => range || wholeOf(lines);
  return html`<div class="plot ${large ? "large" : ""}">
    <header><h3 class="cut grow" title=${id} ...${place && !large ? handle(id) : {}}>${id}</h3>
      ${range && html`<button class="btn tiny quiet" onClick=${() => setRange(null)} title="See everything (double click)"><${Icon} name="reset" />zoomed</button>`}
      ${own && html`<span class="tag" title="This panel has settings of its own">own</span>`}
      <${Menu} kind="quiet tiny icon" title=${`What to do with ${id}`} label=${html`<${Icon} name="more" />`}>${(/** @type {() => void} */ close) => html`
        ${enlarge && html`<${Item} onClick=${() => { close(); enlarge(); }}>Full screen and settings</${Item}>`}
        <${Item} onClick=${() => { close(); exported(made => made.savePng(chart.current, id)); }}>Save as PNG</${Item}>
        <${Item} onClick=${() => { close(); exported(made => made.save(`${id}.svg`, new Blob([made.svg(lines, look, across(), id)], { type: "image/svg+xml" }))); }}>Save as SVG</${Item}>
        <${Item} onClick=${() => { close(); exported(made => made.saveCsv(lines, view.axis, id)); }}>Save as CSV</${Item}>
        ${base.pins[id] && html`<${Item} onClick=${() => { close(); state.setOf("pins", id, null); }}>Take ${base.pins[id].length === 1 ? "the pin" : "all pins"} away</${Item}>`}
        ${place && !large && html`<hr /><${Item} onClick=${() => { close(); place.lift(id); }}>${place.top ? "Back to its section" : "Keep at the top"}</${Item}>
          <${Item} onClick=${() => { close(); place.step(id, -1); }}>Move forward</${Item}>
          <${Item} onClick=${() => { close(); place.step(id, 1); }}>Move back</${Item}>
          ${(place.size.wide || place.size.high) && html`<${Item} onClick=${() => { close(); place.resize(null); }}>Usual size</${Item}>`}`}
        ${remove && html`<hr /><${Item} danger onClick=${remove}>Remove the panel</${Item}>`}`}
      </${Menu}>
    </header>
    ${error && !drawn ? html`<p class="hint bad" role="alert">${error.message}</p>`
      : !drawn ? html`<div class="bone chart-bone" role="status" aria-label="Loading" />`
        : lines.length === 0 ? html`<p class="muted nothing">${loading ? "" : "None of the runs shown has logged this."}</p>`
          : lines.every(line => !line.y.some(Number.isFinite)) ? html`<p class="muted nothing">Nothing that could be drawn: all that was logged is NaN or infinite.</p>`
          : html`<${LineChart} lines=${drawnLines} look=${look} range=${range} zoom=${setRange} pick=${pick} pins=${base.pins[id]} pin=${setPinning} moments=${moments} label=${`${id}: ${lines.length} lines over ${view.axis}${moments.length ? `, ${moments.length} moments` : ""}`} made=${(/** @type {any} */ made) => { chart.current = made; }} />`}
    ${lines.length > 0 && html`<${Legend} lines=${lines} open=${open} pick=${(/** @type {string} */ line) => setOpen(open === line ? "" : line)} />`}
    ${pinning && html`<${Lazy} load=${() => import("./pins.js").then(module => module.PinDialog)} id=${id} axis=${view.axis} point=${pinning} pins=${base.pins[id] || []} set=${(/** @type {any} */ pins) => state.setOf("pins", id, pins)} close=${() => setPinning(null)} />`}
  </div>`;
}

/** @param {(made: typeof import("../../components/chart/export.js")) => void} act */
function exported(act) {
  attempt(async () => act(await import("../../components/chart/export.js")));
}

/** @param {{ lines: import("../../lib/lines.js").Line[], open: string, pick: (id: string) => void }} props */
function Legend({ lines, open, pick }) {
  return html`<ul class="legend" aria-label="Lines">${lines.slice(0, 30).map(line => html`<li key=${line.id}><button class="inplace row" aria-pressed=${open === line.id} onClick=${() => pick(line.id)} title=${`Only ${line.name}`}>
    <span class="swatch" style=${{ background: line.color }} /><span class="cut">${line.name}</span></button></li>`)}${lines.length > 30 && html`<li class="muted">and ${lines.length - 30} more</li>`}</ul>`;
}

/**
 * What the server draws for a panel; runs that log more are asked for alone, and the rest stays.
 * @param {import("./runs.js").Shown[]} shown @param {string[]} keys @param {import("./view.js").View} view
 * @param {{ low: number, high: number } | null} range @param {import("./workspace.js").Live} live @param {number} buckets
 */
function useDrawn(shown, keys, view, range, live, buckets) {
  const [state, setState] = useState({ drawn: /** @type {Drawn[] | null} */ (null), error: /** @type {Error | null} */ (null), loading: true });
  const timed = view.axis === "time" || view.axis === "relative";
  const runs = shown.map(run => run.full);
  const asked = { ...questionOf(keys, view, buckets), band: view.band && runs.length <= MOST_BANDS };
  const key = JSON.stringify([asked, range, runs]);
  const current = useRef(key);
  const [again, setAgain] = useState(0);
  current.current = key;

  /** @param {string[]} wanted @param {AbortSignal} signal */
  async function load(wanted, signal) {
    const bounds = range && !asked.x && view.axis !== "relative" ? bound(range, timed) : {};
    return draw({ ...asked, ...bounds, runs: wanted }, signal);
  }
  useLayoutEffect(() => {
    const ending = new AbortController();
    setState(now => ({ ...now, loading: true }));
    load(runs, ending.signal).then(
      drawn => ending.signal.aborted || setState({ drawn, error: null, loading: false }),
      error => ending.signal.aborted || setState(now => ({ drawn: now.drawn, error, loading: false })),
    );
    return () => ending.abort();
  }, [key, again]);
  useEffect(() => {
    const fresh = runs.filter(run => live.fresh.has(run));
    if (!fresh.length || !state.drawn) return undefined;
    const ending = new AbortController();
    load(fresh, ending.signal).then(drawn => {
      if (current.current !== key) return;
      setState(now => ({ ...now, drawn: [...(now.drawn || []).filter(each => !fresh.includes(each.run)), ...drawn] }));
    }, () => {});
    return () => ending.abort();
  }, [live.beat]);
  const passing = state.error instanceof ApiError && state.error.passing;
  useEffect(() => (passing ? whenBack(() => setAgain(now => now + 1)) : undefined), [passing]);
  return state;
}

/** What is asked of the server, but for the runs. @param {string[]} keys @param {import("./view.js").View} view @param {number} buckets */
export function questionOf(keys, view, buckets) {
  const timed = view.axis === "time" || view.axis === "relative";
  return { keys, buckets, by: /** @type {"time" | "step"} */ (timed ? "time" : "step"), x: timed || view.axis === "step" ? "" : view.axis };
}

/** @param {import("../../lib/lines.js").Line[]} lines */
export function wholeOf(lines) {
  return { low: Math.min(...lines.map(line => line.x[0])), high: Math.max(...lines.map(line => line.x[line.x.length - 1])) };
}

/** What a panel's chart is told of how to draw. @param {import("./view.js").View} view @returns {import("../../components/chart/linechart.js").Look} */
export function lookOf(view) {
  return { axis: view.axis, xLog: view.xLog, yLog: view.yLog, band: view.band, clip: view.clip, raw: view.smoothing.kind !== "none" };
}

/** A range and a tenth of it at either side, as the server counts. @param {{ low: number, high: number }} range @param {boolean} timed */
function bound(range, timed) {
  const more = (range.high - range.low) * 0.1;
  const unit = timed ? 1e6 : 1;
  return { low: (range.low - more) * unit, high: (range.high + more) * unit + 1 };
}

/**
 * @param {Drawn[] | null} drawn @param {import("./runs.js").Shown[]} shown @param {import("./view.js").View} view
 * @param {{ keys: string[], compute: any } | null} expression
 */
export function toLines(drawn, shown, view, expression) {
  if (!drawn) return [];
  const of = new Map(/** @type {[string, Drawn[]][]} */ ([]));
  for (const each of drawn) of.set(each.run, [...(of.get(each.run) || []), each]);
  const lines = [];
  const groups = new Map(/** @type {[string, import("../../lib/lines.js").Line[]][]} */ ([]));
  for (const run of shown) {
    const found = of.get(run.full) || [];
    const one = expression ? combine(found, expression) : found[0];
    if (!one || !one.x.length) continue;
    const line = smoothed(ordered({ id: run.full, name: run.name, color: run.color, runs: [run.full], x: along(one, view.axis), y: one.y, lo: one.lo, hi: one.hi }), view.smoothing);
    lines.push(line);
    if (view.group.length) groups.set(run.group, [...(groups.get(run.group) || []), line]);
  }
  if (!view.group.length) return lines;
  return [...groups].map(([name, held]) => band(held, { id: name, name, color: colorOf(name) }));
}
