/** Lineage as a graph: what a thing came from and what came of it. */

import { html, useEffect, useMemo, useRef, useState } from "../lib/html.js";
import { get, query } from "../lib/api.js";
import { count } from "../lib/format.js";
import { useResource } from "../lib/resource.js";
import { navigate, to } from "../lib/router.js";
import { runTitles } from "./runnames.js";
import { Blank, Bones, Loaded } from "./states.js";

/** More nodes than this are not laid out at once: those behind the nearest are folded, and unfold by a click. */
const MOST = 300;
const SIZE = { width: 190, height: 44 };
const WORDS = /** @type {Record<string, string>} */ ({ used_by: "used by", produced: "produced", derived_to: "derived to", fetched_by: "fetched by", invoked_by: "invoked by" });

/**
 * @typedef {{ id: number, kind: string, name: string, title?: string }} Node @typedef {{ source: number, target: number, relation: string, time: number, count: number }} Edge
 * @typedef {{ root: number, nodes: Node[], edges: Edge[], truncated: boolean }} Graph
 */

/** @param {{ name: string }} props */
export function Lineage({ name }) {
  const [direction, setDirection] = useState("both");
  const graph = useResource(async signal => {
    const found = await get("/api/v1/lineage" + query({ name, direction, depth: 50, limit: 5000 }), { signal });
    const titles = await runTitles(found.nodes.filter((/** @type {Node} */ node) => node.kind === "run").map((/** @type {Node} */ node) => node.name), signal);
    return { ...found, nodes: found.nodes.map((/** @type {Node} */ node) => ({ ...node, title: titles.get(node.name) })) };
  }, [name, direction]);
  return html`<section class="card" aria-label="Lineage">
    <header><h2 class="grow">Lineage</h2><div class="row" role="group" aria-label="Direction">
      ${[["upstream", "What it came from"], ["both", "Both"], ["downstream", "What came of it"]].map(([value, title]) => html`<button class="btn tiny ${direction === value ? "on" : ""}" aria-pressed=${direction === value} onClick=${() => setDirection(value)}>${title}</button>`)}
    </div></header>
    <${Loaded} of=${graph}>${(/** @type {Graph} */ found) => found.edges.length === 0
      ? html`<${Blank} title="Nothing is linked"><p>A run that uses or logs this appears here by itself; other tools can add edges by <code>POST /api/v1/lineage</code>.</p></${Blank}>`
      : html`<${Drawing} key=${name + direction} graph=${found} />`}</${Loaded}>
  </section>`;
}

