"""Files of traces (``traces.json`` of older clients, attachments of newer ones), below ``<experiment>/traces/<trace>/artifacts/``.

What knows traces is loaded when a file of one is asked for: who only tracks runs does not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from runstone.dialects.mlflow.problem import missing
from runstone.dialects.routing import Call
from runstone.domain.content import StoredFile
from runstone.errors import Missing
from runstone.types import FileEntry, UploadedFile


def named(path: str) -> tuple[str, str] | None:
    """The trace that a path of the proxy is about, and the rest of the path."""
    parts = path.split("/")
    if len(parts) >= 4 and parts[1] == "traces" and parts[3] == "artifacts":
        return parts[2], "/".join(parts[4:])
    return None


def under(call: Call, trace: str, folder: str) -> Iterator[FileEntry]:
    """The files of a trace in a folder, by path."""
    from runstone.dialects.mlflow.genai import infos
    from runstone.domain.traces import recording

    found = infos.get(call, trace)
    for entry in recording.files(call.store, call.ctx, found.trace.name):
        if not folder or entry.path.startswith(f"{folder}/"):
            yield entry


def open_file(call: Call, trace: str, path: str) -> StoredFile:
    """A file of a trace."""
    from runstone.domain.traces import recording

    try:
        return recording.open_file(call.store, call.ctx, trace, path)
    except Missing:
        raise missing(f"No such artifact: '{path}'") from None


def place(call: Call, trace: str, path: str) -> tuple[str, Callable[[UploadedFile], None]]:
    """The namespace that a file of a trace goes into, and what makes it one of the trace's files."""
    from runstone.dialects.mlflow.genai import infos
    from runstone.domain.traces import recording

    found = infos.get(call, trace)

    def keep(taken: UploadedFile) -> None:
        entry = FileEntry(path=path, size=taken.size, sha256=taken.sha256)
        recording.put_file(call.store, call.ctx.without_id(), trace, entry)

    return found.namespace.name, keep


def remove(call: Call, trace: str, path: str) -> None:
    """Deletes a file of a trace, or all that lie in a folder."""
    from runstone.domain.traces import recording

    doomed = [
        entry.path for entry in under(call, trace, "") if not path or f"{entry.path}/".startswith(f"{path}/")
    ]
    if doomed:
        recording.remove_files(call.store, call.ctx, trace, doomed)
