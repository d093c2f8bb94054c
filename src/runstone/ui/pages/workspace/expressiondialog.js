/** Asks for the expression of a panel. */

import { html, useState } from "../../lib/html.js";
import { parse } from "../../lib/expression.js";
import { Dialog } from "../../components/dialog.js";

/** @param {{ keys: string[], add: (y: string) => void, close: () => void }} props */
export function ExpressionDialog({ keys, add, close }) {
  const [text, setText] = useState("");
  let wrong = "";
  try {
    const unknown = text.trim() && keys.length < 5000 ? parse(text).keys.filter(key => !keys.includes(key)) : [];
    if (unknown.length) wrong = `No run has logged ${unknown[0]}. Names with odd characters stand in backticks.`;
  } catch (error) {
    wrong = error instanceof Error ? error.message : "";
  }
  function submit(/** @type {Event} */ event) {
    event.preventDefault();
    if (!text.trim() || wrong) return;
    add(text.trim());
    close();
  }
  return html`<${Dialog} title="A panel of an expression" close=${close}>
    <form class="stack" onSubmit=${submit}>
      <label class="field"><span>y</span><input class="input mono" value=${text} placeholder="\`val/loss\` - \`train/loss\`" aria-invalid=${wrong ? "true" : undefined} onInput=${(/** @type {any} */ event) => setText(event.target.value)} /></label>
      <p class="hint ${wrong && text.trim() ? "bad" : ""}">${(text.trim() && wrong) || "Keys in backticks, numbers, + - * / ^, and log, log2, log10, exp, sqrt, abs, min, max, pow."}</p>
      <button class="btn primary" disabled=${!text.trim() || Boolean(wrong)}>Add</button>
    </form>
  </${Dialog}>`;
}
