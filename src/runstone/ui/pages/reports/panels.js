/** Panels of a report: fenced blocks of JSON in its text, drawn as the workspace draws them. */

import { html, useMemo } from "../../lib/html.js";
import { parse } from "../../lib/expression.js";
import { draw } from "../../lib/series.js";
import { svg } from "../../components/chart/export.js";
import { Panel, lookOf, questionOf, toLines, wholeOf } from "../workspace/panel.js";
import { askShown, useShown } from "../workspace/runs.js";
import { DEFAULTS, ViewState } from "../workspace/view.js";

/**
 * @typedef {object} Spec
 * @property {string} title @property {string[]} keys @property {string} y an expression over keys, instead of them
 * @property {Partial<import("../workspace/view.js").View>} view which runs, and how they are drawn
 */
/** @typedef {{ text: string } | { panel: string }} Part */
/** @typedef {Record<string, string[]>} Pictures figures as SVG, by the text of their panel: one a key */

const FENCE = /^```panel[ \t]*\r?\n([\s\S]*?)^```[ \t]*$/gm;
const NONE = { turn: 0, beat: 0, fresh: /** @type {Set<string>} */ (new Set()) };
const MOST_KEYS = 12;
const MOST_RUNS = 200;
/** Of a picture: enough for its width, and a report has to fit into a document. */
const BUCKETS = 200;

/** The text of a report, and the panels between. @param {string} text @returns {Part[]} */
export function partsOf(text) {
  /** @type {Part[]} */
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(FENCE)) {
    if (text.slice(end, found.index).trim()) parts.push({ text: text.slice(end, found.index) });
    parts.push({ panel: found[1] });
    end = found.index + found[0].length;
  }
  if (text.slice(end).trim()) parts.push({ text: text.slice(end) });
  return parts;
}

/** What a block asks for; throws an Error that says what is wrong. @param {string} text @returns {Spec} */
export function specOf(text) {
  const given = JSON.parse(text);
  if (given === null || typeof given !== "object" || Array.isArray(given)) throw new Error("a panel is a JSON object");
  const { title = "", keys = [], y = "", runs = 10, ...rest } = given;
  if (!Array.isArray(keys) || !keys.every(key => typeof key === "string") || typeof y !== "string" || typeof title !== "string") throw new Error('"keys" is a list of texts; "title" and "y" are texts');
  if (!keys.length && !y) throw new Error('a panel needs "keys", such as ["loss"], or "y", such as "val - train"');
  if (!Number.isInteger(runs) || runs < 1 || runs > MOST_RUNS) throw new Error(`"runs" is how many are drawn, from 1 to ${MOST_RUNS}`);
  if (y) parse(y);
  /** @type {any} */
  const view = { most: runs };
  for (const [name, value] of Object.entries(rest)) {
    const usual = /** @type {any} */ (DEFAULTS)[name];
    if (!OPTIONS.includes(name)) throw new Error(`a panel has no "${name}"; it has title, keys, y, runs, ${OPTIONS.join(", ")}`);
    if (typeof value !== typeof usual || Array.isArray(value) !== Array.isArray(usual)) throw new Error(`"${name}" is not of the right kind`);
    view[name] = value;
  }
  return { title, keys: keys.slice(0, MOST_KEYS), y, view };
}

const OPTIONS = ["filter", "order", "group", "hidden", "axis", "smoothing", "xLog", "yLog", "band", "clip", "legend"];

/** @param {{ ns: string, project: string, text: string, pictures?: string[] }} props `pictures` are figures as they were */
export function ReportPanel({ ns, project, text, pictures }) {
  const read = useMemo(() => {
    try {
      return { spec: specOf(text), error: "" };
    } catch (error) {
      return { spec: null, error: error instanceof Error ? error.message : String(error) };
    }
  }, [text]);
  if (!read.spec) return html`<p class="hint bad report-wrong" role="alert">This panel is not understood: ${read.error}</p>`;
  return pictures?.length ? html`<${Fixed} spec=${read.spec} pictures=${pictures} />` : html`<${Live} ns=${ns} project=${project} spec=${read.spec} />`;
}

/** @param {{ ns: string, project: string, spec: Spec }} props */
function Live({ ns, project, spec }) {
  const state = useMemo(() => {
    const made = new ViewState();
    made.now.value = { ...DEFAULTS, ...spec.view };
    // A panel of a report has no address of its own.
    made.put = view => { made.now.value = view; };
    return made;
  }, [spec]);
  const shown = useShown(ns, project, state.now.value, 0);
  const ids = spec.y ? [spec.title || `= ${spec.y}`] : spec.keys;
  return html`<figure class="report-figure" data-panel>${spec.title && html`<figcaption>${spec.title}</figcaption>`}
    <div class="panel-grid">${ids.map(id => html`<${Panel} key=${id} ns=${ns} project=${project} id=${id} y=${spec.y} state=${state} shown=${shown} live=${NONE} />`)}</div></figure>`;
}

/** @param {{ spec: Spec, pictures: string[] }} props */
function Fixed({ spec, pictures }) {
  const names = spec.y ? [spec.title || spec.y] : spec.keys;
  return html`<figure class="report-figure">${spec.title && html`<figcaption>${spec.title}</figcaption>`}
    <div class="panel-grid">${pictures.map((figure, at) => html`<div class="panel fixed" key=${at}><img alt=${`${names[at]}, as it was`} src=${`data:image/svg+xml;charset=utf-8,${encodeURIComponent(String(figure))}`} /></div>`)}</div></figure>`;
}

/** The figures of all panels of a report as they are now. @param {string} ns @param {string} project @param {string} text @returns {Promise<Pictures>} */
export async function picture(ns, project, text) {
  const found = /** @type {Pictures} */ ({});
  for (const part of partsOf(text)) {
    if (!("panel" in part)) continue;
    try {
      found[part.panel] = await pictured(ns, project, specOf(part.panel));
    } catch (error) {
      // What is not understood has no picture, and says so on the page.
      if (!(error instanceof SyntaxError) && error instanceof Error && error.name === "ApiError") throw error;
    }
  }
  return found;
}

/** @param {string} ns @param {string} project @param {Spec} spec */
async function pictured(ns, project, spec) {
  const view = { ...DEFAULTS, ...spec.view };
  const shown = await askShown(ns, project, view);
  const expression = spec.y ? parse(spec.y) : null;
  const figures = expression ? [{ keys: expression.keys, title: spec.title || spec.y }] : spec.keys.map(key => ({ keys: [key], title: key }));
  return Promise.all(figures.map(async ({ keys, title }) => {
    const drawn = await draw({ ...questionOf(keys, view, BUCKETS), runs: shown.map(run => run.full) });
    const lines = toLines(drawn, shown, view, expression);
    return svg(lines, lookOf(view), lines.length ? wholeOf(lines) : { low: 0, high: 1 }, title);
  }));
}
