/** Icons, drawn on a grid of 16. */

import { html } from "../lib/html.js";

const PATHS = /** @type {Record<string, string>} */ ({
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.8 10.8 14 14",
  sun: "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1",
  moon: "M13.5 9.5A6 6 0 1 1 6.5 2.5a5 5 0 0 0 7 7z",
  system: "M2 3h12v8H2zM6 14h4M8 11v3",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  check: "M3 8.5 6.5 12 13 4.5",
  close: "M4 4l8 8M12 4l-8 8",
  eye: "M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8zM8 10a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
  hidden: "M2 2l12 12M6.2 3.8A7 7 0 0 1 8 3.5C12 3.5 14.5 8 14.5 8a12 12 0 0 1-2 2.4M4 5a12 12 0 0 0-2.5 3S4 12.5 8 12.5c1 0 2-.3 2.800-.7",
  down: "M4 6l4 4 4-4",
  right: "M6 4l4 4-4 4",
  left: "M10 4 6 8l4 4",
  up: "M4 10l4-4 4 4",
  plus: "M8 3v10M3 8h10",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  columns: "M2 3h12v10H2zM6 3v10M10 3v10",
  filter: "M2 3.5h12L9.500 8.500v4l-3 1.500v-5.500z",
  group: "M2 4h12M5 8h9M5 12h9M2 8h.01M2 12h.01",
  sort: "M5 3v10M2.500 10.500 5 13l2.500-2.500M9 4h5M9 8h4M9 12h3",
  expand: "M9.500 2.500h4v4M6.500 13.500h-4v-4M13.500 2.500 9 7M2.500 13.500 7 9",
  download: "M8 2v8M4.500 7 8 10.500 11.500 7M2.500 13.500h11",
  settings: "M2 4.500h7M13 4.500h1M2 11.500h1M7 11.500h7M9 2.500v4M3.500 9.500v4M11 2.500",
  pin: "M6 2h4l-.5 4 2.500 2.500H4L6.500 6zM8 8.500V14",
  trash: "M3 4.500h10M6.500 4.500V2.500h3v2M4.500 4.500l.5 9h6l.5-9",
  file: "M4 1.500h5l3 3v10H4zM9 1.500v3h3",
  folder: "M1.500 4h5L8 5.500h6.500v7.500h-13z",
  link: "M6.500 9.500l3-3M7 4.500l1.500-1.500a3 3 0 0 1 4.300 4.300L11.300 8.800M9 11.500 7.500 13a3 3 0 0 1-4.300-4.300l1.500-1.500",
  user: "M8 8a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM2.500 14c.5-3 2.700-4.500 5.500-4.500s5 1.500 5.500 4.500",
  reset: "M3 8a5 5 0 1 1 1.500 3.500M3 13v-2.500h2.500",
});

/** @param {{ name: string }} props */
export function Icon({ name }) {
  return html`<svg viewBox="0 0 16 16" width="15" height="15" fill="none" stroke="currentColor" stroke-width="1.4"
    stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}
