/** Calls of the native API. A session's cookie goes by itself, and its token with every change. */

import { signal } from "./html.js";

/** An answer that was an error, in the words of the server. */
export class ApiError extends Error {
  /** @param {number} status @param {string} code @param {string} detail @param {string} [instance] */
  constructor(status, code, detail, instance = "") {
    super(detail);
    this.status = status;
    this.code = code;
    this.instance = instance;
  }

  /** Whether the same call may succeed later, without anybody doing anything. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status === 502 || this.status === 503;
  }
}

/** Whether the server answers; null before the first answer. */
export const online = signal(/** @type {boolean | null} */ (null));
/** The token of the session, and what is done when the server no longer knows it. */
export const credentials = { csrf: "", lost: () => {} };

/**
 * @typedef {object} Options
 * @property {AbortSignal} [signal] ends the call
 * @property {Record<string, string>} [headers]
 * @property {string} [accept] media type of a binary answer
 * @property {string} [reason] why a change is made; kept in the change log
 */

/**
 * Calls the server, and answers its response when that is a success.
 * @param {string} method @param {string} path @param {unknown} [body] @param {Options} [options]
 * @returns {Promise<Response>}
 */
export async function request(method, path, body, options = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: options.accept || "application/json", ...options.headers };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET" && credentials.csrf) headers["X-CSRF-Token"] = credentials.csrf;
  if (options.reason) headers["X-Runstone-Reason"] = encodeURIComponent(options.reason);
  let response;
  try {
    response = await fetch(path, {
      method, headers, signal: options.signal, credentials: "same-origin",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    online.value = false;
    throw new ApiError(0, "unreachable", "The server does not answer. The page goes on by itself when it is back.");
  }
  online.value = true;
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  if (response.status === 401) credentials.lost();
  throw new ApiError(
    response.status, problem.code || "error", problem.detail || `The server answered ${response.status}.`, problem.instance,
  );
}

/**
 * The JSON of an answer; undefined for one without content.
 * @param {string} method @param {string} path @param {unknown} [body] @param {Options} [options]
 * @returns {Promise<any>}
 */
export async function call(method, path, body, options) {
  const response = await request(method, path, body, options);
  return response.status === 204 ? undefined : response.json();
}

/** What a call answers, or something else where there is no such thing; any other failure stays one. @template T @param {Promise<T>} asked @param {T} otherwise */
export function unlessMissing(asked, otherwise) {
  return asked.catch(error => {
    if (error instanceof ApiError && error.status === 404) return otherwise;
    throw error;
  });
}

/** @param {string} path @param {Options} [options] */
export const get = (path, options) => call("GET", path, undefined, options);
/** @param {string} path @param {unknown} [body] @param {Options} [options] */
export const post = (path, body, options) => call("POST", path, body, options);
/** @param {string} path @param {unknown} [body] @param {Options} [options] */
export const put = (path, body, options) => call("PUT", path, body, options);
/** @param {string} path @param {unknown} [body] @param {Options} [options] */
export const patch = (path, body, options) => call("PATCH", path, body, options);
/** @param {string} path @param {Options} [options] */
export const del = (path, options) => call("DELETE", path, undefined, options);

/**
 * A path of the API from parts, each percent-encoded: api("runs", ns, project, run).
 * @param {...(string | number)} parts
 */
export function api(...parts) {
  return "/api/v1/" + parts.map(part => encodeURIComponent(String(part))).join("/");
}

/** A query string of those values that are given. @param {Record<string, string | number | boolean | null | undefined>} values */
export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? "?" + new URLSearchParams(given.map(([name, value]) => [name, String(value)])) : "";
}
