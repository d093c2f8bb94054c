/** A report: Markdown with panels between, alive or fixed; written beside its preview. */

import { html, useEffect, useMemo, useState } from "../../lib/html.js";
import { ApiError, api, del, get, patch, query } from "../../lib/api.js";
import { ago, moment } from "../../lib/format.js";
import { useResource } from "../../lib/resource.js";
import { navigate, param, setParams, to } from "../../lib/router.js";
import { attempt, tell } from "../../lib/toasts.js";
import { Item, Menu } from "../../components/menu.js";
import { Icon } from "../../components/icons.js";
import { Markdown } from "../../components/markdown.js";
import { Loaded } from "../../components/states.js";
import { Conflict } from "../workspace/views.js";
import { partsOf, picture, ReportPanel } from "./panels.js";
import { KIND as WANDB, textOf } from "./wandb.js";

export const KIND = "report";
/** Milliseconds after the last key until the preview follows. */
const PAUSE = 350;

/** @typedef {{ text: string, taken: number, pictures: import("./panels.js").Pictures }} Content `taken`: when figures were fixed, or 0 */

/** What a document says, whoever wrote it. @param {any} spec @returns {Content} */
function contentOf(spec) {
  const pictures = spec?.pictures && typeof spec.pictures === "object" ? spec.pictures : {};
  return { text: typeof spec?.text === "string" ? spec.text : "", taken: Number(spec?.taken) || 0, pictures: Object.fromEntries(Object.entries(pictures).filter(([, each]) => Array.isArray(each))) };
}

/** @param {{ ns: string, project: string, report: string }} props */
export default function Report({ ns, project, report }) {
  const foreign = param("by") === "wandb";
  const place = api("projects", ns, project, "documents", foreign ? WANDB : KIND, report);
  const revision = /^\d+$/.test(param("revision")) ? param("revision") : "";
  const found = useResource(signal => get(place + query({ revision }), { signal }), [place, revision]);
  return html`<${Loaded} of=${found} lines=${8}>${(/** @type {any} */ info) => (foreign ? html`<${Foreign} ns=${ns} project=${project} info=${info} />` : param("edit") === "1" && !revision
    ? html`<${Editor} key=${info.revision} ns=${ns} project=${project} info=${info} place=${place} reload=${found.reload} />`
    : html`<${Reader} ns=${ns} project=${project} info=${info} place=${place} old=${revision} reload=${found.reload} />`)}</${Loaded}>`;
}

/** @param {{ ns: string, project: string, info: any, place: string, old: string, reload: () => void }} props */
function Reader({ ns, project, info, place, old, reload }) {
  const content = useMemo(() => contentOf(info.spec), [info]);
  const [printed, setPrinted] = useState(/** @type {import("./panels.js").Pictures | null} */ (null));
  useEffect(() => {
    if (!printed) return undefined;
    // Pictures have to be there before the paper is.
    const timer = setTimeout(() => { window.print(); setPrinted(null); }, 300);
    return () => clearTimeout(timer);
  }, [printed]);
  const change = (/** @type {any} */ spec, /** @type {string} */ done) => attempt(async () => { await patch(place, { spec, revision: info.revision }); reload(); }, done);
  const snapshot = () => attempt(async () => {
    const pictures = await picture(ns, project, content.text);
    await change({ text: content.text, taken: Date.now() * 1000, pictures }, "The figures are fixed as they are now");
  });
  return html`<article class="page report">
    <header class="page-head"><div class="grow"><h1 class="break">${info.title || info.name}</h1>
      <p class="sub">${info.by} · changed ${ago(info.updated)} by ${info.updated_by} · revision ${info.revision}${content.taken ? ` · figures as of ${moment(content.taken)}` : ""}${info.private ? " · private" : ""}</p></div>
      <div class="row noprint">
        ${old ? html`<button class="btn" onClick=${() => setParams({ revision: null })}>To the latest revision</button>` : html`<button class="btn" onClick=${() => setParams({ edit: "1" }, { push: true })}>Edit</button>`}
        <${Menu} title="What to do with the report" kind="icon" label=${html`<${Icon} name="more" />`}>${(/** @type {() => void} */ close) => html`
          <${Item} onClick=${() => { close(); attempt(async () => setPrinted({ ...await picture(ns, project, content.text), ...content.pictures })); }}>Print</${Item}>
          <${Item} onClick=${() => { close(); attempt(() => navigator.clipboard.writeText(`${location.origin}${to(ns, project, "reports", info.name)}${content.taken ? `?revision=${info.revision}` : ""}`), "The address is copied"); }}>Copy the address</${Item}>
          ${!old && html`<${Item} onClick=${() => { close(); snapshot(); }}>Snapshot: fix the figures</${Item}>
            ${content.taken > 0 && html`<${Item} onClick=${() => { close(); change({ text: content.text }, "The figures are alive again"); }}>Let the figures live</${Item}>`}
            <hr /><${Item} danger onClick=${() => { close(); attempt(async () => { await del(place); navigate(to(ns, project, "reports")); }, "The report is deleted"); }}>Delete the report</${Item}>`}`}
        </${Menu}>
        <${Revisions} place=${place} current=${info.revision} />
      </div></header>
    <${Body} ns=${ns} project=${project} text=${content.text} pictures=${printed || content.pictures} />
  </article>`;
}

