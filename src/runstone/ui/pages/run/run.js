/** A run: what it is, what it logged, wrote, used and made. */

import { html, useEffect, useMemo, useState } from "../../lib/html.js";
import { api, get, patch, post, del } from "../../lib/api.js";
import { colorOf } from "../../lib/colors.js";
import { gathered, listen } from "../../lib/events.js";
import { ago, count, duration } from "../../lib/format.js";
import { useResource } from "../../lib/resource.js";
import { navigate, search, to } from "../../lib/router.js";
import { attempt, tell } from "../../lib/toasts.js";
import { Dialog } from "../../components/dialog.js";
import { Icon } from "../../components/icons.js";
import { Lazy } from "../../components/lazy.js";
import { Item, Menu } from "../../components/menu.js";
import { Loaded, State } from "../../components/states.js";
import { useTitle } from "../../components/title.js";
import { Panels } from "../workspace/panels.js";
import { ViewState } from "../workspace/view.js";
import { Overview } from "./overview.js";

const TABS = [["overview", "Overview"], ["charts", "Charts"], ["logs", "Logs"], ["system", "System"], ["media", "Media and tables"], ["files", "Files"], ["artifacts", "Artifacts"]];
/** A run's keys that are asked for by name. */
const MOST_KEYS = 1000;
const NONE = { turn: 0, beat: 0, fresh: /** @type {Set<string>} */ (new Set()) };

/** @param {{ ns: string, project: string, run: string, tab?: string }} props */
export default function Run({ ns, project, run, tab = "overview" }) {
  const found = useResource(signal => get(api("runs", ns, project, run), { signal }), [ns, project, run]);
  const [live, setLive] = useState(NONE);
  const [lines, setLines] = useState(0);
  const name = `${ns}/${project}/${run}`;
  useEffect(() => {
    const reload = gathered(found.reload, 1000);
    const beat = gathered(() => setLive(now => ({ turn: now.turn + 1, beat: now.beat + 1, fresh: new Set([name]) })), 250);
    const more = gathered(() => setLines(now => now + 1), 200);
    const stop = listen(ns, project, event => {
      if (event.name !== name) return;
      reload();
      if (event.kind === "points") beat();
      if (event.kind === "lines") more();
    });
    return () => {
      stop();
      [reload, beat, more].forEach(each => each.cancel());
    };
  }, [name]);
  return html`<${Loaded} of=${found} lines=${6}>${(/** @type {any} */ info) => html`
    <${Head} info=${info} reload=${found.reload} />
    <nav class="tabs under" aria-label="Run">${TABS.map(([path, title]) => html`<a key=${path} href=${path === "overview" ? to(ns, project, "runs", run) : to(ns, project, "runs", run, path)} aria-current=${path === tab ? "page" : undefined}>${title}</a>`)}</nav>
    ${tab === "overview" && html`<${Overview} info=${info} reload=${found.reload} />`}
    ${tab === "charts" && html`<${Charts} key="charts" info=${info} live=${live} />`}
    ${tab === "system" && html`<${Charts} key="system" info=${info} live=${live} system />`}
    ${tab === "logs" && html`<${Lazy} key="logs" load=${() => import("./logs.js").then(module => module.Logs)} info=${info} turn=${lines} />`}
    ${tab === "media" && html`<${Lazy} key="media" load=${() => import("./media.js").then(module => module.Media)} info=${info} turn=${live.turn} />`}
    ${tab === "files" && html`<${Lazy} key="files" load=${() => import("./files.js").then(module => module.Files)} info=${info} />`}
    ${tab === "artifacts" && html`<${Lazy} key="artifacts" load=${() => import("./artifacts.js").then(module => module.Artifacts)} info=${info} />`}
  `}</${Loaded}>`;
}

