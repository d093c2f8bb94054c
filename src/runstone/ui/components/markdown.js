/** Markdown that users wrote, as sanitised elements: no script, no style, no form, and no address but this server's is loaded. */

import { html, useEffect, useRef, useState } from "../lib/html.js";

const RULES = {
  RETURN_DOM_FRAGMENT: true,
  FORBID_TAGS: ["style", "form", "input", "button", "textarea", "select", "iframe", "object", "embed", "audio", "video", "source", "link", "meta"],
  FORBID_ATTR: ["style", "srcset", "id", "name"],
};
/** Handlers in markup would never run, but a browser complains of each before they are taken out. */
const HANDLER = /\son[a-z]+\s*=\s*("[^"]*"|'[^']*'|[^\s>]+)/gi;

/**
 * @param {{ text: string, base?: string }} props `base` is the address in the API that relative images are found under
 */
export function Markdown({ text, base }) {
  const root = useRef(/** @type {HTMLElement | null} */ (null));
  const [ready, setReady] = useState(false);
  useEffect(() => {
    let wanted = true;
    made(text, base).then(content => {
      if (!wanted) return;
      root.current?.replaceChildren(content);
      setReady(true);
    });
    return () => { wanted = false; };
  }, [text, base]);
  return html`<div class="markdown" ref=${root} aria-busy=${!ready} />`;
}

/** @param {string} text @param {string} [base] @returns {Promise<DocumentFragment>} */
async function made(text, base) {
  const [{ marked }, { default: purify }] = await Promise.all([import("marked"), import("dompurify")]);
  const markup = (await marked.parse(withoutHead(text), { gfm: true })).replace(HANDLER, "");
  purify.removeAllHooks();
  purify.addHook("afterSanitizeAttributes", element => settle(element, base));
  return /** @type {DocumentFragment} */ (/** @type {unknown} */ (purify.sanitize(markup, RULES)));
}

/** Links lead out without telling from where; images come from the files beside the text, or are links. @param {Element} element @param {string} [base] */
function settle(element, base) {
  if (element.tagName === "A" && element.hasAttribute("href")) {
    element.setAttribute("rel", "noopener noreferrer nofollow");
    if (/^[a-z]+:/i.test(element.getAttribute("href") || "")) element.setAttribute("target", "_blank");
  }
  const source = element.tagName === "IMG" ? element.getAttribute("src") || "" : "";
  if (element.tagName !== "IMG" || source.startsWith("data:image/")) return;
  const relative = source && !/^([a-z]+:|\/)/i.test(source);
  if (relative && base) {
    element.setAttribute("src", `${base}/files/${source.replace(/^\.\//, "")}`);
    if (!element.getAttribute("alt")) element.setAttribute("alt", source);
    return;
  }
  // Elsewhere an image would tell its host who reads this.
  const link = element.ownerDocument.createElement("a");
  link.setAttribute("href", source);
  link.setAttribute("rel", "noopener noreferrer nofollow");
  link.textContent = element.getAttribute("alt") || source || "an image";
  element.replaceWith(link);
}

/** A card without the YAML that stands before it. @param {string} text */
function withoutHead(text) {
  return text.replace(/^---\r?\n[\s\S]*?\r?\n---\r?\n/, "");
}