/** A report that another program wrote and may change: read here, and not written. @param {{ ns: string, project: string, info: any }} props */
function Foreign({ ns, project, info }) {
  const content = useMemo(() => textOf(info.spec, ns, project), [info]);
  return html`<article class="page report">
    <header class="page-head"><div class="grow"><h1 class="break">${info.title || info.name}</h1>
      ${info.description && html`<p>${info.description}</p>`}
      <p class="sub">${info.by} · changed ${ago(info.updated)} · written with wandb-workspaces, which is where it is edited. Line plots of this project's runs, Markdown and text are shown as they are now; whatever else it has is named in its place.</p></div></header>
    <${Body} ns=${ns} project=${project} text=${content} pictures=${{}} />
  </article>`;
}

/** @param {{ place: string, current: number }} props */
function Revisions({ place, current }) {
  return html`<${Menu} title="Revisions" label=${html`<span>r${current}</span>`}><${RevisionList} place=${place} current=${current} /></${Menu}>`;
}

/** @param {{ place: string, current: number }} props */
function RevisionList({ place, current }) {
  const found = useResource(signal => get(`${place}/revisions`, { signal }), [place, current]);
  return html`<${Loaded} of=${found}>${(/** @type {any} */ data) => [...data.items].reverse().slice(0, 50).map((/** @type {any} */ each) => html`<${Item} key=${each.revision} checked=${each.revision === current} onClick=${() => setParams({ revision: each.revision }, { push: true })}>revision ${each.revision}<span class="muted small grow">${each.by}, ${ago(each.time)}</span></${Item}>`)}</${Loaded}>`;
}

/** @param {{ ns: string, project: string, text: string, pictures: import("./panels.js").Pictures }} props */
function Body({ ns, project, text, pictures }) {
  const parts = useMemo(() => partsOf(text), [text]);
  return html`<div class="report-body">${parts.map((part, at) => ("panel" in part
    ? html`<${ReportPanel} key=${`${at} ${part.panel}`} ns=${ns} project=${project} text=${part.panel} pictures=${pictures[part.panel]} />`
    : html`<${Markdown} key=${at} text=${part.text} />`))}</div>`;
}

/** @param {{ ns: string, project: string, info: any, place: string, reload: () => void }} props */
function Editor({ ns, project, info, place, reload }) {
  const content = useMemo(() => contentOf(info.spec), [info]);
  const [title, setTitle] = useState(String(info.title));
  const [text, setText] = useState(content.text);
  const [seen, setSeen] = useState(content.text);
  const [late, setLate] = useState(false);
  const changed = text !== content.text || title !== info.title;
  useEffect(() => {
    const timer = setTimeout(() => setSeen(text), PAUSE);
    return () => clearTimeout(timer);
  }, [text]);
  useEffect(() => {
    if (!changed) return undefined;
    const ask = (/** @type {Event} */ event) => event.preventDefault();
    addEventListener("beforeunload", ask);
    return () => removeEventListener("beforeunload", ask);
  }, [changed]);
  const leave = () => setParams({ edit: null });
  /** @param {number} revision 0 for whatever is there */
  async function save(revision) {
    const blocks = new Set(partsOf(text).map(part => ("panel" in part ? part.panel : "")));
    const pictures = Object.fromEntries(Object.entries(content.pictures).filter(([block]) => blocks.has(block)));
    try {
      await patch(place, { title, spec: { text, ...(content.taken ? { taken: content.taken, pictures } : {}) }, revision });
      setLate(false);
      tell("Saved");
      reload();
      leave();
    } catch (error) {
      if (error instanceof ApiError && error.status === 409) setLate(true);
      else tell(error instanceof Error ? error.message : String(error), { kind: "failed" });
    }
  }
  return html`<div class="page wide report editing">
    <header class="page-head"><input class="input grow title-input" aria-label="Title" maxlength="120" value=${title} onInput=${(/** @type {any} */ event) => setTitle(event.target.value)} />
      <button class="btn" onClick=${leave}>${changed ? "Throw away" : "Close"}</button><button class="btn primary" disabled=${!changed || !title.trim()} onClick=${() => save(info.revision)}>Save</button></header>
    <div class="editor"><div class="stack"><textarea class="input mono" aria-label="Text of the report" spellcheck="true" value=${text} onInput=${(/** @type {any} */ event) => setText(event.target.value)}
        onKeyDown=${(/** @type {KeyboardEvent} */ event) => { if ((event.metaKey || event.ctrlKey) && event.key === "s") { event.preventDefault(); if (changed) save(info.revision); } }} />
      <p class="hint">Markdown. A panel is a block <code>${"```panel"}</code> with JSON: <code>${'{"keys": ["loss"], "filter": "config.lr < 0.1", "runs": 10, "yLog": true}'}</code>, or <code>"y"</code> with an expression.</p></div>
      <section class="card report-preview" aria-label="Preview"><${Body} ns=${ns} project=${project} text=${seen} pictures=${content.pictures} /></section></div>
    ${late && html`<${Conflict} place=${place} close=${() => setLate(false)} overwrite=${() => save(0)} theirs=${() => { setLate(false); reload(); }} />`}
  </div>`;
}