/** @param {{ info: any, reload: () => void }} props */
function Head({ info, reload }) {
  const path = api("runs", info.namespace, info.project, info.name);
  const shown = info.display_name || info.name;
  useTitle(shown);
  const [naming, setNaming] = useState(false);
  async function remove() {
    if (!await attempt(() => del(path))) return;
    navigate(to(info.namespace, info.project));
    tell(`${shown} is deleted`, { undo: () => attempt(() => post(`${path}/restore`)) });
  }
  const until = info.finished || (info.state === "running" ? Date.now() * 1000 : info.updated);
  return html`<div class="run-head row wrap">
    <span class="dot big" style=${{ background: colorOf(info.name) }} />
    <h1 class="cut" title=${shown}>${shown}</h1><${State} state=${info.state} />
    <span class="muted small num">${ago(info.started)} by ${info.by} · ${duration((until - info.started) / 1e6)} · ${count(info.points, "point")}${info.parent ? html` · forked from <a href=${to(info.namespace, info.project, "runs", info.parent.split("/").pop())}>${info.parent.split("/").pop()}</a> at step ${info.forked}` : ""}</span>
    <span class="grow" />
    <${Menu} title="What to do with the run" kind="quiet icon" label=${html`<${Icon} name="more" />`}>${(/** @type {() => void} */ close) => html`
      <${Item} onClick=${() => { close(); setNaming(true); }}>Rename</${Item}>
      <hr /><${Item} danger onClick=${() => { close(); remove(); }}>Delete</${Item}>`}
    </${Menu}>
    ${naming && html`<${Rename} path=${path} name=${shown} done=${reload} close=${() => setNaming(false)} />`}
  </div>`;
}

/** @param {{ path: string, name: string, done: () => void, close: () => void }} props */
function Rename({ path, name, done, close }) {
  const [typed, setTyped] = useState(name);
  /** @param {Event} event */
  async function save(event) {
    event.preventDefault();
    const wanted = typed.trim();
    if (!wanted) return;
    if (wanted !== name && !await attempt(() => patch(path, { display_name: wanted }))) return;
    close();
    done();
  }
  return html`<${Dialog} title="Rename the run" close=${close}><form class="stack" onSubmit=${save}>
    <label class="field"><span>Name</span><input class="input" maxlength="1024" value=${typed} onInput=${(/** @type {any} */ event) => setTyped(event.target.value)} /></label>
    <div class="row"><button class="btn primary" disabled=${!typed.trim()}>Rename</button></div></form></${Dialog}>`;
}

/** @param {{ info: any, live: import("../workspace/workspace.js").Live, system?: boolean }} props */
function Charts({ info, live, system = false }) {
  const state = useMemo(() => {
    const made = new ViewState();
    if (system && made.now.value.axis === "step") made.now.value = { ...made.now.value, axis: "relative" };
    return made;
  }, [info.id, system]);
  useEffect(() => state.follow(), [search.value]);
  const shown = useMemo(() => [{ id: info.name, full: `${info.namespace}/${info.project}/${info.name}`, name: info.display_name || info.name, color: colorOf(info.name), group: "" }], [info.id, info.display_name]);
  const own = useResource(signal => get(api("runs", info.namespace, info.project, info.name, "stats") + `?limit=${MOST_KEYS}`, { signal }), [info.id]);
  const again = useMemo(() => gathered(own.reload, 2000), [info.id]);
  useEffect(() => { if (live.turn && !own.data?.next) again(); }, [live.turn]);
  useEffect(() => again.cancel, [again]);
  const keys = useMemo(() => own.data?.items.map((/** @type {any} */ each) => each.key) || [], [own.data]);
  // Of a run with more keys than that the server lists the project's, in pieces.
  const only = own.data?.next ? undefined : keys;
  return html`<div class="run-charts"><${Panels} ns=${info.namespace} project=${info.project} state=${state} shown=${shown} live=${live} of=${system ? "system" : "own"} only=${only} loading=${!own.data} /></div>`;
}
