"""Artifacts: the proxy that ``mlflow-artifacts:`` addresses are resolved to, and what lists and answers a run's files.

A path is ``<experiment>/<run>/artifacts/…`` or ``<experiment>/models/<model>/artifacts/…``; the files of either are those of a run of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote

from runstone.dialects.mlflow import ids, runs, wire
from runstone.dialects.mlflow.genai import tracefiles
from runstone.dialects.mlflow.problem import invalid, missing
from runstone.dialects.mlflow.wire import REQUIRED, STRING
from runstone.dialects.routing import BYTES, Call, Download, Pairs, Raw, Route
from runstone.domain import content, described, limits, versions
from runstone.domain.content import StoredFile
from runstone.domain.runs import browsing, files, lifecycle
from runstone.domain.runs.browsing import RunHead
from runstone.errors import Invalid, Missing, RunstoneError
from runstone.types import FileEntry, RunInfo, UploadedFile

PIECE = 4 << 20
PAGE = 1000
_TEXTS = {
    "", ".txt", ".log", ".err", ".cfg", ".conf", ".cnf", ".ini", ".properties", ".prop", ".hocon", ".toml", ".yaml",
    ".yml", ".xml", ".json", ".js", ".py", ".py3", ".csv", ".tsv", ".md", ".rst", ".jsonnet", ".out",
}  # fmt: skip
_TEXT_NAMES = {"MLmodel", "MLproject"}


def holder(call: Call, path: str) -> tuple[RunHead, str]:
    """The run that has the files of a proxy path, and the rest of the path."""
    parts = path.split("/")
    if len(parts) >= 4 and parts[1] == "models" and parts[3] == "artifacts":
        return logged_head(call, parts[2]), "/".join(parts[4:])
    if len(parts) >= 3 and parts[2] == "artifacts":
        return ids.head(call, parts[1]), "/".join(parts[3:])
    raise missing(f"No such artifact: '{path}'")


def logged(call: Call, model: str) -> RunInfo:
    """The run that stands for a logged model."""
    return lifecycle.get(call.store, call.ctx, logged_head(call, model).path, deleted=True)


def logged_head(call: Call, model: str) -> RunHead:
    """The head of the run that stands for a logged model."""
    name = ids.run_name(call, model.removeprefix("m-")) if model.startswith("m-") else ""
    try:
        if name:
            found = browsing.head(call.store, call.ctx, name)
            if found.job_type == ids.LOGGED:
                return found
    except Missing:
        pass
    raise no_model(model)


def no_model(model: str) -> RunstoneError:
    """What is answered for a logged model that is not there."""
    return missing(f"Logged model with ID '{model}' not found.")


def registered(call: Call, path: str) -> tuple[str, str] | None:
    """The version that ``versions/<number>/artifacts/…`` names, and the rest of the path."""
    parts = path.split("/")
    if len(parts) < 3 or parts[0] != "versions" or parts[2] != "artifacts":
        return None
    try:
        info = described.version_numbered(call.store, call.ctx, int(parts[1])).info
    except (Missing, ValueError):
        raise missing(f"No such artifact: '{path}'") from None
    return f"{info.collection}@v{info.number}", "/".join(parts[3:])


def under(call: Call, run: RunInfo | RunHead, prefix: str = "") -> Iterator[FileEntry]:
    """The files of a run in a folder, by path."""
    after = ""
    while True:
        page = files.listed(call.store, call.ctx, run.path, prefix=prefix, after=after, limit=PAGE)
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].path


def children(call: Call, run: RunInfo | RunHead, folder: str) -> list[dict[str, Any]]:
    """What lies in a folder of a run's files, by path."""
    prefix = f"{folder}/" if folder else ""
    return _level(under(call, run, prefix), prefix)


def _level(entries: Iterable[FileEntry], prefix: str) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        name, deeper, _ = entry.path[len(prefix) :].partition("/")
        if deeper:
            found[name] = {"path": prefix + name, "is_dir": True}
        else:
            found[name] = {"path": prefix + name, "is_dir": False}
            if entry.size:  # mlflow leaves a size of nothing out
                found[name]["file_size"] = entry.size
    return [found[name] for name in sorted(found)]


