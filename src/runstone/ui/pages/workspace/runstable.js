/** The runs of a project as a table: filtered, ordered and grouped by the server, edited in place. */

import { html, useEffect, useMemo, useState } from "../../lib/html.js";
import { ApiError, api, patch } from "../../lib/api.js";
import { colorOf } from "../../lib/colors.js";
import { ownTags, title } from "../../lib/fieldnames.js";
import { count } from "../../lib/format.js";
import { navigate, to } from "../../lib/router.js";
import { attempt } from "../../lib/toasts.js";
import { Icon } from "../../components/icons.js";
import { Lazy } from "../../components/lazy.js";
import { Item, Menu } from "../../components/menu.js";
import { Blank } from "../../components/states.js";
import { VirtualTable } from "../../components/vtable.js";
import { isNumeric, show, useColumns, width } from "./columns.js";
import { FilterBar, quoted } from "./filterbar.js";
import { useRows } from "./runs.js";

/** The job type of what mlflow keeps of a logged model, which is a run of its own. */
const LOGGED = "logged model";
/** Characters of a text that a row has at most. */
const CUT = 2000;

/** @typedef {import("./runs.js").Row} Row */

/** @param {{ ns: string, project: string, state: import("./view.js").ViewState, turn: number, views?: any }} props */
export function RunsTable({ ns, project, state, turn, views }) {
  const view = state.now.value;
  const { columns, known } = useColumns(ns, project, view.columns);
  const fields = useMemo(() => [...new Set([...columns.filter(field => field !== "tags" && field !== "notes"), "job_type"])], [columns]);
  const rows = useRows(ns, project, known ? { filter: view.filter, order: view.order, fields } : null);
  const [chosen, setChosen] = useState(/** @type {string[]} */ ([]));
  // All that fit the filter, also those that were never in sight.
  const [every, setEvery] = useState(false);
  useEffect(() => setEvery(false), [view.filter]);
  const [picking, setPicking] = useState(false);
  const grouped = view.group.length > 0;
  useEffect(() => { if (turn) rows.reload(); }, [turn]);
  const { missing, wrong } = told(rows.error);
  const some = every || chosen.length > 0;
  const order = /^(?:`([^`]+)`|([\w.:]+))(?: (asc|desc))?$/.exec(view.order);
  const sort = order ? { id: order[1] || order[2], descending: order[3] === "desc" } : undefined;

  /** @param {string} run */
  const toggle = run => state.set({ hidden: view.hidden.includes(run) ? view.hidden.filter(each => each !== run) : [...view.hidden, run] });
  /** @param {Row} row @param {{ notes?: string, tags?: Record<string, string>, remove?: string[] }} change */
  async function edit(row, change) {
    const before = { notes: row.notes, tags: row.tags };
    rows.edit(row.run, { notes: change.notes ?? row.notes, tags: change.tags ?? row.tags });
    if (!await attempt(() => patch(api("runs", ns, project, row.run), change))) rows.edit(row.run, before);
  }

  const table = [
    {
      id: "name", title: "Run", width: view.widths.name || 190, pinned: true, sortable: true,
      cell: (/** @type {Row} */ row) => html`<${Name} ns=${ns} project=${project} row=${row} hidden=${view.hidden.includes(row.run)} toggle=${toggle}
        chosen=${every || chosen.includes(row.run)} choose=${() => { setEvery(false); setChosen(now => (every ? [row.run] : now.includes(row.run) ? now.filter(each => each !== row.run) : [...now, row.run])); }} />`,
    },
    ...columns.map(field => ({
      id: field, title: title(field), width: view.widths[field] || width(field), pinned: view.pinned.includes(field), numeric: isNumeric(field),
      sortable: field !== "tags", movable: true,
      cell: (/** @type {Row} */ row) => field === "tags" ? html`<${Tags} row=${row} edit=${edit} />`
        : field === "notes" ? html`<${Notes} ns=${ns} project=${project} row=${row} edit=${edit} />` : show(field, row.of[field]),
    })),
  ];
  table.sort((one, other) => Number(Boolean(other.pinned)) - Number(Boolean(one.pinned)));

  /** @param {string} id */
  function sorted(id) {
    const was = sort?.id === id;
    state.set({ order: was && !sort?.descending ? "created desc" : `${quoted(id)} ${was ? "asc" : "desc"}` });
  }
  /** @param {string} moved @param {string} before */
  function move(moved, before) {
    if (!moved || moved === before) return;
    const rest = columns.filter(each => each !== moved);
    rest.splice(Math.max(0, rest.indexOf(before)), 0, moved);
    state.set({ columns: rest });
  }

  return html`<section class="runs-pane" aria-label="Runs">
    <div class="pane-head"><${FilterBar} ns=${ns} project=${project} value=${view.filter} error=${wrong} set=${(/** @type {string} */ filter) => state.set({ filter })} />
      <div class="row">
        ${!grouped && rows.total > 0 && html`<input type="checkbox" class="check" aria-label="Choose all runs that match" title="Choose all that match" checked=${every} onChange=${() => { setEvery(!every); setChosen([]); }} />`}
        <b class="num" aria-live="polite">${rows.loaded ? count(rows.total, "run") : "…"}</b>
        ${view.hidden.length > 0 && html`<button class="btn tiny quiet" onClick=${() => state.set({ hidden: [] })} title="Draw them again">${view.hidden.length} hidden</button>`}
        ${views}
        <span class="grow" />
        <${GroupMenu} view=${view} columns=${columns} set=${(/** @type {string[]} */ group) => state.set({ group })} />
        <button class="btn quiet" onClick=${() => setPicking(true)}><${Icon} name="columns" />Columns</button>
        <button class="btn quiet icon" aria-label=${view.table < 0 ? "Show panels" : "Table only"} title=${view.table < 0 ? "Show panels" : "Table only"} onClick=${() => state.set({ table: view.table < 0 ? 430 : -1 })}><${Icon} name="expand" /></button>
      </div>
      ${some && html`<${Lazy} load=${() => import("./bulk.js").then(module => module.Bulk)} ns=${ns} project=${project} chosen=${every ? null : chosen} total=${rows.total} clear=${() => { setChosen([]); setEvery(false); }} all=${() => setEvery(true)} reload=${rows.reload} state=${state} />`}
    </div>
    ${grouped ? html`<${Lazy} key="groups" load=${() => import("./groups.js").then(module => module.Groups)} ns=${ns} project=${project} state=${state} columns=${columns} turn=${turn} />` : html`<${VirtualTable} label="Runs" total=${rows.loaded ? rows.total : 12} columns=${table} row=${rows.row} need=${rows.loaded ? rows.need : undefined}
      rowKey=${(/** @type {Row} */ row) => row.run} open=${(/** @type {Row} */ row) => navigate(to(ns, project, "runs", row.run))} version=${rows.version}
      selected=${(/** @type {Row} */ row) => every || chosen.includes(row.run)} sort=${sort} onSort=${sorted} onMove=${move}
      onResize=${(/** @type {string} */ id, /** @type {number} */ size) => state.set({ widths: { ...view.widths, [id]: Math.round(size) } })}
      empty=${rows.loaded && (!rows.error || missing) && html`<${Nothing} project=${project} filter=${view.filter} clear=${() => state.set({ filter: "" })} />`} />`}
    ${picking && html`<${Lazy} load=${() => import("./columnsdialog.js").then(module => module.ColumnsDialog)} ns=${ns} project=${project} chosen=${columns} set=${(/** @type {string[] | null} */ given) => state.set({ columns: given })}
      pinned=${view.pinned} pin=${(/** @type {string} */ field) => state.set({ pinned: view.pinned.includes(field) ? view.pinned.filter(each => each !== field) : [...view.pinned, field] })} close=${() => setPicking(false)} />`}
  </section>`;
}

/** What an error says: that there is no project, or that the filter is wrong; a server that is away is told elsewhere. @param {Error | null} error */
function told(error) {
  const missing = error instanceof ApiError && error.status === 404;
  return { missing, wrong: error && !missing && !error.message.includes("does not answer") ? error : null };
}

/** @param {{ project: string, filter: string, clear: () => void }} props */
function Nothing({ project, filter, clear }) {
  return filter ? html`<${Blank} title="No run fits the filter"><button class="btn" onClick=${clear}>Clear the filter</button></${Blank}>`
    : html`<div class="stack" style=${{ padding: "16px" }}><${Blank} title="No run yet"><p>Log one with any of these: the project is made by it, and the run appears here by itself.</p></${Blank}><${Lazy} load=${() => import("../../components/recipes.js").then(module => module.Recipes)} project=${project} /></div>`;
}

/** @param {{ ns: string, project: string, row: Row, hidden: boolean, toggle: (run: string) => void, chosen: boolean, choose: () => void }} props */
function Name({ ns, project, row, hidden, toggle, chosen, choose }) {
  return html`<span class="row name-cell">
    <input type="checkbox" class="check" aria-label=${`Choose ${row.name}`} checked=${chosen} onChange=${choose} />
    <button class="eye" aria-pressed=${!hidden} aria-label=${`${hidden ? "Draw" : "Do not draw"} ${row.name}`} onClick=${() => toggle(row.run)}><${Icon} name=${hidden ? "hidden" : "eye"} /></button>
    <span class="dot" style=${{ background: hidden ? "transparent" : colorOf(row.run), boxShadow: `inset 0 0 0 2px ${colorOf(row.run)}` }} title=${row.state} />
    <a class="cut" href=${to(ns, project, "runs", row.run)} title=${row.name}>${row.name}</a>${row.of.job_type === LOGGED && html`<span class="tag">model</span>`}
  </span>`;
}

/** @param {{ ns: string, project: string, row: Row, edit: (row: Row, change: any) => void }} props */
function Notes({ ns, project, row, edit }) {
  const [typed, setTyped] = useState(/** @type {string | null} */ (null));
  // A row has the beginning of long ones, which must not be saved as all of them.
  if (row.notes.length >= CUT) return html`<a class="inplace" href=${to(ns, project, "runs", row.run)} aria-label=${`Notes of ${row.name}`} title="They are long: open the run to read and write them">${row.notes.slice(0, 200)}</a>`;
  if (typed === null) return html`<button class="inplace" aria-label=${`Notes of ${row.name}`} title=${row.notes || "Write a note"} onClick=${() => setTyped(row.notes)}>${row.notes || html`<span class="muted">–</span>`}</button>`;
  const done = (/** @type {string} */ text) => { setTyped(null); if (text !== row.notes) edit(row, { notes: text }); };
  return html`<${InPlace} label=${`Notes of ${row.name}`} text=${typed} done=${done} cancel=${() => setTyped(null)} />`;
}

/** @param {{ row: Row, edit: (row: Row, change: any) => void }} props */
function Tags({ row, edit }) {
  const [open, setOpen] = useState(false);
  const names = Object.keys(ownTags(row.tags));
  if (!open) {
    return html`<button class="inplace row" aria-label=${`Tags of ${row.name}`} title=${names.join(", ") || "Tag it"} onClick=${() => setOpen(true)}>
      ${names.length ? names.slice(0, 5).map(name => html`<span class="tag" key=${name}>${row.tags[name] ? `${name}: ${row.tags[name]}` : name}</span>`) : html`<span class="muted">–</span>`}</button>`;
  }
  const done = (/** @type {string} */ text) => {
    setOpen(false);
    const wanted = text.split(",").map(each => each.trim()).filter(Boolean);
    const tags = Object.fromEntries([...Object.entries(row.tags).filter(([name]) => !names.includes(name)), ...wanted.map(name => [name, row.tags[name] ?? ""])]);
    const gone = names.filter(name => !wanted.includes(name)).map(name => `tags.${name}`);
    if (gone.length || wanted.length !== names.length) edit(row, { tags, ...(gone.length ? { remove: gone } : {}) });
  };
  return html`<${InPlace} label=${`Tags of ${row.name}, with commas`} text=${names.join(", ")} done=${done} cancel=${() => setOpen(false)} />`;
}

/** @param {{ label: string, text: string, done: (text: string) => void, cancel: () => void }} props */
function InPlace({ label, text, done, cancel }) {
  return html`<input class="input tiny-input" aria-label=${label} value=${text} ref=${(/** @type {HTMLInputElement | null} */ element) => element && document.activeElement !== element && element.focus()}
    onKeyDown=${(/** @type {any} */ event) => { event.stopPropagation(); if (event.key === "Enter") done(event.target.value); if (event.key === "Escape") cancel(); }}
    onBlur=${(/** @type {any} */ event) => done(event.target.value)} />`;
}

/** @param {{ view: import("./view.js").View, columns: string[], set: (group: string[]) => void }} props */
function GroupMenu({ view, columns, set }) {
  const fields = ["group", "job_type", "state", "user", "sweep", ...columns.filter(field => field.startsWith("config."))];
  return html`<${Menu} kind=${view.group.length ? "on" : "quiet"} label=${html`<${Icon} name="group" /><span class="cut">${view.group.length ? `By ${view.group.map(title).join(", ")}` : "Group"}</span>`}>
    <div class="head">One line for each, with its mean and its band</div>
    ${[...new Set([...view.group, ...fields])].map(field => html`<${Item} checked=${view.group.includes(field)} onClick=${() => set(view.group.includes(field) ? view.group.filter(each => each !== field) : [...view.group, field])}>${field}</${Item}>`)}
    ${view.group.length > 0 && html`<hr /><${Item} onClick=${() => set([])}>Do not group</${Item}>`}
  </${Menu}>`;
}
