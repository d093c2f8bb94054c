/** Which module shows which address. The first that fits counts; a page is loaded when it is first gone to. */

/** @type {import("./lib/router.js").Route[]} */
export const ROUTES = [
  { pattern: "/", load: () => import("./pages/home.js") },
  { pattern: "/-/keys", load: () => import("./pages/people/keys.js") },
  { pattern: "/-/users", load: () => import("./pages/people/users.js") },
  { pattern: "/-/teams", load: () => import("./pages/people/teams.js") },
  // Where the wandb SDK sends people for their key.
  { pattern: "/authorize", load: () => import("./pages/people/keys.js") },
  // Addresses that the wandb SDK prints.
  { pattern: "/orgs/:org/registry/:kind", load: () => import("./pages/links.js").then(module => ({ default: module.Registry })) },
  { pattern: "/:ns/:project/sweeps/:sweep", section: "workspace", load: () => import("./pages/links.js").then(module => ({ default: module.Sweep })) },
  { pattern: "/:ns/:project/runs/:run/:tab?", section: "runs", load: () => import("./pages/run/run.js") },
  { pattern: "/:ns/:project", section: "workspace", load: () => import("./pages/workspace/workspace.js") },
  { pattern: "/:ns/:project/workspace", section: "workspace", load: () => import("./pages/workspace/workspace.js") },
  { pattern: "/:ns/:project/table", section: "runs", load: () => import("./pages/workspace/table.js") },
  { pattern: "/:ns/:project/compare", section: "compare", load: () => import("./pages/compare/compare.js") },
  { pattern: "/:ns/:project/reports", section: "reports", load: () => import("./pages/reports/list.js") },
  { pattern: "/:ns/:project/reports/:report", section: "reports", load: () => import("./pages/reports/report.js") },
  { pattern: "/:ns/:project/artifacts", section: "artifacts", load: () => import("./pages/artifacts.js") },
  { pattern: "/:ns/:project/artifacts/:collection", section: "artifacts", load: () => import("./pages/collection.js") },
  { pattern: "/:ns/:project/artifacts/:collection/:version/:tab?", section: "artifacts", load: () => import("./pages/version.js") },
  { pattern: "/:ns", load: () => import("./pages/namespace.js") },
];

/** The tabs of a project, in their order; `path` follows the project in the address. */
export const PROJECT_TABS = [
  { section: "workspace", path: "", title: "Workspace" },
  { section: "runs", path: "table", title: "Runs" },
  { section: "compare", path: "compare", title: "Compare" },
  { section: "artifacts", path: "artifacts", title: "Artifacts" },
  { section: "reports", path: "reports", title: "Reports" },
];
