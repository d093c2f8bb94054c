/** Colours of runs: told apart by people who see colours differently, legible on light and dark, and the same for a run everywhere. */

// Hues of Okabe and Ito and of Tol's muted scheme, brought to a lightness that is legible on both grounds.
const COLORS = [
  "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b38600", "#4aa8d8", "#882255", "#7a6cc4", "#3c8a2e", "#c2387f", "#7d8794", "#8a5a2b", "#2aa8a8",
];

/** How often each colour is given out on this page, and to whom. */
const given = COLORS.map(() => 0);
const held = /** @type {Map<string, string>} */ (new Map());

/** The colour of a run by its name: its own, or the next that fewer runs of this page have. @param {string} name */
export function colorOf(name) {
  const known = held.get(name);
  if (known) return known;
  let hash = 2166136261;
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 16777619);
  hash ^= hash >>> 15;
  const least = Math.min(...given);
  let place = (hash >>> 0) % COLORS.length;
  while (given[place] > least) place = (place + 1) % COLORS.length;
  given[place]++;
  held.set(name, COLORS[place]);
  return COLORS[place];
}

/** Colours of a few things side by side, no two alike. @param {number} index */
export function colorAt(index) {
  return COLORS[index % COLORS.length];
}

/** A colour with some of the ground shining through. @param {string} color `#rrggbb` @param {number} alpha */
export function faded(color, alpha) {
  return color + Math.round(alpha * 255).toString(16).padStart(2, "0");
}

// From viridis, which is read in grey as well; its darkest end would be lost on a dark ground.
const RAMP = [[72, 62, 150], [49, 104, 158], [33, 145, 140], [72, 186, 118], [200, 205, 60]];

/** A colour for a place from 0 to 1; grey for what has none. @param {number} place */
export function rampOf(place) {
  if (!Number.isFinite(place)) return "#8a94a3";
  const at = Math.max(0, Math.min(0.9999, place)) * (RAMP.length - 1);
  const [one, other] = [RAMP[Math.floor(at)], RAMP[Math.floor(at) + 1]];
  const share = at - Math.floor(at);
  return "#" + one.map((value, index) => Math.round(value + (other[index] - value) * share).toString(16).padStart(2, "0")).join("");
}
