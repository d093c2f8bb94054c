/** A chart of any number of lines: drag to zoom in, shift and drag to move, double click to see everything, hover to tell lines apart. */

import { html, signal, useEffect, useRef, useState } from "../../lib/html.js";
import { number } from "../../lib/format.js";
import { extent } from "../../lib/lines.js";
import { isDark } from "../../lib/prefs.js";
import { axes, xText } from "./axes.js";
import { named, paintMoments } from "./moments.js";
import { nearest, paint } from "./painter.js";
import { uPlot } from "./uplot.js";

/** @typedef {import("../../lib/lines.js").Line} Line */
/**
 * @typedef {object} Look
 * @property {string} axis `step`, `time`, `relative`, or a key @property {boolean} xLog @property {boolean} yLog
 * @property {boolean} band @property {boolean} clip @property {boolean} raw the unsmoothed line behind
 */
/** @typedef {{ low: number, high: number }} Range */
/**
 * @typedef {object} ChartProps
 * @property {Line[]} lines @property {Look} look @property {Range | null} range what is zoomed to; null for everything
 * @property {(range: Range | null) => void} zoom @property {(line: Line) => void} [pick] @property {string} label
 * @property {import("./pins.js").Pin[]} [pins] points that stand out @property {(point: { line: Line, at: number }) => void} [pin] a point is to be pinned
 * @property {import("./moments.js").PlacedMoment[]} [moments] what happened meanwhile
 * @property {(chart: Chart) => void} [made]
 */
/** @typedef {{ plot: any, frame: () => import("./painter.js").Frame, lines: Line[], look: Look }} Chart */

/** Pins the point under the pointer, in whichever chart that is. */
export function pinUnderPointer() {
  under?.pinned();
}
let under = /** @type {Board | null} */ (null);
/** What draws pins, once a chart has one. */
let pinning = /** @type {typeof import("./pins.js") | null} */ (null);

/** Where the pointer is, in the values of an axis: shown in every chart of that axis. */
const crosshair = signal(/** @type {{ axis: string, x: number, from: object } | null} */ (null));
const MOST_NAMED = 8;
/** Pixels from the pointer within which moments are told. */
const REACH = 6;
/** Of more lines bands would be one stain; they are neither drawn nor asked for. */
export const MOST_BANDS = 40;

/** @param {ChartProps} props */
export function LineChart(props) {
  const root = useRef(/** @type {HTMLElement | null} */ (null));
  const chart = useRef(/** @type {Board | null} */ (null));
  const [failed, setFailed] = useState("");
  const [near, setNear] = useState(/** @type {Near | null} */ (null));
  const { look } = props;

  useEffect(() => {
    let wanted = true;
    uPlot().then(made => {
      if (!wanted || !root.current) return;
      chart.current = new Board(made, root.current, setNear);
      chart.current.show(props);
      props.made?.(chart.current);
    }, error => setFailed(error.message));
    return () => {
      wanted = false;
      chart.current?.close();
      chart.current = null;
    };
  }, [look.axis, look.xLog, look.yLog, isDark.value]);
  useEffect(() => chart.current?.show(props));
  useEffect(() => { chart.current?.follow(crosshair.value); }, [crosshair.value]);

  if (failed) return html`<p class="hint bad" role="alert">${failed}</p>`;
  return html`<div class="chart" ref=${root} role="img" aria-label=${props.label} onPointerLeave=${() => { crosshair.value = null; }}>
    ${near && html`<${Tip} near=${near} look=${look} />`}
  </div>`;
}

/** @typedef {{ x: number, left: number, top: number, width: number, found: { line: Line, at: number }[], count: number, moments: import("./moments.js").PlacedMoment[] }} Near */

