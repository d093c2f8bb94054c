/** The workspace of a project: its runs at the left, what they logged at the right, as it happens. */

import { html, useEffect, useMemo, useRef, useState } from "../../lib/html.js";
import { useKeys } from "../../lib/keys.js";
import { gathered, listen } from "../../lib/events.js";
import { search } from "../../lib/router.js";
import { pinUnderPointer } from "../../components/chart/linechart.js";
import { useCommands } from "../../components/palette.js";
import { Panels } from "./panels.js";
import { RunsTable } from "./runstable.js";
import { useShown } from "./runs.js";
import { ViewState } from "./view.js";

/** Milliseconds between two looks at what was logged, and at which runs there are. */
const POINTS = 250;
const RUNS = 1000;

/** @param {{ ns: string, project: string, all?: boolean }} props */
export default function Workspace({ ns, project, all }) {
  const state = useMemo(() => new ViewState(), [ns, project]);
  const view = state.now.value;
  useEffect(() => state.follow(), [search.value]);
  const live = useLive(ns, project);
  const shown = useShown(ns, project, view, live.turn);
  useKeys([
    { keys: "mod+z", what: "Undo a change of the view", act: () => state.undo() },
    { keys: "mod+y", what: "Redo it", act: () => state.redo() },
    { keys: "mod+j", what: "Show or hide the runs table", act: () => state.set({ table: state.now.value.table ? 0 : 430 }), typing: true },
    { keys: "p", what: "Pin the point under the pointer", act: pinUnderPointer },
    { keys: "/", what: "Filter runs", act: () => /** @type {HTMLElement | null} */ (document.querySelector("[data-filter]"))?.focus() },
  ], [state]);
  useCommands([
    { name: "Undo a change of the view", act: () => state.undo() },
    { name: "Smoothing: none", act: () => state.set({ smoothing: { kind: "none", amount: 0 } }) },
    { name: "Smoothing: exponential, 0.9", act: () => state.set({ smoothing: { kind: "ema", amount: 0.9 } }) },
    ...["step", "time", "relative"].map(axis => ({ name: `Draw over ${axis}`, act: () => state.set({ axis }) })),
  ], [state]);

  const wide = all || view.table < 0;
  // Where there are no panels, the saved views stand with the table.
  const [Views, setViews] = useState(/** @type {any} */ (null));
  useEffect(() => { if (wide) import("./views.js").then(module => setViews(() => module.Views), () => {}); }, [wide]);
  return html`<div class="workspace">
    ${(wide || view.table > 0) && html`<div class="runs ${wide ? "grow" : ""}" style=${wide ? {} : { width: `${view.table}px` }}>
      <${RunsTable} ns=${ns} project=${project} state=${state} turn=${live.turn} views=${wide && Views && html`<${Views} ns=${ns} project=${project} state=${state} />`} />
    </div>`}
    ${!wide && view.table > 0 && html`<${Splitter} state=${state} />`}
    ${!wide && html`<${Panels} ns=${ns} project=${project} state=${state} shown=${shown} live=${live} />`}
  </div>`;
}

/**
 * @typedef {object} Live
 * @property {number} turn changes when runs changed @property {number} beat changes when points were logged
 * @property {Set<string>} fresh full names of the runs that logged since the last beat
 */

/** What happens in the project. @param {string} ns @param {string} project @returns {Live} */
function useLive(ns, project) {
  const [live, setLive] = useState({ turn: 0, beat: 0, fresh: /** @type {Set<string>} */ (new Set()) });
  useEffect(() => {
    let fresh = new Set(/** @type {string[]} */ ([]));
    const beat = gathered(() => {
      const now = fresh;
      fresh = new Set();
      setLive(before => ({ ...before, beat: before.beat + 1, fresh: now }));
    }, POINTS);
    const turn = gathered(() => setLive(before => ({ ...before, turn: before.turn + 1 })), RUNS);
    const stop = listen(ns, project, event => {
      if (event.kind === "points") {
        fresh.add(event.name);
        beat();
      }
      if (event.kind === "run" || event.kind === "points") turn();
    });
    return () => {
      stop();
      beat.cancel();
      turn.cancel();
    };
  }, [ns, project]);
  return live;
}

/** @param {{ state: ViewState }} props */
function Splitter({ state }) {
  const root = useRef(/** @type {HTMLElement | null} */ (null));
  const width = state.now.value.table;
  /** @param {PointerEvent} event */
  function begin(event) {
    const element = /** @type {HTMLElement} */ (root.current);
    element.setPointerCapture(event.pointerId);
    const start = event.clientX;
    const side = /** @type {HTMLElement} */ (element.previousElementSibling);
    const at = (/** @type {PointerEvent} */ moved) => Math.max(260, Math.min(innerWidth - 320, width + moved.clientX - start));
    element.onpointermove = moved => { side.style.width = `${at(moved)}px`; };
    element.onpointerup = moved => {
      element.onpointermove = null;
      state.set({ table: at(moved) });
    };
  }
  /** @param {KeyboardEvent} event */
  function onKey(event) {
    const step = /** @type {Record<string, number>} */ ({ ArrowLeft: -40, ArrowRight: 40 })[event.key];
    if (step) state.set({ table: Math.max(260, Math.min(innerWidth - 320, width + step)) });
  }
  return html`<div class="splitter" role="separator" aria-orientation="vertical" aria-label="Width of the table" aria-valuenow=${Math.round(width)} aria-valuemin="260" aria-valuemax="2000" tabindex="0"
    ref=${root} onPointerDown=${begin} onKeyDown=${onKey} onDblClick=${() => state.set({ table: 430 })} />`;
}
