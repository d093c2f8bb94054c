/** The frame of every page: where one is, the tabs of a project, search, theme and the user. */

import { html, useEffect } from "../lib/html.js";
import { online } from "../lib/api.js";
import { liveness } from "../lib/events.js";
import { theme } from "../lib/prefs.js";
import { whenBack } from "../lib/resource.js";
import { to } from "../lib/router.js";
import { session, signOut } from "../lib/session.js";
import { shown } from "../lib/keys.js";
import { attempt, dismiss, toasts } from "../lib/toasts.js";
import { PROJECT_TABS } from "../routes.js";
import { Icon } from "./icons.js";
import { Item, Menu } from "./menu.js";
import { openPalette, Palette } from "./palette.js";
import { useSearch } from "./search.js";
import { title } from "./title.js";

/**
 * @param {{ names: Record<string, string>, section?: string, children: any }} props
 */
export function Shell({ names, section, children }) {
  useSearch(names);
  useEffect(() => {
    const parts = [title.value || names.run || names.collection || names.project || names.ns, "runstone"];
    document.title = parts.filter(Boolean).join(" · ");
  }, [title.value, names.run, names.collection, names.project, names.ns]);
  useEffect(() => (online.value === false ? whenBack(() => {}) : undefined), [online.value]);
  return html`<div class="shell">
    <a class="sr-only" href="#main">Skip to content</a>
    <header class="bar">
      <a class="brand" href="/" aria-label="runstone, home"><${Mark} /><span>runstone</span></a>
      <${Crumbs} names=${names} />
      <div class="row end">
        <button class="btn quiet" onClick=${openPalette} aria-label="Search and commands"><${Icon} name="search" /><kbd class="kbd">${shown("mod+k")}</kbd></button>
        <${ThemeMenu} />
        <${UserMenu} />
      </div>
    </header>
    ${names.project && section && html`<${ProjectTabs} names=${names} section=${section} />`}
    ${online.value === false && html`<div class="offline" role="status">The server does not answer. What you see is from before; the page goes on by itself when the server is back.</div>`}
    <main id="main" class="stack grow" style=${{ gap: 0 }}>${children}</main>
    <div class="toasts" role="status" aria-live="polite">${toasts.value.map(toast => html`<div class="toast ${toast.kind}" key=${toast.id}>
      <span class="grow">${toast.text}</span>
      ${toast.undo && html`<button class="btn tiny" onClick=${() => { toast.undo?.(); dismiss(toast.id); }}>Undo</button>`}
      <button class="btn tiny icon quiet" aria-label="Dismiss" onClick=${() => dismiss(toast.id)}><${Icon} name="close" /></button>
    </div>`)}</div>
    <${Palette} />
  </div>`;
}

export function Mark() {
  return html`<svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="7" fill="#1f3a5f" />
    <path d="M8 22V10h6.2c2.900 0 4.600 1.500 4.600 3.900 0 1.800-1 3.100-2.700 3.600L19.400 22M8.400 17.600h6" fill="none" stroke="#fff" stroke-width="2.600" stroke-linecap="round" stroke-linejoin="round" />
    <circle cx="24" cy="21" r="2.400" fill="#f2a541" /></svg>`;
}

/** @param {{ names: Record<string, string> }} props */
function Crumbs({ names }) {
  const { ns, project, run, collection } = names;
  const last = run || collection;
  return html`<nav aria-label="Where you are" class="grow row"><ol class="crumbs">
    ${ns && html`<li><a class="cut" href=${to(ns)}>${ns}</a></li>`}
    ${project && html`<li>${last ? html`<a class="cut" href=${to(ns, project)}>${project}</a>` : html`<span class="cut" aria-current="page">${project}</span>`}</li>`}
    ${last && html`<li><span class="cut" aria-current="page">${title.value || last}</span></li>`}
  </ol>${project && liveness.value === "live" && html`<span class="pill live" title="Changes are shown as they happen">live</span>`}</nav>`;
}

/** @param {{ names: Record<string, string>, section: string }} props */
function ProjectTabs({ names, section }) {
  return html`<nav class="tabs" aria-label="Project">
    ${PROJECT_TABS.map(tab => html`<a href=${tab.path ? to(names.ns, names.project, tab.path) : to(names.ns, names.project)}
      aria-current=${tab.section === section ? "page" : undefined}>${tab.title}</a>`)}
  </nav>`;
}

function ThemeMenu() {
  const icon = theme.value === "light" ? "sun" : theme.value === "dark" ? "moon" : "system";
  return html`<${Menu} title="Theme" kind="quiet icon" label=${html`<${Icon} name=${icon} />`}>
    ${(/** @type {() => void} */ close) => ["system", "light", "dark"].map(name => html`<${Item} checked=${theme.value === name}
      onClick=${() => { theme.value = name; close(); }}>${name === "system" ? "As the system" : name === "light" ? "Light" : "Dark"}</${Item}>`)}
  </${Menu}>`;
}

function UserMenu() {
  const who = session.value;
  if (!who) return null;
  return html`<${Menu} title=${`Signed in as ${who.name}`} label=${html`<${Icon} name="user" /><span class="cut">${who.name}</span>`}>
    <div class="head">${who.local ? "Local mode: who can reach this server is its owner" : who.admin ? "Administrator" : "Signed in with an API key"}</div>
    <a class="item" href="/-/keys">API keys</a>
    <a class="item" href="/-/users">Users</a>
    <a class="item" href="/-/teams">Teams</a>
    ${!who.local && html`<hr /><${Item} onClick=${() => attempt(signOut)}>Sign out</${Item}>`}
  </${Menu}>`;
}