/** @param {{ near: Near, look: Look }} props */
function Tip({ near, look }) {
  const right = near.left > near.width / 2;
  return html`<div class="tip" style=${{ [right ? "right" : "left"]: `${(right ? near.width - near.left : near.left) + 14}px`, top: `${Math.max(0, near.top - 20)}px` }}>
    <div class="muted num">${xText(near.x, look.axis)}</div>
    ${near.found.map(({ line, at }, index) => html`<div class="row ${index ? "" : "first"}"><span class="dot" style=${{ background: line.color }} /><span class="cut">${line.name}</span><b class="num end">${number(line.y[at], 5)}</b></div>`)}
    ${near.count > near.found.length && html`<div class="muted">and ${near.count - near.found.length} more</div>`}
    ${near.moments.map(({ moment, run, color }) => html`<div class="row happened"><span class="dot" style=${{ background: color }} /><span class="cut">${named(moment)}</span><span class="muted cut end">${run}</span></div>`)}
  </div>`;
}

/** A uPlot that draws its axes and follows the pointer; the lines are painted here. */
class Board {
  /** @param {any} made @param {HTMLElement} root @param {(near: Near | null) => void} tell */
  constructor(made, root, tell) {
    this.made = made;
    this.root = root;
    this.tell = tell;
    this.lines = /** @type {Line[]} */ ([]);
    this.look = /** @type {Look} */ ({});
    this.plot = /** @type {any} */ (null);
    this.props = /** @type {ChartProps} */ ({});
    this.overlay = document.createElement("canvas");
    this.drag = /** @type {{ from: number, image: ImageBitmap | null } | null} */ (null);
    this.watcher = new ResizeObserver(() => this.fit());
    this.watcher.observe(root);
  }

  /** @param {ChartProps} props */
  show(props) {
    const same = this.plot && props.lines === this.lines && props.pins === this.props.pins && props.moments === this.props.moments && props.range === this.props.range && JSON.stringify(props.look) === JSON.stringify(this.look);
    this.props = props;
    if (same) return;
    this.lines = props.lines;
    this.look = props.look;
    this.across = this.range();
    this.up = extent(this.lines, this.across, { clip: this.look.clip, band: this.look.band, log: this.look.yLog });
    const data = [[this.across.low, this.across.high], this.up];
    if (this.plot) this.plot.setData(data);
    else this.build(data);
  }

  range() {
    if (this.props.range) return this.props.range;
    let [low, high] = [Infinity, -Infinity];
    for (const { x } of this.lines) {
      if (!x.length) continue;
      const first = this.look.xLog ? x.find(value => value > 0) ?? Infinity : x[0];
      low = Math.min(low, first);
      high = Math.max(high, x[x.length - 1]);
    }
    if (low > high) return { low: this.look.xLog ? 1 : 0, high: this.look.xLog ? 10 : 1 };
    return low === high ? { low: this.look.xLog ? low / 2 : low - 1, high: this.look.xLog ? high * 2 : high + 1 } : { low, high };
  }

  /** @param {any} data */
  build(data) {
    const { look } = this;
    const size = this.size();
    const options = {
      ...size,
      legend: { show: false },
      padding: [8, 12, 0, 0],
      scales: {
        x: { time: look.axis === "time", distr: look.xLog ? 3 : 1, range: () => [this.across?.low, this.across?.high] },
        y: { distr: look.yLog ? 3 : 1, range: () => this.up },
      },
      axes: axes(look),
      series: [{}, { points: { show: false }, paths: () => null }],
      cursor: { points: { show: false }, y: false, drag: { x: true, y: false, setScale: false }, bind: { dblclick: () => () => this.props.zoom(null) } },
      hooks: {
        draw: [() => this.draw()],
        setSelect: [() => this.selected()],
        setCursor: [() => this.pointed()],
      },
    };
    this.plot = new this.made(options, data, this.root);
    this.plot.over.append(this.overlay);
    this.overlay.className = "overlay";
    this.plot.over.addEventListener("click", (/** @type {MouseEvent} */ event) => (event.altKey ? this.pinned() : this.clicked()));
    this.plot.over.addEventListener("mousedown", (/** @type {MouseEvent} */ event) => event.shiftKey && this.grab(event), true);
  }

  size() {
    return { width: Math.max(120, this.root.clientWidth), height: Math.max(80, this.root.clientHeight) };
  }

