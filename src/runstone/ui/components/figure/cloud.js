/** Points in space, drawn on a canvas from numbers: drag to turn, Ctrl and wheel or buttons to come nearer, arrows by keyboard. */

import { html, useEffect, useMemo, useRef, useState } from "../../lib/html.js";
import { colorAt, rampOf } from "../../lib/colors.js";
import { count } from "../../lib/format.js";
import { isDark } from "../../lib/prefs.js";
import { useWidth } from "./axes.js";

/** @typedef {{ places: Float32Array, shades: Uint32Array, count: number, all: number, boxes: { corners: number[][], color: string, label: string }[] }} Cloud `places` lie within one of the middle */

const MOST = 300_000;
const MOST_BOXES = 500;
const EDGES = [[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4], [0, 4], [1, 5], [2, 6], [3, 7]];
const FRONT = { turn: 0.7, tilt: 0.45, near: 1 };

/** What a client wrote as points: rows of x, y, z and a category or a colour, with boxes if there are any. @param {any} given @returns {Cloud | null} */
export function read(given) {
  const rows = (Array.isArray(given) ? given : Array.isArray(given?.points) ? given.points : []).filter((/** @type {any} */ row) => Array.isArray(row) && row.length >= 3 && row.slice(0, 3).every(Number.isFinite));
  if (!rows.length) return null;
  const every = Math.ceil(rows.length / MOST);
  const kept = every > 1 ? rows.filter((/** @type {any} */ _, /** @type {number} */ at) => at % every === 0) : rows;
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  for (const row of kept) {
    for (let axis = 0; axis < 3; axis++) {
      if (row[axis] < low[axis]) low[axis] = row[axis];
      if (row[axis] > high[axis]) high[axis] = row[axis];
    }
  }
  const middle = low.map((least, axis) => (least + high[axis]) / 2);
  const size = Math.max(...high.map((most, axis) => (most - low[axis]) / 2)) || 1;
  const placed = (/** @type {number[]} */ point) => [0, 1, 2].map(axis => (point[axis] - middle[axis]) / size);
  const places = new Float32Array(kept.length * 3);
  const shades = new Uint32Array(kept.length);
  kept.forEach((/** @type {number[]} */ row, /** @type {number} */ at) => {
    places.set(placed(row), at * 3);
    shades[at] = row.length >= 6 ? packed(row[3], row[4], row[5]) : hex(row.length >= 4 ? colorAt(Math.abs(Math.round(row[3] || 0))) : rampOf((row[2] - low[2]) / (high[2] - low[2] || 1)));
  });
  const boxes = (Array.isArray(given?.boxes) ? given.boxes : []).slice(0, MOST_BOXES).flatMap((/** @type {any} */ box) => {
    const corners = Array.isArray(box?.corners) ? box.corners : [];
    if (corners.length !== 8 || !corners.every((/** @type {any} */ corner) => Array.isArray(corner) && corner.slice(0, 3).every(Number.isFinite))) return [];
    const [red, green, blue] = Array.isArray(box.color) ? box.color.map((/** @type {any} */ each) => Math.max(0, Math.min(255, Number(each) || 0))) : [240, 120, 40];
    return [{ corners: corners.map(placed), color: `rgb(${red} ${green} ${blue})`, label: String(box.label ?? "").slice(0, 60) }];
  });
  return { places, shades, count: kept.length, all: rows.length, boxes };
}

/** @param {number} red @param {number} green @param {number} blue */
function packed(red, green, blue) {
  const part = (/** @type {number} */ value) => Math.max(0, Math.min(255, Math.round(Number(value) || 0)));
  return (255 << 24 | part(blue) << 16 | part(green) << 8 | part(red)) >>> 0;
}

/** @param {string} color `#rrggbb` */
function hex(color) {
  const value = parseInt(color.slice(1), 16);
  return packed(value >> 16, value >> 8 & 255, value & 255);
}

