/** What a page shows of the server: loaded, loading or failed, and loaded again when the server is back. */

import { effect, useEffect, useLayoutEffect, useState } from "./html.js";
import { ApiError, online } from "./api.js";

/**
 * @template T
 * @typedef {object} Resource
 * @property {T} [data] the latest answer; it stays while the next one is under way
 * @property {Error} [error]
 * @property {boolean} loading
 * @property {() => void} reload
 */

/**
 * Loads something whenever what it depends on changes; a call that is overtaken is ended.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} load @param {unknown[]} depends
 * @returns {Resource<T>}
 */
export function useResource(load, depends) {
  const [held, setState] = useState(/** @type {{ key?: string, data?: T, error?: Error, loading: boolean }} */ ({ loading: true }));
  const [turn, setTurn] = useState(0);
  const key = JSON.stringify(depends);
  // What was answered to another question is nobody's answer, not even until the next one is on its way.
  const state = held.key === key ? held : { loading: true };
  // Asked before anything is painted: an effect that waits for the next frame would be that much later.
  useLayoutEffect(() => {
    const ending = new AbortController();
    setState(now => ({ key, data: now.key === key ? now.data : undefined, loading: true }));
    load(ending.signal).then(
      data => ending.signal.aborted || setState({ key, data, loading: false }),
      error => ending.signal.aborted || setState(now => ({ key, data: now.data, error, loading: false })),
    );
    return () => ending.abort();
  }, [key, turn]);
  const failed = state.error instanceof ApiError && state.error.passing;
  useEffect(() => (failed ? whenBack(() => setTurn(now => now + 1)) : undefined), [failed]);
  return { ...state, reload: () => setTurn(now => now + 1) };
}

/**
 * Calls once when the server answers again, having asked now and then; answers what ends the waiting.
 * @param {() => void} then
 */
export function whenBack(then) {
  let wait = 500;
  let timer = setTimeout(ask, wait);
  const stop = effect(() => {
    if (online.value === true) setTimeout(then);
  });
  function ask() {
    fetch("/health").then(answer => { if (answer.ok) { online.value = true; then(); } else again(); }, again);
  }
  function again() {
    wait = Math.min(wait * 1.6, 5000);
    timer = setTimeout(ask, wait);
  }
  return () => {
    clearTimeout(timer);
    stop();
  };
}
