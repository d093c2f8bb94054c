/** Text that is there to be copied. */

import { html, useState } from "../lib/html.js";
import { Icon } from "./icons.js";

/** @param {{ text: string, label?: string }} props */
export function CopyButton({ text, label = "Copy" }) {
  const [done, setDone] = useState(false);
  async function copy() {
    await copyText(text);
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  }
  return html`<button class="btn tiny icon quiet" title=${label} aria-label=${done ? "Copied" : label} onClick=${copy}>
    <${Icon} name=${done ? "check" : "copy"} />
  </button>`;
}

/** Puts text on the clipboard, also where the page is not of a secure origin. @param {string} text */
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/** @param {{ text: string, label?: string }} props */
export function Snippet({ text, label }) {
  return html`<div class="snippet"><pre tabindex="0" aria-label=${label || "Code"}>${text}</pre><${CopyButton} text=${text} /></div>`;
}