def list_run(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``artifacts/list``: paths are relative to the run."""
    run = ids.head(call, wire.text(fields, "run_id"))
    folder = _folder(wire.text(fields, "path"))
    project = runs.project_of(call, run)
    number = ids.run_id(project.id, run.id, run.name)
    answer: dict[str, Any] = {"root_uri": runs.artifact_uri(call, project, number)}
    if found := _shown(call, run, folder):
        answer["files"] = found
    return answer


def list_proxy(call: Call) -> Any:
    """Answers ``mlflow-artifacts/artifacts?path=``: paths are relative to the folder that is asked for."""
    path = _folder(dict(call.query or ()).get("path", ""))
    try:
        if version := registered(call, path):
            prefix = f"{version[1]}/" if version[1] else ""
            listed = _level(versions.files(call.store, call.ctx, version[0], prefix=prefix), prefix)
        elif trace := tracefiles.named(path):
            prefix = f"{trace[1]}/" if trace[1] else ""
            listed = _level(tracefiles.under(call, *trace), prefix)
        else:
            listed = _shown(call, *holder(call, path))
    except Missing:
        return {}
    found = [entry | {"path": entry["path"].rpartition("/")[2]} for entry in listed]
    return {"files": found} if found else {}


def download(call: Call) -> Download:
    """Answers ``GET mlflow-artifacts/artifacts/{path}``."""
    return named(opened(call, checked(call.path["path"])))


def opened(call: Call, path: str) -> StoredFile:
    """The file of a proxy path; it is to be closed."""
    if version := registered(call, path):
        try:
            return content.open_file(call.store, call.ctx, *version)
        except Missing:
            raise missing(f"No such artifact: '{path}'") from None
    if trace := tracefiles.named(path):
        return tracefiles.open_file(call, *trace)
    run, rest = holder(call, path)
    return _open(call, run, rest, path)


def path_of(call: Call, run: RunInfo | RunHead, path: str) -> str:
    """The proxy path of a file of a run or logged model."""
    project = runs.project_of(call, run)
    folder = (
        f"models/m-{run.name}" if run.job_type == ids.LOGGED else ids.run_id(project.id, run.id, run.name)
    )
    return f"{ids.experiment_id(call, project)}/{folder}/artifacts/{checked(path)}"


def get_artifact(call: Call) -> Download:
    """Answers ``GET /get-artifact?run_id=…&path=…``."""
    query = dict(call.query or ())
    path = checked(query.get("path", ""))
    return named(_open(call, ids.head(call, query.get("run_id") or query.get("run_uuid", "")), path, path))


async def upload(call: Call) -> Raw:
    """Answers ``PUT mlflow-artifacts/artifacts/{path}``: the bytes go to the store as they come; the file is there when all have."""
    path = call.path["path"]
    if path.endswith("/"):
        raise invalid("Artifact path must include a filename (cannot end with '/').")
    namespace, keep = await call.services.in_thread(_place, call, checked(path))
    begun = await call.services.in_thread(content.begin_upload, call.store, call.ctx, namespace)
    assert call.content is not None
    try:
        await take_in(call, begun.id, call.content)
        await call.services.in_thread(_keep, call, keep, begun.id)
    except BaseException:
        await call.services.in_thread(drop, call, begun.id)
        raise
    return Raw()


def delete(call: Call) -> Any:
    """Answers ``DELETE mlflow-artifacts/artifacts/{path}``: of a file, or of all that lies in a folder."""
    path = checked(call.path["path"])
    if trace := tracefiles.named(path):
        tracefiles.remove(call, *trace)
        return {}
    run, rest = holder(call, path)
    doomed = [entry.path for entry in under(call, run, rest) if _inside(entry.path, rest)]
    if doomed:
        files.remove(call.store, call.ctx, run.path, doomed)
    return {}


async def take_in(call: Call, upload: str, pieces: AsyncIterator[bytes]) -> None:
    """Takes the bytes of a body into an upload as they come; the next are received while some are hashed and written."""
    offset, held, size = 0, list[bytes](), 0
    writing: asyncio.Future[int] | None = None

    def write() -> asyncio.Future[int]:
        whole = b"".join(held)
        return asyncio.ensure_future(
            call.services.in_thread(content.write_upload, call.store, call.ctx, upload, offset, whole)
        )

    try:
        async for piece in pieces:
            held.append(piece)
            size += len(piece)
            if size >= PIECE:
                if writing is not None:
                    await writing
                writing = write()
                offset, held, size = offset + size, [], 0
        if writing is not None:
            await writing
        if held:
            await write()
    except BaseException:
        if writing is not None:
            await asyncio.gather(writing, return_exceptions=True)  # nothing may write to what is dropped next
        raise


def _place(call: Call, path: str) -> tuple[str, Callable[[UploadedFile], None]]:
    """The namespace that a file of a proxy path goes into, and what makes it one of a run's or trace's files."""
    if trace := tracefiles.named(path):
        checked(trace[1])
        return tracefiles.place(call, *trace)
    run, rest = holder(call, path)
    if run.deleted:
        raise invalid(f"The run {run.name} must be in the 'active' state. Current state is deleted.")
    checked(rest)
    return run.namespace, lambda found: keep_file(call, run, rest, found)


def _keep(call: Call, keep: Callable[[UploadedFile], None], upload: str) -> None:
    keep(content.finish_upload(call.store, call.ctx, upload))


def keep_file(call: Call, run: RunHead, path: str, found: UploadedFile) -> None:
    """Gives a run a file whose bytes are here."""
    entry = FileEntry(path=path, size=found.size, sha256=found.sha256)
    files.put(call.store, call.ctx.without_id(), run.path, [entry])


def drop(call: Call, upload: str) -> None:
    """Drops an upload that came to nothing."""
    with contextlib.suppress(Missing):  # it was finished, and its bytes go when nothing refers to them
        content.abort_upload(call.store, call.ctx, upload)


def _open(call: Call, run: RunHead, path: str, asked: str) -> StoredFile:
    try:
        return files.open_file(call.store, call.ctx, run.path, path)
    except Missing:
        if next(under(call, run, f"{path}/" if path else ""), None) is not None:
            raise invalid(f"Artifact path refers to a directory, not a file: '{asked}'") from None
        raise missing(f"No such artifact: '{asked}'") from None


def named(found: StoredFile) -> Download:
    """A file as an attachment, with the type that mlflow tells."""
    found.media_type = media_type(found.name)
    name = quote(found.name, safe="!#$&+-.^_`|~")
    named = f"filename={name}" if name == found.name else f"filename*=UTF-8''{name}"
    return Download(found, {"Content-Disposition": f"attachment; {named}"})


def media_type(name: str) -> str:
    """A file's media type as mlflow tells it: of a text, plain."""
    stem, dot, extension = name.rpartition(".")
    if name in _TEXT_NAMES or (dot and stem and f".{extension.lower()}" in _TEXTS):
        return "text/plain"
    return mimetypes.guess_type(name)[0] or BYTES


def _shown(call: Call, run: RunHead, folder: str) -> list[dict[str, Any]]:
    # mlflow still shows them; here a deleted run must be restored before its files are looked at.
    return [] if run.deleted else children(call, run, folder)


def _inside(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")


def _folder(path: str) -> str:
    path = path.strip("/") if path not in ("/", "") and not path.startswith("/") else path
    return checked(path) if path else ""


def checked(path: str) -> str:
    """A path that cannot lead anywhere else, in mlflow's words where it can."""
    try:
        return limits.path(path)
    except Invalid:
        raise invalid("Invalid path") from None


def _routes() -> Iterator[Route]:
    yield from wire.routes(
        "GET",
        "artifacts/list",
        list_run,
        "The files of a run.",
        {"run_id": (STRING, REQUIRED), "path": (STRING,), "page_token": (STRING,)},
    )
    for root in ("/api/2.0/mlflow-artifacts", "/ajax-api/2.0/mlflow-artifacts"):
        files_of = f"{root}/artifacts"
        one = files_of + "/{path...}"
        yield Route("GET", files_of, list_proxy, "Files in a folder.", query=Pairs, blocking=True)
        yield Route("GET", one, download, "A file.", query=Pairs, media_type=BYTES, also=(206, 304))
        yield Route("PUT", one, upload, "Takes a file in.", query=Pairs, streams=True)
        yield Route("DELETE", one, delete, "Deletes a file.", body=Any, query=Pairs, blocking=True)
    for path in ("/get-artifact", "/ajax-api/2.0/mlflow/get-artifact"):
        yield Route(
            "GET", path, get_artifact, "A file of a run.", query=Pairs, media_type=BYTES, also=(206, 304)
        )


ROUTES = tuple(_routes())
