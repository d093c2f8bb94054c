/** Reports that wandb-workspaces wrote, as text of ours: what can be shown is, and what cannot be says its name in its place. */

/** The kind of document that the wandb dialect keeps reports as. */
export const KIND = "wandb-report";

const SCALES = /** @type {Record<string, string>} */ ({ _step: "step", _timestamp: "time", _absolute_runtime: "time", _runtime: "relative" });
const ATTRIBUTES = /** @type {Record<string, string>} */ ({ displayName: "name", name: "id", state: "state", username: "user", createdAt: "created", group: "group", jobType: "job_type", sweep: "sweep", duration: "duration", notes: "notes" });
const OPERATORS = /** @type {Record<string, string>} */ ({ "=": "=", "==": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=" });
const MOST_DEPTH = 12;

/** A report's text. @param {any} spec as it was stored, which may be anything @param {string} ns @param {string} project @returns {string} */
export function textOf(spec, ns, project) {
  const blocks = Array.isArray(spec?.blocks) ? spec.blocks : [];
  return blocks.map((/** @type {any} */ block) => blockOf(block, ns, project, 0)).filter(Boolean).join("\n\n") + "\n";
}

/** @param {any} block @param {string} ns @param {string} project @param {number} depth @returns {string} */
function blockOf(block, ns, project, depth) {
  if (!block || typeof block !== "object" || depth > MOST_DEPTH) return "";
  const within = () => inline(block.children, 0);
  switch (block.type) {
    case "paragraph": return within();
    case "heading": return `${"#".repeat(Math.max(1, Math.min(6, Number(block.level) || 1)))} ${within()}`;
    case "list": return listOf(block, ns, project, depth);
    case "code-block": return fenced(lines(block.children), String(block.language || "").replace(/[^\w+-]/g, ""));
    case "markdown-block": return text(block.content);
    case "latex": return fenced(text(block.content), "latex");
    case "block-quote": case "callout-block": return lines(block.children).split("\n").map(line => `> ${escaped(line)}`).join("\n");
    case "horizontal-rule": return "---";
    case "table-of-contents": return "";
    case "image": return missing(`a picture at ${text(block.url)}`, inline(block.children, 0));
    case "panel-grid": return panelsOf(block.metadata, ns, project);
    default: return missing(`a block of the kind ${text(block.type)}`, text(block.url));
  }
}

/** @param {any} block @param {string} ns @param {string} project @param {number} depth */
function listOf(block, ns, project, depth) {
  const items = Array.isArray(block.children) ? block.children : [];
  return items.map((/** @type {any} */ item, /** @type {number} */ at) => {
    const inner = (Array.isArray(item?.children) ? item.children : []).map((/** @type {any} */ each) => blockOf(each, ns, project, depth + 1)).filter(Boolean).join("\n");
    const mark = typeof item?.checked === "boolean" ? `- [${item.checked ? "x" : " "}]` : block.ordered ? `${at + 1}.` : "-";
    return `${mark} ${inner.replaceAll("\n", "\n   ")}`;
  }).join("\n");
}

/** Words of a paragraph, with their marks. @param {any} children @param {number} depth @returns {string} */
function inline(children, depth) {
  if (!Array.isArray(children) || depth > MOST_DEPTH) return "";
  return children.map(child => {
    if (child?.type === "link") return `[${inline(child.children, depth + 1) || escaped(text(child.url))}](<${text(child.url).replace(/[<>\n]/g, "")}>)`;
    if (child?.type === "latex") return code(text(child.content));
    if (Array.isArray(child?.children)) return inline(child.children, depth + 1);
    const said = text(child?.text);
    if (!said) return "";
    if (child.inlineCode) return code(said);
    const mark = (child.bold ? "**" : "") + (child.italic ? "_" : "");
    return mark + escaped(said) + [...mark].reverse().join("");
  }).join("");
}

/** The panels of a grid, over the first set of runs that is shown. @param {any} grid @param {string} ns @param {string} project */
function panelsOf(grid, ns, project) {
  const sets = (Array.isArray(grid?.runSets) ? grid.runSets : []).filter((/** @type {any} */ set) => set?.enabled !== false);
  const [set] = sets;
  const of = set?.project ? `${text(set.project.entityName)}/${text(set.project.name)}` : `${ns}/${project}`;
  const [filter, left] = filterOf(set);
  const said = [];
  if (sets.length > 1) said.push(missing(`${sets.length - 1} more sets of runs`, sets.slice(1).map((/** @type {any} */ each) => text(each?.name)).join(", ")));
  if (left.length) said.push(missing("part of what chooses the runs", left.join(", ")));
  const panels = grid?.panelBankSectionConfig?.panels || grid?.panels || [];
  for (const panel of Array.isArray(panels) ? panels : []) {
    const { viewType, config = {} } = panel || {};
    if (viewType === "Markdown Panel") said.push(text(config?.value));
    else if (viewType === "Run History Line Plot" && of === `${ns}/${project}` && texts(config.metrics).length) said.push(chart(config, filter));
    else said.push(missing(`a panel (${text(viewType)})`, [text(config?.chartTitle), ...texts(config?.metrics), of === `${ns}/${project}` ? "" : `of runs of ${of}`].filter(Boolean).join(", ")));
  }
  return said.join("\n\n");
}

/** @param {any} config @param {string} filter */
function chart(config, filter) {
  const weight = Number(config.smoothingWeight) || 0;
  const axis = text(config.xAxis);
  return fenced(JSON.stringify({
    title: text(config.chartTitle), keys: texts(config.metrics), filter,
    ...(axis ? { axis: SCALES[axis] || axis } : {}), ...(config.xLogScale ? { xLog: true } : {}), ...(config.yLogScale ? { yLog: true } : {}),
    ...(weight > 0 ? { smoothing: { kind: "ema", amount: Math.min(0.999, weight) } } : {}),
  }), "panel");
}

/** The filter of a set of runs in our grammar, and what of it has no words there. @param {any} set @returns {[string, string[]]} */
function filterOf(set) {
  /** @type {string[]} */
  const found = [];
  /** @type {string[]} */
  const left = [];
  if (text(set?.search?.query)) found.push(`name contains ${JSON.stringify(text(set.search.query))}`);
  const given = Array.isArray(set?.filters?.filters) ? set.filters.filters : set?.filters ? [set.filters] : [];
  for (const each of given) {
    if (each?.disabled || (Array.isArray(each?.filters) && !each.filters.length)) continue;
    const field = fieldOf(each?.key);
    const known = field && OPERATORS[each.op] && ["string", "number", "boolean"].includes(typeof each.value);
    if (known) found.push(`\`${field}\` ${OPERATORS[each.op]} ${JSON.stringify(each.value)}`);
    else left.push(text(each?.key?.name) || "a condition");
  }
  return [found.join(" and "), left];
}

/** @param {any} key @returns {string} empty where we have no such field */
function fieldOf(key) {
  const name = text(key?.name);
  if (name.includes("`")) return "";
  if (key?.section === "config" || key?.section === "summary") return `${key.section}.${name.replace(/\.value$/, "")}`;
  return key?.section === "run" ? ATTRIBUTES[name] || "" : "";
}

/** @param {string} what @param {string} [more] */
function missing(what, more = "") {
  return `> **Not shown here:** ${escaped(what)}${more ? `: ${escaped(more)}` : ""}`;
}

/** @param {any} children each a line, with its words within */
function lines(children) {
  return (Array.isArray(children) ? children : []).map(each => (typeof each?.text === "string" ? each.text : plain(each, 0))).join("\n");
}

/** @param {any} node @param {number} depth @returns {string} */
function plain(node, depth) {
  if (depth > MOST_DEPTH) return "";
  return typeof node?.text === "string" ? node.text : (Array.isArray(node?.children) ? node.children : []).map((/** @type {any} */ each) => plain(each, depth + 1)).join("");
}

/** A fence longer than any within. @param {string} content @param {string} kind */
function fenced(content, kind) {
  const longest = Math.max(2, ...[...content.matchAll(/^`+/gm)].map(each => each[0].length));
  const fence = "`".repeat(longest + 1);
  return `${fence}${kind}\n${content}\n${fence}`;
}

/** @param {string} said */
function code(said) {
  return "`" + said.replaceAll("`", "'").replaceAll("\n", " ") + "`";
}

/** Text that is no Markdown. @param {string} said */
function escaped(said) {
  return said.replace(/[\\`*_{}[\]<>#|!~]/g, "\\$&").replace(/^(\s*)([-+]|\d+[.)])(\s)/gm, "$1\\$2$3");
}

/** @param {any} value */
function text(value) {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : "";
}

/** @param {any} value @returns {string[]} */
function texts(value) {
  return Array.isArray(value) ? value.filter(each => typeof each === "string") : [];
}
