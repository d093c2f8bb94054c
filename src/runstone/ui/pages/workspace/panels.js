/** Panels: one for each key that was logged, together by the prefix of their names. Only those in sight are there and ask the server. */

import { html, useEffect, useMemo, useRef, useState } from "../../lib/html.js";
import { ApiError, api, get, query } from "../../lib/api.js";
import { useResource } from "../../lib/resource.js";
import { Icon } from "../../components/icons.js";
import { Lazy } from "../../components/lazy.js";
import { Menu } from "../../components/menu.js";
import { Blank, Loaded } from "../../components/states.js";
import { arranged, moved, useGrid } from "./layout.js";
import { FullPanel, Panel } from "./panel.js";
import { LookMenu } from "./look.js";

/** Panels of a section before one asks for more. */
const FIRST = 24;
const MOST_KEYS = 5000;
/** The section of panels that are kept above all others. */
const TOP = "Pinned";

/**
 * @param {{ ns: string, project: string, state: import("./view.js").ViewState, shown: import("./runs.js").Shown[] | null, live: import("./workspace.js").Live, only?: string[], loading?: boolean }} props
 */
export function Panels({ ns, project, state, shown, live, only, loading }) {
  const view = state.now.value;
  const asked = useResource(async signal => only || allKeys(ns, project, "", signal), [ns, project, only]);
  // Of more keys than are listed, those that are looked for are asked for by how they begin.
  const many = !only && (asked.data?.length ?? 0) >= MOST_KEYS;
  const begun = useResource(async signal => (many && view.panels ? allKeys(ns, project, view.panels, signal) : []), [ns, project, many && view.panels]);
  const keys = loading ? { ...asked, data: undefined, error: undefined } : asked;
  useEffect(() => { if (live.turn && !only && (keys.data?.length ?? 0) < MOST_KEYS) keys.reload(); }, [live.turn]);
  // A project that is not there yet is made by its first run.
  const missing = keys.error instanceof ApiError && keys.error.status === 404;
  const [adding, setAdding] = useState(false);
  // Saved views are not needed for the first look.
  const [Views, setViews] = useState(/** @type {any} */ (null));
  useEffect(() => { if (!only) import("./views.js").then(module => setViews(() => module.Views), () => {}); }, [Boolean(only)]);
  const sections = useMemo(() => {
    const lifted = new Set(view.top);
    const all = [...new Set([...keys.data || [], ...begun.data || []])];
    const found = sectioned(all, view.panels).map(section => ({ ...section, keys: arranged(section.keys.filter(key => !lifted.has(key)), view.places[section.name]) }));
    const top = view.top.filter(key => all.includes(key));
    return [...(top.length ? [{ name: TOP, keys: top }] : []), ...found.filter(section => section.keys.length)];
  }, [keys.data, begun.data, view.panels, view.top, view.places]);
  const [full, setFull] = useState("");
  const all = [...view.added.map(each => each.id), ...sections.filter(section => !view.closed[section.name]).flatMap(section => section.keys)];
  const turn = (/** @type {number} */ by) => setFull(now => all[(all.indexOf(now) + by + all.length) % all.length]);

  return html`<section class="panels grow" aria-label="Panels">
    <div class="pane-head row wrap">
      <label class="row filter" style=${{ flex: "1 1 160px", maxWidth: "300px" }}><${Icon} name="search" /><input class="grow" aria-label="Find panels" placeholder="Find panels" value=${view.panels} onInput=${(/** @type {any} */ event) => state.set({ panels: event.target.value })} /></label>
      ${Views && html`<${Views} ns=${ns} project=${project} state=${state} />`}
      <span class="grow" />
      <${LookMenu} view=${view} set=${(/** @type {any} */ change) => state.set(change)} keys=${keys.data || []} />
      ${!only && html`<${Menu} label=${`${view.most} runs`} title="How many runs are drawn">
        <label class="field" style=${{ padding: "6px 9px", width: "220px" }}><span>Draw the first ${view.most} runs of the table</span>
          <input type="range" min="1" max="1000" step="1" value=${view.most} onChange=${(/** @type {any} */ event) => state.set({ most: Number(event.target.value) })} /></label>
      </${Menu}>`}
      <button class="btn quiet" onClick=${() => setAdding(true)} title="A panel of an expression over keys"><${Icon} name="plus" />Expression</button>
    </div>
    <${Loaded} of=${missing ? { ...keys, error: undefined, data: [] } : keys}>${(/** @type {string[]} */ found) => html`<div class="sections">
      ${view.added.length > 0 && html`<${Section} name="Expressions" keys=${view.added.map(each => each.id)} state=${state}>
        ${(/** @type {string[]} */ _, /** @type {any} */ place) => view.added.map(each => html`<${Panel} key=${each.id} ns=${ns} project=${project} id=${each.id} y=${each.y} state=${state} shown=${shown} live=${live} place=${place(each.id)} enlarge=${() => setFull(each.id)} remove=${() => state.set({ added: view.added.filter(other => other.id !== each.id) })} />`)}
      </${Section}>`}
      ${sections.map(section => html`<${Section} key=${section.name} name=${section.name} keys=${section.keys} state=${state}>
        ${(/** @type {string[]} */ given, /** @type {any} */ place) => given.map(key => html`<${Panel} key=${key} ns=${ns} project=${project} id=${key} y="" state=${state} shown=${shown} live=${live} place=${place(key)} enlarge=${() => setFull(key)} />`)}
      </${Section}>`)}
      ${many && html`<p class="hint">Panels of the first 5,000 keys are here. Others are found by how they begin.</p>`}
      ${found.length === 0 && html`<${Blank} title="Nothing is logged yet"><p>A panel appears here for every key that a run logs, as soon as it does.</p></${Blank}>`}
      ${found.length > 0 && sections.length === 0 && view.panels && html`<${Blank} title="No panel is called that"><button class="btn" onClick=${() => state.set({ panels: "" })}>Show all</button></${Blank}>`}
    </div>`}</${Loaded}>
    ${full && html`<${FullPanel} ns=${ns} project=${project} id=${full} y=${view.added.find(each => each.id === full)?.y || ""} state=${state} shown=${shown} live=${live} close=${() => setFull("")} turn=${turn} />`}
    ${adding && html`<${Lazy} load=${() => import("./expressiondialog.js").then(module => module.ExpressionDialog)} keys=${keys.data || []} close=${() => setAdding(false)} add=${(/** @type {string} */ y) => state.set({ added: [...view.added, { id: `= ${y}`, y }] })} />`}
  </section>`;
}

