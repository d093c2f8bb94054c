/** Runs as points: any field over any other, coloured by a third. A click leads to the run. */

import { html, useState } from "../../lib/html.js";
import { colorOf, rampOf } from "../../lib/colors.js";
import { measure, parameter } from "../../lib/fieldnames.js";
import { inline } from "../../lib/format.js";
import { navigate, param, setParams, to } from "../../lib/router.js";
import { scaleOf } from "../../lib/scales.js";
import { Blank, Loaded } from "../../components/states.js";
import { FieldSelect, Told, useTable } from "./data.js";
import { Axes, frameOf, useWidth } from "../../components/figure/axes.js";

/** @param {import("./data.js").ChartProps} props */
export function Scatter({ ns, project, names, filter }) {
  const x = param("x", parameter(names.config) || names.summary[0]);
  const y = param("y", measure(names.summary, x) || names.config[1] || x);
  const color = param("color");
  const found = useTable(ns, project, filter, [x, y, color]);
  const logs = ["x", "y"].map(axis => html`<label class="row"><input type="checkbox" class="check" checked=${param(`${axis}log`) === "1"} onChange=${() => setParams({ [`${axis}log`]: param(`${axis}log`) ? "" : "1" })} />log ${axis}</label>`);
  return html`<section class="card" aria-label="Scatter">
    <div class="row wrap controls body">
      <${FieldSelect} label="Along x" value=${x} names=${names} set=${(/** @type {string} */ field) => setParams({ x: field })} />
      <${FieldSelect} label="Along y" value=${y} names=${names} set=${(/** @type {string} */ field) => setParams({ y: field })} />
      <${FieldSelect} label="Colour" value=${color} names=${names} set=${(/** @type {string} */ field) => setParams({ color: field })} none="by run" />
      ${logs}
    </div>
    <${Loaded} of=${found}>${(/** @type {any} */ data) => html`<${Points} ...${{ ns, project, x, y, color, data }} />`}</${Loaded}>
  </section>`;
}

/** @param {{ ns: string, project: string, x: string, y: string, color: string, data: { rows: import("./data.js").Row[], total: number } }} props */
function Points({ ns, project, x, y, color, data }) {
  const [near, setNear] = useState(/** @type {any} */ (null));
  const { root, width } = useWidth();
  const across = scaleOf(data.rows.map(row => row.of[x]), param("xlog") === "1");
  const up = scaleOf(data.rows.map(row => row.of[y]), param("ylog") === "1");
  const shade = color ? scaleOf(data.rows.map(row => row.of[color])) : null;
  const points = data.rows.map(row => ({ row, at: across.at(row.of[x]), high: up.at(row.of[y]) })).filter(point => Number.isFinite(point.at) && Number.isFinite(point.high));
  if (!points.length) return html`<div ref=${root}><${Blank} title="No run has both">${html`<p>None of the runs has a value of <code>${x}</code> and of <code>${y}</code>.</p>`}</${Blank}></div>`;
  const frame = frameOf(up, { width });
  const fill = (/** @type {import("./data.js").Row} */ row) => (shade ? shade.shade(row.of[color]) : colorOf(row.run));
  const shown = [x, y, color].filter(Boolean);
  return html`<div class="figure" ref=${root}><svg viewBox=${`0 0 ${frame.width} ${frame.height}`} role="img" aria-label=${`${y} over ${x}: ${points.length} runs`} onPointerLeave=${() => setNear(null)}>
      <${Axes} frame=${frame} across=${across} up=${up} x=${x} y=${y} />
      ${points.map(({ row, at, high }) => html`<circle key=${row.run} class="point" data-run=${row.run} cx=${frame.x(at)} cy=${frame.y(high)} r=${near?.row === row ? 7 : 5} fill=${fill(row)}
        onPointerEnter=${() => setNear({ row, left: frame.x(at) / frame.width, top: frame.y(high) / frame.height })} onClick=${() => navigate(to(ns, project, "runs", row.run))} />`)}
    </svg>
    ${near && html`<div class="tip" style=${{ left: `${Math.min(near.left * 100, 78)}%`, top: `calc(${near.top * 100}% + 12px)` }}><div class="row first"><span class="dot" style=${{ background: fill(near.row) }} /><span class="cut">${near.row.name}</span></div>
      ${shown.map(field => html`<div class="row" key=${field}><span class="muted cut grow">${field}</span><span>${inline(near.row.of[field], 40)}</span></div>`)}</div>`}
  </div>
  <div class="row wrap body">${shade && html`<${Key} scale=${shade} name=${color} />`}<span class="grow" /><${Told} data=${data} drawn=${points.length} /></div>`;
}

/** What colours stand for. @param {{ scale: import("../../lib/scales.js").Scale, name: string }} props */
export function Key({ scale, name }) {
  if (scale.kind === "category") return html`<ul class="legend" aria-label=${name}>${scale.ticks.map(tick => html`<li class="row" key=${tick.text}><span class="dot" style=${{ background: scale.shade(tick.text) }} />${tick.text}</li>`)}</ul>`;
  const parts = Array.from({ length: 24 }, (_, at) => html`<span key=${at} style=${{ background: rampOf(at / 23) }} />`);
  return html`<span class="row small"><span class="muted">${name}</span><span>${inline(scale.back(0))}</span><span class="ramp" aria-hidden="true">${parts}</span><span>${inline(scale.back(1))}</span></span>`;
}
