/** What is done to many runs at once: those whose boxes were chosen, or all that fit the filter. The server does it, and says what can be taken back. */

import { html, useState } from "../../lib/html.js";
import { api, post } from "../../lib/api.js";
import { count } from "../../lib/format.js";
import { useKeys } from "../../lib/keys.js";
import { navigate, to } from "../../lib/router.js";
import { attempt, tell } from "../../lib/toasts.js";
import { Dialog } from "../../components/dialog.js";

/** @typedef {{ matched: number, runs: string[] }} Changed */

/**
 * @param {{ ns: string, project: string, chosen: string[] | null, total: number, clear: () => void, all: () => void, reload: () => void, state: import("./view.js").ViewState }} props
 * `chosen` is null when all that fit the filter are meant
 */
export function Bulk({ ns, project, chosen, total, clear, all, reload, state }) {
  const [tag, setTag] = useState("");
  const [asking, setAsking] = useState(false);
  const { filter, hidden } = state.now.value;
  const meant = chosen ? chosen.length : total;
  const change = (/** @type {any} */ what) => post(api("run-changes", ns, project), what);
  const which = chosen ? { runs: chosen } : { filter, expected: total };

  /** Does it, says what was done, and offers to take it back. @param {any} what @param {(changed: Changed) => any} back @param {string} word */
  async function act(what, back, word) {
    const done = await attempt(async () => {
      /** @type {Changed} */
      const changed = await change({ ...what, ...which });
      tell(`${count(changed.runs.length, "run")} ${word}`, changed.runs.length ? { undo: () => attempt(async () => { await change({ ...back(changed), runs: changed.runs }); reload(); }) } : {});
    });
    reload();
    return done;
  }
  const remove = async () => {
    setAsking(false);
    if (await act({ act: "delete" }, () => ({ act: "restore" }), "deleted")) clear();
  };
  /** @param {boolean} off */
  const label = async off => {
    const name = tag.trim();
    if (!name) return;
    const [put, take] = [{ act: "tag", tags: { [name]: "" } }, { act: "tag", untag: [name] }];
    if (await act(off ? take : put, () => (off ? put : take), off ? `no longer tagged ${name}` : `tagged ${name}`)) setTag("");
  };
  const compare = `${to(ns, project, "compare")}?${new URLSearchParams(chosen ? { runs: chosen.join(",") } : { filter, tab: "scatter" })}`;
  useKeys([{ keys: "c", what: "Compare the chosen runs", act: () => navigate(compare) }], [compare]);
  return html`<div class="row wrap bulk" role="toolbar" aria-label="Chosen runs">
    <b>${chosen ? `${count(meant, "run")} chosen` : `All ${count(meant, "run")} that match`}</b>
    ${chosen && chosen.length < total && html`<button class="btn tiny quiet" onClick=${all}>Choose all ${total.toLocaleString("en-US")} that match</button>`}
    <form class="row" onSubmit=${(/** @type {Event} */ event) => { event.preventDefault(); label(false); }}><input class="input tiny-input tag-input" placeholder="Tag" aria-label="Tag to add" value=${tag} onInput=${(/** @type {any} */ event) => setTag(event.target.value)} />
      <button class="btn tiny" disabled=${!tag.trim()}>Add</button><button class="btn tiny" type="button" disabled=${!tag.trim()} onClick=${() => label(true)}>Take away</button></form>
    ${chosen && html`<button class="btn tiny" onClick=${() => state.set({ hidden: [...new Set([...hidden, ...chosen])] })}>Hide</button>
      <button class="btn tiny" onClick=${() => state.set({ hidden: hidden.filter(run => !chosen.includes(run)) })}>Show</button>`}
    <a class="btn tiny" href=${compare}>Compare</a>
    <button class="btn tiny danger" onClick=${() => (chosen ? remove() : setAsking(true))}>Delete</button>
    <button class="btn tiny quiet" onClick=${clear}>Clear</button>
    ${asking && html`<${Dialog} title=${`Delete ${count(total, "run")}?`} close=${() => setAsking(false)} footer=${html`<button class="btn" onClick=${() => setAsking(false)}>Cancel</button><button class="btn danger" onClick=${remove}>Delete ${count(total, "run")}</button>`}>
      <p>${filter ? html`All runs that fit <code class="break">${filter}</code> are deleted.` : html`<b>Every run of ${project}</b> is deleted.`} They can be taken back right afterwards, and until they are purged.</p>
      ${total > 10_000 && html`<p class="hint bad">One change takes 10,000 runs at most: narrow the filter first.</p>`}
    </${Dialog}>`}
  </div>`;
}
