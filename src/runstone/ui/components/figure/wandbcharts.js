/** Charts of `wandb.plot`: a table, and which of its columns are drawn how. Those of the presets are known; of others there is the table. */

/** @typedef {import("./figure.js").Drawing} Drawing */
/** @typedef {{ name: string, preset: string, fields: Record<string, string>, strings: Record<string, string>, table: string }} Chart */

const MOST_ROWS = 20_000;

/** The charts that a run declared. @param {any} info of the run @returns {Chart[]} */
export function charts(info) {
  const told = object(object(info._wandb).visualize);
  return Object.entries(told).flatMap(([name, given]) => {
    const config = object(object(given).panel_config);
    const table = tableKey(config.userQuery, 0);
    const preset = String(config.panelDefId || "");
    return table && preset ? [{ name, preset, fields: object(config.fieldSettings), strings: object(config.stringSettings), table }] : [];
  }).slice(0, 100);
}

/** @param {Chart} chart @param {{ columns: string[], data: any[][] }} table @returns {Drawing | null} */
export function drawn({ preset, fields, strings }, table) {
  const rows = table.data.slice(0, MOST_ROWS);
  const at = (/** @type {string} */ role) => table.columns.indexOf(String(fields[role] ?? role));
  const column = (/** @type {string} */ role) => (at(role) < 0 ? [] : rows.map(row => row[at(role)]));
  const named = (/** @type {string} */ role) => String(fields[role] ?? role);
  const base = { title: String(strings.title || ""), x: { title: "", log: false }, y: { title: "", log: false } };
  const kind = /^wandb\/([\w-]+)\//.exec(preset)?.[1] || "";
  const lines = (/** @type {string} */ x, /** @type {string} */ y, /** @type {string} */ by) => {
    const groups = new Map(/** @type {[string, { x: unknown[], y: unknown[] }][]} */ ([]));
    const [xs, ys, names] = [column(x), column(y), column(by)];
    xs.forEach((value, row) => {
      const name = names.length ? String(names[row]) : "";
      const held = groups.get(name) || { x: [], y: [] };
      held.x.push(value);
      held.y.push(ys[row]);
      groups.set(name, held);
    });
    return [...groups].slice(0, 60).map(([name, held]) => ({ kind: /** @type {const} */ ("line"), name, ...held }));
  };
  if (kind === "lineseries") return { ...base, x: { title: String(strings.xname || "x"), log: false }, traces: lines("step", "lineVal", "lineKey") };
  if (kind === "line") return { ...base, x: { title: named("x"), log: false }, y: { title: named("y"), log: false }, traces: lines("x", "y", "stroke") };
  if (kind === "area-under-curve") return { ...base, x: { title: named("x"), log: false }, y: { title: named("y"), log: false }, traces: lines("x", "y", "class") };
  if (kind === "scatter") return { ...base, x: { title: named("x"), log: false }, y: { title: named("y"), log: false }, traces: [{ kind: "points", name: "", x: column("x"), y: column("y") }] };
  if (kind === "bar") return { ...base, x: { title: named("value"), log: false }, y: { title: named("label"), log: false }, traces: [{ kind: "bar", name: "", x: column("value"), y: column("label"), lying: true }] };
  if (kind === "histogram") {
    const values = column("value").filter(Number.isFinite);
    const [low, high] = values.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, -Infinity]);
    if (!values.length) return null;
    const bins = Math.min(30, Math.ceil(Math.sqrt(values.length)));
    const size = (high - low) / bins || 1;
    const counts = Array.from({ length: bins }, () => 0);
    for (const value of values) counts[Math.min(bins - 1, Math.floor((value - low) / size))]++;
    return { ...base, x: { title: named("value"), log: false }, traces: [{ kind: "bar", name: "", x: counts.map((_, bin) => Number((low + (bin + 0.5) * size).toPrecision(4))), y: counts }] };
  }
  if (kind === "confusion_matrix") {
    const [actual, predicted, counts] = [column("Actual"), column("Predicted"), column("nPredictions")];
    const names = [...new Set([...actual, ...predicted].map(String))].slice(0, 60);
    const of = new Map(actual.map((name, row) => [JSON.stringify([String(name), String(predicted[row])]), counts[row]]));
    return { ...base, x: { title: "predicted", log: false }, y: { title: "actual", log: false, reversed: true }, traces: [{ kind: "heat", name: "", x: names, y: names, z: names.map(one => names.map(other => of.get(JSON.stringify([one, other])) ?? 0)) }] };
  }
  return null;
}

/** The name of the table that a query asks for. @param {any} query @param {number} depth @returns {string} */
function tableKey(query, depth) {
  if (!query || typeof query !== "object" || depth > 12) return "";
  if (query.name === "tableKey" && typeof query.value === "string") return query.value;
  for (const each of Object.values(query)) {
    const found = tableKey(each, depth + 1);
    if (found) return found;
  }
  return "";
}

/** @param {any} value @returns {any} */
function object(value) {
  return value && typeof value === "object" && !Array.isArray(value) ? value : {};
}
