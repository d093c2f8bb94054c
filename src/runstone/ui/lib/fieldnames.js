/** Which fields of a project tell something: not what clients keep for themselves. */

/** @typedef {{ field: string, runs: number }} Field */

const OWN = /^[a-z]+\.(_|system\/)|\/_/;

/**
 * Fields that tell something, figures and those of most runs first.
 * @param {Field[]} found as the server lists them, with the statistics of keys (`summary.loss:min`) among them
 * @returns {string[]}
 */
export function telling(found) {
  const logged = figures(found);
  return found.filter(({ field }) => !field.includes(":") && !OWN.test(field))
    .sort((one, other) => Number(logged.has(other.field)) - Number(logged.has(one.field)) || other.runs - one.runs).map(each => each.field);
}

/** Of fields of the summary those that numbers were logged as, which are those that have a mean. @param {Field[]} found @returns {Set<string>} */
export function figures(found) {
  return new Set(found.filter(each => each.field.endsWith(":mean")).map(each => each.field.slice(0, -":mean".length)));
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
