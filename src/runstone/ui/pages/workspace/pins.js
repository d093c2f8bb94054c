/** Pinning a point of a chart: a dialog that says which, and takes what there is to say of it. */

import { html, useState } from "../../lib/html.js";
import { number } from "../../lib/format.js";
import { Dialog } from "../../components/dialog.js";
import { xText } from "../../components/chart/axes.js";

/** @typedef {import("../../components/chart/pins.js").Pin} Pin */
/** @typedef {{ line: import("../../lib/lines.js").Line, at: number }} Point */

/** @param {{ id: string, axis: string, point: Point, pins: Pin[], set: (pins: Pin[] | null) => void, close: () => void }} props */
export function PinDialog({ id, axis, point, pins, set, close }) {
  const { line, at } = point;
  const same = (/** @type {Pin} */ pin) => pin.line === line.id && pin.axis === axis && pin.x === line.x[at];
  const held = pins.find(same);
  const rest = pins.filter(pin => !same(pin));
  const [text, setText] = useState(held?.text || "");
  const put = (/** @type {Pin[]} */ made) => { set(made.length ? made : null); close(); };
  const save = (/** @type {Event} */ event) => {
    event.preventDefault();
    put([...rest, { line: line.id, x: line.x[at], axis, text: text.trim().slice(0, 200) }]);
  };
  return html`<${Dialog} title=${held ? "A pinned point" : "Pin this point"} close=${close}>
    <form class="stack" onSubmit=${save}>
      <p><span class="dot" style=${{ background: line.color }} /> <b>${line.name}</b>, ${xText(line.x[at], axis)}: ${id} is <b class="num">${number(line.y[at], 6)}</b></p>
      <label class="field"><span>Note</span><input class="input" maxlength="200" placeholder="What happened here?" value=${text} onInput=${(/** @type {any} */ event) => setText(event.target.value)} /></label>
      <div class="row"><button class="btn primary">${held ? "Save" : "Pin"}</button>${held && html`<button type="button" class="btn danger" onClick=${() => put(rest)}>Take the pin away</button>`}</div>
    </form>
  </${Dialog}>`;
}