/**
 * The keys that numbers were logged under, which are those that have a mean.
 * @param {string} ns @param {string} project @param {string} start what they begin with @param {AbortSignal} signal
 */
async function allKeys(ns, project, start, signal) {
  /** @type {string[]} */
  const found = [];
  let after = "";
  do {
    const page = await get(api("run-queries", ns, project, "fields") + query({ prefix: `summary.${start}`, limit: 1000, after }), { signal });
    for (const { field } of page.items) if (field.endsWith(":mean")) found.push(field.slice("summary.".length, -":mean".length));
    after = page.next;
  } while (after && found.length < MOST_KEYS);
  return found;
}

/** @param {string[]} keys @param {string} wanted */
export function sectioned(keys, wanted) {
  const sections = new Map(/** @type {[string, string[]][]} */ ([]));
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  for (const key of keys) {
    // What clients log for themselves.
    if (/(^|\/)_/.test(key)) continue;
    if (!words.every(word => key.toLowerCase().includes(word))) continue;
    const slash = key.indexOf("/");
    const name = slash > 0 ? key.slice(0, slash) : "Charts";
    if (!sections.has(name)) sections.set(name, []);
    sections.get(name)?.push(key);
  }
  const order = (/** @type {string} */ name) => (name === "Charts" ? 0 : name === "system" ? 2 : 1);
  return [...sections].map(([name, held]) => ({ name, keys: held })).sort((one, other) => order(one.name) - order(other.name) || one.name.localeCompare(other.name));
}

/**
 * @param {{ name: string, keys: string[], state: import("./view.js").ViewState, children: (keys: string[], place: (key: string) => import("./layout.js").Place) => any }} props
 */
function Section({ name, keys, state, children }) {
  const view = state.now.value;
  const [most, setMost] = useState(FIRST);
  const open = !view.closed[name];
  const grid = useRef(/** @type {HTMLElement | null} */ (null));
  const columns = useGrid(grid, open);
  /** @param {string} key @param {number} to */
  function put(key, to) {
    if (name === TOP) state.set({ top: moved(keys, key, to, keys.length) });
    else if (name === "Expressions") state.set({ added: moved(keys, key, to, keys.length).map(id => /** @type {any} */ (view.added.find(each => each.id === id))) });
    else state.setOf("places", name, moved(keys, key, to, view.places[name]?.length || 0));
  }
  /** @param {string} key @returns {import("./layout.js").Place} */
  const place = key => ({
    columns, size: view.sizes[key] || {}, top: view.top.includes(key),
    resize: size => state.setOf("sizes", key, size),
    // To where the other one is; from another section it stays in its own.
    move: (from, before) => { if (from !== before && keys.includes(from)) put(from, keys.indexOf(before)); },
    step: (moving, by) => put(moving, Math.max(0, Math.min(keys.length - 1, keys.indexOf(moving) + by))),
    lift: lifted => state.set({ top: view.top.includes(lifted) ? view.top.filter(each => each !== lifted) : [...view.top, lifted] }),
  });
  const toggle = () => state.set({ closed: { ...view.closed, [name]: open } });
  return html`<section aria-label=${name}>
    <h2 class="section-head"><button class="inplace row" aria-expanded=${open} onClick=${toggle}><${Icon} name=${open ? "down" : "right"} /><span class="cut">${name}</span><span class="muted small">${keys.length}</span></button></h2>
    ${open && html`<div class="panel-grid" ref=${grid}>${children(keys.slice(0, most), place)}</div>`}
    ${open && keys.length > most && html`<button class="btn more" onClick=${() => setMost(most + 96)}>Show ${Math.min(96, keys.length - most)} more of ${keys.length - most}</button>`}
  </section>`;
}
