/** What the pages of users, teams and keys have in common. */

import { html } from "../../lib/html.js";

const PAGES = [["/-/keys", "API keys"], ["/-/users", "Users"], ["/-/teams", "Teams"]];

/** @param {{ here: string, action?: any, children: any }} props */
export function People({ here, action, children }) {
  const title = PAGES.find(([path]) => path === here)?.[1];
  return html`<nav class="tabs" aria-label="People">${PAGES.map(([path, name]) => html`<a key=${path} href=${path} aria-current=${path === here ? "page" : undefined}>${name}</a>`)}</nav>
    <div class="page"><div class="page-head"><h1 class="grow">${title}</h1>${action}</div>${children}</div>`;
}
