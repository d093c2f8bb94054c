/** How large a picture becomes when it is shown, from the first bytes of its file: a small file may be a picture of gigabytes. */

/** Bytes of a file that are looked at; a JPEG has what it is about behind what cameras say of it. */
export const HEAD = 65_536;
/** The most pixels that are shown: 4 bytes of memory each. */
export const MOST_PIXELS = 50_000_000;

/** @typedef {{ width: number, height: number }} Size */

/** The size of a picture by its header, null where none is understood. @param {Uint8Array} head @returns {Size | null} */
export function sizeOf(head) {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const says = (/** @type {number} */ at, /** @type {string} */ text) => [...text].every((letter, index) => head[at + index] === letter.charCodeAt(0));
  try {
    if (says(1, "PNG")) return { width: view.getUint32(16), height: view.getUint32(20) };
    if (says(0, "GIF8")) return { width: view.getUint16(6, true), height: view.getUint16(8, true) };
    if (says(0, "BM")) return { width: Math.abs(view.getInt32(18, true)), height: Math.abs(view.getInt32(22, true)) };
    if (says(0, "RIFF") && says(8, "WEBP")) return webp(view, says);
    if (head[0] === 0xff && head[1] === 0xd8) return jpeg(view);
    if (says(4, "ftyp")) return boxes(view, says);
  } catch { /* it ends before it says */ }
  return null;
}

/** @param {DataView} view @param {(at: number, text: string) => boolean} says @returns {Size | null} */
function webp(view, says) {
  if (says(12, "VP8X")) return { width: 1 + (view.getUint32(24, true) & 0xffffff), height: 1 + (view.getUint32(26, true) >>> 8) };
  if (says(12, "VP8L")) {
    const bits = view.getUint32(21, true);
    return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff) };
  }
  return says(12, "VP8 ") ? { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff } : null;
}

/** From marker to marker, to the one that begins a frame. @param {DataView} view @returns {Size | null} */
function jpeg(view) {
  for (let at = 2; ;) {
    if (view.getUint8(at) !== 0xff) return null;
    const kind = view.getUint8(at + 1);
    if (kind === 0xff) at++;
    else if (kind >= 0xc0 && kind <= 0xcf && kind !== 0xc4 && kind !== 0xc8 && kind !== 0xcc) return { width: view.getUint16(at + 7), height: view.getUint16(at + 5) };
    else at += 2 + view.getUint16(at + 2);
  }
}

/** The largest picture that an AVIF names. @param {DataView} view @param {(at: number, text: string) => boolean} says @returns {Size | null} */
function boxes(view, says) {
  let found = /** @type {Size | null} */ (null);
  for (let at = 8; at + 16 <= view.byteLength; at++) {
    if (!says(at, "ispe")) continue;
    const size = { width: view.getUint32(at + 8), height: view.getUint32(at + 12) };
    if (!found || size.width * size.height > found.width * found.height) found = size;
  }
  return found;
}
