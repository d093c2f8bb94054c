"""A read-only file system for fsspec: ``runstone://namespace/project/collection@alias/path``, for pandas, datasets, zarr and others.

Needs ``runstone[fsspec]``. What a name stands for is asked once in the life of a file system object, so that all that is read is of one
version; ``invalidate_cache`` forgets it. Bytes are verified before they are given out; a version that was fetched is read from the cache.
"""

from __future__ import annotations

import bisect
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import fsspec
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from runstone._native.digests import verify_chunks
from runstone.client import names, origin
from runstone.client import plan as plans
from runstone.client.cache import Cache
from runstone.client.http import MSGPACK
from runstone.client.plan import Content, Plan, PlannedFile
from runstone.client.remote import Remote
from runstone.errors import Conflict, Corrupt, Denied, Gone, Invalid, Missing, Unauthenticated

PROTOCOL = "runstone"
MAX_PLAN = 1 << 30
TRIES = 3
_READ_ONLY = "a version never changes: put a new one with runstone put, or Remote.put"


class _Version(NamedTuple):
    plan: Plan
    files: dict[str, PlannedFile]
    directories: dict[str, list[str]]


class RunstoneFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """See the module. ``url``, ``key`` and ``cache`` default to ``RUNSTONE_URL``, ``RUNSTONE_API_KEY`` and ``RUNSTONE_CACHE``."""

    protocol = PROTOCOL
    root_marker = ""

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        cache: str | None = None,
        consumer: str = "",
        **storage: Any,
    ) -> None:
        super().__init__(**storage)
        self._remote = Remote(url, key=key, cache=cache, consumer=consumer)
        weakref.finalize(self, self._remote.close)
        self._cache_directory = cache
        self._versions: dict[str, _Version] = {}

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        text = os.fspath(path)
        return text.removeprefix(f"{PROTOCOL}://").strip("/")

    def unstrip_protocol(self, name: str) -> str:
        """The address of a path."""
        return f"{PROTOCOL}://{self._strip_protocol(name)}"

    def invalidate_cache(self, path: str | None = None) -> None:
        """Forgets what names stood for; with a path, the name in it."""
        if path is None:
            self._versions.clear()
        else:
            self._versions.pop(_split(self._strip_protocol(path))[0], None)
        super().invalidate_cache(path)

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        """What is in a directory: files, collections of a project, projects of a namespace."""
        path = self._strip_protocol(path)
        with _as_os_errors(path):
            found = self._entries(path)
        return found if detail else [entry["name"] for entry in found]

    def _entries(self, path: str) -> list[dict[str, Any]]:
        parts = path.split("/") if path else []
        if not parts:
            return [_directory(each.name) for each in self._remote.namespaces(limit=100_000)]
        if len(parts) == 1:
            return [_directory(each.path) for each in self._remote.projects(path, limit=100_000)]
        if len(parts) == 2:
            return [_directory(each.path) for each in self._remote.collections(path, limit=100_000)]
        name, inner = _split(path)
        version = self._version(name)
        if inner in version.files:
            return [_file(name, version, version.files[inner])]
        if inner and inner not in version.directories:
            raise FileNotFoundError(path)
        return [
            _file(name, version, version.files[each])
            if each in version.files
            else _directory(f"{name}/{each}")
            for each in version.directories.get(inner, [])
        ]

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """What a path is."""
        path = self._strip_protocol(path)
        name, inner = _split(path)
        with _as_os_errors(path):
            if not name or not inner:
                self._entries(path)
                return _directory(path)
            version = self._version(name)
            if inner in version.files:
                return _file(name, version, version.files[inner])
            if inner in version.directories:
                return _directory(path)
        raise FileNotFoundError(path)

    def created(self, path: str) -> datetime:
        """When the version was committed."""
        return datetime.fromtimestamp(self.info(path)["created"], UTC)

    modified = created

    def ukey(self, path: str) -> str:
        """The SHA-256 of a file, which changes when its bytes do."""
        return str(self.info(path)["sha256"])

    checksum = ukey

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        """A file's bytes from ``start`` to ``end``; negative ones count from the end."""
        path = self._strip_protocol(path)
        name, inner = _split(path)
        if not inner:
            raise IsADirectoryError(self.info(path)["name"])
        with _as_os_errors(path):
            version = self._version(name)
            file = version.files.get(inner)
            if file is None:
                raise IsADirectoryError(path) if inner in version.directories else FileNotFoundError(path)
            first, last = _bounded(start, 0, file.size), _bounded(end, file.size, file.size)
            return self._read(version, file, first, last) if first < last else b""

    def _open(
        self, path: str, mode: str = "rb", block_size: Any = None, cache_options: Any = None, **options: Any
    ) -> Any:
        if mode != "rb":
            raise OSError(f"{path} cannot be opened for writing: {_READ_ONLY}")
        return RunstoneFile(self, path, mode, block_size or "default", cache_options=cache_options, **options)

    def _version(self, name: str) -> _Version:
        found = self._versions.get(name)
        if found is None:
            parsed = names.parse(name)
            response = self._remote._http.request(
                "GET", f"{names.version_url(parsed)}/plan", headers={"Accept": MSGPACK}
            )
            plan = plans.read(self._remote._http.body_of(response, MAX_PLAN))
            files = {file.path: file for file in plan.files}
            found = self._versions[name] = _Version(plan, files, _directories(files))
        return found

    def _read(self, version: _Version, file: PlannedFile, start: int, stop: int) -> bytes:
        if file.url:
            raise Invalid(f"{file.path} is a reference to {file.url}; its bytes are not held here")
        content = plans.content_of(file)
        here = Cache(self._cache_directory).find(content)
        if here is not None:
            with here.open("rb") as opened:
                return os.pread(opened.fileno(), stop - start, start)
        offsets = content.offsets()
        first = bisect.bisect_right(offsets, start) - 1
        last = bisect.bisect_left(offsets, stop)
        data = self._verified(version, file, content, first, last)
        return bytes(data[start - offsets[first] : stop - offsets[first]])

    def _verified(
        self, version: _Version, file: PlannedFile, content: Content, first: int, last: int
    ) -> memoryview:
        offsets, http = content.offsets(), self._remote._http
        info = version.plan.version
        url = f"{names.version_url(names.parse(info.name.replace(':v', '@v')))}/files/{origin.quote_path(file.path)}"
        begin, end = offsets[first], offsets[last]
        for _ in range(TRIES):
            response = http.request("GET", url, headers={"Range": f"bytes={begin}-{end - 1}"})
            data = memoryview(http.body_of(response, max(end - begin, file.size)))
            if response.status != 206:
                data = data[begin:end]
            if len(data) == end - begin and verify_chunks(data, content.records(first, last)) < 0:
                return data
        raise Corrupt(f"{file.path} of {info.name} came damaged {TRIES} times from {http.origin}")

    def _refuse(self, *args: Any, **options: Any) -> Any:
        raise OSError(_READ_ONLY)

    mkdir = makedirs = rmdir = _rm = rm_file = rm = cp_file = pipe_file = put_file = touch = mv = _refuse


