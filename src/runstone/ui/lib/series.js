/** Series of runs as the server draws them: columns of numbers, without a text for every number. */

import { request } from "./api.js";

/**
 * @typedef {object} Drawn a key of a run in buckets
 * @property {string} run `namespace/project/run` @property {string} key @property {number} started microseconds
 * @property {Float64Array} x where each bucket begins, or what the key along x was by its end
 * @property {Float64Array} y @property {Float64Array} [lo] @property {Float64Array} [hi]
 */
/**
 * @typedef {object} Question
 * @property {string[]} runs full names @property {string[]} keys @property {number} buckets
 * @property {"step" | "time"} by @property {string} [x] a key to draw over
 * @property {number | null} [low] @property {number | null} [high]
 * @property {boolean} [band] whether the least and greatest of each bucket are wanted
 */

const COLUMNS = ["start", "mean"];
const BAND = ["min", "max"];

/** How many lines one request asks for, unless a single key has more; the next goes beside it. */
const MOST_LINES = 240;

/** @typedef {{ key: string, question: Question, done: (drawn: Drawn[]) => void, failed: (error: unknown) => void, signal?: AbortSignal }} Waiting */
let waiting = /** @type {Waiting[]} */ ([]);

/**
 * What the server draws. Questions of one moment that differ in their keys alone, which panels that come into sight together have, are one request.
 * @param {Question} question @param {AbortSignal} [signal] @returns {Promise<Drawn[]>}
 */
export function draw(question, signal) {
  return new Promise((done, failed) => {
    signal?.addEventListener("abort", () => failed(new DOMException("overtaken", "AbortError")), { once: true });
    if (!waiting.length) queueMicrotask(() => setTimeout(send));
    waiting.push({ key: JSON.stringify({ ...question, keys: null }), question, done, failed, signal });
  });
}

function send() {
  const asked = waiting.filter(each => !each.signal?.aborted);
  waiting = [];
  const alike = new Map(/** @type {[string, Waiting[][]][]} */ ([]));
  for (const each of asked) {
    const groups = alike.get(each.key) || [[]];
    alike.set(each.key, groups);
    const last = groups[groups.length - 1];
    const keys = last.reduce((sum, other) => sum + other.question.keys.length, each.question.keys.length);
    if (last.length && keys * each.question.runs.length > MOST_LINES) groups.push([each]);
    else last.push(each);
  }
  for (const group of [...alike.values()].flat()) ask(group);
}

/** One request for questions that differ in their keys alone; it is ended when nobody waits for it any more. @param {Waiting[]} group */
async function ask(group) {
  const ending = new AbortController();
  let left = group.length;
  for (const each of group) each.signal?.addEventListener("abort", () => { if (!--left) ending.abort(); }, { once: true });
  const { band, ...question } = group[0].question;
  const keys = [...new Set(group.flatMap(each => each.question.keys))];
  try {
    const bounds = { low: whole(question.low), high: whole(question.high) };
    const response = await request("POST", "/api/v1/series/draw", { ...question, keys, ...bounds, columns: band ? [...COLUMNS, ...BAND] : COLUMNS }, { signal: ending.signal, accept: "application/octet-stream" });
    const drawn = decode(await response.arrayBuffer());
    for (const each of group) each.done(group.length === 1 ? drawn : drawn.filter(one => each.question.keys.includes(one.key)));
  } catch (error) {
    for (const each of group) each.failed(error);
  }
}

/** @param {number | null | undefined} bound */
function whole(bound) {
  return bound === null || bound === undefined ? null : Math.floor(bound);
}

/** @param {ArrayBuffer} content @returns {Drawn[]} */
export function decode(content) {
  const size = new DataView(content).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(content, 4, size)));
  let at = 4 + size;
  return head.items.map((/** @type {any} */ item) => {
    /** @type {Record<string, Float64Array>} */
    const columns = {};
    for (const name of head.columns) {
      columns[name] = new Float64Array(content, at, item.points);
      at += 8 * item.points;
    }
    return {
      run: item.run, key: item.key, started: item.started,
      x: columns.x || columns.start, y: columns.mean, lo: columns.min, hi: columns.max,
    };
  });
}
