/** A component whose module is fetched when it is first shown. */

import { html, useEffect, useState } from "../lib/html.js";

/** @param {{ load: () => Promise<any>, [name: string]: any }} props `load` answers the component; all other properties are handed to it */
export function Lazy({ load, ...props }) {
  const [Made, setMade] = useState(/** @type {any} */ (null));
  useEffect(() => {
    let wanted = true;
    load().then(made => wanted && setMade(() => made), () => {});
    return () => { wanted = false; };
  }, []);
  return Made && html`<${Made} ...${props} />`;
}
