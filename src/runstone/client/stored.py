"""One file of a version on a server, read in part or whole, each chunk verified before it is answered."""

from __future__ import annotations

import bisect
import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING

from runstone._native.digests import verify_chunks, xet_file_hash
from runstone.client.bringing import Options
from runstone.client.cache import Cache
from runstone.client.fetch import Fetched, fetch_over
from runstone.client.http import Http
from runstone.client.plan import Content, PlannedFile, check_chunks
from runstone.errors import Corrupt

if TYPE_CHECKING:
    from runstone.types import FileEntry, VersionInfo

MAX_CHUNKS = 1 << 30
TRIES = 3


class RemoteFile:
    """A file of a version; the twin of the embedded library's ``StoredFile``. Close it, or use it as a context manager.

    ``etag`` is quoted; ``last_modified`` is in seconds since 1970. :meth:`read` moves the chunks that hold what is asked for;
    :meth:`map` and :meth:`copy_to` go through the shared cache.
    """

    def __init__(self, http: Http, cache: Cache, url: str, entry: FileEntry, version: VersionInfo) -> None:
        self._http, self._cache, self._url = http, cache, url
        self._version = version
        self._content: Content | None = None
        self._fetched: Fetched | None = None
        self._entry = entry
        self.path, self.size, self.sha256 = entry.path, entry.size, entry.sha256
        self.etag = f'"{entry.sha256}"'
        self.last_modified = version.created / 1e6
        self.version, self.version_id = version.name, version.id

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def media_type(self) -> str:
        """As given, or by its name."""
        import mimetypes  # a table that few readers need

        return self._entry.media_type or mimetypes.guess_type(self.path)[0] or "application/octet-stream"

    def chunks(self) -> bytes:
        """The file's chunks, in order, as packed 44-byte records: BLAKE3, xxh3 (u64 LE), length (u32 LE)."""
        return self._described().chunks

    def _described(self) -> Content:
        if self._content is None:
            response = self._http.request("GET", self._url.replace("/files/", "/chunks/", 1))
            records = self._http.body_of(response, MAX_CHUNKS)
            check_chunks(PlannedFile(path=self.path, size=self.size, chunks=records))
            self._content = Content(xet_file_hash(records).hex(), self.size, records)
        return self._content

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes ``start`` to ``stop`` (default: all)."""
        end = self.size if stop is None else min(stop, self.size)
        if start >= end:
            return b""
        content = self._described()
        offsets = content.offsets()
        first = bisect.bisect_right(offsets, start) - 1
        last = bisect.bisect_left(offsets, end)
        data = self._verified(content, first, last, offsets[first], offsets[last])
        return bytes(data[start - offsets[first] : end - offsets[first]])

    def _verified(self, content: Content, first: int, last: int, start: int, stop: int) -> memoryview:
        for _ in range(TRIES):
            headers = {"Range": f"bytes={start}-{stop - 1}"}
            response = self._http.request("GET", self._url, headers=headers)
            data = memoryview(self._http.body_of(response, max(stop - start, self.size)))
            if response.status != 206:
                data = data[start:stop]
            if len(data) == stop - start and verify_chunks(data, content.records(first, last)) < 0:
                return data
        raise Corrupt(
            f"{self.path} of {self.version} came damaged {TRIES} times from {self._http.origin}; "
            "run 'runstone scrub' on the server",
            path=self.path,
        )

    def _here(self) -> Path:
        if self._fetched is None:
            name = self._version.name.replace(":v", "@v")
            self._fetched = fetch_over(
                self._http, self._cache, name, None, Options(path=self.path, stale=False)
            )
        return self._fetched.path / self.path

    def map(self) -> memoryview:
        """The whole file, mapped read-only from the cache that this host's processes share."""
        if not self.size:
            return memoryview(b"")
        with self._here().open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), self.size, mmap.MAP_SHARED, mmap.PROT_READ))

    def copy_to(self, target: str | os.PathLike[str]) -> None:
        """Writes the file; a target that exists is replaced whole, never seen in part."""
        from runstone.client.placing import Target

        path = Path(target).absolute()
        place = Target(path.parent, "copy")
        try:
            place.put(path.name, self._here().resolve())
        finally:
            place.close()

    def close(self) -> None:
        """Lets the file be evicted from the cache; what is mapped stays mapped."""
        if self._fetched is not None:
            self._fetched.release()

    def __enter__(self) -> RemoteFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
