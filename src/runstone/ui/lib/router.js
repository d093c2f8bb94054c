/** Where the application is: the address is the state, so that every view can be linked, reloaded and gone back to. */

import { computed, signal } from "./html.js";

/**
 * @typedef {object} Route
 * @property {string} pattern `/:ns/:project/runs/:run/:tab?`; a part that ends in `?` may be missing, `*` is all that is left
 * @property {() => Promise<{ default: (props: any) => any }>} load the module of the page
 * @property {string} [section] which tab of a project it belongs to
 */

const here = signal(read());
/** The path, still encoded. */
export const path = computed(() => here.value.path);
/** The query, as it stands in the address. */
export const search = computed(() => here.value.search);
/** What follows the path and the query, with its `#`. */
export const hash = computed(() => here.value.hash);

function read() {
  return { path: location.pathname, search: location.search, hash: location.hash };
}

addEventListener("popstate", () => { here.value = read(); });

/** Goes to an address of this application. @param {string} address @param {{ replace?: boolean }} [options] */
export function navigate(address, options = {}) {
  if (address === location.pathname + location.search) return;
  const far = address.split("?")[0] !== location.pathname;
  history[options.replace ? "replaceState" : "pushState"](null, "", address);
  here.value = read();
  if (far) scrollTo(0, 0);
}

/** Links of this application are followed without loading it again. */
export function followLinks() {
  document.addEventListener("click", event => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
    if (!(link instanceof HTMLAnchorElement) || link.target || link.hasAttribute("download")) return;
    if (link.origin !== location.origin || link.pathname.startsWith("/api/") || link.pathname.startsWith("/ui/")) return;
    event.preventDefault();
    navigate(link.pathname + link.search);
  });
}

/** The address of a page from parts, each encoded. @param {...(string | number)} parts */
export function to(...parts) {
  return "/" + parts.map(part => encodeURIComponent(String(part))).join("/");
}

/**
 * A value of the query as text, and a function that sets it; setting the default takes it away.
 * @param {string} name @param {string} [otherwise]
 */
export function param(name, otherwise = "") {
  return new URLSearchParams(search.value).get(name) ?? otherwise;
}

/**
 * Changes values of the query and leaves the others; null or empty takes one away.
 * @param {Record<string, string | number | null | undefined>} values @param {{ push?: boolean }} [options] `push`: a step to go back from
 */
export function setParams(values, options = {}) {
  const params = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === undefined || value === "") params.delete(name);
    else params.set(name, String(value));
  }
  const text = params.toString();
  navigate(location.pathname + (text ? "?" + text : ""), { replace: !options.push });
}

/**
 * The first route that fits a path, with what its names stand for.
 * @param {Route[]} routes @param {string} where
 * @returns {{ route: Route, names: Record<string, string> } | null}
 */
export function match(routes, where) {
  const parts = where.split("/").filter(Boolean).map(decoded);
  for (const route of routes) {
    const names = fits(route.pattern.split("/").filter(Boolean), parts);
    if (names) return { route, names };
  }
  return null;
}

/** @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** @param {string[]} pattern @param {string[]} parts @returns {Record<string, string> | null} */
function fits(pattern, parts) {
  /** @type {Record<string, string>} */
  const names = {};
  for (let at = 0; at < pattern.length; at++) {
    const wanted = pattern[at];
    if (wanted === "*") {
      names.rest = parts.slice(at).join("/");
      return names;
    }
    const optional = wanted.endsWith("?");
    if (parts[at] === undefined) return optional ? names : null;
    if (wanted.startsWith(":")) names[wanted.slice(1, optional ? -1 : undefined)] = parts[at];
    else if (wanted !== parts[at]) return null;
  }
  return parts.length > pattern.length ? null : names;
}
