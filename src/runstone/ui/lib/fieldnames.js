/** Which fields of a project tell something: not what clients keep for themselves. */

import { api, get, query } from "./api.js";

/** @typedef {{ field: string, runs: number }} Field */

/**
 * Fields that the server lists. It looks through so many names at a time, and is asked on until there is one, as long as `wanted` says so.
 * @param {string} ns @param {string} project @param {Record<string, any>} asked @param {() => boolean} wanted
 * @returns {Promise<{ items: Field[], next: string }>}
 */
export async function askFields(ns, project, asked, wanted) {
  const page = await get(api("run-queries", ns, project, "fields") + query(asked)).catch(() => ({ items: [], next: "" }));
  return page.items.length || !page.next || !wanted() ? page : askFields(ns, project, { ...asked, after: page.next }, wanted);
}

const OWN = /^[a-z]+\.(_|system\/)|\/_/;

/** Fields that tell something, in the order given. @param {Field[]} found @returns {string[]} */
export function telling(found) {
  return found.map(each => each.field).filter(field => !OWN.test(field));
}

const ATTRIBUTES = /** @type {Record<string, string>} */ ({ job_type: "Job type" });

/** A field without what all of its kind have in common; what every run has is a word of ours, and is written as one. @param {string} field */
export function title(field) {
  if (/^(config|summary|tags)\./.test(field)) return field.replace(/^(config|summary)\./, "");
  return ATTRIBUTES[field] || field[0].toUpperCase() + field.slice(1);
}

const MEASURES = [/(^|[./_-])(val|eval|test|valid|validation)([./_-]|$).*(loss|acc|f1|auc|score|error|reward|map|rmse)/i, /(^|[./_-])(loss|acc|accuracy|f1|auc|score|error|reward|rmse|perplexity)/i];
const RATES = [/(^|[./_-])(lr|learning_rate|rate)$/i, /(batch|size|depth|width|layers|dropout|estimators|epochs)/i];

/** The metric that one would look at first. @param {string[]} names of the summary @param {string} [other] not this one */
export function measure(names, other = "") {
  return foremost(names.filter(name => name !== other), MEASURES);
}

/** The parameter that one would look at first. @param {string[]} names of the config */
export function parameter(names) {
  return foremost(names, RATES);
}

/** @param {string[]} names @param {RegExp[]} patterns */
function foremost(names, patterns) {
  for (const pattern of patterns) {
    const found = names.find(name => pattern.test(name));
    if (found) return found;
  }
  return names[0];
}

/** Tags that people gave: mlflow keeps what it knows of a run among its tags as well. @param {Record<string, string>} tags @returns {Record<string, string>} */
export function ownTags(tags) {
  return Object.fromEntries(Object.entries(tags).filter(([name]) => !name.startsWith("mlflow.")));
}
