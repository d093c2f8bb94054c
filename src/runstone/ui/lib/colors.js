/** Colours of runs: told apart by people who see colours differently, legible on light and dark, and the same for a run everywhere. */

// Hues of Okabe and Ito and of Tol's muted scheme, brought to a lightness that is legible on both grounds.
const COLORS = [
  "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b38600", "#4aa8d8", "#882255", "#44aa99", "#7a6cc4", "#999933",
  "#aa4466", "#2f8f4e", "#3f76c8", "#c96f3b", "#8a6d3b", "#5f8a8b", "#b0558f", "#6b8e23",
];

/** The colour of a run by its name. @param {string} name */
export function colorOf(name) {
  let hash = 2166136261;
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 16777619);
  hash ^= hash >>> 15;
  return COLORS[(hash >>> 0) % COLORS.length];
}

/** A colour with some of the ground shining through. @param {string} color `#rrggbb` @param {number} alpha */
export function faded(color, alpha) {
  return color + Math.round(alpha * 255).toString(16).padStart(2, "0");
}
