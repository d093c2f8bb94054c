"""What a model version is made from: the source that a client names, checked against the run or logged model that is to contain it.

Bytes that are held here become the version's own, without a copy; of a source elsewhere only the address is kept.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn
from urllib.parse import unquote, unquote_plus, urlparse, urlsplit

from runstone.dialects.mlflow import artifacts, experiments, ids, models, runs, wire
from runstone.dialects.mlflow.problem import invalid
from runstone.dialects.routing import Call
from runstone.domain import described, versions
from runstone.domain.described import DescribedVersion
from runstone.errors import Missing
from runstone.types import FileEntry, RunInfo

PROMPT_SOURCES = ("dummy-source", "prompt-template")
_PROXY_ROUTE = ("api", "2.0", "mlflow-artifacts", "artifacts")
#: Schemes that would make mlflow's server connect to a host that a client names.
_HOSTS = ("ftp", "sftp", "hdfs", "viewfs")


class Origin(NamedTuple):
    """A source as it is kept, the run and logged model that it comes from, and its files."""

    source: str
    run_id: str
    model_id: str
    files: list[FileEntry]


class _Uri(NamedTuple):
    """A ``models:`` address: a logged model's id, or a name with a number, stage or alias."""

    model_id: str = ""
    name: str = ""
    version: str = ""
    stage: str = ""
    alias: str = ""


def of_prompt(fields: dict[str, Any]) -> Origin:
    """The source of a version of a prompt, which has no files."""
    source = wire.text(fields, "source")
    if source not in PROMPT_SOURCES:
        raise invalid(f"Invalid prompt source: '{source}'. Prompt sources must use an MLflow placeholder.")
    return Origin(source, wire.text(fields, "run_id"), wire.text(fields, "model_id"), [])


def of_model(call: Call, fields: dict[str, Any]) -> Origin:
    """The source of a version of a model; raises what mlflow refuses."""
    source, run_id, model_id = (wire.text(fields, name) for name in ("source", "run_id", "model_id"))
    scheme = urlparse(source).scheme
    if scheme in _HOSTS:
        raise invalid(
            f"Invalid 'source': the '{scheme}' scheme addresses a host other than the tracking server's configured "
            "artifact storage, so the server would connect to the host named in the URI."
        )
    if scheme == "models":
        uri = _models_uri(source)
        if not uri.model_id:
            return _of_version(call, fields, source, uri)
    if model_id:
        return _of_logged(call, source, run_id, model_id)
    return _of_run(call, source, run_id)


def _of_version(call: Call, fields: dict[str, Any], source: str, uri: _Uri) -> Origin:
    """A version of a registered model, whose files, run and logged model are taken over."""
    if urlparse(source).netloc:
        raise invalid(
            f"Invalid model version source: '{source}'. Registered model sources must use the active model registry."
        )
    model = models.find(call, uri.name)
    if models.is_prompt(model.tags, model.info.type):
        raise invalid(
            f"Invalid model version source: '{source}'. Prompt versions cannot be used as model version sources."
        )
    version = _version(call, uri)
    given = models.origin(version)
    for name in ("run_id", "model_id"):
        if name in fields and wire.text(fields, name) != given.get(name, ""):
            raise invalid(
                f"Invalid model version source: '{source}'. The run_id and model_id request parameters must match "
                "the referenced model version."
            )
    files = versions.files(call.store, call.ctx, f"{model.info.path}@v{version.info.number}")
    kept = f"models:/{models.title(model)}/{version.info.number}"
    return Origin(kept, given.get("run_id", ""), given.get("model_id", ""), files)


def _version(call: Call, uri: _Uri) -> DescribedVersion:
    path = models.full_name(call, uri.name)
    if uri.stage:
        found = models.latest(models.versions_of(call, models.find(call, uri.name)), (uri.stage,))
        if not found:
            raise invalid(f"No versions of model with name '{uri.name}' and stage '{uri.stage}' found")
        return found[-1]
    wanted = uri.alias or (f"v{int(uri.version)}" if uri.version else "latest")
    try:
        return described.version(call.store, call.ctx, f"{path}@{wanted}")
    except Missing:
        if uri.alias:
            raise invalid(f"Registered model alias {uri.alias} not found.") from None
        raise models.no_version(uri.name, uri.version or "latest") from None


def _of_logged(call: Call, source: str, run_id: str, model_id: str) -> Origin:
    if _is_local(source):
        raise invalid(
            f"Invalid model version source: '{source}'. To use a local path as a model version source, the model_id "
            "request parameter has to be specified and the local path has to be contained within the artifact directory "
            "of the run specified by the model_id."
        )
    _require_straight(source)
    parsed = urlparse(source)
    if parsed.scheme == "runs" or (
        parsed.scheme == "models" and (parsed.netloc or _models_uri(source).model_id != model_id)
    ):
        _refuse(source, "model_id")
    holder, files = _logged(call, source, model_id), list[FileEntry]()
    root = f"{experiments.location(call, runs.project_of(call, holder))}/models/{model_id}/artifacts"
    if parsed.scheme == "models":
        files = _files(call, holder, "")
    elif _is_proxy(source):
        if not _within(source, root):
            _refuse(source, "model_id")
        files = _files(call, holder, _below(source, root))
    return Origin(source, run_id or str(holder.info.get("source_run_id", "")), model_id, files)


def _logged(call: Call, source: str, model_id: str) -> RunInfo:
    """The logged model that a source is said to be of."""
    try:
        found = artifacts.logged(call, model_id)
        if not found.deleted:
            return found
    except Missing:
        pass
    if _is_proxy(source):
        _refuse(source, "model_id")
    raise artifacts.no_model(model_id)


