/** Saved views: the workspace's state as stored documents of the project, private or shared, one of them the project's own. */

import { html, useEffect, useState } from "../../lib/html.js";
import { ApiError, api, del, get, patch, post, query } from "../../lib/api.js";
import { ago } from "../../lib/format.js";
import { useResource } from "../../lib/resource.js";
import { session } from "../../lib/session.js";
import { attempt, tell } from "../../lib/toasts.js";
import { useCommands } from "../../components/palette.js";
import { Dialog } from "../../components/dialog.js";
import { Icon } from "../../components/icons.js";
import { Item, Menu } from "../../components/menu.js";
import { DEFAULTS, read, write } from "./view.js";

/** @typedef {{ name: string, title: string, private: boolean, by: string, revision: number, updated: number, updated_by: string, spec?: any }} Stored */
/** @typedef {{ views: Stored[], usual: string }} Known `usual` is the name of the view that the project opens with */

const KIND = "view";
/** One document of this kind says by its title which view a project opens with. */
const USUAL = "default-view";

/** A view as it is stored: its address, without which stored view it came from. @param {import("./view.js").View} view */
const addressOf = view => write({ ...view, saved: "" });

/** A name for a document from a title. @param {string} title */
export function nameFor(title) {
  const words = title.toLowerCase().normalize("NFKD").replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 40);
  return [words, Math.random().toString(36).slice(2, 8)].filter(Boolean).join("-");
}

/** @param {{ ns: string, project: string, state: import("./view.js").ViewState }} props */
export function Views({ ns, project, state }) {
  const view = state.now.value;
  const place = (/** @type {string[]} */ ...parts) => api("projects", ns, project, "documents", ...parts);
  const known = useResource(async signal => {
    const [views, usual] = await Promise.all([KIND, USUAL].map(kind => get(place() + query({ kind, limit: 1000 }), { signal })));
    return /** @type {Known} */ ({ views: views.items, usual: usual.items[0]?.title || "" });
  }, [ns, project]);
  const [opened, setOpened] = useState(/** @type {Stored | null} */ (null));
  const [asking, setAsking] = useState(/** @type {"" | "as" | "conflict"} */ (""));
  const changed = Boolean(opened && opened.spec?.search !== addressOf(view));

  /** @param {string} name @param {boolean} show whether the workspace becomes what is stored */
  async function open(name, show) {
    const found = /** @type {Stored} */ (await get(place(KIND, name)));
    setOpened(found);
    if (show) state.set({ ...DEFAULTS, ...read(String(found.spec?.search ?? "")), saved: name });
  }
  useEffect(() => {
    if (!known.data || opened?.name === view.saved) return;
    const bare = write({ ...view, saved: "" }) === "";
    const wanted = view.saved || (bare && !state.past.length ? known.data.usual : "");
    if (!wanted) setOpened(null);
    else if (!known.data.views.some(each => each.name === wanted)) {
      if (view.saved) tell("The view of this address is not there any more, or not yours to see", { kind: "failed" });
      setOpened(null);
    } else attempt(() => open(wanted, bare));
  }, [known.data, view.saved]);

  /** @param {number} revision 0 for whatever is there */
  async function save(revision) {
    if (!opened) return setAsking("as");
    try {
      setOpened(await patch(place(KIND, opened.name), { spec: { search: addressOf(view) }, revision }));
      setAsking("");
      tell("Saved");
      known.reload();
    } catch (error) {
      if (error instanceof ApiError && error.status === 409) setAsking("conflict");
      else tell(error instanceof Error ? error.message : String(error), { kind: "failed" });
    }
  }
  /** @param {string} title @param {boolean} alone */
  async function saveAs(title, alone) {
    await attempt(async () => {
      const made = await post(place(), { kind: KIND, name: nameFor(title), title, spec: { search: addressOf(view) }, private: alone });
      setOpened(made);
      state.set({ saved: made.name });
      setAsking("");
      known.reload();
    }, "Saved");
  }
  async function remove() {
    if (!opened || !await attempt(() => del(place(KIND, opened.name)))) return;
    const gone = opened;
    state.set({ saved: "" });
    known.reload();
    tell(`${gone.title} deleted`, { undo: () => attempt(async () => { await post(place(), { kind: KIND, name: gone.name, title: gone.title, spec: gone.spec, private: gone.private }); known.reload(); }) });
  }
  /** @param {string} name */
  const makeUsual = name => attempt(async () => {
    const there = (await get(place() + query({ kind: USUAL, limit: 1 }))).items[0];
    if (there) await patch(place(USUAL, there.name), { title: name });
    else await post(place(), { kind: USUAL, name: "workspace", title: name, spec: {} });
    known.reload();
  }, name ? "The project opens with this view" : "The project opens as usual");
  const link = () => attempt(() => navigator.clipboard.writeText(location.origin + location.pathname + (opened && !changed ? `?saved=${opened.name}` : write(view))), "The address is copied");

  useCommands([{ name: "Save the view", act: () => save(opened?.revision || 0) }, { name: "Save the view as…", act: () => setAsking("as") }], [opened, addressOf(view)]);
  const views = known.data?.views || [];
  const usual = opened && known.data?.usual === opened.name;
  return html`<${Menu} left kind=${opened ? "on" : "quiet"} title="Saved views" label=${html`<${Icon} name="pin" /><span class="cut view-name">${opened ? opened.title : "Views"}${changed && html`<span title="It was changed since it was saved"> •</span>`}</span>`}>${(/** @type {() => void} */ close) => html`
      ${views.length > 0 && html`<div class="head">Views of this project</div>`}
      ${views.map(each => html`<${Item} key=${each.name} checked=${each.name === opened?.name} onClick=${() => { close(); attempt(() => open(each.name, true)); }}><span class="cut grow">${each.title || each.name}</span>${known.data?.usual === each.name && html`<span class="tag">default</span>`}${each.private && html`<span class="tag">private</span>`}</${Item}>`)}
      ${views.length > 0 && html`<hr />`}
      ${opened && html`<${Item} onClick=${() => { close(); save(opened.revision); }}>Save${changed ? "" : " (nothing changed)"}</${Item}>`}
      <${Item} onClick=${() => { close(); setAsking("as"); }}>${opened ? "Fork: save as another…" : "Save as…"}</${Item}>
      <${Item} onClick=${() => { close(); link(); }}>Copy the address</${Item}>
      ${opened && html`<${Item} onClick=${() => { close(); attempt(() => open(opened.name, true)); }}>Back to what is saved</${Item}>
        ${!opened.private && html`<${Item} checked=${Boolean(usual)} onClick=${() => { close(); makeUsual(usual ? "" : opened.name); }}>${usual ? "Not the default any more" : "Default of the project"}</${Item}>`}
        ${opened.by === session.value?.name && html`<${Item} onClick=${() => { close(); attempt(async () => { setOpened(await patch(place(KIND, opened.name), { private: !opened.private })); known.reload(); }, opened.private ? "Shared with who may read the project" : "Yours alone"); }}>${opened.private ? "Share with the project" : "Make it private"}</${Item}>`}
        <hr /><${Item} danger onClick=${() => { close(); remove(); }}>Delete the view</${Item}>`}`}
    </${Menu}>
    ${asking === "as" && html`<${SaveAs} from=${opened} save=${saveAs} close=${() => setAsking("")} />`}
    ${asking === "conflict" && opened && html`<${Conflict} place=${place(KIND, opened.name)} close=${() => setAsking("")} overwrite=${() => save(0)} theirs=${() => { setAsking(""); attempt(() => open(opened.name, true)); }} fork=${() => setAsking("as")} />`}`;
}

