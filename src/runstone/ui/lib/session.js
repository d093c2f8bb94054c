/** Who is signed in. The API key is given to the server once and kept nowhere here: the browser holds a cookie that scripts cannot read. */

import { signal } from "./html.js";
import { ApiError, credentials, del, get, post } from "./api.js";

/**
 * @typedef {object} Session
 * @property {string} name @property {boolean} admin @property {string} role @property {boolean} local @property {string} csrf
 */

/** Null when nobody is signed in; undefined until that is known. */
export const session = signal(/** @type {Session | null | undefined} */ (undefined));

credentials.lost = () => { keep(null); };

/** Asks who is signed in; a server in local mode signs its owner in by itself. */
export async function resume() {
  try {
    keep(await get("/api/v1/session"));
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 401) throw error;
  }
}

/** Signs in. @param {string} key */
export async function signIn(key) {
  keep(await post("/api/v1/session", undefined, { headers: { Authorization: `Bearer ${key.trim()}` } }));
}

/** Signs out, here and in every other window of this browser. */
export async function signOut() {
  await del("/api/v1/session");
  keep(null);
}

/** @param {Session | null} found */
function keep(found) {
  credentials.csrf = found ? found.csrf : "";
  session.value = found;
}
