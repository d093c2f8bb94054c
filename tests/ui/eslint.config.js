const browser = [
  "window", "document", "location", "history", "navigator", "localStorage", "fetch", "console", "performance", "crypto",
  "addEventListener", "removeEventListener", "setTimeout", "clearTimeout", "setInterval", "clearInterval", "requestAnimationFrame",
  "cancelAnimationFrame", "requestIdleCallback", "matchMedia", "scrollTo", "getComputedStyle", "devicePixelRatio", "innerWidth", "innerHeight", "parent",
  "URL", "URLSearchParams", "AbortController", "AbortSignal", "DOMException", "EventSource", "ResizeObserver", "IntersectionObserver",
  "Blob", "File", "FileReader", "Image", "Path2D", "TextDecoder", "TextEncoder", "structuredClone", "queueMicrotask",
  "Event", "Node", "Element", "HTMLElement", "HTMLInputElement", "HTMLAnchorElement", "HTMLCanvasElement", "CustomEvent", "XMLSerializer", "atob", "btoa", "confirm", "prompt", "CSS",
];

export default [
  {
    files: ["**/*.js"],
    ignores: ["**/vendor/**"],
    languageOptions: { ecmaVersion: 2024, sourceType: "module", globals: Object.fromEntries(browser.map(name => [name, "readonly"])) },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "no-undef": "error",
      "no-unused-vars": ["error", { caughtErrors: "none" }],
      "no-var": "error",
      "prefer-const": "error",
      eqeqeq: "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-shadow": ["error", { builtinGlobals: false }],
      "no-self-compare": "error",
      "no-unreachable": "error",
      "no-constant-condition": "error",
      "no-dupe-keys": "error",
      "no-restricted-properties": ["error", { property: "innerHTML", message: "Text is never markup." }, { property: "outerHTML", message: "Text is never markup." }],
      "no-restricted-syntax": ["error", { selector: "Property[key.name='dangerouslySetInnerHTML']", message: "Text is never markup." }],
      "max-lines": ["error", 500],
      complexity: ["error", 24],
    },
  },
];
