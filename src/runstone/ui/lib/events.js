/** What happens in a project, as it happens. The stream is taken up again where it broke off, and misses nothing. */

import { signal } from "./html.js";
import { api, online } from "./api.js";

/**
 * @typedef {object} Event
 * @property {number} seq @property {number} time @property {string} kind `run`, `points`, `lines`, `version` or `alias`
 * @property {string} name @property {any} detail
 */

/** Whether changes arrive as they happen: `live`, `connecting`, or `off` where nobody listens. */
export const liveness = signal(/** @type {"live" | "connecting" | "off"} */ ("off"));

const KINDS = ["run", "points", "lines", "version", "alias"];
const LONGEST_WAIT = 5000;

/**
 * Listens to a project until the function that it answers is called.
 * @param {string} ns @param {string} project @param {(event: Event) => void} hear
 */
export function listen(ns, project, hear) {
  let source = /** @type {EventSource | null} */ (null);
  let timer = 0;
  let wait = 250;
  let last = "";

  function open() {
    liveness.value = "connecting";
    source = new EventSource(api("events", ns, project) + (last ? `?after=${last}` : ""));
    source.onopen = () => {
      wait = 250;
      liveness.value = "live";
      online.value = true;
    };
    source.onerror = () => {
      // The browser's own way of coming back gives up at the first error of HTTP, which a starting server may answer.
      source?.close();
      liveness.value = "connecting";
      // A stream may break off alone; whether the server is away is another question, and the page says so.
      fetch("/health").catch(() => { online.value = false; });
      timer = setTimeout(open, wait);
      wait = Math.min(wait * 2, LONGEST_WAIT);
    };
    for (const kind of KINDS) {
      source.addEventListener(kind, message => {
        last = message.lastEventId;
        hear(JSON.parse(message.data));
      });
    }
  }

  open();
  return () => {
    clearTimeout(timer);
    source?.close();
    liveness.value = "off";
  };
}

/**
 * A function that calls `act` soon after it was called, once for many calls and at most every `pause` milliseconds.
 * @param {() => void} act @param {number} pause
 */
export function gathered(act, pause) {
  let timer = 0;
  let before = 0;
  function now() {
    timer = 0;
    before = performance.now();
    act();
  }
  /** @type {(() => void) & { cancel: () => void }} */
  const call = Object.assign(() => {
    timer ||= setTimeout(now, Math.max(16, before + pause - performance.now()));
  }, { cancel: () => clearTimeout(timer) });
  return call;
}
