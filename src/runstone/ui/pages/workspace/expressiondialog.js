/** Asks for the expression of a panel. */

import { html, useEffect, useState } from "../../lib/html.js";
import { api, get, query } from "../../lib/api.js";
import { parse } from "../../lib/expression.js";
import { attempt } from "../../lib/toasts.js";
import { Dialog } from "../../components/dialog.js";

/** @param {{ ns: string, project: string, add: (y: string) => void, close: () => void }} props */
export function ExpressionDialog({ ns, project, add, close }) {
  const [text, setText] = useState("");
  const [unknown, setUnknown] = useState("");
  let wrong = unknown && `No run has logged ${unknown}. Names with odd characters stand in backticks.`;
  let keys = /** @type {string[]} */ ([]);
  try {
    if (text.trim()) keys = parse(text).keys;
  } catch (error) {
    wrong = error instanceof Error ? error.message : "";
  }
  /** @param {string} key */
  async function isLogged(key) {
    const found = await get(api("run-queries", ns, project, "fields") + query({ prefix: `summary.${key}:mean`, kind: "numbers", limit: 1 }));
    return found.items[0]?.field === `summary.${key}`;
  }
  // Said while one writes, and looked at again before it is added.
  useEffect(() => {
    if (wrong || !keys.length) return undefined;
    let current = true;
    const timer = setTimeout(async () => {
      for (const key of keys) if (!await isLogged(key).catch(() => true)) return current && setUnknown(key);
    }, 250);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [text]);
  function submit(/** @type {Event} */ event) {
    event.preventDefault();
    if (!text.trim() || wrong) return;
    attempt(async () => {
      for (const key of keys) if (!await isLogged(key)) return setUnknown(key);
      add(text.trim());
      close();
    });
  }
  return html`<${Dialog} title="A panel of an expression" close=${close}>
    <form class="stack" onSubmit=${submit}>
      <label class="field"><span>y</span><input class="input mono" value=${text} placeholder="\`val/loss\` - \`train/loss\`" aria-invalid=${wrong ? "true" : undefined} onInput=${(/** @type {any} */ event) => { setText(event.target.value); setUnknown(""); }} /></label>
      <p class="hint ${wrong && text.trim() ? "bad" : ""}">${(text.trim() && wrong) || "Keys in backticks, numbers, + - * / ^, and log, log2, log10, exp, sqrt, abs, min, max, pow."}</p>
      <button class="btn primary" disabled=${!text.trim() || Boolean(wrong)}>Add</button>
    </form>
  </${Dialog}>`;
}
