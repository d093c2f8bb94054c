/** Keys: what a page does by keyboard, known to the help as well. */

import { signal, useLayoutEffect } from "./html.js";

/**
 * @typedef {object} Binding
 * @property {string} keys `mod+k`, `/`, `?`, `escape`, `shift+arrowleft`; `mod` is ⌘ or Ctrl
 * @property {string} what in words, for the help
 * @property {() => void} act
 * @property {boolean} [typing] works while one types, too
 */

/** The bindings that hold now, the latest first. */
export const bindings = signal(/** @type {Binding[]} */ ([]));

/** Holds bindings while a component is there. @param {Binding[]} given @param {unknown[]} depends */
export function useKeys(given, depends) {
  // With the drawing, not after it: a key that is pressed at once means what is on the screen.
  useLayoutEffect(() => {
    bindings.value = [...given, ...bindings.value];
    return () => { bindings.value = bindings.value.filter(each => !given.includes(each)); };
  }, depends);
}

/** @param {KeyboardEvent} event */
function written(event) {
  const parts = [];
  if (event.metaKey || event.ctrlKey) parts.push("mod");
  if (event.altKey) parts.push("alt");
  if (event.shiftKey && event.key.length > 1) parts.push("shift");
  parts.push(event.key.toLowerCase());
  return parts.join("+");
}

/** @param {EventTarget | null} target */
function takesText(target) {
  if (target instanceof HTMLInputElement && /^(checkbox|radio|range)$/.test(target.type)) return false;
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

addEventListener("keydown", event => {
  const keys = written(event);
  const typing = takesText(event.target);
  const found = bindings.value.find(each => each.keys === keys && (each.typing || !typing));
  if (!found) return;
  event.preventDefault();
  found.act();
});

const MAC = /mac/i.test(navigator.platform);

/** Keys as they are shown. @param {string} keys */
export function shown(keys) {
  const names = /** @type {Record<string, string>} */ ({ mod: MAC ? "⌘" : "Ctrl", escape: "Esc", arrowleft: "←", arrowright: "→", arrowup: "↑", arrowdown: "↓", shift: "⇧", enter: "⏎" });
  return keys.split("+").map(key => names[key] || key.toUpperCase()).join(MAC ? "" : " ");
}
