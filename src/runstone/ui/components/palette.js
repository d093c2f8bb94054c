/** The command palette: everything that the page at hand and the application can do, by typing a part of its name. */

import { html, signal, useEffect, useRef, useState } from "../lib/html.js";
import { bindings, shown, useKeys } from "../lib/keys.js";
import { Dialog } from "./dialog.js";

/**
 * @typedef {object} Command
 * @property {string} name @property {string} [detail] @property {() => void} act
 */
/** @typedef {(typed: string, signal: AbortSignal) => Promise<Command[]>} Source finds commands for what was typed, on the server */

const commands = signal(/** @type {Command[]} */ ([]));
const sources = signal(/** @type {Source[]} */ ([]));
const open = signal(/** @type {"" | "palette" | "help"} */ (""));

/** Offers commands while a component is there. @param {Command[]} given @param {unknown[]} depends */
export function useCommands(given, depends) {
  useEffect(() => {
    commands.value = [...given, ...commands.value];
    return () => { commands.value = commands.value.filter(each => !given.includes(each)); };
  }, depends);
}

/** Offers what a function finds on the server. @param {Source} source @param {unknown[]} depends */
export function useCommandSource(source, depends) {
  useEffect(() => {
    sources.value = [...sources.value, source];
    return () => { sources.value = sources.value.filter(each => each !== source); };
  }, depends);
}

export function openPalette() {
  open.value = "palette";
}

/** The palette and the help, when they are open. */
export function Palette() {
  useKeys([
    { keys: "mod+k", what: "Search and commands", act: () => { open.value = open.value ? "" : "palette"; }, typing: true },
    { keys: "?", what: "Keys", act: () => { open.value = "help"; } },
  ], []);
  const close = () => { open.value = ""; };
  if (open.value === "help") return html`<${Help} close=${close} />`;
  return open.value ? html`<${Finder} close=${close} />` : null;
}

/** @param {{ close: () => void }} props */
function Finder({ close }) {
  const [typed, setTyped] = useState("");
  const [found, setFound] = useState(/** @type {Command[]} */ ([]));
  const [at, setAt] = useState(0);
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    const ending = new AbortController();
    const timer = setTimeout(async () => {
      const lists = await Promise.all(sources.value.map(source => source(typed, ending.signal).catch(() => [])));
      if (!ending.signal.aborted) setFound(lists.flat());
    }, 120);
    return () => {
      clearTimeout(timer);
      ending.abort();
    };
  }, [typed]);
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  const own = commands.value.filter(each => words.every(word => each.name.toLowerCase().includes(word)));
  const all = [...own, ...found].slice(0, 60);
  const chosen = Math.min(at, Math.max(0, all.length - 1));
  useEffect(() => { list.current?.children[chosen]?.scrollIntoView({ block: "nearest" }); }, [chosen]);
  /** @param {KeyboardEvent} event */
  function onKey(event) {
    const step = /** @type {Record<string, number>} */ ({ ArrowDown: 1, ArrowUp: -1 })[event.key];
    if (step) setAt((chosen + step + all.length) % all.length);
    else if (event.key === "Enter" && all[chosen]) run(all[chosen]);
    else return;
    event.preventDefault();
  }
  /** @param {Command} command */
  function run(command) {
    close();
    command.act();
  }
  return html`<${Dialog} kind="palette" label="Search and commands" close=${close}>
    <input role="combobox" aria-expanded="true" aria-controls="palette-list" aria-activedescendant=${all.length ? `palette-${chosen}` : undefined}
      aria-label="Search runs, projects and commands" placeholder="Search runs, projects and commands"
      value=${typed} onKeyDown=${onKey} onInput=${(/** @type {any} */ event) => { setTyped(event.target.value); setAt(0); }} />
    <ul id="palette-list" role="listbox" aria-label="Results" ref=${list}>
      ${all.map((command, index) => html`<li id=${`palette-${index}`} role="option" aria-selected=${index === chosen}
        onPointerMove=${() => setAt(index)} onClick=${() => run(command)}><span class="cut">${command.name}</span><span class="muted cut">${command.detail}</span></li>`)}
      ${!all.length && html`<li role="option" aria-selected="false" class="muted">Nothing is called that.</li>`}
    </ul>
  </${Dialog}>`;
}

/** @param {{ close: () => void }} props */
function Help({ close }) {
  return html`<${Dialog} title="Keys" close=${close}>
    <dl class="props">${bindings.value.map(each => html`<dt><kbd class="kbd">${shown(each.keys)}</kbd></dt><dd>${each.what}</dd>`)}</dl>
  </${Dialog}>`;
}
