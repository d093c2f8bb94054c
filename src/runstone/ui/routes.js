/** Which module shows which address. The first that fits counts; a page is loaded when it is first gone to. */

/** @type {import("./lib/router.js").Route[]} */
export const ROUTES = [
  { pattern: "/", load: () => import("./pages/home.js") },
  { pattern: "/:ns", load: () => import("./pages/namespace.js") },
];

/** The tabs of a project, in their order; `path` follows the project in the address. */
export const PROJECT_TABS = [
  { section: "workspace", path: "", title: "Workspace" },
];
