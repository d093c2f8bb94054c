/** Files that users logged as figures, pages and points, as they are shown: drawn from their numbers, or in a frame that reaches nothing. */

import { html, useMemo } from "../../lib/html.js";
import { SandboxFrame } from "../sandbox.js";
import { Points } from "./cloud.js";
import { Figure } from "./figure.js";
import { inPage, read as readPlotly } from "./plotly.js";

/** @param {{ text: string, name: string, address: string }} props */
export function PlotlyFigure({ text, name, address }) {
  const { drawing, unknown } = useMemo(() => {
    try {
      return readPlotly(JSON.parse(text));
    } catch {
      return { drawing: null, unknown: ["a file that does not parse"] };
    }
  }, [text]);
  return html`${drawing && html`<${Figure} drawing=${drawing} label=${`${name}: ${drawing.traces.length} traces`} />`}
    ${(unknown.length > 0 || !drawing) && html`<p class="hint">${unknown.length ? `Not drawn here: ${unknown.join(", ")}. ` : "There is nothing in it to draw. "}<a href=${address} download>Download the figure</a></p>`}`;
}

/** @param {{ text: string, name: string }} props */
export function CloudOf({ text, name }) {
  const content = useMemo(() => {
    try {
      return JSON.parse(text);
    } catch {
      return null;
    }
  }, [text]);
  return html`<${Points} content=${content} label=${name} />`;
}

/** A page in its frame; one that would fetch plotly from elsewhere, which no frame here may, as the figure in it. @param {{ text: string, name: string, address: string }} props */
export function PageOf({ text, name, address }) {
  const figure = useMemo(() => (text.length < 8_000_000 ? inPage(text) : null), [text]);
  if (!figure) return html`<${SandboxFrame} content=${text} label=${name} />`;
  return html`<${PlotlyFigure} text=${JSON.stringify(figure)} name=${name} address=${address} />`;
}
