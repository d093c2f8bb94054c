/** Panels: one for each key that was logged, together by the prefix of their names. Only those in sight are there and ask the server. */

import { html, useEffect, useMemo, useRef, useState } from "../../lib/html.js";
import { ApiError, api, get, query } from "../../lib/api.js";
import { useResource } from "../../lib/resource.js";
import { attempt } from "../../lib/toasts.js";
import { Icon } from "../../components/icons.js";
import { Lazy } from "../../components/lazy.js";
import { Menu } from "../../components/menu.js";
import { Blank, Loaded } from "../../components/states.js";
import { arranged, moved, useGrid } from "./layout.js";
import { FullPanel, Panel } from "./panel.js";
import { LookMenu } from "./look.js";

/** Panels of a section before one asks for more, and how many more then come. */
const FIRST = 24;
const MORE = 96;
/** Sections that are asked for at a time, and keys of each. */
const SECTIONS = 40;
const KEYS = 100;
/** Sections that are open before anybody opened or closed one. */
const OPEN = 12;
/** The section of panels that are kept above all others. */
const TOP = "Pinned";

/**
 * @param {{ ns: string, project: string, state: import("./view.js").ViewState, shown: import("./runs.js").Shown[] | null, live: import("./workspace.js").Live, of?: "runs" | "own" | "system", only?: string[], loading?: boolean }} props
 * `of`: of the runs of the table, or of one run what it logged itself, or what its machine did; `only`: its keys, where they are few enough to be known
 */
