/** The application: who is signed in, which page the address means, and the frame around it. */

import { html, render, useLayoutEffect, useState } from "./lib/html.js";
import { Bones, Blank, Failure } from "./components/states.js";
import { Shell } from "./components/shell.js";
import { useCommands } from "./components/palette.js";
import { theme } from "./lib/prefs.js";
import { online } from "./lib/api.js";
import { whenBack } from "./lib/resource.js";
import { followLinks, match, navigate, path } from "./lib/router.js";
import { session } from "./lib/session.js";
import { SignIn } from "./pages/signin.js";
import { ROUTES } from "./routes.js";

function App() {
  useCommands([
    { name: "Home", act: () => navigate("/") },
    { name: "API keys", act: () => navigate("/-/keys") },
    { name: "Theme: light", act: () => { theme.value = "light"; } },
    { name: "Theme: dark", act: () => { theme.value = "dark"; } },
    { name: "Theme: as the system", act: () => { theme.value = "system"; } },
  ], []);
  if (!session.value) return html`<${SignIn} />`;
  return html`<${Page} key=${session.value.name} />`;
}

function Page() {
  const found = match(ROUTES, path.value);
  const page = usePage(found?.route);
  const names = found?.names || {};
  return html`<${Shell} names=${names} section=${found?.route.section}>
    ${!found && html`<${Blank} title="There is no such page"><p>Nothing of this server has the address <code class="break">${path.value}</code>. <a href="/">All projects</a></p></${Blank}>`}
    ${page.error && html`<div class="page"><${Failure} error=${page.error} retry=${() => location.reload()} /></div>`}
    ${found && !page.error && (page.show && page.route === found.route ? html`<${page.show} key=${JSON.stringify([names.ns, names.project, names.run])} ...${names} />` : html`<div class="page"><${Bones} /></div>`)}
  </${Shell}>`;
}

/** The component of a route's module. @param {import("./lib/router.js").Route | undefined} route */
function usePage(route) {
  const [held, setHeld] = useState(/** @type {{ route?: any, show?: any, error?: Error }} */ ({}));
  useLayoutEffect(() => {
    let wanted = true;
    let stop = () => {};
    route?.load().then(
      module => wanted && setHeld({ route, show: module.default }),
      () => {
        if (!wanted) return;
        // A module that could not be fetched is not asked for again by a browser, and a new server has others.
        online.value = false;
        setHeld({ route, error: new Error("This page could not be loaded: the server does not answer. It is loaded when the server is back.") });
        stop = whenBack(() => location.reload());
      },
    );
    return () => {
      wanted = false;
      stop();
    };
  }, [route]);
  return held;
}

followLinks();
const root = /** @type {HTMLElement} */ (document.getElementById("app"));
root.textContent = "";
render(html`<${App} />`, root);
