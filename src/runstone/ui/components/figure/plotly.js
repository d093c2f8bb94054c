/** A figure that was logged with plotly, as one that can be drawn here: its numbers and words; what is not known is named. */

/** @typedef {import("./figure.js").Trace} Trace */
/** @typedef {import("./figure.js").Drawing} Drawing */
/** @typedef {{ drawing: Drawing | null, unknown: string[] }} Read */

const MOST_TRACES = 60;
/** Values of a trace that are read; a longer one is thinned. */
const MOST = 20_000;
const KINDS = /** @type {Record<string, Float64ArrayConstructor | any>} */ ({ f8: Float64Array, f4: Float32Array, i4: Int32Array, i2: Int16Array, i1: Int8Array, u4: Uint32Array, u2: Uint16Array, u1: Uint8Array });

/** @param {any} figure `{ data, layout }` @returns {Read} */
export function read(figure) {
  const layout = object(figure?.layout);
  const unknown = new Set(/** @type {string[]} */ ([]));
  const traces = list(figure?.data).slice(0, MOST_TRACES).flatMap(each => {
    const kind = String(object(each).type || "scatter");
    const made = traceOf(object(each), kind);
    if (!made) unknown.add(kind.slice(0, 40));
    return made ? [made] : [];
  });
  if (!traces.length) return { drawing: null, unknown: [...unknown] };
  const axis = (/** @type {any} */ given) => ({ title: text(object(given.title).text ?? given.title), log: given.type === "log", reversed: given.autorange === "reversed" });
  return { drawing: { title: text(object(layout.title).text ?? layout.title), x: axis(object(layout.xaxis)), y: axis(object(layout.yaxis)), traces, stacked: layout.barmode === "stack" || layout.barmode === "relative" }, unknown: [...unknown] };
}

/** @param {any} given @param {string} kind @returns {Trace | null} */
function traceOf(given, kind) {
  const name = text(given.name);
  const [x, y] = [numbers(given.x), numbers(given.y)];
  if (kind === "scatter" || kind === "scattergl") return scatter(given, name, x, y);
  if (kind === "bar") return given.orientation === "h" ? { kind: "bar", name, x, y: y.length ? y : counted(x), lying: true } : { kind: "bar", name, x: x.length ? x : counted(y), y };
  if (kind === "box" || kind === "violin") return y.length ? { kind: "box", name: "", x: x.length ? x : y.map(() => name || "all"), y } : null;
  if (kind === "pie") return { kind: "pie", name, x: list(given.labels), y: numbers(given.values) };
  if (kind === "histogram") return histogram(x.length ? x : y, name);
  if (kind === "heatmap" || kind === "heatmapgl" || kind === "contour") {
    const z = rows(given.z);
    return z.length ? { kind: "heat", name: "", x: x.length ? x : counted(z[0]), y: y.length ? y : counted(z), z } : null;
  }
  return null;
}

/** @param {any} given @param {string} name @param {unknown[]} x @param {unknown[]} y @returns {Trace} */
function scatter(given, name, x, y) {
  const mode = String(given.mode || (y.length > 20 ? "lines" : "lines+markers"));
  const texts = list(given.text).map(text);
  return { kind: !mode.includes("lines") ? "points" : mode.includes("markers") ? "both" : "line", name, x: x.length ? x : counted(y), y, texts: texts.length ? texts : undefined, fill: /^to(zero|next)y$/.test(String(given.fill)) };
}

/** Places where none are given. @param {unknown[]} values */
function counted(values) {
  return values.map((_, at) => at);
}