/** @param {{ graph: Graph }} props */
function Drawing({ graph }) {
  const [opened, setOpened] = useState(/** @type {Set<number>} */ (new Set([graph.root])));
  const shown = useMemo(() => folded(graph, opened), [graph, opened]);
  const placed = useLayout(shown);
  const [high, setHigh] = useState(320);
  const [view, setView] = useState({ x: 0, y: 0, scale: 1 });
  const root = useRef(/** @type {SVGSVGElement | null} */ (null));
  useEffect(() => {
    if (!placed || !root.current) return;
    const box = root.current.getBoundingClientRect();
    const scale = Math.max(0.62, Math.min(1.15, box.width / (placed.width + 40), (innerHeight * 0.66 - 90) / placed.height));
    const wide = placed.width * scale;
    const middle = placed.nodes.find(node => node.id === graph.root)?.x ?? placed.width / 2;
    setHigh(Math.max(220, Math.min(720, innerHeight * 0.66, placed.height * scale + 90)));
    // What does not fit at a size that can be read is moved to; the thing that was asked after is in the middle.
    setView({ x: wide <= box.width ? (box.width - wide) / 2 : box.width / 2 - middle * scale, y: 40, scale });
  }, [placed]);
  if (!placed) return html`<div class="body"><${Bones} /></div>`;
  /** @param {number} factor @param {number} x @param {number} y */
  const zoom = (factor, x, y) => setView(now => {
    const scale = Math.min(2, Math.max(0.1, now.scale * factor));
    return { scale, x: x - (x - now.x) * scale / now.scale, y: y - (y - now.y) * scale / now.scale };
  });
  /** @param {WheelEvent} event */
  const onWheel = event => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 300), event.offsetX, event.offsetY);
  };
  /** @param {PointerEvent} event */
  const onDown = event => {
    const start = { x: event.clientX - view.x, y: event.clientY - view.y };
    const target = /** @type {SVGSVGElement} */ (event.currentTarget);
    target.onpointermove = moved => { if (moved.buttons) setView(now => ({ ...now, x: moved.clientX - start.x, y: moved.clientY - start.y })); };
    target.onpointerup = () => { target.onpointermove = null; };
  };
  const nodes = new Map(graph.nodes.map(node => [node.id, node]));
  return html`<div class="graph">
    <div class="row graph-tools"><button class="btn tiny icon" aria-label="Closer" onClick=${() => zoom(1.3, 300, 200)}>+</button><button class="btn tiny icon" aria-label="Farther" onClick=${() => zoom(1 / 1.3, 300, 200)}>−</button></div>
    <svg ref=${root} role="group" style=${{ height: `${high}px` }} aria-label=${`${count(shown.nodes.length, "node")} and ${count(shown.edges.length, "edge")}`} onPointerDown=${onDown} onWheel=${onWheel}>
      <defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" class="arrow" /></marker></defs>
      <g transform=${`translate(${view.x} ${view.y}) scale(${view.scale})`}>
        ${placed.edges.map(edge => html`<g class="edge" key=${edge.key}><path d=${edge.path} marker-end="url(#arrow)" /><text x=${edge.x} y=${edge.y}>${edge.label}</text></g>`)}
        ${placed.nodes.map(node => html`<${Box} key=${node.id} node=${/** @type {Node} */ (nodes.get(node.id))} at=${node} root=${node.id === graph.root} hidden=${shown.hidden.get(node.id) || 0}
          unfold=${() => setOpened(now => new Set([...now, node.id]))} />`)}
      </g>
    </svg>
    <p class="hint" style=${{ padding: "6px 12px" }}>${count(shown.nodes.length, "node")} of ${graph.nodes.length.toLocaleString("en-US")}${graph.truncated ? " (there are more than were asked for)" : ""}. Drag to move, ${navigator.platform.startsWith("Mac") ? "⌘" : "Ctrl"} and wheel to zoom.</p>
  </div>`;
}

/** @param {{ node: Node, at: { x: number, y: number }, root: boolean, hidden: number, unfold: () => void }} props */
function Box({ node, at, root, hidden, unfold }) {
  const address = addressOf(node);
  const [kind, title] = shownAs(node);
  /** @param {Event} event */
  const go = event => {
    event.preventDefault();
    if (hidden) unfold();
    else if (address) navigate(address);
  };
  return html`<g class="node ${node.kind} ${root ? "root" : ""}" transform=${`translate(${at.x - SIZE.width / 2} ${at.y - SIZE.height / 2})`} tabindex="0" role="link"
      aria-label=${`${kind} ${node.name}${hidden ? `, unfolds ${hidden} more` : ""}`} onClick=${go} onKeyDown=${(/** @type {KeyboardEvent} */ event) => (event.key === "Enter" || event.key === " ") && go(event)}>
    <title>${node.name}</title>
    <rect width=${SIZE.width} height=${SIZE.height} rx="7" />
    <text x="12" y="17" class="kind">${kind}</text><text x="12" y="34" class="name">${title.length > 26 ? "…" + title.slice(-25) : title}</text>
    ${hidden > 0 && html`<g transform=${`translate(${SIZE.width - 34} 8)`}><rect class="more" width="28" height="18" rx="9" /><text x="14" y="13" text-anchor="middle" class="kind">+${hidden}</text></g>`}
  </g>`;
}

