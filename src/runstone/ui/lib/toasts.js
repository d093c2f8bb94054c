/** Short words about what was done, or could not be. */

import { signal } from "./html.js";

/** @typedef {{ id: number, kind: "done" | "failed", text: string, undo?: () => void }} Toast */

export const toasts = signal(/** @type {Toast[]} */ ([]));
let next = 1;

/** @param {string} text @param {{ kind?: "done" | "failed", undo?: () => void }} [options] */
export function tell(text, options = {}) {
  const toast = { id: next++, kind: options.kind || "done", text, undo: options.undo };
  toasts.value = [...toasts.value.slice(-3), toast];
  setTimeout(() => dismiss(toast.id), toast.kind === "failed" ? 12000 : 6000);
}

/** Does something and tells when it fails; answers whether it was done. @param {() => Promise<unknown>} act @param {string} [done] */
export async function attempt(act, done) {
  try {
    await act();
    if (done) tell(done);
    return true;
  } catch (error) {
    tell(error instanceof Error ? error.message : String(error), { kind: "failed" });
    return false;
  }
}

/** @param {number} id */
export function dismiss(id) {
  toasts.value = toasts.value.filter(toast => toast.id !== id);
}
