/** The runs of a view: rows of the table as they come into sight, and those that are drawn. */

import { useEffect, useLayoutEffect, useRef, useState } from "../../lib/html.js";
import { ApiError, api, post } from "../../lib/api.js";
import { colorOf } from "../../lib/colors.js";
import { whenBack } from "../../lib/resource.js";

/**
 * @typedef {object} Row
 * @property {string} run @property {string} name @property {string} state @property {number} started @property {number} updated
 * @property {string} notes @property {Record<string, string>} tags @property {any[]} values
 * @property {Record<string, any>} of values by field
 */
/** @typedef {{ filter: string, order: string, fields: string[] }} Question */

const PAGE = 60;
/** Pages that are kept; others are asked for again when they come into sight. */
const KEPT = 40;

/** @param {string} ns @param {string} project @param {Question & { skip?: number, limit: number, total?: boolean }} asked @param {AbortSignal} [signal] */
export function askRows(ns, project, asked, signal) {
  return post(api("run-queries", ns, project, "rows"), asked, { signal });
}

/**
 * Rows for a table: `row(index)` is what is there, `need` brings what is not.
 * @param {string} ns @param {string} project @param {Question | null} question null while it is not known yet
 */
export function useRows(ns, project, question) {
  const key = JSON.stringify([ns, project, question]);
  const pages = useRef(/** @type {Map<number, Row[]>} */ (new Map()));
  const asking = useRef(/** @type {Map<number, AbortController>} */ (new Map()));
  const sight = useRef({ first: 0, last: PAGE });
  const held = useRef("");
  // What was there before the question changed is shown until the new answer is here.
  const before = useRef(/** @type {Map<number, Row[]>} */ (new Map()));
  const [state, setState] = useState({ total: 0, loaded: false, version: 0, error: /** @type {Error | null} */ (null) });

  if (held.current !== key) {
    held.current = key;
    if (pages.current.size) before.current = pages.current;
    pages.current = new Map();
    for (const call of asking.current.values()) call.abort();
    asking.current = new Map();
  }

  /** @param {number} page */
  async function load(page) {
    if (!question) return;
    const ending = new AbortController();
    asking.current.get(page)?.abort();
    asking.current.set(page, ending);
    try {
      const found = await askRows(ns, project, { ...question, skip: page * PAGE, limit: PAGE, total: true }, ending.signal);
      if (held.current !== key || ending.signal.aborted) return;
      before.current = new Map();
      pages.current.set(page, found.items.map((/** @type {Row} */ row) => ({ ...row, of: Object.fromEntries(question.fields.map((field, at) => [field, row.values[at]])) })));
      for (const each of pages.current.keys()) {
        if (pages.current.size <= KEPT) break;
        if (Math.abs(each - page) > 3) pages.current.delete(each);
      }
      setState(now => ({ total: found.total ?? now.total, loaded: true, version: now.version + 1, error: null }));
    } catch (error) {
      if (ending.signal.aborted) return;
      setState(now => ({ ...now, loaded: true, error: /** @type {Error} */ (error) }));
    } finally {
      if (asking.current.get(page) === ending) asking.current.delete(page);
    }
  }

  /** @param {number} first @param {number} last */
  function need(first, last) {
    sight.current = { first, last };
    for (let page = Math.floor(first / PAGE); page <= Math.floor(Math.max(first, last - 1) / PAGE); page++) {
      if (!pages.current.has(page) && !asking.current.has(page)) load(page);
    }
  }

  function reload() {
    const { first, last } = sight.current;
    for (let page = Math.floor(first / PAGE); page <= Math.floor(Math.max(first, last - 1) / PAGE); page++) load(page);
  }

  useLayoutEffect(() => {
    if (!question) return;
    setState(now => ({ ...now, loaded: before.current.size > 0, error: null }));
    const { first, last } = sight.current;
    load(0);
    need(first, last);
  }, [key]);
  const passing = state.error instanceof ApiError && state.error.passing;
  useEffect(() => (passing ? whenBack(reload) : undefined), [passing]);
  useEffect(() => () => { for (const call of asking.current.values()) call.abort(); }, []);

  return {
    ...state, need, reload,
    row: (/** @type {number} */ index) => (pages.current.get(Math.floor(index / PAGE)) || before.current.get(Math.floor(index / PAGE)))?.[index % PAGE],
    /** Puts a change that was made here into the rows, until they are loaded again. */
    edit(/** @type {string} */ run, /** @type {Partial<Row>} */ change) {
      for (const [page, rows] of pages.current) pages.current.set(page, rows.map(row => (row.run === run ? { ...row, ...change } : row)));
      setState(now => ({ ...now, version: now.version + 1 }));
    },
  };
}

/**
 * @typedef {object} Shown a run that is drawn
 * @property {string} id @property {string} full `namespace/project/run` @property {string} name @property {string} color @property {string} group
 */

/**
 * The first runs of a view, but for those that are hidden.
 * @param {string} ns @param {string} project @param {import("./view.js").View} view @param {number} turn changes when runs came or went
 */
export function useShown(ns, project, view, turn) {
  const [shown, setShown] = useState(/** @type {Shown[] | null} */ (null));
  const key = JSON.stringify([view.filter, view.order, view.most, view.hidden, view.group, view.legend]);
  useLayoutEffect(() => {
    const ending = new AbortController();
    askShown(ns, project, view, ending.signal).then(made => {
      setShown(before => (JSON.stringify(before) === JSON.stringify(made) ? before : made));
    }, () => {});
    return () => ending.abort();
  }, [ns, project, key, turn]);
  return shown;
}

/** @param {string} ns @param {string} project @param {import("./view.js").View} view @param {AbortSignal} [signal] @returns {Promise<Shown[]>} */
export async function askShown(ns, project, view, signal) {
  const fields = [...new Set([...view.group, ...[...view.legend.matchAll(/\$\{([^}]+)\}/g)].map(found => found[1]).filter(field => field.includes("."))])];
  const limit = Math.min(1000, view.most + view.hidden.length);
  const found = await askRows(ns, project, { filter: view.filter, order: view.order, fields, limit }, signal);
  const rows = /** @type {Row[]} */ (found.items).filter(row => !view.hidden.includes(row.run)).slice(0, view.most);
  return rows.map(row => ({
    id: row.run, full: `${ns}/${project}/${row.run}`, color: colorOf(row.run), name: legend(view.legend, row, fields),
    group: view.group.map(field => `${field.replace(/^config\.|^summary\./, "")}: ${text(row.values[fields.indexOf(field)])}`).join(", "),
  }));
}

/** @param {string} template @param {Row} row @param {string[]} fields */
function legend(template, row, fields) {
  return template.replace(/\$\{([^}]+)\}/g, (_, field) => {
    if (field === "name" || field === "run") return row.name;
    return field === "id" ? row.run : field === "state" ? row.state : text(row.values[fields.indexOf(field)]);
  });
}

/** @param {any} value */
function text(value) {
  return value === null || value === undefined ? "–" : typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value);
}