/** @param {Node} node @returns {[string, string]} */
function shownAs(node) {
  if (node.kind === "version") return ["artifact", node.name.split("/").slice(2).join("/")];
  if (node.kind === "run") return ["run", node.title || node.name.split("/").pop() || node.name];
  return [node.kind, node.name];
}

/** The page of a node, if it has one. @param {Node} node */
function addressOf(node) {
  const parts = node.name.split("/");
  if (node.kind === "version" && parts.length === 3) {
    const [collection, version] = parts[2].split(":");
    return to(parts[0], parts[1], "artifacts", collection, version, "lineage");
  }
  return node.kind === "run" && parts.length === 3 ? to(parts[0], parts[1], "runs", parts[2]) : "";
}

/**
 * The nodes around those that were opened, as far as there is room; and how many each of the rest hides.
 * @param {Graph} graph @param {Set<number>} opened
 */
function folded(graph, opened) {
  /** @type {Map<number, number[]>} */
  const beside = new Map(graph.nodes.map(node => [node.id, []]));
  for (const edge of graph.edges) {
    beside.get(edge.source)?.push(edge.target);
    beside.get(edge.target)?.push(edge.source);
  }
  const kept = new Set(/** @type {number[]} */ ([]));
  const small = graph.nodes.length <= MOST;
  let unasked = 0;
  const queue = [...opened];
  for (const id of queue) {
    kept.add(id);
    const fresh = (beside.get(id) || []).filter(next => !kept.has(next));
    // What somebody unfolded is shown whole; what comes along by itself is not to be much.
    if (!small && !opened.has(id) && (unasked += fresh.length) > MOST / 3) continue;
    for (const next of fresh) {
      kept.add(next);
      queue.push(next);
    }
  }
  const hidden = new Map([...kept].map(id => [id, (beside.get(id) || []).filter(next => !kept.has(next)).length]));
  return {
    nodes: graph.nodes.filter(node => kept.has(node.id)),
    edges: graph.edges.filter(edge => kept.has(edge.source) && kept.has(edge.target)),
    hidden,
  };
}

/** @typedef {{ width: number, height: number, nodes: { id: number, x: number, y: number }[], edges: { key: string, path: string, label: string, x: number, y: number }[] }} Placed */

/** @param {{ nodes: Node[], edges: Edge[] }} shown @returns {Placed | undefined} */
function useLayout(shown) {
  const [placed, setPlaced] = useState(/** @type {Placed | undefined} */ (undefined));
  useEffect(() => {
    let wanted = true;
    import("dagre").then(dagre => wanted && setPlaced(laidOut(dagre, shown)));
    return () => { wanted = false; };
  }, [shown]);
  return placed;
}

/** @param {any} dagre @param {{ nodes: Node[], edges: Edge[] }} shown @returns {Placed} */
function laidOut(dagre, shown) {
  const lib = dagre.default || dagre;
  const graph = new lib.graphlib.Graph({ multigraph: true }).setGraph({ rankdir: "LR", nodesep: 18, ranksep: 76 }).setDefaultEdgeLabel(() => ({}));
  for (const node of shown.nodes) graph.setNode(String(node.id), { ...SIZE });
  for (const edge of shown.edges) graph.setEdge(String(edge.source), String(edge.target), { label: WORDS[edge.relation] || edge.relation, width: 60, height: 12, labelpos: "c" }, edge.relation);
  lib.layout(graph);
  const { width, height } = graph.graph();
  return {
    width, height,
    nodes: shown.nodes.map(node => ({ id: node.id, ...graph.node(String(node.id)) })),
    edges: graph.edges().map((/** @type {any} */ each) => {
      const { points, label, x, y } = graph.edge(each);
      return { key: `${each.v} ${each.name} ${each.w}`, label, x, y, path: "M" + points.map((/** @type {any} */ point) => `${point.x.toFixed(1)} ${point.y.toFixed(1)}`).join("L") };
    }),
  };
}
