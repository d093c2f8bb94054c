/** Signing in with an API key. */

import { html, useState } from "../lib/html.js";
import { Mark } from "../components/shell.js";
import { signIn } from "../lib/session.js";

export function SignIn() {
  const [key, setKey] = useState("");
  const [wrong, setWrong] = useState("");
  const [busy, setBusy] = useState(false);
  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    setBusy(true);
    try {
      await signIn(key);
    } catch (error) {
      setWrong(error instanceof Error ? error.message : String(error));
    }
    setBusy(false);
  }
  return html`<main class="signin"><form class="card" onSubmit=${submit}>
    <h1 class="brand"><${Mark} />Sign in to runstone</h1>
    <label class="field"><span>API key</span>
      <input class="input mono" type="password" name="key" autocomplete="current-password" placeholder="hf_…" required value=${key}
        aria-invalid=${wrong ? "true" : undefined} aria-describedby="key-hint" onInput=${(/** @type {any} */ event) => setKey(event.target.value)} />
    </label>
    <p id="key-hint" class="hint ${wrong ? "bad" : ""}" role=${wrong ? "alert" : undefined}>${wrong || html`The first key was printed when the server first started. An administrator makes more with <code>runstone keys create</code>, or here.`}</p>
    <button class="btn primary" disabled=${busy || !key}>Sign in</button>
    <p class="hint">The key is exchanged for a cookie that lasts a day and that no script can read. The browser does not keep the key.</p>
  </form></main>`;
}