  fit() {
    if (!this.plot) return;
    const size = this.size();
    if (size.width === this.plot.width && size.height === this.plot.height) return;
    this.plot.setSize(size);
  }

  /** The overlay is as large as the plot, which uPlot sizes when it first draws. */
  fitOverlay() {
    const { width, height } = this.plot.bbox;
    if (this.overlay.width === width && this.overlay.height === height) return;
    [this.overlay.width, this.overlay.height] = [width, height];
  }

  /** Where values are, on the whole canvas or, `inside`, on the overlay. @param {boolean} [inside] @returns {import("./painter.js").Frame} */
  frame(inside = false) {
    const { bbox } = this.plot;
    const [left, top] = inside ? [0, 0] : [bbox.left, bbox.top];
    const x = scale(this.across?.low ?? 0, this.across?.high ?? 1, left, left + bbox.width, this.look.xLog);
    const y = scale(this.up?.[0] ?? 0, this.up?.[1] ?? 1, top + bbox.height, top, this.look.yLog);
    return { x, y, left, top, width: bbox.width, height: bbox.height, ratio: devicePixelRatio || 1 };
  }

  draw() {
    const { lines, look } = this;
    this.fitOverlay();
    const thin = lines.length > 60;
    paint(this.plot.ctx, lines, this.frame(), { band: look.band && lines.length <= MOST_BANDS, raw: look.raw && lines.length <= MOST_BANDS, width: thin ? 1 : 1.5, alpha: thin ? 0.7 : 1 });
    if (this.props.moments?.length) paintMoments(this.plot.ctx, this.props.moments, this.frame(), this.colors({ ground: "--surface", bad: "--bad", warn: "--warn" }));
    if (this.props.pins?.length) this.drawPins(this.props.pins);
  }

  /** Colors of the theme by their names. @template {string} N @param {Record<N, string>} names @returns {Record<N, string>} */
  colors(names) {
    const style = getComputedStyle(this.root);
    return /** @type {Record<N, string>} */ (Object.fromEntries(Object.entries(names).map(([name, held]) => [name, style.getPropertyValue(/** @type {string} */ (held)).trim()])));
  }

  /** @param {import("./pins.js").Pin[]} pins */
  drawPins(pins) {
    if (!pinning) {
      import("./pins.js").then(module => { pinning = module; this.plot?.redraw(); }, () => {});
      return;
    }
    pinning.paintPins(this.plot.ctx, pinning.placed(pins, this.lines, this.look.axis), this.frame(), this.colors({ ink: "--ink", ground: "--surface", edge: "--edge-strong" }));
  }

  selected() {
    const { left, width } = this.plot.select;
    if (width < 4) return;
    const range = { low: this.plot.posToVal(left, "x"), high: this.plot.posToVal(left + width, "x") };
    this.plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.zoomed = performance.now();
    this.props.zoom(range);
  }

  pointed() {
    const { left, top } = this.plot.cursor;
    if (left === null || left < 0 || this.drag) return this.unpoint();
    const x = this.plot.posToVal(left, "x");
    const frame = this.frame(true);
    const found = nearest(this.lines, x, top * frame.ratio, frame);
    if (crosshair.peek()?.x !== x) crosshair.value = { axis: this.look.axis, x, from: this };
    this.mark(x, found[0]?.line, frame);
    this.picked = found[0]?.line;
    this.point = found[0] && { line: found[0].line, at: found[0].at };
    under = this;
    const moments = (this.props.moments || []).filter(each => Math.abs(this.plot.valToPos(each.x, "x") - left) <= REACH).slice(0, MOST_NAMED);
    this.tell(found.length || moments.length ? { x, left: left + this.plot.over.offsetLeft, top, width: this.root.clientWidth, found: found.slice(0, MOST_NAMED), count: found.length, moments } : null);
  }

  unpoint() {
    this.picked = this.point = undefined;
    if (under === this) under = null;
    this.tell(null);
    this.overlay.getContext("2d")?.clearRect(0, 0, this.overlay.width, this.overlay.height);
  }

