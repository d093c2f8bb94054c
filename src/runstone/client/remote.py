"""The remote twin of the embedded library: a server's store, with the same methods over HTTP."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from runstone import folders
from runstone.client.calls import API, MAX_PAGE, Named
from runstone.client.fetch import Fetched, Options, fetch_over
from runstone.client.http import problem
from runstone.client.origin import query, quote, quote_path
from runstone.client.plan import is_safe
from runstone.client.response import Response
from runstone.client.stored import RemoteFile
from runstone.client.tracking import RemoteTracking
from runstone.client.upload import Uploads
from runstone.errors import Broken, Invalid, Missing
from runstone.types import (
    AliasInfo,
    AliasStep,
    CollectionInfo,
    DamageInfo,
    FileEntry,
    KeyInfo,
    LineageGraph,
    LogRecord,
    MemberInfo,
    NamespaceInfo,
    NewKey,
    PageOf,
    ProjectInfo,
    Resolved,
    UserInfo,
    VersionInfo,
)

Progress = Callable[[int, int], None]
T = TypeVar("T")

MAX_LINE = 64 << 20
#: Long work may say nothing for long; a server that is gone is noticed by its connection.
WORK_SECONDS = 24 * 3600.0


class _Fields(msgspec.Struct):
    fields: dict[str, str]


class _At(msgspec.Struct):
    version: int


class _Vkey(msgspec.Struct):
    vkey: str


class Remote(RemoteTracking):
    """A server's store; safe from threads. Every method raises the errors of :mod:`runstone.errors`, as the embedded library does.

    ``url`` and ``key`` default to ``RUNSTONE_URL`` and ``RUNSTONE_API_KEY``. A write carries an idempotency key, so that one that is
    repeated after a broken connection is done once. Close it, or use it as a context manager.

    One method of the embedded library is missing on purpose: a backup holds the store's keys, so it is made where the data is.
    """

    # Versions and files

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
        change = {"description": description, "tags": _listed(tags), "expires": expires, "hold": hold}
        return self._send("PATCH", self._version(name), VersionInfo, change, reason)

    def delete_version(self, name: str, *, with_aliases: bool = False, reason: str = "") -> None:
        """Deletes a version; its number is never given again."""
        asked = query(with_aliases=with_aliases or None)
        self._send("DELETE", self._version(name) + asked, NoneType, reason=reason)

    # Aliases

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

    # Collections and projects

    def create_collection(
        self,
        name: str,
        *,
        type: str = "model",
        description: str = "",
        tags: Iterable[str] = (),
        metadata: Any = None,
        exist_ok: bool = False,
    ) -> CollectionInfo:
        """Makes a collection in a project."""
        parsed = self._name(name)
        value = {
            "name": parsed.collection,
            "type": type,
            "description": description,
            "tags": list(tags),
            "metadata": metadata,
            "exist_ok": exist_ok,
        }
        path = f"{self._project(f'{parsed.namespace}/{parsed.project}')}/collections"
        return self._send("POST", path, CollectionInfo, value)

    def update_collection(
        self,
        name: str,
        *,
        new_name: str | None = None,
        project: str | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        metadata: Any = None,
        reason: str = "",
    ) -> CollectionInfo:
        """Changes, renames or moves a collection."""
        change = {
            "name": new_name,
            "project": project,
            "description": description,
            "tags": _listed(tags),
            "metadata": metadata,
        }
        return self._send("PATCH", self._collection(name), CollectionInfo, change, reason)

    def delete_collection(self, name: str, *, reason: str = "") -> None:
        """Removes a collection whose versions have all been deleted."""
        self._send("DELETE", self._collection(name), NoneType, reason=reason)

    def collection(self, name: str) -> CollectionInfo:
        """A collection by name."""
        return self._get(self._collection(name), CollectionInfo)

    def collections(
        self, project: str, *, type: str = "", after: str = "", limit: int = 100
    ) -> list[CollectionInfo]:
        """The collections of a project by name."""
        path = f"{self._project(project)}/collections"
        return self._list(path, CollectionInfo, limit, type=type or None, after=after or None)

    def create_project(
        self,
        name: str,
        *,
        kind: str = "project",
        description: str = "",
        tags: Iterable[str] = (),
        visibility: str = "private",
        exist_ok: bool = False,
    ) -> ProjectInfo:
        """Makes a project, or a registry."""
        namespace, project = self._project_parts(name)
        value = {
            "name": project,
            "kind": kind,
            "description": description,
            "tags": list(tags),
            "visibility": visibility,
            "exist_ok": exist_ok,
        }
        return self._send("POST", f"{API}/namespaces/{quote(namespace)}/projects", ProjectInfo, value)

    def update_project(
        self,
        name: str,
        *,
        new_name: str | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        visibility: str | None = None,
        reason: str = "",
    ) -> ProjectInfo:
        """Changes a project."""
        change = {
            "name": new_name,
            "description": description,
            "tags": _listed(tags),
            "visibility": visibility,
        }
        return self._send("PATCH", self._project(name), ProjectInfo, change, reason)

    def delete_project(self, name: str, *, reason: str = "") -> None:
        """Removes a project that holds nothing."""
        self._send("DELETE", self._project(name), NoneType, reason=reason)

    def project(self, name: str) -> ProjectInfo:
        """A project by name."""
        return self._get(self._project(name), ProjectInfo)

    def projects(self, namespace: str = "", *, after: str = "", limit: int = 100) -> list[ProjectInfo]:
        """The projects of a namespace (one's own by default) by name."""
        path = f"{API}/namespaces/{quote(namespace or self._own_namespace())}/projects"
        return self._list(path, ProjectInfo, limit, after=after or None)

    def set_field_class(self, project: str, field: str, name: str) -> None:
        """Classes a metadata field of a project: public, internal, confidential, pii, phi or secret."""
        self._send("PUT", f"{self._project(project)}/fields/{quote(field)}", _Fields, {"class": name})

    def field_classes(self, project: str) -> dict[str, str]:
        """The classes of a project's metadata fields."""
        return self._get(f"{self._project(project)}/fields", _Fields).fields

    # Lineage and history

    def link(self, source: str, relation: str, target: str) -> None:
        """Adds a lineage edge; ends are version names, or ``run:``, ``consumer:`` or ``external:`` and a name."""
        edge = {"source": source, "relation": relation, "target": target}
        self._send("POST", f"{API}/lineage", NoneType, edge)

    def lineage(
        self,
        name: str,
        *,
        direction: Literal["upstream", "downstream", "both"] = "both",
        depth: int = 100,
        limit: int = 1000,
    ) -> LineageGraph:
        """Everything upstream, downstream or both of a version or node."""
        asked = query(name=name, direction=direction, depth=depth, limit=limit)
        return self._get(f"{API}/lineage{asked}", LineageGraph)

    def history(self, name: str, *, after: int = -1, limit: int = 100) -> list[LogRecord]:
        """Every change of a version, collection or project, from the first."""
        return self._list(f"{API}/history", LogRecord, limit, name=name, after=after if after >= 0 else None)

    def log(self, *, start: int = 0, limit: int = 100) -> list[LogRecord]:
        """The whole log from an entry on."""
        found: list[LogRecord] = []
        while len(found) < limit:
            asked = query(start=start, limit=min(limit - len(found), MAX_PAGE))
            page = self._get(f"{API}/log{asked}", PageOf)
            found += msgspec.convert(page.items, list[LogRecord])
            if not page.next:
                break
            start = int(page.next)
        return found

    def proof(self, name: str, alias: str = "") -> dict[str, Any]:
        """A bundle that proves an alias's history, or every change of an object, to whoever has :meth:`log_key`."""
        if alias:
            return self._get(f"{self._alias(name, alias)}/proof", dict[str, Any])
        return self._get(f"{API}/proof{query(name=name)}", dict[str, Any])

    def checkpoint(self) -> str:
        """A signed checkpoint of the log as it stands."""
        return self._http.body_of(self._http.request("GET", f"{API}/log/checkpoint")).decode()

    def log_key(self) -> str:
        """The key that verifies checkpoints and proofs."""
        return self._get(f"{API}/log/key", _Vkey).vkey

    # Who

    def whoami(self) -> UserInfo:
        """The principal."""
        return self.user(self._get(f"{API}/whoami", Named).name)

    def create_user(
        self, name: str, *, kind: str = "person", admin: bool = False, email: str = "", full_name: str = ""
    ) -> UserInfo:
        """Makes a user with a namespace of its own."""
        value = {"name": name, "kind": kind, "admin": admin, "email": email, "full_name": full_name}
        return self._send("POST", f"{API}/users", UserInfo, value)

    def update_user(
        self,
        name: str,
        *,
        admin: bool | None = None,
        disabled: bool | None = None,
        email: str | None = None,
        full_name: str | None = None,
    ) -> UserInfo:
        """Changes a user; a disabled one's keys are refused."""
        change = {"admin": admin, "disabled": disabled, "email": email, "full_name": full_name}
        return self._send("PATCH", f"{API}/users/{quote(name)}", UserInfo, change)

    def user(self, name: str) -> UserInfo:
        """A user by name."""
        return self._get(f"{API}/users/{quote(name)}", UserInfo)

    def users(self, *, after: str = "", limit: int = 100) -> list[UserInfo]:
        """Users by name."""
        return self._list(f"{API}/users", UserInfo, limit, after=after or None)

    def create_namespace(
        self, name: str, *, kind: str = "team", description: str = "", region: str = ""
    ) -> NamespaceInfo:
        """Makes a team or organisation."""
        value = {"name": name, "kind": kind, "description": description, "region": region}
        return self._send("POST", f"{API}/namespaces", NamespaceInfo, value)

    def namespace(self, name: str) -> NamespaceInfo:
        """A namespace by name."""
        return self._get(f"{API}/namespaces/{quote(name)}", NamespaceInfo)

    def namespaces(self, *, after: str = "", limit: int = 100) -> list[NamespaceInfo]:
        """The namespaces that one may read, by name."""
        return self._list(f"{API}/namespaces", NamespaceInfo, limit, after=after or None)

    def set_member(self, namespace: str, user: str, role: str, *, classes: Iterable[str] = ()) -> MemberInfo:
        """Gives a user a role (reader, member, owner) in a namespace, and field classes other than the role's usual ones."""
        value = {"role": role, "classes": list(classes)}
        return self._send(
            "PUT", f"{API}/namespaces/{quote(namespace)}/members/{quote(user)}", MemberInfo, value
        )

    def remove_member(self, namespace: str, user: str) -> None:
        """Takes a user's role in a namespace away."""
        self._send("DELETE", f"{API}/namespaces/{quote(namespace)}/members/{quote(user)}", NoneType)

    def members(self, namespace: str) -> list[MemberInfo]:
        """Who belongs to a namespace."""
        page = self._get(f"{API}/namespaces/{quote(namespace)}/members", PageOf)
        return msgspec.convert(page.items, list[MemberInfo])

    def create_key(self, user: str, name: str, *, expires: int = 0, role: str = "") -> NewKey:
        """Makes an API key; it is shown this once."""
        value = {"name": name, "expires": expires, "role": role}
        return self._send("POST", f"{API}/users/{quote(user)}/keys", NewKey, value)

    def revoke_key(self, key_id: int) -> None:
        """Ends an API key at once."""
        self._send("DELETE", f"{API}/keys/{key_id}", NoneType)

    def keys(self, user: str) -> list[KeyInfo]:
        """A user's keys, oldest first."""
        return msgspec.convert(self._get(f"{API}/users/{quote(user)}/keys", PageOf).items, list[KeyInfo])

    # Keeping it well

    def verify(self, *, progress: Progress | None = None) -> dict[str, Any]:
        """Checks the index against the log; where the log stands. Raises :class:`Corrupt` naming what fails."""
        return self._work(f"{API}/verify", {}, progress)

    def scrub(self, *, deep: bool = False, progress: Progress | None = None) -> dict[str, Any]:
        """Reads every stored byte and withdraws what is damaged; what was found."""
        return self._work(f"{API}/admin/scrub", {"deep": deep}, progress)

    def damages(self) -> list[DamageInfo]:
        """Every damaged stretch that is known."""
        return self._list(f"{API}/damages", DamageInfo, 1 << 30)

    def gc(self, *, grace_seconds: float = 24 * 3600) -> dict[str, Any]:
        """Frees bytes that nothing refers to; what was marked and freed."""
        return self._work(f"{API}/admin/gc", {"grace_seconds": grace_seconds}, None)

    def _work(self, path: str, value: Any, progress: Progress | None) -> dict[str, Any]:
        """Long work: a JSON value a line, the last of them the report, or the error that ended it."""
        http = self._http.sibling(WORK_SECONDS)
        try:
            headers = {"Content-Type": "application/json"}
            response = http.request("POST", path, headers=headers, body=msgspec.json.encode(value))
            try:
                return self._report(response, progress)
            finally:
                http.give_back(response)
        finally:
            http.close()

    def _report(self, response: Response, progress: Progress | None) -> dict[str, Any]:
        for line in response.lines(MAX_LINE):
            told = _decoded(line)
            if "report" in told:
                return dict(told["report"])
            if "error" in told:
                raise problem(500, msgspec.json.encode(told["error"]), f"{self._http.origin} could not do it")
            if progress:
                progress(told.get("done", 0), told.get("total", 0))
        raise Broken(f"{self._http.origin} ended its answer before the report")


NoneType = type(None)


def _storable(path: str) -> str:
    if not is_safe(path):
        raise Invalid(f"{path!r} is a name that a version cannot hold; rename the file")
    return path


def _listed(values: Iterable[str] | None) -> list[str] | None:
    return None if values is None else list(values)


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Broken(f"a line of the answer cannot be read: {error}") from None
