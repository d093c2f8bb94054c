/** A dialog over the page: it keeps the focus, gives it back, and is closed by Escape. */

import { html, useLayoutEffect, useRef } from "../lib/html.js";
import { Icon } from "./icons.js";

/** @param {{ title?: string, label?: string, kind?: string, close: () => void, footer?: any, children: any }} props */
export function Dialog({ title, label, kind = "", close, footer, children }) {
  const root = useRef(/** @type {HTMLElement | null} */ (null));
  const ending = useRef(close);
  ending.current = close;
  // Before anything is painted, so that no key is lost between what is seen and what is listened to.
  useLayoutEffect(() => {
    const before = document.activeElement;
    /** @type {HTMLElement | null | undefined} */
    const first = root.current?.querySelector("input, textarea, select, button.primary, button");
    first?.focus();
    /** @param {KeyboardEvent} event */
    const escape = event => { if (event.key === "Escape") ending.current(); };
    addEventListener("keydown", escape);
    return () => {
      removeEventListener("keydown", escape);
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  /** @param {KeyboardEvent} event */
  function onKey(event) {
    if (event.key !== "Tab" || !root.current) return;
    const stops = /** @type {HTMLElement[]} */ ([...root.current.querySelectorAll("a[href], button:not(:disabled), input, select, textarea, [tabindex='0']")]);
    const edge = event.shiftKey ? stops[0] : stops[stops.length - 1];
    if (document.activeElement === edge) {
      event.preventDefault();
      (event.shiftKey ? stops[stops.length - 1] : stops[0]).focus();
    }
  }
  return html`<div class="veil" onPointerDown=${(/** @type {PointerEvent} */ event) => event.target === event.currentTarget && close()}>
    <div class="dialog ${kind}" role="dialog" aria-modal="true" aria-label=${label || title} ref=${root} onKeyDown=${onKey}>
      ${title && html`<header><h2 class="grow cut">${title}</h2><button class="btn quiet icon" aria-label="Close" onClick=${close}><${Icon} name="close" /></button></header>`}
      ${kind === "palette" ? children : html`<div class="body">${children}</div>`}
      ${footer && html`<footer>${footer}</footer>`}
    </div>
  </div>`;
}
