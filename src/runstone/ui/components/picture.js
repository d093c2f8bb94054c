/** A picture that users logged. What it would take to show it is read from its first bytes; one that would fill the memory is not loaded. */

import { html, useEffect, useRef, useState } from "../lib/html.js";
import { request } from "../lib/api.js";
import { HEAD, MOST_PIXELS, sizeOf } from "../lib/imagesize.js";

/** @typedef {{ shown: boolean, words: string }} Verdict */

/**
 * @param {{ src: string, alt: string, className?: string }} props
 */
export function Picture({ src, alt, className }) {
  const root = useRef(/** @type {HTMLElement | null} */ (null));
  const [verdict, setVerdict] = useState(/** @type {Verdict | null} */ (null));
  useEffect(() => {
    const ending = new AbortController();
    setVerdict(null);
    // Asked when it comes near, as a browser does with pictures that are far down a page.
    const watcher = new IntersectionObserver(entries => {
      if (!entries.some(entry => entry.isIntersecting)) return;
      watcher.disconnect();
      judge(src, ending.signal).then(found => ending.signal.aborted || setVerdict(found), () => {});
    }, { rootMargin: "300px" });
    watcher.observe(/** @type {HTMLElement} */ (root.current));
    return () => {
      watcher.disconnect();
      ending.abort();
    };
  }, [src]);
  if (verdict?.shown) return html`<img class=${className} src=${src} alt=${alt} decoding="async" onError=${() => setVerdict({ shown: false, words: "This picture cannot be shown: it is damaged, or of a kind that this browser does not know." })} />`;
  return html`<span class="unshown muted small ${className || ""}" ref=${root} role="img" aria-label=${verdict ? `${alt}: ${verdict.words}` : alt}>${verdict ? verdict.words : "…"}</span>`;
}

/** @param {string} src @param {AbortSignal} signal @returns {Promise<Verdict>} */
async function judge(src, signal) {
  // Drawn at the size that it has on the page, and in an img neither runs scripts nor loads anything.
  if (/\.svg$/i.test(src)) return { shown: true, words: "" };
  let head;
  try {
    const response = await request("GET", src, undefined, { signal, accept: "*/*", headers: { Range: `bytes=0-${HEAD - 1}` } });
    head = new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    if (signal.aborted) throw error;
    return { shown: false, words: "This picture cannot be fetched." };
  }
  const size = sizeOf(head);
  if (!size) return { shown: false, words: "This is no picture that is known here; it can be downloaded." };
  const pixels = size.width * size.height;
  if (pixels <= MOST_PIXELS) return { shown: true, words: "" };
  return { shown: false, words: `This picture has ${size.width.toLocaleString("en-US")} × ${size.height.toLocaleString("en-US")} pixels, which would take ${(pixels * 4 / 1e9).toFixed(1)} GB to show. It can be downloaded.` };
}
