/** The files of a version or run as a tree, and what is in the one that is chosen. */

import { html, useMemo, useState } from "../lib/html.js";
import { get, query } from "../lib/api.js";
import { bytes, count } from "../lib/format.js";
import { useResource } from "../lib/resource.js";
import { param, setParams } from "../lib/router.js";
import { Icon } from "./icons.js";
import { FilePreview } from "./preview.js";
import { Blank, Loaded } from "./states.js";

/** @typedef {{ path: string, size: number, sha256: string, url: string, etag: string, media_type: string }} File */
/** @typedef {{ name: string, path: string, file?: File, folders: Map<string, Folder>, files: File[], size: number, count: number }} Folder */

/** Files that are listed at most; a longer list is cut, and says so. */
const LISTED = 5000;

/**
 * @param {{ base: string, files: string }} props `base` is the address of the object in the API, `files` that of its list
 */
export function FileBrowser({ base, files }) {
  const listed = useResource(signal => everything(files, signal), [files]);
  return html`<${Loaded} of=${listed}>${(/** @type {{ items: File[], more: boolean }} */ found) => html`<${Browser} base=${base} items=${found.items} more=${found.more} />`}</${Loaded}>`;
}

/** @param {string} address @param {AbortSignal} signal @returns {Promise<{ items: File[], more: boolean }>} */
async function everything(address, signal) {
  const items = [];
  let after = "";
  do {
    const page = await get(address + query({ limit: 1000, after }), { signal });
    items.push(...page.items);
    after = page.next;
  } while (after && items.length < LISTED);
  return { items, more: Boolean(after) };
}

/** @param {{ base: string, items: File[], more: boolean }} props */
function Browser({ base, items, more }) {
  const tree = useMemo(() => folderOf(items), [items]);
  const path = param("file");
  const chosen = items.find(file => file.path === path);
  if (!items.length) return html`<${Blank} title="No files"><p>This holds metadata only.</p></${Blank}>`;
  return html`<div class="browser">
    <section class="card" aria-label="Files">
      <header><span class="grow">${count(tree.count, "file")}${more ? " and more" : ""}</span><span class="muted num">${bytes(tree.size)}</span></header>
      <ul class="tree" role="tree" aria-label="Files"><${Level} folder=${tree} depth=${0} chosen=${path} /></ul>
    </section>
    <section class="card" aria-label="Preview">${chosen
      ? html`<${FilePreview} key=${chosen.path} base=${base} file=${chosen} />`
      : html`<${Blank} title="Choose a file"><p>Tables, Parquet, images, text and the tensors of safetensors files are shown here, read in parts by the server however large they are.</p></${Blank}>`}</section>
  </div>`;
}

/** @param {{ folder: Folder, depth: number, chosen: string }} props */
function Level({ folder, depth, chosen }) {
  return html`${[...folder.folders.values()].map(inner => html`<${Branch} key=${inner.path} folder=${inner} depth=${depth} chosen=${chosen} />`)}
    ${folder.files.map(file => html`<li role="none" key=${file.path}><button role="treeitem" class="leaf" aria-selected=${file.path === chosen} style=${{ paddingLeft: `${12 + depth * 16}px` }}
      onClick=${() => setParams({ file: file.path }, { push: true })}><${Icon} name=${file.url ? "link" : "file"} /><span class="cut grow" title=${file.path}>${file.path.split("/").pop()}</span><span class="muted num small">${bytes(file.size)}</span></button></li>`)}`;
}

/** @param {{ folder: Folder, depth: number, chosen: string }} props */
function Branch({ folder, depth, chosen }) {
  const [open, setOpen] = useState(depth === 0 || chosen.startsWith(folder.path + "/"));
  return html`<li role="none"><button role="treeitem" class="leaf" aria-expanded=${open} style=${{ paddingLeft: `${12 + depth * 16}px` }} onClick=${() => setOpen(!open)}>
      <${Icon} name=${open ? "down" : "right"} /><span class="cut grow">${folder.name}</span><span class="muted num small">${folder.count.toLocaleString("en-US")} · ${bytes(folder.size)}</span></button>
    ${open && html`<ul role="group"><${Level} folder=${folder} depth=${depth + 1} chosen=${chosen} /></ul>`}</li>`;
}

/** @param {File[]} items @returns {Folder} */
function folderOf(items) {
  const root = emptyFolder("", "");
  for (const file of items) {
    const parts = file.path.split("/");
    let at = root;
    for (const part of ["", ...parts.slice(0, -1)]) {
      if (part) {
        const path = at.path ? `${at.path}/${part}` : part;
        let inner = at.folders.get(part);
        if (!inner) at.folders.set(part, inner = emptyFolder(part, path));
        at = inner;
      }
      at.size += file.size;
      at.count += 1;
    }
    at.files.push(file);
  }
  return root;
}

/** @param {string} name @param {string} path @returns {Folder} */
function emptyFolder(name, path) {
  return { name, path, folders: new Map(), files: [], size: 0, count: 0 };
}
