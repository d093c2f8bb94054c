/** Content that users logged as markup: it runs in a frame with an origin of its own, which sees nothing of this page and reaches nothing. */

import { html, useEffect, useRef } from "../lib/html.js";

/** @param {{ content: string, label: string, height?: number }} props */
export function SandboxFrame({ content, label, height = 420 }) {
  const frame = useRef(/** @type {HTMLIFrameElement | null} */ (null));
  useEffect(() => {
    /** @param {MessageEvent} event */
    const ready = event => {
      // An opaque origin has no name to send to; the window itself says who it is.
      if (event.source === frame.current?.contentWindow && event.data === "ready") frame.current?.contentWindow?.postMessage(content, "*");
    };
    addEventListener("message", ready);
    if (frame.current) frame.current.src = "/ui/frame";
    return () => removeEventListener("message", ready);
  }, [content]);
  return html`<iframe class="sandbox" ref=${frame} title=${label} sandbox="allow-scripts" referrerpolicy="no-referrer" loading="lazy" style=${{ height: `${height}px` }} />`;
}
