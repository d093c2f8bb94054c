"""A file of a run on a server. It is small beside a model's, so it is asked for whole and checked by its SHA-256."""

from __future__ import annotations

import os
from pathlib import Path

from runstone._native.digests import sha256
from runstone.client.http import Http
from runstone.errors import Corrupt
from runstone.types import FileEntry

MAX_FILE = 1 << 31


class RemoteRunFile:
    """A file of a run; the twin of the embedded library's ``StoredFile``. Close it, or use it as a context manager."""

    def __init__(self, http: Http, url: str, entry: FileEntry) -> None:
        self._http, self._url = http, url
        self.path, self.size, self.sha256 = entry.path, entry.size, entry.sha256
        self.etag = f'"{entry.sha256}"'
        self._content: bytes | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes ``start`` to ``stop`` (default: all)."""
        return bytes(self.map()[start : self.size if stop is None else stop])

    def map(self) -> memoryview:
        """The whole file in memory; raises :class:`Corrupt` when it is not what the server says it is."""
        if self._content is None:
            response = self._http.request("GET", self._url)
            content = self._http.body_of(response, min(self.size, MAX_FILE))
            if len(content) != self.size or sha256(content).hex() != self.sha256:
                raise Corrupt(f"{self.path} came damaged from {self._http.origin}; ask again", path=self.path)
            self._content = content
        return memoryview(self._content)

    def copy_to(self, target: str | os.PathLike[str]) -> None:
        """Writes the file; a target that exists is replaced whole, never seen in part."""
        path = Path(target)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            temporary.write_bytes(self.map())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def close(self) -> None:
        """Lets the bytes go."""
        self._content = None

    def __enter__(self) -> RemoteRunFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
