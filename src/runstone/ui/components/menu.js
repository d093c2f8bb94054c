/** A button with a list below it, closed by Escape, a click elsewhere or a choice. */

import { html, useEffect, useRef, useState } from "../lib/html.js";

/**
 * @param {{ label: any, title?: string, kind?: string, left?: boolean, children: any | ((close: () => void) => any) }} props
 */
export function Menu({ label, title, kind = "quiet", left = false, children }) {
  const [open, setOpen] = useState(false);
  const root = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    if (!open) return undefined;
    /** @param {Event} event */
    const away = event => {
      if (!(event.target instanceof Node) || !root.current?.contains(event.target)) setOpen(false);
    };
    addEventListener("pointerdown", away);
    return () => removeEventListener("pointerdown", away);
  }, [open]);
  /** @param {KeyboardEvent} event */
  function onKey(event) {
    if (event.key === "Escape" && open) {
      event.stopPropagation();
      setOpen(false);
      root.current?.querySelector("button")?.focus();
    }
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && open && !(event.target instanceof HTMLInputElement)) {
      event.preventDefault();
      const items = /** @type {HTMLElement[]} */ ([...(root.current?.querySelectorAll(".pop .item") || [])]);
      const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
      items[(at + (event.key === "ArrowDown" ? 1 : -1) + items.length) % items.length]?.focus();
    }
  }
  return html`<div class="menu" ref=${root} onKeyDown=${onKey}>
    <button class="btn ${kind}" title=${title} aria-label=${title} aria-haspopup="true" aria-expanded=${open} onClick=${() => setOpen(!open)}>${label}</button>
    ${open && html`<div class="pop ${left ? "left" : ""}">${typeof children === "function" ? children(() => setOpen(false)) : children}</div>`}
  </div>`;
}

/** @param {{ onClick: () => void, checked?: boolean, danger?: boolean, children: any }} props */
export function Item({ onClick, checked, danger, children }) {
  return html`<button class="item ${danger ? "danger" : ""}" aria-pressed=${checked} onClick=${onClick}>${children}</button>`;
}
