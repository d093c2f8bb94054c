/** What the clients captured of where a run ran: each has a shape of its own, and none is trusted. */

import { api } from "../../lib/api.js";
import { bytes } from "../../lib/format.js";

/** @typedef {{ facts: [string, string][], packages: [string, string][], diff: string, commit: string, remote: string, command: string, python: string }} Told */

/** @param {any} run @returns {Told} */
export function describe(run) {
  const own = object(run.info);
  // mlflow keeps what it captures among the tags.
  const tags = object(run.tags);
  const wandb = object(Object.values(object(object(own._wandb).e))[0]);
  const git = { commit: tags["mlflow.source.git.commit"], remote: tags["mlflow.source.git.repoURL"], branch: tags["mlflow.source.git.branch"], ...object(wandb.git), ...object(own.git) };
  const host = typeof own.host === "object" ? object(own.host) : { name: own.host };
  const python = object(own.python);
  const given = own.command ?? (wandb.args ? [own.program || wandb.program, ...list(wandb.args)] : own.program || wandb.program);
  const command = Array.isArray(given) ? given.map(quoted).join(" ") : text(given);
  const commit = text(git.commit);
  const remote = text(git.remoteURL || git.url || git.remote);
  const version = text(python.version || own.python_version || wandb.python);
  const gpu = list(wandb.gpu_nvidia).map(each => text(object(each).name)).join(", ") || text(wandb.gpu || own.gpu);
  const memory = Number(host.memory || object(wandb.memory).total);
  /** @type {[string, string][]} */
  const facts = [
    ["Command", command], ["Source", text(tags["mlflow.source.name"])], ["Commit", commit], ["Branch", text(git.branch)], ["Remote", remote], ["Uncommitted changes", git.dirty === true ? "yes" : ""],
    ["Host", text(host.name || wandb.host)], ["System", [host.system, host.release, host.machine].map(text).filter(Boolean).join(" ") || text(wandb.os)],
    ["Python", version], ["CPUs", text(host.cpus ?? wandb.cpu_count_logical ?? wandb.cpu_count)], ["GPU", gpu], ["Memory", memory > 0 ? bytes(memory) : ""],
    ["Directory", text(own.directory || wandb.root)], ["Client", clientOf(own, tags)], ["User", text(tags["mlflow.user"])],
  ];
  const packages = Object.entries(object(own.packages)).map(([name, each]) => /** @type {[string, string]} */ ([name, text(each)]));
  return { facts: facts.filter(([, value]) => value), packages, diff: text(git.diff || own.diff), commit, remote, command, python: version };
}

/** @param {any} own @param {any} tags */
function clientOf(own, tags) {
  if (own.cli_version) return `wandb ${text(own.cli_version)}`;
  return tags["mlflow.source.name"] ? "mlflow" : "";
}

/** Shell commands that run a run again. @param {any} run @param {Told} told */
export function reproduce(run, told) {
  const lines = [];
  if (told.remote) lines.push(`git clone ${quoted(told.remote)} && cd ${quoted(told.remote.replace(/\/+$/, "").split(/[/:]/).pop()?.replace(/\.git$/, "") || ".")}`);
  if (told.commit) lines.push(`git checkout ${quoted(told.commit)}`);
  if (told.diff) lines.push("# apply the changes below that were not committed: git apply changes.diff");
  if (told.python) lines.push(`# Python ${told.python.replace(/[^\w. ]/g, "")}`);
  if (told.packages.length) lines.push("pip install -r requirements.txt  # the packages listed here");
  lines.push(told.command || "# the command was not captured");
  lines.push("", "# its config, as JSON:", `curl -s ${location.origin}${api("runs", run.namespace, run.project, run.name)}`);
  return lines.join("\n");
}

/** @param {any} value @returns {any} */
function object(value) {
  return value && typeof value === "object" && !Array.isArray(value) ? value : {};
}

/** @param {any} value @returns {any[]} */
function list(value) {
  return Array.isArray(value) ? value : [];
}

/** @param {any} value */
function text(value) {
  return value === undefined || value === null || typeof value === "object" ? "" : String(value);
}

/** @param {any} value */
function quoted(value) {
  const word = text(value);
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
