/** What happened to a run while it logged: alerts, checkpoints, restarts and a bad end, drawn over its lines. */

import { useEffect, useState } from "../../lib/html.js";
import { api, get } from "../../lib/api.js";

/** @typedef {import("./painter.js").Frame} Frame */
/** @typedef {{ kind: "alert" | "checkpoint" | "restart" | "state", text: string, severity: string, time: number, step: number }} Moment */
/** @typedef {{ x: number, moment: Moment, run: string, color: string }} PlacedMoment */

/** Of more runs together, what happened to each would be a fence. */
export const MOST_RUNS = 5;
/** Milliseconds for which all panels of a page share an answer. */
const FRESH = 3000;
const held = /** @type {Map<string, { at: number, asked: Promise<Moment[]> }>} */ (new Map());

/** @param {string} run its full name */
function momentsOf(run) {
  const now = performance.now();
  const known = held.get(run);
  if (known && now - known.at < FRESH) return known.asked;
  const asked = get(api("runs", ...run.split("/"), "moments")).then(found => found.items, () => []);
  held.set(run, { at: now, asked });
  if (held.size > 100) held.delete(/** @type {string} */ (held.keys().next().value));
  return asked;
}

/**
 * The moments of the runs that are shown, asked for anew when these log more.
 * @param {{ full: string, name: string, color: string }[]} shown none, or too many, have no moments
 * @param {import("../../pages/workspace/workspace.js").Live} live
 */
export function useMoments(shown, live) {
  const [found, setFound] = useState(/** @type {{ run: { full: string, name: string, color: string }, moments: Moment[] }[]} */ ([]));
  const few = shown.length <= MOST_RUNS ? shown : [];
  const key = few.map(run => `${run.full} ${run.name} ${run.color}`).join("\n");
  useEffect(() => {
    let wanted = true;
    Promise.all(few.map(async run => ({ run, moments: await momentsOf(run.full) }))).then(all => { if (wanted) setFound(all.filter(each => each.moments.length)); });
    return () => { wanted = false; };
  }, [key, live.beat]);
  return found;
}

/**
 * Where moments are along an axis; none along a key.
 * @param {ReturnType<typeof useMoments>} found @param {string} axis @param {(run: string) => number | undefined} started microseconds
 * @returns {PlacedMoment[]}
 */
export function along(found, axis, started) {
  const x = (/** @type {Moment} */ moment, /** @type {string} */ run) => {
    if (axis === "time") return moment.time / 1e6;
    if (axis === "relative") return (moment.time - (started(run) ?? NaN)) / 1e6;
    return axis === "step" && moment.step >= 0 ? moment.step : NaN;
  };
  return found.flatMap(({ run, moments }) => moments.map(moment => ({ x: x(moment, run.full), moment, run: run.name, color: run.color })).filter(each => Number.isFinite(each.x)));
}

/** What a moment is called. @param {Moment} moment */
export function named(moment) {
  return { alert: "Alert", checkpoint: "Checkpoint", restart: "Run", state: "Run" }[moment.kind] + " " + moment.text;
}

/** @param {CanvasRenderingContext2D} context @param {PlacedMoment[]} moments @param {Frame} frame @param {{ ground: string, bad: string, warn: string }} colors */
export function paintMoments(context, moments, frame, colors) {
  const { ratio, left, top, width, height } = frame;
  context.save();
  context.lineWidth = ratio;
  for (const { x: value, moment, color } of moments) {
    const x = Math.round(frame.x(value)) + 0.5;
    if (x < left || x > left + width) continue;
    const ink = moment.severity === "error" ? colors.bad : moment.severity === "warn" ? colors.warn : color;
    context.strokeStyle = ink;
    context.globalAlpha = 0.55;
    context.setLineDash([2 * ratio, 3 * ratio]);
    context.beginPath();
    context.moveTo(x, top);
    context.lineTo(x, top + height);
    context.stroke();
    context.setLineDash([]);
    context.globalAlpha = 1;
    context.fillStyle = ink;
    context.strokeStyle = colors.ground;
    shape(context, moment.kind, x, top + 6 * ratio, 4.5 * ratio);
    context.fill();
    context.stroke();
  }
  context.restore();
}

/** A triangle for an alert, a diamond for a checkpoint, a disc for a restart, a square for an end. @param {CanvasRenderingContext2D} context @param {Moment["kind"]} kind @param {number} x @param {number} y @param {number} r */
function shape(context, kind, x, y, r) {
  context.beginPath();
  if (kind === "restart") context.arc(x, y, r * 0.9, 0, 7);
  else if (kind === "state") context.rect(x - r * 0.8, y - r * 0.8, 1.6 * r, 1.6 * r);
  else {
    context.moveTo(x, y - r);
    context.lineTo(x + r, kind === "alert" ? y + r : y);
    if (kind === "checkpoint") context.lineTo(x, y + r);
    context.lineTo(x - r, kind === "alert" ? y + r : y);
    context.closePath();
  }
}
