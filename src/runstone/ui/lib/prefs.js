/** What a reader prefers in this browser: the theme, widths and the like. Never what the server gave, and never a key. */

import { effect, signal } from "./html.js";

/**
 * A signal that this browser remembers.
 * @template T
 * @param {string} name @param {T} otherwise
 */
export function preference(name, otherwise) {
  const key = `runstone.${name}`;
  let first = otherwise;
  try {
    const held = localStorage.getItem(key);
    if (held !== null) first = JSON.parse(held);
  } catch { /* a browser that keeps nothing, or something that is not ours */ }
  const kept = signal(first);
  effect(() => {
    const text = JSON.stringify(kept.value);
    try {
      localStorage.setItem(key, text);
    } catch { /* kept for as long as the page is */ }
  });
  return kept;
}

/** `system`, `light` or `dark`. */
export const theme = preference("theme", "system");

effect(() => {
  document.documentElement.dataset.theme = theme.value;
});

const dark = matchMedia("(prefers-color-scheme: dark)");
/** Whether what is shown is dark; for what is drawn on a canvas. */
export const isDark = signal(dark.matches);
dark.addEventListener("change", decide);
effect(() => {
  theme.value;
  decide();
});

function decide() {
  isDark.value = theme.value === "dark" || (theme.value === "system" && dark.matches);
}
