/** What is shown when there is nothing, not yet, or an error: each says what to do. */

import { html } from "../lib/html.js";
import { ApiError } from "../lib/api.js";

/** @param {{ title: string, children?: any }} props */
export function Blank({ title, children }) {
  return html`<div class="blank"><h2>${title}</h2>${children}</div>`;
}

/** @param {{ error: Error, retry?: () => void }} props */
export function Failure({ error, retry }) {
  const api = error instanceof ApiError ? error : null;
  if (api?.status === 404 || api?.status === 410) return html`<${Missing} error=${api} retry=${retry} />`;
  return html`<div class="failure" role="alert">
    <div class="grow">
      <p>${error.message}</p>
      ${api?.instance && html`<p class="small">Request <code>${api.instance}</code>; the server's log has more.</p>`}
    </div>
    ${retry && html`<button class="btn" onClick=${retry}>Try again</button>`}
  </div>`;
}

/** What there is not, or not for this reader, with a way on. @param {{ error: ApiError, retry?: () => void }} props */
function Missing({ error, retry }) {
  const parts = location.pathname.split("/").filter(Boolean);
  const project = parts.length > 2 && parts[0] !== "-" ? `/${parts[0]}/${parts[1]}` : "";
  return html`<div role="alert"><${Blank} title=${error.status === 410 ? "This was deleted" : "There is no such thing here"}><p class="break">${error.message}</p>
    <div class="row">${project && html`<a class="btn primary" href=${project}>To the project ${decodeURIComponent(parts[1])}</a>`}<a class="btn" href="/">All projects</a>${retry && html`<button class="btn quiet" onClick=${retry}>Try again</button>`}</div></${Blank}></div>`;
}

/** Lines where text will be. @param {{ lines?: number }} props */
export function Bones({ lines = 4 }) {
  return html`<div class="stack" role="status" aria-label="Loading">
    ${Array.from({ length: lines }, (_, at) => html`<div class="bone" style=${{ width: `${[92, 74, 84, 60][at % 4]}%` }} />`)}
  </div>`;
}

/**
 * What a resource holds, or what is shown instead; an answer that is there stays while a new one is loading or fails.
 * @param {{ of: import("../lib/resource.js").Resource<any>, children: (data: any) => any, lines?: number }} props
 */
export function Loaded({ of, children, lines }) {
  if (of.data === undefined) return of.error ? html`<${Failure} error=${of.error} retry=${of.reload} />` : html`<${Bones} lines=${lines} />`;
  return html`${of.error && html`<${Failure} error=${of.error} retry=${of.reload} />`}${children(of.data)}`;
}

/** @param {{ state: string }} props */
export function State({ state }) {
  return html`<span class="pill ${state === "live" ? "good" : state}">${state}</span>`;
}
