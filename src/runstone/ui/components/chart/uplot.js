/** uPlot, loaded with the first page that may have a chart. */

const FILE = new URL("../../vendor/uplot/uPlot.iife.min.js", import.meta.url).href;
let loading = /** @type {Promise<any> | null} */ (null);

/** The constructor of charts. @returns {Promise<any>} */
export function uPlot() {
  loading ||= new Promise((resolve, reject) => {
    const script = Object.assign(document.createElement("script"), { src: FILE });
    script.onload = () => resolve(/** @type {any} */ (window).uPlot);
    script.onerror = () => {
      loading = null;
      reject(new Error("the chart could not be loaded"));
    };
    document.head.append(script);
  });
  return loading;
}

// It comes while the page asks what to draw; whoever draws is told if it did not.
uPlot().catch(() => {});