/** @param {unknown[]} values @param {string} name @returns {Trace} */
function histogram(values, name) {
  const there = values.filter(value => value !== null && value !== undefined);
  const found = /** @type {number[]} */ (there.filter(value => typeof value === "number" && Number.isFinite(value)));
  if (found.length < there.length || !found.length) {
    const counts = new Map(/** @type {[string, number][]} */ ([]));
    for (const value of there) counts.set(String(value), (counts.get(String(value)) || 0) + 1);
    return { kind: "bar", name, x: [...counts.keys()], y: [...counts.values()] };
  }
  const [low, high] = found.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, -Infinity]);
  const bins = Math.max(1, Math.min(40, Math.ceil(Math.sqrt(found.length))));
  const size = (high - low) / bins || 1;
  const counts = Array.from({ length: bins }, () => 0);
  for (const value of found) counts[Math.min(bins - 1, Math.floor((value - low) / size))]++;
  return { kind: "bar", name, x: counts.map((_, at) => Number((low + (at + 0.5) * size).toPrecision(4))), y: counts };
}

/** A column: a list, or numbers packed as base64. @param {any} given @returns {unknown[]} */
function numbers(given) {
  const found = Array.isArray(given) ? given : typeof given?.bdata === "string" ? [...unpacked(given)] : [];
  const every = Math.ceil(found.length / MOST);
  return every > 1 ? found.filter((_, at) => at % every === 0) : found;
}

/** @param {any} given @returns {unknown[][]} */
function rows(given) {
  if (Array.isArray(given)) return given.map(row => (Array.isArray(row) ? row : typeof row?.bdata === "string" ? [...unpacked(row)] : []));
  if (typeof given?.bdata !== "string") return [];
  const [, wide] = String(given.shape || "").split(",").map(Number);
  const flat = [...unpacked(given)];
  return wide > 0 ? Array.from({ length: Math.floor(flat.length / wide) }, (_, at) => flat.slice(at * wide, (at + 1) * wide)) : [];
}

/** @param {{ bdata: string, dtype?: unknown }} given @returns {ArrayLike<number> & Iterable<number>} */
function unpacked(given) {
  const made = KINDS[String(given.dtype)];
  if (!made) return [];
  try {
    const raw = Uint8Array.from(atob(given.bdata), letter => letter.charCodeAt(0));
    return new made(raw.buffer, 0, Math.floor(raw.length / made.BYTES_PER_ELEMENT));
  } catch {
    return [];
  }
}

/** The first figure that a page made by plotly draws, which asks elsewhere for what would draw it. @param {string} page */
export function inPage(page) {
  const call = /Plotly\.(?:newPlot|react)\(/.exec(page);
  if (!call) return null;
  const from = page.indexOf("[", call.index + call[0].length);
  const data = from < 0 ? "" : balanced(page, from);
  const next = data ? page.indexOf("{", from + data.length) : -1;
  try {
    return data ? { data: JSON.parse(data), layout: next < 0 ? {} : JSON.parse(balanced(page, next) || "{}") } : null;
  } catch {
    return null;
  }
}

/** JSON from a bracket to the one that closes it. @param {string} page @param {number} from */
function balanced(page, from) {
  let depth = 0;
  let quoted = false;
  for (let at = from; at < page.length; at++) {
    const letter = page[at];
    if (quoted) {
      if (letter === "\\") at++;
      else if (letter === "\"") quoted = false;
    } else if (letter === "\"") quoted = true;
    else if (letter === "[" || letter === "{") depth++;
    else if ((letter === "]" || letter === "}") && --depth === 0) return page.slice(from, at + 1);
  }
  return "";
}

/** @param {any} value @returns {any} */
function object(value) {
  return value && typeof value === "object" && !Array.isArray(value) ? value : {};
}

/** @param {any} value @returns {any[]} */
function list(value) {
  return Array.isArray(value) ? value : [];
}

/** @param {any} value without markup, which plotly takes a little of */
function text(value) {
  return typeof value === "string" || typeof value === "number" ? String(value).replace(/<br\s*\/?>/gi, " ").replace(/<\/?(b|i|em|strong|sub|sup|span)\b[^>]{0,200}>/gi, "").slice(0, 300) : "";
}