def _of_run(call: Call, source: str, run_id: str) -> Origin:
    if _is_local(source):
        if not run_id or not _in_local_run(call, source, run_id):
            shown = posixpath.normpath(unquote(urlparse(source).path)) if run_id else source
            raise invalid(
                f"Invalid model version source: '{shown}'. To use a local path as a model version source, the run_id "
                "request parameter has to be specified and the local path has to be contained within the artifact "
                "directory of the run specified by the run_id."
            )
        return Origin(source, run_id, "", [])
    _require_straight(source)
    parsed = urlparse(source)
    if parsed.scheme == "runs":
        run, _, folder = parsed.path.removeprefix("/").partition("/")
        if not parsed.path.startswith("/") or not run:
            raise invalid(
                f"Not a proper runs:/ URI: {source}. Runs URIs must be of the form "
                "'runs:/<run_id>/run-relative/path/to/artifact'"
            )
        if parsed.netloc or run != run_id:
            _refuse(source, "run_id")
        return Origin(source, run_id, "", _files(call, _run(call, source, run), folder))
    if parsed.scheme == "models":
        _refuse(source, "model_id")
    if not _is_proxy(source):
        return Origin(source, run_id, "", [])
    if not run_id:
        _refuse(source, "run_id")
    holder = _run(call, source, run_id)
    root = runs.artifact_uri(call, runs.project_of(call, holder), run_id)
    if not _within(source, root):
        _refuse(source, "run_id")
    return Origin(source, run_id, "", _files(call, holder, _below(source, root)))


def _run(call: Call, source: str, run_id: str) -> RunInfo:
    try:
        return ids.run(call, run_id)
    except Missing:
        _refuse(source, "run_id")


def _in_local_run(call: Call, source: str, run_id: str) -> bool:
    """Whether a path of the client's file system lies below the artifacts of a run that are there too."""
    holder = _run(call, source, run_id)
    root = runs.artifact_uri(call, runs.project_of(call, holder), run_id)
    if not _is_local(root):
        return False
    folder, path = (posixpath.normpath(unquote(urlparse(each).path)) for each in (root, source))
    return path == folder or path.startswith(f"{folder}/")


def _models_uri(source: str) -> _Uri:
    path = urlparse(source, allow_fragments=False).path
    parts = path.lstrip("/").split("/")
    if not path.startswith("/") or len(path) <= 1 or len(parts) > 2 or not parts[-1].strip():
        _refuse(source, "model_id")
    if len(parts) == 2:
        name, suffix = parts
        if suffix.isdigit():
            return _Uri(name=name, version=suffix)
        return _Uri(name=name) if suffix.lower() == "latest" else _Uri(name=name, stage=suffix.capitalize())
    name, separator, alias = parts[0].rpartition("@")
    if not separator:
        return _Uri(model_id=parts[0])
    if not name.strip() or not alias.strip():
        _refuse(source, "model_id")
    return _Uri(name=name, alias=alias)


def _is_local(source: str) -> bool:
    parsed = urlparse(source)
    host = parsed.hostname or ""
    elsewhere = bool(host) and host != "." and not host.startswith(("localhost", "127.0.0.1"))
    if parsed.scheme == "file" and elsewhere:
        raise invalid(f"{source} is not a valid remote uri.")
    return parsed.scheme in ("", "file")


def _require_straight(source: str) -> None:
    """Raises for an address that leads out of itself (``..``, encoded however often)."""
    text = source
    while (plain := unquote_plus(text)) != text:
        text = plain
    path = re.sub(r"/+", "/", urlparse(text).path.rstrip("/"))
    if "\0" in path or ".." in text.split("/") or posixpath.normpath(path) != path:
        raise invalid(
            f"Invalid model version source: '{source}'. If supplying a source as an http, https, local file path, ftp, "
            "objectstore, or mlflow-artifacts uri, an absolute path must be provided without relative path references "
            "present. Please provide an absolute path."
        )


def _is_proxy(source: str) -> bool:
    """Whether an address is one of the artifact proxy."""
    scheme, _, parts = _parts(source)
    if scheme == "mlflow-artifacts":
        return True
    places = range(len(parts) - len(_PROXY_ROUTE) + 1)
    return scheme in ("http", "https") and any(
        parts[at : at + len(_PROXY_ROUTE)] == _PROXY_ROUTE for at in places
    )


def _parts(uri: str) -> tuple[str, str, tuple[str, ...]]:
    parsed = urlsplit(uri)
    return (
        parsed.scheme.lower(),
        parsed.netloc.lower(),
        tuple(_plain(part) for part in parsed.path.split("/") if part),
    )


def _plain(text: str) -> str:
    while (plain := unquote(text)) != text:
        text = plain
    return text


def _within(source: str, root: str) -> bool:
    (scheme, host, parts), (root_scheme, root_host, root_parts) = _parts(source), _parts(root)
    return (scheme, host) == (root_scheme, root_host) and parts[: len(root_parts)] == root_parts


def _below(source: str, root: str) -> str:
    return "/".join(_parts(source)[2][len(_parts(root)[2]) :])


def _files(call: Call, run: RunInfo, folder: str) -> list[FileEntry]:
    folder = folder.strip("/")
    return list(_moved(artifacts.under(call, run, f"{folder}/" if folder else ""), folder))


def _moved(files: Iterable[FileEntry], folder: str) -> Iterable[FileEntry]:
    """Files of a folder, by their paths below it."""
    cut = len(folder) + 1 if folder else 0
    for file in files:
        yield FileEntry(path=file.path[cut:], size=file.size, sha256=file.sha256, media_type=file.media_type)


def _refuse(source: str, parameter: str) -> NoReturn:
    raise invalid(
        f"Invalid model version source: '{source}'. The {parameter} request parameter must identify the resource that "
        "contains the source."
    )
