/** Nested JSON as rows, and what differs between several of them. */

/** Leaves of a value by their path: `{"a": {"b": 1}}` is `a.b`. @param {unknown} value @param {string} [path] @param {Map<string, unknown>} [found] */
export function flatten(value, path = "", found = new Map()) {
  if (value !== null && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length) {
    for (const [name, item] of Object.entries(value)) flatten(item, path ? `${path}.${name}` : name, found);
  } else if (path) {
    found.set(path, value);
  }
  return found;
}

/** @param {unknown} one @param {unknown} other */
export const equal = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/**
 * The rows in which maps differ, by name.
 * @param {Map<string, unknown>[]} maps @returns {{ name: string, values: unknown[] }[]}
 */
export function differing(maps) {
  const names = [...new Set(maps.flatMap(map => [...map.keys()]))].sort();
  return names.map(name => ({ name, values: maps.map(map => map.get(name)) }))
    .filter(row => row.values.some(value => !equal(value, row.values[0])));
}
