/**
 * Proofs of log entries, checked in the browser with its own cryptography: what `verifier.py` checks, in the same order.
 * Formats: docs/format/log.md (RFC 6962 tree, C2SP signed-note, tlog-checkpoint and tlog-proof).
 */

/** What does not hold. */
export class ProofError extends Error {}

/**
 * @typedef {object} Proven
 * @property {number} index @property {number} time microseconds since 1970 @property {number} kind @property {boolean} known whether its payload is there
 * @property {number} size entries of the checkpoint that it is in
 *
 * @typedef {object} Verdict
 * @property {Proven[]} entries @property {string} origin @property {number} size @property {string} root in hexadecimal
 * @property {boolean} signed false where this browser has no Ed25519: then all but the signature was checked
 */

/**
 * Checks a bundle under a verifier key; throws ProofError naming what does not hold.
 * @param {any} bundle @param {string} vkey @returns {Promise<Verdict>}
 */
export async function verify(bundle, vkey) {
  if (!globalThis.crypto?.subtle) throw new ProofError("This browser has no cryptography on pages without TLS: open the page by https or on localhost.");
  const key = await parseKey(vkey);
  hold(bundle && bundle.format === "runstone-proof/1", "the bundle's format is not runstone-proof/1");
  hold(bundle.vkey === vkey, "the bundle names another key than the one that is trusted");
  hold(Array.isArray(bundle.entries) && bundle.entries.length > 0, "the bundle has no entries");
  /** @type {Map<string, Checkpoint>} */
  const opened = new Map();
  /** @type {Proven[]} */
  const entries = [];
  for (const [place, entry] of bundle.entries.entries()) {
    try {
      entries.push(await verifyEntry(entry, key, opened));
    } catch (error) {
      throw new ProofError(`entry ${place + 1} of the bundle: ${error instanceof Error ? error.message : error}`);
    }
  }
  hold(entries.every((entry, at) => !at || entries[at - 1].index < entry.index), "the bundle's entries are not in the order of the log");
  const checkpoints = [...opened.values()];
  for (const each of checkpoints) {
    hold(each.origin === checkpoints[0].origin, "the bundle's checkpoints are of different logs");
    hold(checkpoints.every(other => other.size !== each.size || hex(other.root) === hex(each.root)), `the log signed two different trees of ${each.size} entries`);
  }
  const last = checkpoints.reduce((one, other) => (other.size > one.size ? other : one));
  return { entries, origin: last.origin, size: last.size, root: hex(last.root), signed: checkpoints.every(each => each.signed) };
}

/** @typedef {{ name: string, id: string, public: Uint8Array<ArrayBuffer> }} Key @typedef {{ origin: string, size: number, root: Uint8Array<ArrayBuffer>, signed: boolean }} Checkpoint */

/** @param {any} entry @param {Key} key @param {Map<string, Checkpoint>} opened @returns {Promise<Proven>} */
async function verifyEntry(entry, key, opened) {
  const header = decode64(entry.header, "the header", 72);
  const fields = new DataView(header.buffer);
  hold(header[0] === 1, `the header has version ${header[0]}`);
  const { index, hashes, note } = parseProof(entry.proof);
  const seq = Number(fields.getBigUint64(4));
  hold(seq === index, `the header is of entry ${seq}, the proof of entry ${index}`);
  const known = entry.payload !== null;
  hold(known === (entry.salt !== null), "payload and salt come together or not at all");
  if (known) {
    const payload = decode64(entry.payload, "the payload");
    hold(payload.length === fields.getUint32(36), "the payload is not as long as the header says");
    const digest = await sha256(decode64(entry.salt, "the salt", 16), payload);
    hold(hex(digest) === hex(header.slice(40)), "the payload does not have the digest in the header");
  }
  let checkpoint = opened.get(note);
  if (!checkpoint) opened.set(note, checkpoint = await openCheckpoint(note, key));
  await verifyInclusion(await sha256(Uint8Array.of(0), header), index, checkpoint.size, hashes, checkpoint.root);
  return { index, time: Number(fields.getBigInt64(12)), kind: fields.getUint16(2), known, size: checkpoint.size };
}

/** RFC 9162, section 2.1.3.2. @param {Uint8Array<ArrayBuffer>} leaf @param {number} index @param {number} size @param {Uint8Array<ArrayBuffer>[]} hashes @param {Uint8Array<ArrayBuffer>} root */
async function verifyInclusion(leaf, index, size, hashes, root) {
  hold(index < size, `a tree of ${size} entries has no entry ${index}`);
  let [place, last, found] = [BigInt(index), BigInt(size - 1), leaf];
  for (const sibling of hashes) {
    hold(last > 0n, "the inclusion proof has too many hashes");
    if (place & 1n || place === last) {
      found = await sha256(Uint8Array.of(1), sibling, found);
      while (!(place & 1n)) [place, last] = [place >> 1n, last >> 1n];
    } else {
      found = await sha256(Uint8Array.of(1), found, sibling);
    }
    [place, last] = [place >> 1n, last >> 1n];
  }
  hold(last === 0n, "the inclusion proof has too few hashes");
  hold(hex(found) === hex(root), "the inclusion proof does not lead to the checkpoint's root");
}

