/** The files of a run, as folders, with a look into each. */

import { html, useState } from "../../lib/html.js";
import { api, get, query } from "../../lib/api.js";
import { bytes, inline } from "../../lib/format.js";
import { useResource } from "../../lib/resource.js";
import { param, setParams } from "../../lib/router.js";
import { Icon } from "../../components/icons.js";
import { Picture } from "../../components/picture.js";
import { Blank, Loaded } from "../../components/states.js";

/** The address of a file's bytes. @param {any} info @param {string} path @param {string} [kind] */
export function fileAddress(info, path, kind = "files") {
  return api("runs", info.namespace, info.project, info.name, kind, ...path.split("/"));
}

/** @typedef {{ path: string, size: number, url: string }} File */

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
  return html`<div class="page wide"><${Loaded} of=${found}>${(/** @type {File[]} */ items) => items.length === 0 && !folder
    ? html`<${Blank} title="No files"><p>Files that the run saves are here: <code>run.save(...)</code>, logged media, and what clients keep of a run.</p></${Blank}>`
    : html`<div class="split even"><section class="card" aria-label="Files">
      <header><nav aria-label="Folder" class="row wrap"><button class="inplace" onClick=${() => setParams({ folder: null }, { push: true })}><b>Files</b></button>
        ${folder.split("/").filter(Boolean).map((part, at, parts) => html`<span class="muted">/</span><button class="inplace" onClick=${() => setParams({ folder: parts.slice(0, at + 1).join("/") }, { push: true })}>${part}</button>`)}</nav></header>
      <div class="scroll-x"><table class="table"><tbody>${entries(items, folder).slice(0, 2000).map(entry => html`<tr key=${entry.name}>
        <td><button class="inplace row" onClick=${() => setParams(entry.file ? { file: entry.file.path } : { folder: entry.path, file: null }, { push: true })} aria-current=${entry.file && entry.file.path === chosen ? "true" : undefined}><${Icon} name=${entry.file ? "file" : "folder"} /><span class="cut">${entry.name}</span></button></td>
        <td class="num muted">${entry.file ? bytes(entry.file.size) : `${entry.count} files`}</td>
        <td class="num">${entry.file && html`<a class="btn tiny icon quiet" href=${fileAddress(info, entry.file.path)} download=${entry.name} aria-label=${`Download ${entry.name}`}><${Icon} name="download" /></a>`}</td></tr>`)}</tbody></table></div>
    </section>
    ${chosen ? html`<${Preview} key=${chosen} info=${info} path=${chosen} />` : html`<${Blank} title="Choose a file to look into it" />`}</div>`}</${Loaded}></div>`;
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

/** @param {{ info: any, path: string }} props */
function Preview({ info, path }) {
  const [after, setAfter] = useState("");
  const picture = /\.(png|jpe?g|gif|webp|svg|bmp)$/i.test(path);
  const found = useResource(signal => picture ? Promise.resolve(null) : get(fileAddress(info, path, "preview") + query({ limit: 200, after }), { signal }), [info.id, path, after]);
  return html`<section class="card" aria-label=${`Preview of ${path}`}><header><h2 class="grow cut mono" title=${path}>${path.split("/").pop()}</h2><a class="btn tiny" href=${fileAddress(info, path)} download=${path.split("/").pop()}>Download</a></header>
    <div class="body">${picture && /\.svg$/i.test(path) ? html`<img class="preview" src=${fileAddress(info, path)} alt=${path} loading="lazy" decoding="async" />`
      : picture ? html`<${Picture} className="preview" src=${fileAddress(info, path)} alt=${path} />`
      : html`<${Loaded} of=${found}>${(/** @type {any} */ part) => html`<${Part} part=${part} />
        ${part.next && html`<button class="btn more" onClick=${() => setAfter(part.next)}>Next part</button>`}${after && html` <button class="btn more" onClick=${() => setAfter("")}>From the start</button>`}`}</${Loaded}>`}</div></section>`;
}

/** @param {{ part: any }} props */
function Part({ part }) {
  if (part.kind === "text") return html`<pre class="code" tabindex="0">${part.text}</pre>`;
  if (part.kind === "table") {
    return html`<div class="scroll-x" tabindex="0" role="region" aria-label="Rows"><table class="table"><thead><tr>${part.columns.map((/** @type {any} */ column) => html`<th>${column[0]} <span class="muted">${column[1]}</span></th>`)}</tr></thead>
      <tbody>${part.rows.map((/** @type {any[]} */ row) => html`<tr>${row.map(cell => html`<td class="num">${inline(cell)}</td>`)}</tr>`)}</tbody></table></div>`;
  }
  if (part.kind === "tensors") {
    return html`<div class="scroll-x" tabindex="0" role="region" aria-label="Tensors"><table class="table"><thead><tr><th>Tensor</th><th>Type</th><th>Shape</th></tr></thead>
      <tbody>${part.tensors.map((/** @type {any} */ tensor) => html`<tr><td class="mono">${tensor.name}</td><td>${tensor.dtype}</td><td class="mono">${JSON.stringify(tensor.shape)}</td></tr>`)}</tbody></table></div>`;
  }
  return html`<p class="muted">${part.total === null ? "Bytes" : bytes(part.total)} that are not text: download the file.</p>`;
}