  /** Shows where the pointer is in another chart. @param {{ axis: string, x: number, from: object } | null} other */
  follow(other) {
    if (!this.plot || other?.from === this) return;
    if (!other || other.axis !== this.look.axis) this.unpoint();
    else this.mark(other.x, undefined, this.frame(true));
  }

  /** A line down at x; the line that is meant stands out from the others. @param {number} x @param {Line | undefined} line @param {import("./painter.js").Frame} frame */
  mark(x, line, frame) {
    const context = /** @type {CanvasRenderingContext2D} */ (this.overlay.getContext("2d"));
    const style = getComputedStyle(this.root);
    context.clearRect(0, 0, this.overlay.width, this.overlay.height);
    if (line && this.lines.length > 1) {
      context.globalAlpha = 0.72;
      context.fillStyle = style.getPropertyValue("--surface");
      context.fillRect(0, 0, this.overlay.width, this.overlay.height);
      context.globalAlpha = 1;
      paint(context, [line], frame, { band: this.look.band, raw: false, width: 2.2, alpha: 1 });
    }
    const place = Math.round(frame.x(x)) + 0.5;
    context.strokeStyle = style.getPropertyValue("--edge-strong");
    context.setLineDash([4 * frame.ratio, 3 * frame.ratio]);
    context.beginPath();
    context.moveTo(place, 0);
    context.lineTo(place, this.overlay.height);
    context.stroke();
    context.setLineDash([]);
  }

  clicked() {
    if (performance.now() - (this.zoomed ?? -1e9) > 400 && this.picked) this.props.pick?.(this.picked);
  }

  pinned() {
    if (this.point) this.props.pin?.(this.point);
  }

  /** Moves what is seen while shift is held: the picture moves with the pointer, and is drawn anew where it is let go. @param {MouseEvent} event */
  grab(event) {
    event.preventDefault();
    event.stopImmediatePropagation();
    const { bbox, ctx } = this.plot;
    const held = document.createElement("canvas");
    [held.width, held.height] = [bbox.width, bbox.height];
    held.getContext("2d")?.drawImage(ctx.canvas, bbox.left, bbox.top, bbox.width, bbox.height, 0, 0, bbox.width, bbox.height);
    const ratio = devicePixelRatio || 1;
    const start = event.clientX;
    const ground = getComputedStyle(this.root).getPropertyValue("--surface");
    this.drag = { from: start, image: null };
    let frame = 0;
    let moved = 0;
    const move = (/** @type {MouseEvent} */ at) => {
      moved = at.clientX - start;
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        ctx.fillStyle = ground;
        ctx.fillRect(bbox.left, bbox.top, bbox.width, bbox.height);
        ctx.save();
        ctx.beginPath();
        ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
        ctx.clip();
        ctx.drawImage(held, bbox.left + moved * ratio, bbox.top);
        ctx.restore();
      });
    };
    const up = () => {
      removeEventListener("mousemove", move);
      removeEventListener("mouseup", up);
      cancelAnimationFrame(frame);
      this.drag = null;
      this.zoomed = performance.now();
      const shift = (/** @type {number} */ place) => this.plot.posToVal(place - moved, "x");
      if (moved) this.props.zoom({ low: shift(0), high: shift(this.plot.over.clientWidth) });
    };
    addEventListener("mousemove", move);
    addEventListener("mouseup", up);
  }

  close() {
    if (under === this) under = null;
    this.watcher.disconnect();
    this.plot?.destroy();
    this.plot = null;
  }
}

/** @param {number} low @param {number} high @param {number} from @param {number} to @param {boolean} log @returns {(value: number) => number} */
function scale(low, high, from, to, log) {
  if (!log) {
    const slope = (to - from) / (high - low || 1);
    return value => from + (value - low) * slope;
  }
  const [start, end] = [Math.log10(low), Math.log10(high)];
  const slope = (to - from) / (end - start || 1);
  return value => from + (Math.log10(value) - start) * slope;
}
