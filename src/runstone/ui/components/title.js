/** What the page at hand is called, where its address has only a name that a client made up. */

import { signal, useEffect } from "../lib/html.js";

export const title = signal("");

/** Gives the page a title while a component is there. @param {string} text */
export function useTitle(text) {
  useEffect(() => {
    title.value = text;
    return () => { title.value = ""; };
  }, [text]);
}
