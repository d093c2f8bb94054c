/** uPlot, loaded with the first chart. */

const BASE = new URL("../../vendor/uplot/", import.meta.url).href;
let loading = /** @type {Promise<any> | null} */ (null);

/** The constructor of charts. @returns {Promise<any>} */
export function uPlot() {
  loading ||= new Promise((resolve, reject) => {
    const style = Object.assign(document.createElement("link"), { rel: "stylesheet", href: BASE + "uPlot.min.css" });
    const script = Object.assign(document.createElement("script"), { src: BASE + "uPlot.iife.min.js" });
    script.onload = () => resolve(/** @type {any} */ (window).uPlot);
    script.onerror = () => {
      loading = null;
      reject(new Error("the chart could not be loaded"));
    };
    document.head.append(style, script);
  });
  return loading;
}
