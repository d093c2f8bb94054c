/** The files of a run, as folders, with a look into each. */

import { html } from "../../lib/html.js";
import { api, get, query } from "../../lib/api.js";
import { bytes, count } from "../../lib/format.js";
import { useResource } from "../../lib/resource.js";
import { param, setParams } from "../../lib/router.js";
import { Icon } from "../../components/icons.js";
import { FilePreview } from "../../components/preview.js";
import { Blank, Loaded } from "../../components/states.js";

/** The address of a file's bytes. @param {any} info @param {string} path @param {string} [kind] */
export function fileAddress(info, path, kind = "files") {
  return api("runs", info.namespace, info.project, info.name, kind, ...path.split("/"));
}

/** @typedef {import("../../components/filebrowser.js").File} File */

const MOST = 5000;

/** @param {{ info: any }} props */
export function Files({ info }) {
  const chosen = param("file");
  const folder = param("folder");
  const found = useResource(async signal => {
    /** @type {File[]} */
    const items = [];
    let after = "";
    do {
      const page = await get(api("runs", info.namespace, info.project, info.name, "files") + query({ limit: 1000, after, prefix: folder }), { signal });
      items.push(...page.items);
      after = page.next;
    } while (after && items.length < MOST);
    return items;
  }, [info.id, folder]);
  return html`<div class="page wide"><${Loaded} of=${found}>${(/** @type {File[]} */ items) => {
    const shown = items.find(file => file.path === chosen);
    return items.length === 0 && !folder ? html`<${Blank} title="No files"><p>Files that the run saves are here: <code>run.save(...)</code>, logged media, and what clients keep of a run.</p></${Blank}>`
    : html`<div class="split even"><section class="card" aria-label="Files">
      <header><nav aria-label="Folder" class="row wrap"><button class="inplace" onClick=${() => setParams({ folder: null }, { push: true })}><b>Files</b></button>
        ${folder.split("/").filter(Boolean).map((part, at, parts) => html`<span class="muted">/</span><button class="inplace" onClick=${() => setParams({ folder: parts.slice(0, at + 1).join("/") }, { push: true })}>${part}</button>`)}</nav></header>
      <div class="scroll-x"><table class="table"><tbody>${entries(items, folder).slice(0, 2000).map(entry => html`<tr key=${entry.name}>
        <td><button class="inplace row" onClick=${() => setParams(entry.file ? { file: entry.file.path } : { folder: entry.path, file: null }, { push: true })} aria-current=${entry.file && entry.file.path === chosen ? "true" : undefined}><${Icon} name=${entry.file ? "file" : "folder"} /><span class="cut">${entry.name}</span></button></td>
        <td class="num muted">${entry.file ? bytes(entry.file.size) : count(entry.count, "file")}</td>
        <td class="num">${entry.file && html`<a class="btn tiny icon quiet" href=${fileAddress(info, entry.file.path)} download=${entry.name} aria-label=${`Download ${entry.name}`}><${Icon} name="download" /></a>`}</td></tr>`)}</tbody></table></div>
    </section>
    <section class="card" aria-label=${shown ? `Preview of ${chosen}` : "Preview"}>${shown ? html`<${FilePreview} key=${chosen} base=${api("runs", info.namespace, info.project, info.name)} file=${shown} />`
      : html`<${Blank} title="Choose a file"><p>Tables, images, sounds, figures, pages, text and the tensors of safetensors files are shown here.</p></${Blank}>`}</section></div>`;
  }}</${Loaded}></div>`;
}

/** What is right below a folder. @param {File[]} files @param {string} folder */
function entries(files, folder) {
  const folders = new Map(/** @type {[string, any][]} */ ([]));
  const own = [];
  const start = folder ? folder.replace(/\/$/, "") + "/" : "";
  for (const file of files) {
    if (!file.path.startsWith(start)) continue;
    const rest = file.path.slice(start.length);
    const slash = rest.indexOf("/");
    if (slash < 0) own.push({ name: rest, path: file.path, file, count: 1 });
    else {
      const name = rest.slice(0, slash);
      const held = folders.get(name) || { name, path: start + name, file: null, count: 0 };
      held.count++;
      folders.set(name, held);
    }
  }
  return [...folders.values(), ...own];
}
