/** Modules that the server sends together: each is a function here, run when another first needs what it exports. See server/bundles.py. */

/** @type {any} */ (globalThis).modules ??= (() => {
  /** @type {Map<string, () => Record<string, unknown>>} */
  const defined = new Map();
  /** @type {Map<string, Record<string, unknown>>} */
  const made = new Map();
  /** Where the files lie; given by the server. */
  const base = "{base}";

  /** @param {string} name @param {() => Record<string, unknown>} make what comes a second time, with another page, is left alone */
  function define(name, make) {
    if (!defined.has(name)) defined.set(name, make);
  }
  /** What a module exports. @param {string} name */
  function need(name) {
    let found = made.get(name);
    if (!found) {
      const make = defined.get(name);
      if (!make) throw new Error(`the module ${name} was not sent`);
      made.set(name, found = make());
    }
    return found;
  }
  /** What a module exports, fetched with all that it needs if that is not here yet. @param {string} name */
  async function load(name) {
    if (!defined.has(name)) await import(base + "parts/" + name);
    return need(name);
  }
  /** The address of a file. @param {string} name */
  const at = name => new URL(base + name, location.origin).href;
  return { define, need, load, at };
})();