export function Panels({ ns, project, state, shown, live, of = "runs", only, loading }) {
  const view = state.now.value;
  const asked = useSections(ns, project, of === "system" && !only ? `${SYSTEM}/ ${view.panels}` : view.panels, only);
  const keys = loading ? { ...asked, data: undefined, error: undefined } : asked;
  useEffect(() => { if (live.turn && !only) keys.reload(); }, [live.turn]);
  // A project that is not there yet is made by its first run.
  const missing = keys.error instanceof ApiError && keys.error.status === 404;
  const [adding, setAdding] = useState(false);
  // Saved views are not needed for the first look.
  const [Views, setViews] = useState(/** @type {any} */ (null));
  useEffect(() => { if (of === "runs") import("./views.js").then(module => setViews(() => module.Views), () => {}); }, [of]);
  const wanted = (/** @type {string} */ key) => wordsOf(view.panels).every(word => key.toLowerCase().includes(word));
  const sections = useMemo(() => {
    const lifted = new Set(view.top);
    const top = view.top.filter(wanted);
    const found = inOrder(keys.data?.sections || []).filter(section => of === "runs" || (section.name === SYSTEM) === (of === "system")).map(section => {
      // What was put first is there whether it is among the first by name or not.
      const placed = (view.places[section.name] || []).filter(wanted);
      return { ...section, keys: arranged([...new Set([...placed, ...section.keys])].filter(key => !lifted.has(key)), placed) };
    });
    return [...(top.length ? [{ name: TOP, keys: top, next: "" }] : []), ...found.filter(section => section.keys.length || section.next)];
  }, [keys.data, view.panels, view.top, view.places]);
  // Of very many sections the first are open by themselves.
  const isOpen = (/** @type {Listing} */ section) => !(view.closed[section.name] ?? sections.indexOf(section) >= OPEN);
  const known = useMemo(() => sections.flatMap(section => section.keys), [sections]);
  const [full, setFull] = useState("");
  const all = [...view.added.map(each => each.id), ...sections.filter(isOpen).flatMap(section => section.keys)];
  const turn = (/** @type {number} */ by) => setFull(now => all[(all.indexOf(now) + by + all.length) % all.length]);

  return html`<section class="panels grow" aria-label="Panels">
    <div class="pane-head row wrap">
      <label class="row filter" style=${{ flex: "1 1 160px", maxWidth: "300px" }}><${Icon} name="search" /><input class="grow" aria-label="Find panels" placeholder="Find panels" value=${view.panels} onInput=${(/** @type {any} */ event) => state.set({ panels: event.target.value })} /></label>
      ${Views && html`<${Views} ns=${ns} project=${project} state=${state} />`}
      <span class="grow" />
      <${LookMenu} view=${view} set=${(/** @type {any} */ change) => state.set(change)} keys=${known} />
      ${of === "runs" && html`<${Menu} label=${`${view.most} runs`} title="How many runs are drawn">
        <label class="field" style=${{ padding: "6px 9px", width: "220px" }}><span>Draw the first ${view.most} runs of the table</span>
          <input type="range" min="1" max="1000" step="1" value=${view.most} onChange=${(/** @type {any} */ event) => state.set({ most: Number(event.target.value) })} /></label>
      </${Menu}>`}
      <button class="btn quiet" onClick=${() => setAdding(true)} title="A panel of an expression over keys"><${Icon} name="plus" />Expression</button>
    </div>
    <${Loaded} of=${missing ? { ...keys, error: undefined, data: { sections: [], next: "" } } : keys}>${(/** @type {Listed} */ found) => html`<div class="sections">
      ${view.added.length > 0 && html`<${Section} open=${!view.closed.Expressions} ns=${ns} project=${project} name="Expressions" next="" keys=${view.added.map(each => each.id)} state=${state}>
        ${(/** @type {string[]} */ _, /** @type {any} */ place) => view.added.map(each => html`<${Panel} key=${each.id} ns=${ns} project=${project} id=${each.id} y=${each.y} state=${state} shown=${shown} live=${live} place=${place(each.id)} enlarge=${() => setFull(each.id)} remove=${() => state.set({ added: view.added.filter(other => other.id !== each.id) })} />`)}
      </${Section}>`}
      ${sections.map(section => html`<${Section} key=${`${section.name} ${view.panels}`} open=${isOpen(section)} ns=${ns} project=${project} name=${section.name} keys=${section.keys} next=${section.next} state=${state}>
        ${(/** @type {string[]} */ given, /** @type {any} */ place) => given.map(key => html`<${Panel} key=${key} ns=${ns} project=${project} id=${key} y="" state=${state} shown=${shown} live=${live} place=${place(key)} enlarge=${() => setFull(key)} />`)}
      </${Section}>`)}
      ${found.next && html`<div class="row more-sections"><button class="btn more" disabled=${asked.loading} onClick=${asked.more}>${view.panels ? "Look for more" : "More sections"}</button></div>`}
      ${sections.length === 0 && !view.panels && !found.next && html`<${Blank} title="Nothing is logged yet"><p>A panel appears here for every key that a run logs, as soon as it does.</p></${Blank}>`}
      ${sections.length === 0 && view.panels && !found.next && !asked.loading && html`<${Blank} title="No panel is called that"><button class="btn" onClick=${() => state.set({ panels: "" })}>Show all</button></${Blank}>`}
    </div>`}</${Loaded}>
    ${full && html`<${FullPanel} ns=${ns} project=${project} id=${full} y=${view.added.find(each => each.id === full)?.y || ""} state=${state} shown=${shown} live=${live} close=${() => setFull("")} turn=${turn} />`}
    ${adding && html`<${Lazy} load=${() => import("./expressiondialog.js").then(module => module.ExpressionDialog)} ns=${ns} project=${project} close=${() => setAdding(false)} add=${(/** @type {string} */ y) => state.set({ added: [...view.added, { id: `= ${y}`, y }] })} />`}
  </section>`;
}

/** @typedef {{ name: string, keys: string[], next: string }} Listing `next` is where more of its keys are */
/** @typedef {{ sections: Listing[], next: string }} Listed */

/** What is typed, once nothing more is for a moment. @param {string} text */
function useSettled(text) {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), text ? 150 : 0);
    return () => clearTimeout(timer);
  }, [text]);
  return settled;
}

/**
 * The sections of a project's keys as the server lists them, or of some keys that are known.
 * @param {string} ns @param {string} project @param {string} typed words that keys contain @param {string[] | undefined} only
 */
function useSections(ns, project, typed, only) {
  const contains = useSettled(typed);
  const [held, setFurther] = useState(/** @type {Listed & { of: string }} */ ({ of: "", sections: [], next: "" }));
  // What was asked for more of may be answered when other words are looked for by then.
  const asked = `${ns}/${project} ${contains}`;
  const further = held.of === asked ? held : { sections: [], next: "" };
  const first = useResource(async signal => {
    setFurther({ of: asked, sections: [], next: "" });
    return only ? { sections: sectioned(only, contains), next: "" } : askSections(ns, project, contains, "", signal);
  }, [ns, project, only, contains]);
  const data = first.data && { sections: joined([...first.data.sections, ...further.sections]), next: further.sections.length ? further.next : first.data.next };
  const more = () => attempt(async () => {
    const found = await askSections(ns, project, contains, data?.next || "");
    setFurther(now => (now.of === asked ? { of: asked, sections: [...now.sections, ...found.sections], next: found.next } : now));
  });
  return { ...first, data, more, loading: first.loading || contains !== typed };
}

