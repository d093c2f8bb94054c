/** Numbers, times and sizes as people read them. Times are microseconds since 1970, as the server has them. */

/** A number in few digits: 0.01234, 12,345, 1.2e-7. @param {unknown} value @param {number} [digits] @returns {string} */
export function number(value, digits = 4) {
  if (typeof value !== "number") return value === null || value === undefined ? "" : String(value);
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e9) return value.toLocaleString("en-US");
  if (size !== 0 && (size < 1e-3 || size >= 1e9)) return value.toExponential(digits - 2).replace(/\.?0+e/, "e");
  return String(Number(value.toPrecision(size >= 1000 ? digits + 2 : digits)));
}

/** Any logged value in one line of text. @param {unknown} value @param {number} [longest] */
export function inline(value, longest = 300) {
  if (typeof value === "number") return number(value, 5);
  const text = typeof value === "string" ? value : value === undefined || value === null ? "" : JSON.stringify(value);
  return text.length > longest ? text.slice(0, longest) + "…" : text;
}

/** A count with a unit in the plural: "1 run", "2,000 runs". @param {number} value @param {string} unit */
export function count(value, unit) {
  return `${value.toLocaleString("en-US")} ${unit}${value === 1 ? "" : "s"}`;
}

/** A large count in few characters: 1.2k, 3.4M. @param {number} value */
export function short(value) {
  if (Math.abs(value) < 1000) return String(value);
  const at = Math.min(3, Math.floor(Math.log10(Math.abs(value)) / 3));
  return Number((value / 1000 ** at).toPrecision(3)) + ["", "k", "M", "G"][at];
}

/** @param {number} value */
export function bytes(value) {
  if (value < 1000) return `${value} B`;
  const at = Math.min(5, Math.floor(Math.log10(value) / 3));
  return `${Number((value / 1000 ** at).toPrecision(3))} ${["", "kB", "MB", "GB", "TB", "PB"][at]}`;
}

/** A span in seconds: 0.2 s, 45 s, 3m 20s, 2h 5m, 3d 4h. @param {number} seconds */
export function duration(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return "";
  if (seconds < 10) return `${Number(seconds.toPrecision(2))} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days) return `${days}d ${hours}h`;
  if (hours) return `${hours}h ${minutes}m`;
  return `${minutes}m ${Math.floor(seconds % 60)}s`;
}

/** @param {number} micros */
export function ago(micros) {
  if (!micros) return "never";
  const seconds = (Date.now() - micros / 1000) / 1000;
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.round(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  if (seconds < 86400 * 30) return `${Math.floor(seconds / 86400)} d ago`;
  return date(micros);
}

/** @param {number} micros */
export function date(micros) {
  return micros ? new Date(micros / 1000).toLocaleDateString("en-CA") : "";
}

/** A time to the second, in the reader's zone. @param {number} micros */
export function moment(micros) {
  return micros ? new Date(micros / 1000).toLocaleString("sv-SE") : "";
}
