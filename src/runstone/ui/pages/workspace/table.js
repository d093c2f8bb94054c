/** The runs of a project as a table alone. */

import { html } from "../../lib/html.js";
import Workspace from "./workspace.js";

/** @param {{ ns: string, project: string }} props */
export default function Table({ ns, project }) {
  return html`<${Workspace} ns=${ns} project=${project} all />`;
}
