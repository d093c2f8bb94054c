"""The operations of a workload, done on a library in this process."""

from __future__ import annotations

import contextlib
import random
import tempfile
from pathlib import Path
from typing import Any

from runstone.domain import content as files
from runstone.domain.context import Context
from runstone.library import Library
from runstone.types import FileEntry

from .workload import Lane, Op, content


class Embedded:
    """Does operations; ``scratch`` is where folders to put are made."""

    def __init__(self, library: Library, scratch: Path) -> None:
        self._library, self._scratch = library, scratch

    def __call__(self, op: Op) -> Any:
        name = Lane(op["lane"]).name
        once = Library(self._library.store, Context(command_id=bytes.fromhex(op["id"])))
        if op["do"] == "gc":
            return self._library.gc(grace_seconds=0)["deleted"]
        if op["do"] == "alias":
            return once.set_alias(f"{name}@v{op['to']}", op["alias"], expected=op["expected"]).version
        if op["do"] == "delete":
            return once.delete_version(f"{name}@v{op['version']}")
        options: Any = {"metadata": {"op": op["id"]}, "aliases": op["aliases"], "reuse": False}
        if op["way"] == "uploads":
            entries = [self._uploaded(path, content(seed), op["id"]) for path, seed in op["files"].items()]
            return once.commit(name, entries, **options).number
        with self._folder(op) as folder:
            return once.put(name, folder, **options).number

    @contextlib.contextmanager
    def _folder(self, op: Op) -> Any:
        with tempfile.TemporaryDirectory(dir=self._scratch) as home:
            for path, seed in op["files"].items():
                (Path(home) / path).parent.mkdir(parents=True, exist_ok=True)
                (Path(home) / path).write_bytes(content(seed))
            yield Path(home)

    def _uploaded(self, path: str, data: bytes, seed: str) -> FileEntry:
        store, ctx, chance = self._library.store, Context(), random.Random(seed + path)
        upload = files.begin_upload(store, ctx, "local", size=len(data)).id
        at = 0
        while at < len(data):
            at = files.write_upload(store, ctx, upload, at, data[at : at + chance.randint(1, 200_000)])
            if chance.random() < 0.5:
                assert files.pause_upload(store, ctx, upload) == at
        made = files.finish_upload(store, ctx, upload)
        return FileEntry(path=path, size=made.size, sha256=made.sha256)
