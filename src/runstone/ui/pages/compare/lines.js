/** Lines of a diff. */

import { html } from "../../lib/html.js";
import { count } from "../../lib/format.js";

const MOST_LINES = 2000;
const SIGN = { same: " ", out: "−", in: "+" };

/** @param {{ steps: (import("../../lib/textdiff.js").Step | number)[], label: string }} props */
export function Lines({ steps, label }) {
  return html`<pre class="textdiff" tabindex="0" role="region" aria-label=${label}>${steps.slice(0, MOST_LINES).map(step => (typeof step === "number" ? html`<span class="line left-out">${count(step, "equal line")}</span>` : html`<span class="line ${step.kind}"><span class="sign">${SIGN[step.kind]}</span>${step.text}</span>`))}</pre>
    ${steps.length > MOST_LINES && html`<p class="hint body">${(steps.length - MOST_LINES).toLocaleString("en-US")} lines more are not shown.</p>`}`;
}
