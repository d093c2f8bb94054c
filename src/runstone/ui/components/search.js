/** What the palette finds on the server: projects by name, and runs of the project at hand. */

import { api, get, post } from "../lib/api.js";
import { navigate, to } from "../lib/router.js";
import { useCommandSource } from "./palette.js";

const MOST = 8;

/** @param {{ ns?: string, project?: string }} here */
export function useSearch({ ns, project }) {
  useCommandSource(async (typed, signal) => {
    const word = typed.trim();
    if (!word) return [];
    const found = await Promise.all([projects(word, signal), ns && project ? runs(ns, project, word, signal) : []]);
    return found.flat();
  }, [ns, project]);
}

/** @param {string} word @param {AbortSignal} signal */
async function projects(word, signal) {
  const { namespaces } = await get("/api/v1/whoami", { signal });
  const pages = await Promise.all(namespaces.slice(0, 20).map((/** @type {string} */ each) => get(`${api("namespaces", each, "projects")}?limit=1000`, { signal })));
  return pages.flatMap(page => page.items)
    .filter((/** @type {any} */ each) => `${each.namespace}/${each.name}`.toLowerCase().includes(word.toLowerCase())).slice(0, MOST)
    .map((/** @type {any} */ each) => ({ name: `${each.namespace}/${each.name}`, detail: each.kind, act: () => navigate(to(each.namespace, each.name)) }));
}

/** @param {string} ns @param {string} project @param {string} word @param {AbortSignal} signal */
async function runs(ns, project, word, signal) {
  const text = JSON.stringify(`%${word}%`);
  const found = await post(api("run-queries", ns, project, "rows"), { filter: `name ilike ${text} or id ilike ${text}`, limit: MOST }, { signal });
  return found.items.map((/** @type {any} */ row) => ({ name: row.name, detail: `run, ${row.state}`, act: () => navigate(to(ns, project, "runs", row.run)) }));
}