/** The next sections; the server looks through so many names at a time, and is asked on until there is one. @param {string} ns @param {string} project @param {string} contains @param {string} after @param {AbortSignal} [signal] @returns {Promise<Listed>} */
async function askSections(ns, project, contains, after, signal) {
  const page = await get(api("run-queries", ns, project, "sections") + query({ contains, after, limit: SECTIONS, keys: KEYS }), { signal });
  return page.items.length || !page.next ? { sections: page.items, next: page.next } : askSections(ns, project, contains, page.next, signal);
}

/** What was found of a section in several pieces, together. @param {Listing[]} pieces */
function joined(pieces) {
  const held = new Map(/** @type {[string, Listing][]} */ ([]));
  for (const each of pieces) {
    const before = held.get(each.name);
    held.set(each.name, before ? { ...each, keys: [...before.keys, ...each.keys] } : each);
  }
  return [...held.values()];
}

/** @param {string} text */
const wordsOf = text => text.toLowerCase().split(/\s+/).filter(Boolean);
const LOOSE = "Charts";
/** What machines do. */
const SYSTEM = "system";

/** Keys that are all known, in sections. @param {string[]} keys @param {string} wanted @returns {Listing[]} */
export function sectioned(keys, wanted) {
  const sections = new Map(/** @type {[string, string[]][]} */ ([]));
  const words = wordsOf(wanted);
  for (const key of keys) {
    // What clients log for themselves.
    if (/(^|\/)_/.test(key) || !words.every(word => key.toLowerCase().includes(word))) continue;
    const name = key.indexOf("/") > 0 ? key.slice(0, key.indexOf("/")) : "";
    sections.set(name, [...(sections.get(name) || []), key]);
  }
  return [...sections].map(([name, held]) => ({ name, keys: held, next: "" }));
}

/** Keys without a section first, what machines log last. @param {Listing[]} sections */
function inOrder(sections) {
  const order = (/** @type {string} */ name) => (name === LOOSE ? 0 : name === SYSTEM ? 2 : 1);
  return sections.map(each => ({ ...each, name: each.name || LOOSE })).sort((one, other) => order(one.name) - order(other.name) || one.name.localeCompare(other.name));
}

/**
 * @param {{ ns: string, project: string, name: string, open: boolean, keys: string[], next: string, state: import("./view.js").ViewState, children: (keys: string[], place: (key: string) => import("./layout.js").Place) => any }} props
 */
function Section({ ns, project, name, open, keys: given, next: following, state, children }) {
  const view = state.now.value;
  const [most, setMost] = useState(FIRST);
  // Keys of the section behind those that came with it, and where still more are.
  const [further, setFurther] = useState({ keys: /** @type {string[]} */ ([]), next: "" });
  const keys = useMemo(() => [...new Set([...given, ...further.keys])], [given, further.keys]);
  const next = further.keys.length ? further.next : following;
  const more = () => attempt(async () => {
    if (next && keys.length < most + MORE) {
      const section = name === LOOSE ? "" : name;
      const page = await get(api("run-queries", ns, project, "section-keys") + query({ section, after: next, limit: MORE }));
      setFurther(now => ({ keys: [...now.keys, ...page.items], next: page.next }));
    }
    setMost(most + MORE);
  });
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
    <h2 class="section-head"><button class="inplace row" aria-expanded=${open} onClick=${toggle}><${Icon} name=${open ? "down" : "right"} /><span class="cut">${name}</span><span class="muted small">${keys.length.toLocaleString("en-US")}${next ? "+" : ""}</span></button></h2>
    ${open && html`<div class="panel-grid" ref=${grid}>${children(keys.slice(0, most), place)}</div>`}
    ${open && (keys.length > most || next) && html`<button class="btn more" onClick=${more}>${next ? "Show more" : `Show ${Math.min(MORE, keys.length - most)} more of ${keys.length - most}`}</button>`}
  </section>`;
}
