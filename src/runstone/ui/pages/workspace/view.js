/** A view of a project: which runs, in which order, which columns, which panels and how they are drawn. It is the address; a stored view is its value. */

import { signal } from "../../lib/html.js";
import { navigate, search } from "../../lib/router.js";

/**
 * @typedef {object} View
 * @property {string} filter @property {string} order @property {string[]} group fields to group by
 * @property {string[] | null} columns null: those that most runs have @property {Record<string, number>} widths
 * @property {string[]} pinned @property {string[]} hidden runs that are not drawn
 * @property {number} most runs that are drawn at once
 * @property {string} axis `step`, `time`, `relative`, or a key
 * @property {{ kind: "none" | "ema" | "gaussian", amount: number }} smoothing
 * @property {boolean} xLog @property {boolean} yLog @property {boolean} band @property {boolean} clip
 * @property {boolean} moments alerts, checkpoints and restarts are pointed out
 * @property {string} legend a name for each line: `${name}`, `${config.lr}`
 * @property {string} panels text that titles of panels contain
 * @property {Record<string, Partial<View>>} own what panels have for themselves, by key
 * @property {{ id: string, y: string }[]} added panels of expressions
 * @property {Record<string, boolean>} closed sections, by prefix
 * @property {Record<string, { wide?: number, high?: number }>} sizes of panels: columns of the grid, and pixels
 * @property {Record<string, string[]>} places the panels that come first in a section, by the section's name
 * @property {string[]} top panels that are kept above all sections
 * @property {Record<string, import("../../components/chart/pins.js").Pin[]>} pins points that were pinned, by panel
 * @property {string} saved the stored view that it came from
 * @property {number} table width of the table; 0 hides it, -1 is all
 */

/** @type {View} */
export const DEFAULTS = {
  filter: "", order: "created desc", group: [], columns: null, widths: {}, pinned: [], hidden: [], most: 20,
  axis: "step", smoothing: { kind: "none", amount: 0 }, xLog: false, yLog: false, band: true, clip: false, moments: true,
  legend: "${name}", panels: "", own: {}, added: [], closed: {}, sizes: {}, places: {}, top: [], pins: {}, saved: "", table: 430,
};
/** What stands in the address in words; the rest is together under `view`. */
const WORDS = /** @type {const} */ (["filter", "order", "axis", "panels", "saved"]);

/** @param {string} text of a query @returns {View} */
export function read(text) {
  const params = new URLSearchParams(text);
  /** @type {any} */
  const view = { ...DEFAULTS };
  try {
    const given = JSON.parse(params.get("view") || "{}");
    for (const name of Object.keys(DEFAULTS)) {
      const usual = /** @type {any} */ (DEFAULTS)[name];
      if (name in given && (usual === null || (typeof given[name] === typeof usual && Array.isArray(given[name]) === Array.isArray(usual)))) view[name] = given[name];
    }
  } catch { /* an address that was cut off: what can be read of it counts */ }
  for (const name of WORDS) view[name] = params.get(name) ?? view[name];
  const group = params.get("group");
  if (group) view.group = group.split(",");
  return view;
}

/** @param {View} view */
export function write(view) {
  const params = new URLSearchParams();
  for (const name of WORDS) if (view[name] !== DEFAULTS[name]) params.set(name, view[name]);
  if (view.group.length) params.set("group", view.group.join(","));
  /** @type {any} */
  const rest = {};
  for (const [name, value] of Object.entries(view)) {
    const usual = /** @type {any} */ (DEFAULTS)[name];
    if (name !== "group" && !(/** @type {readonly string[]} */ (WORDS)).includes(name) && JSON.stringify(value) !== JSON.stringify(usual)) rest[name] = value;
  }
  if (Object.keys(rest).length) params.set("view", JSON.stringify(rest));
  const text = params.toString();
  return text ? "?" + text : "";
}

/** The view of the page at hand, with what it was before each change. */
export class ViewState {
  constructor() {
    this.now = signal(read(location.search));
    this.past = /** @type {View[]} */ ([]);
    this.future = /** @type {View[]} */ ([]);
    this.written = location.search;
  }

  /** @param {Partial<View>} change */
  set(change) {
    this.past = [...this.past.slice(-99), this.now.value];
    this.future = [];
    this.put({ ...this.now.value, ...change });
  }

  /** @param {string} key of a panel @param {Partial<View> | null} change null: as all others */
  setOwn(key, change) {
    const own = { ...this.now.value.own };
    if (change) own[key] = { ...own[key], ...change };
    else delete own[key];
    this.set({ own });
  }

  /** @param {"sizes" | "pins" | "places"} what @param {string} key @param {any} value null: as it is by itself */
  setOf(what, key, value) {
    const all = /** @type {Record<string, any>} */ ({ ...this.now.value[what] });
    if (value === null) delete all[key];
    else all[key] = value;
    this.set({ [what]: all });
  }

  undo() {
    const before = this.past.pop();
    if (!before) return;
    this.future.push(this.now.value);
    this.put(before);
  }

  redo() {
    const after = this.future.pop();
    if (!after) return;
    this.past.push(this.now.value);
    this.put(after);
  }

  /** @param {View} view */
  put(view) {
    this.now.value = view;
    this.written = write(view);
    navigate(location.pathname + this.written, { replace: true });
  }

  /** Takes over what the address says, when that was changed by another hand. */
  follow() {
    if (search.value === this.written) return;
    this.written = search.value;
    this.now.value = read(search.value);
  }
}
