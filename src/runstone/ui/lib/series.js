/** Series of runs as the server draws them: columns of numbers, without a text for every number. */

import { request } from "./api.js";

/**
 * @typedef {object} Drawn a key of a run in buckets
 * @property {string} run `namespace/project/run` @property {string} key @property {number} started microseconds
 * @property {Float64Array} x where each bucket begins, or what the key along x was by its end
 * @property {Float64Array} y @property {Float64Array} lo @property {Float64Array} hi
 */
/**
 * @typedef {object} Question
 * @property {string[]} runs full names @property {string[]} keys @property {number} buckets
 * @property {"step" | "time"} by @property {string} [x] a key to draw over
 * @property {number | null} [low] @property {number | null} [high]
 */

const COLUMNS = ["start", "mean", "min", "max"];

/** @param {Question} question @param {AbortSignal} [signal] @returns {Promise<Drawn[]>} */
export async function draw(question, signal) {
  const bounds = { low: whole(question.low), high: whole(question.high) };
  const response = await request("POST", "/api/v1/series/draw", { ...question, ...bounds, columns: COLUMNS }, { signal, accept: "application/octet-stream" });
  return decode(await response.arrayBuffer());
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
