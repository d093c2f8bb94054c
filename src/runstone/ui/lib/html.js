/** Preact with tagged templates and signals: the one place that pages and components import them from. */

import htm from "htm";
import { h } from "preact";

export { Fragment, render } from "preact";
export { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
export { batch, computed, effect, signal, untracked, useComputed, useSignal, useSignalEffect } from "@preact/signals";

/** A template: html`<p class=${kind}>${text}</p>`. Values are text, never markup. */
export const html = htm.bind(h);
