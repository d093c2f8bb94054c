/** Smoothing of lines. */

/** @typedef {{ kind: "none" | "ema" | "gaussian", amount: number }} Smoothing */

/** @param {Float64Array} x @param {Float64Array} y @param {Smoothing} how */
export function smooth(x, y, how) {
  if (how.kind === "none" || how.amount <= 0 || y.length < 3) return y;
  return how.kind === "ema" ? ema(y, Math.min(how.amount, 0.999)) : gaussian(x, y, how.amount);
}

/**
 * An exponential moving average, divided by the sum of its weights so that it does not begin at zero (Kingma and Ba, 2015, section 3).
 * @param {Float64Array} y @param {number} weight of the past
 */
export function ema(y, weight) {
  const found = new Float64Array(y.length);
  let sum = 0;
  let whole = 0;
  for (let at = 0; at < y.length; at++) {
    if (Number.isFinite(y[at])) {
      sum = sum * weight + y[at] * (1 - weight);
      whole = whole * weight + (1 - weight);
      found[at] = sum / whole;
    } else found[at] = y[at];
  }
  return found;
}

/**
 * A mean weighted by a bell over x; at 1 its deviation is a tenth of the whole line.
 * @param {Float64Array} x @param {Float64Array} y @param {number} amount
 */
export function gaussian(x, y, amount) {
  const wide = ((x[x.length - 1] - x[0]) * amount) / 10;
  if (!(wide > 0)) return y;
  const found = new Float64Array(y.length);
  let first = 0;
  for (let at = 0; at < y.length; at++) {
    while (x[first] < x[at] - 3 * wide) first++;
    let sum = 0;
    let whole = 0;
    for (let near = first; near < y.length && x[near] <= x[at] + 3 * wide; near++) {
      if (!Number.isFinite(y[near])) continue;
      const weight = Math.exp(-0.5 * ((x[near] - x[at]) / wide) ** 2);
      sum += weight * y[near];
      whole += weight;
    }
    found[at] = whole ? sum / whole : NaN;
  }
  return found;
}
