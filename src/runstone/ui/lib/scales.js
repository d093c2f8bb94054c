/** From the values of a field to places between 0 and 1, with what is written beside them. */

import { colorAt, rampOf } from "./colors.js";
import { inline, number } from "./format.js";

/**
 * @typedef {object} Scale
 * @property {"number" | "category"} kind
 * @property {(value: unknown) => number} at a place from 0 to 1; NaN for what has none
 * @property {(place: number) => unknown} back the value at a place
 * @property {{ at: number, text: string }[]} ticks
 * @property {(value: unknown) => string} shade a colour for a value
 */

const MOST_CATEGORIES = 30;

/** Whether a field is drawn by its size: all that is there are numbers. @param {unknown[]} values */
export function isNumeric(values) {
  return values.some(Number.isFinite) && values.every(value => value === null || value === undefined || typeof value === "number");
}

/** @param {unknown[]} values @param {boolean} [log] @returns {Scale} */
export function scaleOf(values, log = false) {
  return isNumeric(values) ? numeric(/** @type {number[]} */ (values), log) : categories(values);
}

/** @param {number[]} values @param {boolean} log @returns {Scale} */
function numeric(values, log) {
  let [low, high] = [Infinity, -Infinity];
  const logged = log && values.some(value => value > 0);
  for (const value of values) {
    if (!Number.isFinite(value) || (logged && value <= 0)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low === high) [low, high] = logged ? [low / 2, high * 2] : [low - (Math.abs(low) / 10 || 1), high + (Math.abs(high) / 10 || 1)];
  const turned = logged ? Math.log10 : Number;
  const [from, to] = [turned(low), turned(high)];
  const at = (/** @type {unknown} */ value) => (typeof value === "number" && Number.isFinite(value) && !(logged && value <= 0) ? (turned(value) - from) / (to - from) : NaN);
  const back = (/** @type {number} */ place) => (logged ? 10 ** (from + place * (to - from)) : from + place * (to - from));
  return { kind: "number", at, back, shade: value => rampOf(at(value)), ticks: (logged && to - from > 1.2 ? decades(from, to) : steps(low, high)).map(value => ({ at: at(value), text: number(value, 4) })).filter(tick => Number.isFinite(tick.at)) };
}

/** Round numbers from low to high. @param {number} low @param {number} high @param {number} [wanted] */
export function steps(low, high, wanted = 5) {
  const rough = (high - low) / wanted;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = size * (rough / size >= 5 ? 10 : rough / size >= 2 ? 5 : rough / size >= 1 ? 2 : 1);
  const found = [];
  for (let at = Math.ceil(low / step); at <= Math.floor(high / step) && found.length < 20; at++) found.push(Number((at * step).toPrecision(12)));
  return found;
}

/** @param {number} from @param {number} to logarithms */
function decades(from, to) {
  const every = Math.max(1, Math.ceil((to - from) / 6));
  const found = [];
  for (let at = Math.ceil(from); at <= to; at += every) found.push(10 ** at);
  return found;
}

/** @param {unknown[]} values @returns {Scale} */
function categories(values) {
  const texts = [...new Set(values.filter(value => value !== null && value !== undefined).map(word))].sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
  const place = new Map(texts.map((text, index) => [text, texts.length > 1 ? index / (texts.length - 1) : 0.5]));
  const every = Math.ceil(texts.length / MOST_CATEGORIES);
  return {
    kind: "category",
    at: value => (value === null || value === undefined ? NaN : place.get(word(value)) ?? NaN),
    shade: value => colorAt(Math.max(0, texts.indexOf(word(value)))),
    back: at => texts[Math.round(at * (texts.length - 1))],
    ticks: texts.filter((_, index) => index % every === 0).map(text => ({ at: place.get(text) ?? 0.5, text: text.length > 22 ? text.slice(0, 21) + "…" : text || "(empty)" })),
  };
}

/** A value as the name of a category. @param {unknown} value */
export function word(value) {
  return inline(value, 80);
}