/** @param {{ from: Stored | null, save: (title: string, alone: boolean) => void, close: () => void }} props */
function SaveAs({ from, save, close }) {
  const [title, setTitle] = useState(from ? `${from.title} (fork)` : "");
  const [alone, setAlone] = useState(false);
  return html`<${Dialog} title=${from ? "Fork the view" : "Save the view"} close=${close} footer=${html`<button class="btn" onClick=${close}>Cancel</button><button class="btn primary" disabled=${!title.trim()} onClick=${() => save(title.trim(), alone)}>Save</button>`}>
    <label class="field"><span>What it is called</span><input class="input" maxlength="120" value=${title} onInput=${(/** @type {any} */ event) => setTitle(event.target.value)} onKeyDown=${(/** @type {KeyboardEvent} */ event) => event.key === "Enter" && title.trim() && save(title.trim(), alone)} /></label>
    <label class="row"><input type="checkbox" class="check" checked=${alone} onChange=${() => setAlone(!alone)} />Private: for me alone</label>
  </${Dialog}>`;
}

/** Somebody saved meanwhile. @param {{ place: string, close: () => void, overwrite: () => void, theirs: () => void, fork?: () => void }} props */
export function Conflict({ place, close, overwrite, theirs, fork }) {
  const found = useResource(signal => get(place, { signal }), [place]);
  return html`<${Dialog} title="It was changed meanwhile" close=${close} footer=${html`<button class="btn" onClick=${theirs}>Open theirs</button>${fork && html`<button class="btn" onClick=${fork}>Save mine as another</button>`}<button class="btn danger" onClick=${overwrite}>Overwrite theirs</button>`}>
    <p>${found.data ? html`<b>${found.data.updated_by}</b> saved <b>${found.data.title}</b> ${ago(found.data.updated)} (revision ${found.data.revision}), after you had opened it.` : "Somebody saved it after you had opened it."} Nothing is lost yet: every revision is kept.</p>
  </${Dialog}>`;
}
