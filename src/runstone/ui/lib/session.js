/** Who is signed in. The API key is given to the server once and kept nowhere here: the browser holds a cookie that scripts cannot read. */

import { signal } from "./html.js";
import { credentials, del, post } from "./api.js";

/**
 * @typedef {object} Session
 * @property {string} name @property {boolean} admin @property {string} role @property {boolean} local @property {string} csrf
 */

/** Null when nobody is signed in. The page was sent with who that is, so nothing has to be asked before it is shown. */
export const session = signal(/** @type {Session | null} */ (JSON.parse(document.getElementById("reader")?.textContent || "null")));

credentials.csrf = session.value ? session.value.csrf : "";
credentials.lost = () => { keep(null); };

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
