/** How charts are drawn: the axis along x, smoothing, scales, bands. */

import { html } from "../../lib/html.js";
import { Icon } from "../../components/icons.js";
import { Menu } from "../../components/menu.js";

/** @typedef {import("./view.js").View} View */

/** @param {{ view: View, set: (change: Partial<View>) => void, keys: string[] }} props */
export function LookMenu({ view, set, keys }) {
  return html`<${Menu} title="How charts are drawn" label=${html`<${Icon} name="settings" />Charts`}>
    <div style=${{ padding: "8px", width: "270px" }}><${Look} view=${view} set=${set} keys=${keys} /></div>
  </${Menu}>`;
}

/** @param {{ view: View, set: (change: Partial<View>) => void, keys: string[] }} props */
export function Look({ view, set, keys }) {
  const usual = ["step", "time", "relative"];
  const named = [...new Set([...usual, ...(usual.includes(view.axis) ? [] : [view.axis]), ...keys.slice(0, 300)])];
  const words = /** @type {Record<string, string>} */ ({ step: "Step", time: "Time", relative: "Time since the start" });
  const check = (/** @type {"xLog" | "yLog" | "band" | "clip" | "moments"} */ name, /** @type {string} */ label) => html`<label class="row"><input type="checkbox" class="check" checked=${view[name]} onChange=${() => set({ [name]: !view[name] })} />${label}</label>`;
  const { smoothing } = view;
  return html`<div class="stack look">
    <label class="field"><span>Along x</span><select class="input" value=${view.axis} onChange=${(/** @type {any} */ event) => set({ axis: event.target.value })}>${named.map(name => html`<option value=${name} key=${name} selected=${name === view.axis}>${words[name] || name}</option>`)}</select></label>
    <label class="field"><span>Smoothing</span><select class="input" onChange=${(/** @type {any} */ event) => set({ smoothing: { kind: event.target.value, amount: event.target.value === "none" ? 0 : smoothing.amount || (event.target.value === "ema" ? 0.6 : 0.2) } })}>
      ${[["none", "None"], ["ema", "Exponential moving average"], ["gaussian", "Gaussian"]].map(([kind, name]) => html`<option value=${kind} selected=${kind === smoothing.kind}>${name}</option>`)}</select></label>
    ${smoothing.kind !== "none" && html`<label class="field"><span>Amount <b class="num">${smoothing.amount.toFixed(3)}</b></span>
      <input type="range" min="0" max=${smoothing.kind === "ema" ? 0.999 : 1} step="0.001" value=${smoothing.amount} onInput=${(/** @type {any} */ event) => set({ smoothing: { ...smoothing, amount: Number(event.target.value) } })} /></label>`}
    ${check("xLog", "Logarithmic x")}${check("yLog", "Logarithmic y")}${check("band", "Band from least to greatest")}${check("clip", "Leave outliers out of the scale")}${check("moments", "Alerts, checkpoints and restarts")}
    <label class="field"><span>Names of lines</span><input class="input mono" value=${view.legend} placeholder="\${name} \${config.lr}" onChange=${(/** @type {any} */ event) => set({ legend: event.target.value || "${name}" })} /></label>
  </div>`;
}
