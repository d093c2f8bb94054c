/** The filter: a text in the grammar of docs/queries.md, with what may come next. */

import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { askFields } from "../../lib/fieldnames.js";
import { Icon } from "../../components/icons.js";

const WORDS = ["and", "or", "not", "in", "contains", "like", "ilike", "exists", "is null"];
const ATTRIBUTES = ["state", "name", "id", "created", "updated", "ended", "duration", "steps", "user", "group", "job_type", "sweep", "notes", "host", "commit", "command"];
const STATES = ["running", "finished", "failed", "crashed", "killed"];

/**
 * @param {{ ns: string, project: string, value: string, error: Error | null, set: (filter: string) => void }} props
 */
export function FilterBar({ ns, project, value, error, set }) {
  const [text, setText] = useState(value);
  const [offers, setOffers] = useState(/** @type {string[]} */ ([]));
  const [at, setAt] = useState(-1);
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  // Answers may come in another order than questions: only that to the latest counts.
  const ticket = useRef(0);
  useEffect(() => setText(value), [value]);

  /** @param {string} typed */
  async function offer(typed) {
    const mine = ++ticket.current;
    const before = typed.slice(0, input.current?.selectionStart ?? typed.length);
    setAt(-1);
    const stated = /\bstate\s*(?:=|!=|in\s*\()\s*["']?([a-z]*)$/.exec(before);
    if (stated) return setOffers(STATES.filter(each => each.startsWith(stated[1])).map(each => `"${each}"`));
    const word = /[\w.:`/-]*$/.exec(before)?.[0] || "";
    if (!word) return setOffers([]);
    // What was offered for less than this may no longer fit, and must not be taken while the answer is on its way.
    setOffers(now => now.filter(each => each.includes(word)));
    const own = [...ATTRIBUTES, ...WORDS].filter(each => each.startsWith(word) && each !== word);
    // A field by how it begins, or else by what it contains.
    const asked = /^(config|summary|tags)\./.test(word) ? { prefix: word } : { contains: word, kind: "plain" };
    const fields = await askFields(ns, project, { ...asked, limit: 40 }, () => mine === ticket.current);
    const names = fields.items.map((/** @type {any} */ each) => each.field).filter((/** @type {string} */ name) => /^(config|summary|tags)\./.test(name));
    return mine === ticket.current ? setOffers([...own, ...names.map(quoted)].slice(0, 12)) : undefined;
  }

  /** @param {string} chosen */
  function take(chosen) {
    const place = input.current?.selectionStart ?? text.length;
    const before = text.slice(0, place).replace(/["']?[\w.:`/-]*$/, "");
    const made = before + chosen + " " + text.slice(place);
    // At once: what is typed next must come behind it.
    if (input.current) {
      input.current.value = made;
      input.current.focus();
      input.current.setSelectionRange(before.length + chosen.length + 1, before.length + chosen.length + 1);
    }
    setText(made);
    ticket.current++;
    setOffers([]);
  }

  /** @param {KeyboardEvent} event */
  function onKey(event) {
    const step = /** @type {Record<string, number>} */ ({ ArrowDown: 1, ArrowUp: -1 })[event.key];
    if (step && offers.length) setAt((at + step + offers.length) % offers.length);
    else if ((event.key === "Enter" || event.key === "Tab") && offers[at]) take(offers[at]);
    else if (event.key === "Enter") { ticket.current++; set(text.trim()); setOffers([]); }
    else if (event.key === "Escape" && offers.length) setOffers([]);
    else if (event.key === "Escape") input.current?.blur();
    else return;
    event.preventDefault();
  }

  return html`<div class="filterbar">
    <div class="row filter" data-wrong=${error ? true : undefined}>
      <${Icon} name="filter" />
      <input ref=${input} data-filter class="grow" role="combobox" aria-label="Filter runs" aria-expanded=${offers.length > 0} aria-controls="filter-offers"
        aria-activedescendant=${at >= 0 ? `offer-${at}` : undefined} aria-invalid=${error ? "true" : undefined} spellcheck=${false} autocomplete="off"
        placeholder=${"config.lr < 0.01 and state = \"finished\""} value=${text} onKeyDown=${onKey}
        onInput=${(/** @type {any} */ event) => { setText(event.target.value); offer(event.target.value); }}
        onBlur=${() => setTimeout(() => { ticket.current++; setOffers([]); if (input.current && input.current.value.trim() !== value && document.activeElement !== input.current) set(input.current.value.trim()); }, 150)} />
      ${text && html`<button class="btn tiny icon quiet" aria-label="Clear the filter" onClick=${() => { setText(""); set(""); }}><${Icon} name="close" /></button>`}
    </div>
    ${offers.length > 0 && html`<ul class="offers" id="filter-offers" role="listbox" aria-label="What may come next">
      ${offers.map((each, index) => html`<li id=${`offer-${index}`} role="option" aria-selected=${index === at} onPointerDown=${(/** @type {Event} */ event) => { event.preventDefault(); take(each); }}>${each}</li>`)}
    </ul>`}
    ${error && html`<p class="hint bad" role="alert">${error.message}</p>`}
  </div>`;
}

/** A field as the filter takes it. @param {string} field */
export function quoted(field) {
  return /^[A-Za-z_][\w.:]*$/.test(field) ? field : `\`${field}\``;
}
