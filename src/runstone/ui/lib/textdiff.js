/** What differs between two texts, line by line. */

/** @typedef {{ kind: "same" | "out" | "in", text: string }} Step */

/** Lines of a middle part, times lines of the other, up to which a longest common part is looked for. */
const MOST_CELLS = 4_000_000;
const AROUND = 3;

/** @param {string} one @param {string} other @returns {Step[]} */
export function lineDiff(one, other) {
  const [left, right] = [lines(one), lines(other)];
  let head = 0;
  while (head < left.length && head < right.length && left[head] === right[head]) head++;
  let tail = 0;
  while (tail < left.length - head && tail < right.length - head && left[left.length - 1 - tail] === right[right.length - 1 - tail]) tail++;
  const same = (/** @type {string[]} */ texts) => texts.map(text => /** @type {Step} */ ({ kind: "same", text }));
  return [...same(left.slice(0, head)), ...middle(left.slice(head, left.length - tail), right.slice(head, right.length - tail)), ...same(left.slice(left.length - tail))];
}

/** @param {string} text */
function lines(text) {
  return text ? text.replace(/\n$/, "").split("\n") : [];
}

/** The longest common subsequence (Wagner and Fischer, 1974) of what differs. @param {string[]} left @param {string[]} right @returns {Step[]} */
function middle(left, right) {
  const gone = (/** @type {string} */ text) => /** @type {Step} */ ({ kind: "out", text });
  const come = (/** @type {string} */ text) => /** @type {Step} */ ({ kind: "in", text });
  if (!left.length || !right.length || left.length * right.length > MOST_CELLS) return [...left.map(gone), ...right.map(come)];
  const wide = right.length + 1;
  const longest = new Uint16Array((left.length + 1) * wide);
  for (let row = left.length - 1; row >= 0; row--) {
    for (let column = right.length - 1; column >= 0; column--) {
      longest[row * wide + column] = left[row] === right[column] ? longest[(row + 1) * wide + column + 1] + 1 : Math.max(longest[(row + 1) * wide + column], longest[row * wide + column + 1]);
    }
  }
  /** @type {Step[]} */
  const found = [];
  let [row, column] = [0, 0];
  while (row < left.length && column < right.length) {
    if (left[row] === right[column]) { found.push({ kind: "same", text: left[row++] }); column++; }
    else if (longest[(row + 1) * wide + column] >= longest[row * wide + column + 1]) found.push(gone(left[row++]));
    else found.push(come(right[column++]));
  }
  return [...found, ...left.slice(row).map(gone), ...right.slice(column).map(come)];
}

/** Changes with a few lines around each; a number stands for that many equal lines left out. @param {Step[]} steps @returns {(Step | number)[]} */
export function hunks(steps) {
  const near = steps.map(() => false);
  steps.forEach((step, at) => {
    if (step.kind !== "same") near.fill(true, Math.max(0, at - AROUND), at + AROUND + 1);
  });
  /** @type {(Step | number)[]} */
  const found = [];
  for (let at = 0; at < steps.length; at++) {
    const last = found[found.length - 1];
    if (near[at]) found.push(steps[at]);
    else if (typeof last === "number") found[found.length - 1] = last + 1;
    else found.push(1);
  }
  return found;
}
