"""The remote twin of the embedded library: a server's store, with the same methods over HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from runstone import folders
from runstone.client.bringing import Options
from runstone.client.calls import API, NoneType, listed
from runstone.client.documents import Documents
from runstone.client.fetch import Fetched, fetch_over
from runstone.client.origin import query, quote, quote_path
from runstone.client.people import People
from runstone.client.plan import is_safe
from runstone.client.projects import Projects
from runstone.client.records import Records
from runstone.client.stored import RemoteFile
from runstone.client.tracking import RemoteTracking
from runstone.client.upkeep import Progress, Upkeep
from runstone.client.upload import Uploads
from runstone.errors import Invalid, Missing
from runstone.types import AliasInfo, AliasStep, FileEntry, Resolved, VersionInfo


class _At(msgspec.Struct):
    version: int


class Remote(Projects, Documents, Records, RemoteTracking, People, Upkeep):
    """A server's store; safe from threads. Every method raises the errors of :mod:`runstone.errors`, as the embedded library does.

    ``url`` and ``key`` default to ``RUNSTONE_URL`` and ``RUNSTONE_API_KEY``; of several addresses of one store, the first that can be
    connected to is asked. A write carries an idempotency key, so that one that is repeated after a broken connection is done once. Close
    it, or use it as a context manager.

    One method of the embedded library is missing on purpose: a backup holds the store's keys, so it is made where the data is.
    """

    def put(
        self,
        name: str,
        source: str | os.PathLike[str] | None = None,
        *,
        files: Iterable[FileEntry] = (),
        type: str = "model",
        metadata: Any = None,
        description: str = "",
        tags: Iterable[str] = (),
        aliases: Iterable[str] = (),
        expires: int = 0,
        reuse: bool = True,
        progress: Progress | None = None,
    ) -> VersionInfo:
        """Stores a folder (or a file) as a new version of a collection; makes project and collection where missing.

        Files are streamed, several at a time; an upload that broke off goes on where it stopped, also from another process.
        ``files`` adds entries that need no upload. With ``reuse``, content and metadata equal to a live version's answer that version.
        """
        parsed = self._name(name)
        if parsed.version:
            raise Invalid(
                f"{name!r} names a version; put to the collection, and the version gets the next number"
            )
        found = folders.find(Path(source), _storable) if source is not None else []
        self.create_project(f"{parsed.namespace}/{parsed.project}", exist_ok=True)
        self.create_collection(str(parsed), type=type, exist_ok=True)
        http = self._http.sibling()
        try:
            uploads = Uploads(http, parsed.namespace, self._cache().directory / "uploads", progress)
            entries = [*files, *uploads.send(found)]
        finally:
            http.close()
        version = self.commit(
            str(parsed),
            entries,
            metadata=metadata,
            description=description,
            tags=tags,
            aliases=aliases,
            expires=expires,
            reuse=reuse,
        )
        uploads.forget()
        return version

    def get(
        self, name: str, target: str | os.PathLike[str], *, prefix: str = "", progress: Progress | None = None
    ) -> Path:
        """Writes a version's files below a directory; each is verified before it is written. The directory.

        References to bytes elsewhere are left out. See :meth:`fetch` for more ways.
        """
        options = Options(prefix=prefix, link="copy", progress=progress, stale=False)
        fetched = fetch_over(self._http, self._cache(), str(self._name(name)), target, options)
        return Path(target) if fetched.path.samefile(target) else fetched.path

    def fetch(self, name: str, target: str | os.PathLike[str] | None = None, **options: Any) -> Fetched:
        """Brings a version's files to this host; see :func:`runstone.client.fetch.fetch` for the options."""
        return fetch_over(self._http, self._cache(), str(self._name(name)), target, Options(**options))

    def open_file(self, name: str, path: str) -> RemoteFile:
        """A file of a version, to read, to read in part, or to map."""
        version = self.version(name)
        pinned = f"{version.collection}@v{version.number}"
        entry = next((file for file in self.files(pinned, prefix=path, limit=1) if file.path == path), None)
        if entry is None:
            raise Missing(f"the version has no file {path!r}")
        if entry.url:
            raise Invalid(
                f"{path} of {version.name} is a reference to {entry.url}; its bytes are not held here",
                url=entry.url,
                etag=entry.etag,
            )
        url = f"{self._version(pinned)}/files/{quote_path(path)}"
        return RemoteFile(self._http, self._cache(), url, entry, version)

    def resolve(self, name: str) -> Resolved:
        """What a name stands for now."""
        parsed = self._name(name)
        parts = (parsed.namespace, parsed.project, parsed.collection, parsed.version or "latest")
        return self._get(f"{API}/resolve/" + "/".join(quote(part) for part in parts), Resolved)

    def version(self, name: str) -> VersionInfo:
        """A version, by alias or number, in whatever state it is."""
        return self._get(self._version(name), VersionInfo)

    def versions(self, name: str, *, before: int = 0, limit: int = 100) -> list[VersionInfo]:
        """A collection's versions, newest first, from just below number ``before``."""
        return self._list(f"{self._collection(name)}/versions", VersionInfo, limit, after=before or None)

    def files(self, name: str, *, prefix: str = "", after: str = "", limit: int = 250_000) -> list[FileEntry]:
        """A version's files by path."""
        return self._list(
            f"{self._version(name)}/files", FileEntry, limit, prefix=prefix or None, after=after or None
        )

    def commit(
        self,
        name: str,
        files: Iterable[FileEntry],
        *,
        metadata: Any = None,
        description: str = "",
        tags: Iterable[str] = (),
        aliases: Iterable[str] = (),
        expires: int = 0,
        reuse: bool = True,
    ) -> VersionInfo:
        """Makes a version of files whose bytes are there already, or elsewhere."""
        if self._name(name).version:
            raise Invalid(
                f"{name!r} names a version; a new version is put to a collection and gets the next number"
            )
        value = {
            "files": list(files),
            "metadata": metadata,
            "description": description,
            "tags": list(tags),
            "aliases": list(aliases),
            "expires": expires,
            "reuse": reuse,
        }
        return self._send("POST", f"{self._collection(name)}/versions", VersionInfo, value)

    def update_version(
        self,
        name: str,
        *,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        expires: int | None = None,
        hold: str | None = None,
        reason: str = "",
    ) -> VersionInfo:
        """Changes a version's description, tags, expiry (microseconds, 0: never) or legal hold (empty: none)."""
        change = {"description": description, "tags": listed(tags), "expires": expires, "hold": hold}
        return self._send("PATCH", self._version(name), VersionInfo, change, reason)

    def delete_version(self, name: str, *, with_aliases: bool = False, reason: str = "") -> None:
        """Deletes a version; its number is never given again."""
        asked = query(with_aliases=with_aliases or None)
        self._send("DELETE", self._version(name) + asked, NoneType, reason=reason)

    def set_alias(
        self,
        name: str,
        alias: str,
        *,
        expected: int | None = None,
        fallback: bool | None = None,
        reason: str = "",
    ) -> AliasInfo:
        """Points an alias at a version (``collection@v3``); with ``expected``, only if it points there now (0: nowhere)."""
        version = self._name(name).version
        if not version:
            raise Invalid(
                f"{name!r} names a collection; say which version {alias} shall point at, as in {name}@v1"
            )
        move = {"version": version, "expected": expected, "fallback": fallback}
        return self._send("PUT", self._alias(name, alias), AliasInfo, move, reason)

    def delete_alias(self, name: str, alias: str, *, expected: int | None = None, reason: str = "") -> None:
        """Takes an alias away; its history stays."""
        self._send("DELETE", self._alias(name, alias) + query(expected=expected), NoneType, reason=reason)

    def alias(self, name: str, alias: str) -> AliasInfo:
        """Where an alias points."""
        return self._get(self._alias(name, alias), AliasInfo)

    def aliases(self, name: str, *, after: str = "", limit: int = 1000) -> list[AliasInfo]:
        """A collection's aliases by name."""
        return self._list(f"{self._collection(name)}/aliases", AliasInfo, limit, after=after or None)

    def alias_history(self, name: str, alias: str, *, after: int = -1, limit: int = 1000) -> list[AliasStep]:
        """Every step of an alias, from the first."""
        return self._list(
            f"{self._alias(name, alias)}/history", AliasStep, limit, after=after if after >= 0 else None
        )

    def alias_at(self, name: str, alias: str, *, seq: int | None = None, time: int | None = None) -> int:
        """The version that an alias pointed at after log entry ``seq``, or at a ``time``; 0 for none."""
        return self._get(f"{self._alias(name, alias)}/at" + query(seq=seq, time=time), _At).version


def _storable(path: str) -> str:
    if not is_safe(path):
        raise Invalid(f"{path!r} is a name that a version cannot hold; rename the file")
    return path