class RunstoneFile(AbstractBufferedFile):  # type: ignore[misc]
    """A file of a version, read through fsspec's own caches."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        return bytes(self.fs.cat_file(self.path, start, end))


def _split(path: str) -> tuple[str, str]:
    """The name of a version (empty above one) and the path in it."""
    parts = path.split("/", 3)
    if len(parts) < 3:
        return "", ""
    return "/".join(parts[:3]), parts[3] if len(parts) == 4 else ""


def _directories(files: dict[str, PlannedFile]) -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = {"": {}}
    for path in sorted(files):
        while path:
            above = path.rpartition("/")[0]
            found.setdefault(above, {})[path] = None
            path = above
    return {directory: list(entries) for directory, entries in found.items()}


def _directory(path: str) -> dict[str, Any]:
    return {"name": path, "size": 0, "type": "directory"}


def _file(name: str, version: _Version, file: PlannedFile) -> dict[str, Any]:
    info = version.plan.version
    return {
        "name": f"{name}/{file.path}",
        "size": file.size,
        "type": "file",
        "sha256": file.sha256,
        "url": file.url,
        "version": info.name,
        "created": info.created / 1e6,
    }


def _bounded(place: int | None, otherwise: int, size: int) -> int:
    if place is None:
        return otherwise
    return max(0, size + place) if place < 0 else min(place, size)


@contextmanager
def _as_os_errors(path: str) -> Iterator[None]:
    """Raises what Python's own files would."""
    try:
        yield
    except (Missing, Gone) as error:
        raise FileNotFoundError(str(error)) from error
    except (Denied, Unauthenticated) as error:
        raise PermissionError(str(error)) from error
    except (Conflict, Invalid) as error:
        raise OSError(f"{path}: {error}") from error


def register() -> None:
    """Makes ``runstone://`` known to fsspec where the entry point of the package is not looked at."""
    fsspec.register_implementation(PROTOCOL, RunstoneFileSystem, clobber=True)
