/** What runs are called by people, for places that know them by their names alone. */

import { api, post } from "../lib/api.js";

const MOST = 300;

/**
 * The titles of runs by their full names (`namespace/project/run`); one that cannot be read has none.
 * @param {string[]} names @param {AbortSignal} signal @returns {Promise<Map<string, string>>}
 */
export async function runTitles(names, signal) {
  /** @type {Map<string, string[]>} */
  const projects = new Map();
  for (const name of names.slice(0, MOST)) {
    const parts = name.split("/");
    const project = parts.slice(0, 2).join("/");
    if (parts.length === 3) projects.set(project, [...(projects.get(project) || []), parts[2]]);
  }
  const found = new Map(/** @type {[string, string][]} */ ([]));
  await Promise.all([...projects].map(async ([project, runs]) => {
    const filter = `id in (${runs.map(run => JSON.stringify(run)).join(", ")})`;
    const page = await post(api("run-queries", ...project.split("/"), "rows"), { filter, limit: runs.length }, { signal }).catch(() => ({ items: [] }));
    for (const row of page.items) found.set(`${project}/${row.run}`, row.name);
  }));
  return found;
}