/** @param {{ content: any, label: string, height?: number }} props */
export function Points({ content, label, height = 340 }) {
  const cloud = useMemo(() => read(content), [content]);
  const { root, width } = useWidth(400);
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const [eye, setEye] = useState(FRONT);
  useEffect(() => {
    if (!cloud || !canvas.current) return undefined;
    const frame = requestAnimationFrame(() => draw(/** @type {HTMLCanvasElement} */ (canvas.current), cloud, eye, width, height));
    return () => cancelAnimationFrame(frame);
  }, [cloud, eye, width, height, isDark.value]);
  useEffect(() => {
    const element = canvas.current;
    /** @param {WheelEvent} event */
    const wheel = event => {
      // The page is scrolled by a wheel, as everywhere.
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      setEye(now => ({ ...now, near: Math.max(0.2, Math.min(20, now.near * (event.deltaY < 0 ? 1.15 : 1 / 1.15))) }));
    };
    element?.addEventListener("wheel", wheel, { passive: false });
    return () => element?.removeEventListener("wheel", wheel);
  }, [cloud]);
  /** @param {number} turn @param {number} tilt */
  const turned = (turn, tilt) => setEye(now => ({ ...now, turn: now.turn + turn, tilt: Math.max(-1.57, Math.min(1.57, now.tilt + tilt)) }));
  const nearer = (/** @type {number} */ by) => setEye(now => ({ ...now, near: Math.max(0.2, Math.min(20, now.near * by)) }));
  /** @param {PointerEvent} event */
  function begin(event) {
    const element = /** @type {HTMLElement} */ (event.currentTarget);
    element.setPointerCapture(event.pointerId);
    let [x, y] = [event.clientX, event.clientY];
    element.onpointermove = now => {
      turned((now.clientX - x) / 140, (now.clientY - y) / 140);
      [x, y] = [now.clientX, now.clientY];
    };
    element.onpointerup = element.onpointercancel = () => { element.onpointermove = null; };
  }
  /** @param {KeyboardEvent} event */
  function onKey(event) {
    const step = /** @type {Record<string, [number, number]>} */ ({ ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, -0.15], ArrowDown: [0, 0.15] })[event.key];
    if (step) turned(...step);
    else if (event.key === "+" || event.key === "-") nearer(event.key === "+" ? 1.2 : 1 / 1.2);
    else return;
    event.preventDefault();
  }
  if (!cloud) return html`<p class="muted">There are no points in this that can be drawn.</p>`;
  return html`<div class="cloud" ref=${root}>
    <canvas ref=${canvas} tabindex="0" role="img" aria-label=${`${label}: ${count(cloud.count, "point")} in space; arrows turn it, plus and minus zoom`} style=${{ width: `${width}px`, height: `${height}px` }} onPointerDown=${begin} onKeyDown=${onKey} />
    <div class="row"><span class="muted small num">${count(cloud.all, "point")}${cloud.count < cloud.all ? `, every ${Math.ceil(cloud.all / MOST)}th is drawn` : ""}${cloud.boxes.length ? `, ${count(cloud.boxes.length, "box").replace("boxs", "boxes")}` : ""}</span><span class="grow" />
      <button class="btn tiny" aria-label="Nearer" title="Nearer (Ctrl and wheel)" onClick=${() => nearer(1.3)}>+</button><button class="btn tiny" aria-label="Farther" onClick=${() => nearer(1 / 1.3)}>−</button><button class="btn tiny" onClick=${() => setEye(FRONT)}>Reset</button></div>
  </div>`;
}

/** Each point as a few pixels, the nearest in front. @param {HTMLCanvasElement} canvas @param {Cloud} cloud @param {typeof FRONT} eye @param {number} wide @param {number} high */
function draw(canvas, cloud, eye, wide, high) {
  const ratio = Math.min(2, devicePixelRatio || 1);
  const [width, height] = [Math.round(wide * ratio), Math.round(high * ratio)];
  [canvas.width, canvas.height] = [width, height];
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const depth = new Float32Array(width * height).fill(-Infinity);
  const scale = (Math.min(width, height) / 3.2) * eye.near;
  const [sin, cos, up, flat] = [Math.sin(eye.turn), Math.cos(eye.turn), Math.sin(eye.tilt), Math.cos(eye.tilt)];
  // z is up: turned about it, then seen from above or below. The last number is how far away a point is.
  const seen = (/** @type {number} */ x, /** @type {number} */ y, /** @type {number} */ z) => {
    const [across, away] = [x * cos - y * sin, x * sin + y * cos];
    return [width / 2 + across * scale, height / 2 - (z * flat + away * up) * scale, away * flat - z * up];
  };
  const dot = Math.max(1, Math.round(ratio * (cloud.count > 50_000 ? 1 : cloud.count > 5000 ? 1.6 : 2.4)));
  for (let at = 0; at < cloud.count; at++) {
    const [x, y, far] = seen(cloud.places[at * 3], cloud.places[at * 3 + 1], cloud.places[at * 3 + 2]);
    const [left, top] = [Math.round(x), Math.round(y)];
    if (left < 0 || top < 0 || left + dot > width || top + dot > height) continue;
    for (let down = 0; down < dot; down++) {
      for (let aside = 0; aside < dot; aside++) {
        const place = (top + down) * width + left + aside;
        if (-far <= depth[place]) continue;
        depth[place] = -far;
        pixels[place] = cloud.shades[at];
      }
    }
  }
  context.putImageData(image, 0, 0);
  context.lineWidth = ratio * 1.3;
  context.font = `${11 * ratio}px system-ui, sans-serif`;
  for (const box of cloud.boxes) {
    const corners = box.corners.map(([x, y, z]) => seen(x, y, z));
    context.strokeStyle = context.fillStyle = box.color;
    context.beginPath();
    for (const [from, to] of EDGES) {
      context.moveTo(corners[from][0], corners[from][1]);
      context.lineTo(corners[to][0], corners[to][1]);
    }
    context.stroke();
    if (box.label) context.fillText(box.label, corners[0][0] + 4 * ratio, corners[0][1] - 4 * ratio);
  }
  // Which way is which, in a corner.
  const origin = [34 * ratio, height - 34 * ratio];
  [["x", 1, 0, 0], ["y", 0, 1, 0], ["z", 0, 0, 1]].forEach(([name, x, y, z], at) => {
    const [across, away] = [Number(x) * cos - Number(y) * sin, Number(x) * sin + Number(y) * cos];
    const end = [origin[0] + across * 24 * ratio, origin[1] - (Number(z) * flat + away * up) * 24 * ratio];
    context.strokeStyle = context.fillStyle = ["#d5544a", "#3c9a4e", "#4a86d8"][at];
    context.beginPath();
    context.moveTo(origin[0], origin[1]);
    context.lineTo(end[0], end[1]);
    context.stroke();
    context.fillText(String(name), end[0] + 2 * ratio, end[1]);
  });
}