/** @param {string} note @param {Key} key @returns {Promise<Checkpoint>} */
async function openCheckpoint(note, key) {
  const end = note.lastIndexOf("\n\n");
  hold(end > 0 && note.endsWith("\n"), "the checkpoint is not a signed note");
  const text = note.slice(0, end + 1);
  const lines = text.slice(0, -1).split("\n");
  let signature;
  for (const line of note.slice(end + 2, -1).split("\n")) {
    const [dash, name, data, ...more] = line.split(" ");
    hold(dash === "—" && Boolean(name) && Boolean(data) && !more.length, "a line behind the checkpoint is not a signature");
    const blob = decode64(data, "a signature of the checkpoint");
    if (name === key.name && hex(blob.slice(0, 4)) === key.id) signature = blob.slice(4);
  }
  if (!signature || lines[0] !== key.name) throw new ProofError(`the checkpoint of ${lines[0]} is not signed by the key that is trusted`);
  const signed = await checkSignature(key, signature, new TextEncoder().encode(text));
  hold(lines.length >= 3 && !lines.includes(""), "the checkpoint is not origin, size and root hash");
  return { origin: lines[0], size: decimal(lines[1]), root: decode64(lines[2], "the checkpoint's root", 32), signed };
}

/** False where the browser does not know Ed25519. @param {Key} key @param {Uint8Array<ArrayBuffer>} signature @param {Uint8Array<ArrayBuffer>} text */
async function checkSignature(key, signature, text) {
  let imported;
  try {
    imported = await crypto.subtle.importKey("raw", key.public, "Ed25519", false, ["verify"]);
  } catch (error) {
    if (error instanceof DOMException && error.name === "NotSupportedError") return false;
    throw new ProofError("the verifier key is no Ed25519 key");
  }
  hold(await crypto.subtle.verify("Ed25519", imported, signature, text), "the signature of the checkpoint does not verify");
  return true;
}

/** @param {string} vkey @returns {Promise<Key>} */
async function parseKey(vkey) {
  const [name, id, ...rest] = vkey.split("+");
  const typed = decode64(rest.join("+"), "the verifier key", 33);
  hold(typed[0] === 1, "the verifier key is not an Ed25519 key");
  const own = hex((await sha256(new TextEncoder().encode(`${name}\n`), typed)).slice(0, 4));
  hold(own === id, "the verifier key is damaged");
  return { name, id, public: typed.slice(1) };
}

/** @param {any} text @returns {{ index: number, hashes: Uint8Array<ArrayBuffer>[], note: string }} */
function parseProof(text) {
  hold(typeof text === "string" && text.includes("\n\n"), "the proof is not a c2sp.org/tlog-proof@v1");
  const end = text.indexOf("\n\n");
  const lines = text.slice(0, end).split("\n");
  hold(lines[0] === "c2sp.org/tlog-proof@v1" && Boolean(lines[1]?.startsWith("index ")), "the proof is not a c2sp.org/tlog-proof@v1");
  return { index: decimal(lines[1].slice(6)), hashes: lines.slice(2).map((/** @type {string} */ line) => decode64(line, "a hash of the inclusion proof", 32)), note: text.slice(end + 2) };
}

/** @param {string} text */
function decimal(text) {
  hold(/^(0|[1-9][0-9]{0,14})$/.test(text), "a number of the proof is none");
  return Number(text);
}

/** Base64 in its one canonical spelling. @param {unknown} text @param {string} what @param {number} [size] */
function decode64(text, what, size) {
  let plain;
  try {
    plain = atob(/** @type {string} */ (text));
  } catch {
    throw new ProofError(`${what} is not base64`);
  }
  hold(btoa(plain) === text, `${what} is not canonical base64`);
  hold(size === undefined || plain.length === size, `${what} is ${plain.length} bytes long, not ${size}`);
  return Uint8Array.from(plain, character => character.charCodeAt(0));
}

/** @param {...Uint8Array<ArrayBuffer>} parts */
async function sha256(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
}

/** @param {Uint8Array} data */
function hex(data) {
  return [...data].map(byte => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {boolean} holds @param {string} message */
function hold(holds, message) {
  if (!holds) throw new ProofError(message);
}
