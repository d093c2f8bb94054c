"""The embedded library: a data directory opened in this process, with no server at all.

Names are ``namespace/project/collection``, with ``@alias`` or ``:v3`` for a version; without a namespace, one's own (``local``).
:class:`runstone.client.remote.Remote` has the same methods over HTTP.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from runstone import domain
from runstone.documents import Documents
from runstone.domain import limits
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import Invalid, Missing
from runstone.storage.index import MAP_SIZE
from runstone.tracking import Tracking
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
    ProjectInfo,
    Resolved,
    UserInfo,
    VersionInfo,
)

Progress = Callable[[int, int], None]


class Library(Tracking, Documents):
    """A store opened in-process, by its owner. Safe from threads; several processes may open one directory.

    Every method raises the errors of :mod:`runstone.errors`. Close it, or use it as a context manager.
    """

    def __init__(self, store: Store, ctx: Context | None = None) -> None:
        self.store = store
        self.ctx = ctx or Context()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the store."""
        self.store.close()

    def _with(self, reason: str) -> Context:
        return replace(self.ctx, reason=reason) if reason else self.ctx

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

        ``files`` adds entries that need no upload: references to bytes elsewhere, or bytes that are here already.
        With ``reuse``, content and metadata equal to a live version's answer that version.
        """
        parsed = domain.names.parse(self.ctx, name)
        if parsed.version:
            raise Invalid(
                f"{name!r} names a version; put to the collection, and the version gets the next number"
            )
        self._make_collection(parsed, type)
        entries = list(files)
        if source is not None:
            found = domain.content.found_in_folder(Path(source))
            entries += domain.content.put_files(self.store, self.ctx, parsed.namespace, found, progress)
        return domain.versions.commit(
            self.store,
            self.ctx,
            str(parsed),
            entries,
            metadata=metadata,
            description=description,
            tags=tuple(tags),
            aliases=tuple(aliases),
            expires=expires,
            reuse=reuse,
        )

    def _make_collection(self, name: domain.names.Name, type: str) -> None:
        project = f"{name.namespace}/{name.project}"
        try:
            domain.projects.get(self.store, self.ctx, project)
        except Missing:
            domain.projects.create(self.store, self.ctx, project, exist_ok=True)
        try:
            domain.collections.get(self.store, self.ctx, str(name))
        except Missing:
            domain.collections.create(self.store, self.ctx, str(name), type=type, exist_ok=True)

    def get(
        self, name: str, target: str | os.PathLike[str], *, prefix: str = "", progress: Progress | None = None
    ) -> Path:
        """Writes a version's files below a directory; each is verified before it is written. The directory.

        References to bytes elsewhere are left out.
        """
        # An alias may move meanwhile, and files of two versions are none.
        resolved = self.resolve(name)
        name = f"{resolved.collection}@v{resolved.version}"
        wanted = [file for file in self.files(name, prefix=prefix) if not file.url]
        root, done, total = Path(target), 0, sum(file.size for file in wanted)
        for file in wanted:
            path = root / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with self.open_file(name, file.path) as stored:
                stored.copy_to(path)
            done += file.size
            if progress:
                progress(done, total)
        return root

    def open_file(self, name: str, path: str) -> domain.content.StoredFile:
        """A file of a version, to read, to read in part, or to map."""
        return domain.content.open_file(self.store, self.ctx, name, path)

    def resolve(self, name: str) -> Resolved:
        """What a name stands for now."""
        return domain.versions.resolve(self.store, self.ctx, name)

    def version(self, name: str) -> VersionInfo:
        """A version, by alias or number, in whatever state it is."""
        return domain.versions.get(self.store, self.ctx, name)

    def versions(self, name: str, *, before: int = 0, limit: int = 100) -> list[VersionInfo]:
        """A collection's versions, newest first, from just below number ``before``."""
        return domain.versions.list_versions(self.store, self.ctx, name, before=before, limit=limit)

    def files(self, name: str, *, prefix: str = "", after: str = "", limit: int = 250_000) -> list[FileEntry]:
        """A version's files by path."""
        return domain.versions.files(self.store, self.ctx, name, prefix=prefix, after=after, limit=limit)

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
        """Makes a version of files whose bytes are here already, or elsewhere."""
        return domain.versions.commit(
            self.store,
            self.ctx,
            name,
            files,
            metadata=metadata,
            description=description,
            tags=tuple(tags),
            aliases=tuple(aliases),
            expires=expires,
            reuse=reuse,
        )

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
        return domain.versions.update(
            self.store,
            self._with(reason),
            name,
            description=description,
            tags=None if tags is None else tuple(tags),
            expires=expires,
            hold=hold,
        )

    def delete_version(self, name: str, *, with_aliases: bool = False, reason: str = "") -> None:
        """Deletes a version; its number is never given again."""
        domain.versions.delete(self.store, self._with(reason), name, with_aliases=with_aliases)

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
        return domain.aliases.move(
            self.store, self._with(reason), name, alias, expected=expected, fallback=fallback
        )

    def delete_alias(self, name: str, alias: str, *, expected: int | None = None, reason: str = "") -> None:
        """Takes an alias away; its history stays."""
        domain.aliases.delete(self.store, self._with(reason), name, alias, expected=expected)

    def alias(self, name: str, alias: str) -> AliasInfo:
        """Where an alias points."""
        return domain.aliases.get(self.store, self.ctx, name, alias)

    def aliases(self, name: str, *, after: str = "", limit: int = 1000) -> list[AliasInfo]:
        """A collection's aliases by name."""
        return domain.aliases.list_aliases(self.store, self.ctx, name, after, limit)

    def alias_history(self, name: str, alias: str, *, after: int = -1, limit: int = 1000) -> list[AliasStep]:
        """Every step of an alias, from the first."""
        return domain.aliases.history(self.store, self.ctx, name, alias, after=after, limit=limit)

    def alias_at(self, name: str, alias: str, *, seq: int | None = None, time: int | None = None) -> int:
        """The version that an alias pointed at after log entry ``seq``, or at a ``time``; 0 for none."""
        return domain.aliases.at(self.store, self.ctx, name, alias, seq=seq, time=time)

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
        return domain.collections.create(
            self.store,
            self.ctx,
            name,
            type=type,
            description=description,
            tags=tuple(tags),
            metadata=metadata,
            exist_ok=exist_ok,
        )

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
        return domain.collections.update(
            self.store,
            self._with(reason),
            name,
            new_name=new_name,
            project=project,
            description=description,
            tags=None if tags is None else tuple(tags),
            metadata=metadata,
        )

    def delete_collection(self, name: str, *, reason: str = "") -> None:
        """Removes a collection whose versions have all been deleted."""
        domain.collections.delete(self.store, self._with(reason), name)

    def collection(self, name: str) -> CollectionInfo:
        """A collection by name."""
        return domain.collections.get(self.store, self.ctx, name)

    def collections(
        self, project: str, *, type: str = "", after: str = "", limit: int = 100
    ) -> list[CollectionInfo]:
        """The collections of a project by name."""
        return domain.collections.list_collections(
            self.store, self.ctx, project, type=type, after=after, limit=limit
        )

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
        return domain.projects.create(
            self.store,
            self.ctx,
            name,
            kind=kind,
            description=description,
            tags=tuple(tags),
            visibility=visibility,
            exist_ok=exist_ok,
        )

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
        return domain.projects.update(
            self.store,
            self._with(reason),
            name,
            new_name=new_name,
            description=description,
            tags=None if tags is None else tuple(tags),
            visibility=visibility,
        )

    def delete_project(self, name: str, *, reason: str = "") -> None:
        """Removes a project that holds nothing."""
        domain.projects.delete(self.store, self._with(reason), name)

    def project(self, name: str) -> ProjectInfo:
        """A project by name."""
        return domain.projects.get(self.store, self.ctx, name)

    def projects(self, namespace: str = "", *, after: str = "", limit: int = 100) -> list[ProjectInfo]:
        """The projects of a namespace (one's own by default) by name."""
        return domain.projects.list_projects(
            self.store, self.ctx, namespace or domain.names.own_namespace(self.ctx), after, limit
        )

    def set_field_class(self, project: str, field: str, name: str) -> None:
        """Classes a metadata field of a project: public, internal, confidential, pii, phi or secret."""
        domain.fields.set_class(self.store, self.ctx, project, field, name)

    def field_classes(self, project: str) -> dict[str, str]:
        """The classes of a project's metadata fields."""
        return domain.fields.classes(self.store, self.ctx, project)

    # Lineage and history

    def link(self, source: str, relation: str, target: str) -> None:
        """Adds a lineage edge; ends are version names, or ``run:``, ``consumer:`` or ``external:`` and a name."""
        domain.lineage.link(self.store, self.ctx, source, relation, target)

    def lineage(
        self, name: str, *, direction: domain.lineage.Direction = "both", depth: int = 100, limit: int = 1000
    ) -> LineageGraph:
        """Everything upstream, downstream or both of a version or node."""
        return domain.lineage.closure(
            self.store, self.ctx, name, direction=direction, depth=depth, limit=limit
        )

    def history(self, name: str, *, after: int = -1, limit: int = 100) -> list[LogRecord]:
        """Every change of a version, collection or project, from the first."""
        return domain.audit.history(self.store, self.ctx, name, after=after, limit=limit)

    def log(self, *, start: int = 0, limit: int = 100) -> list[LogRecord]:
        """The whole log from an entry on."""
        return domain.audit.log(self.store, self.ctx, start=start, limit=limit)

    def proof(self, name: str, alias: str = "") -> dict[str, Any]:
        """A bundle that proves an alias's history, or every change of an object, to whoever has :meth:`log_key`."""
        if alias:
            return domain.audit.prove_alias(self.store, self.ctx, name, alias)
        return domain.audit.prove_object(self.store, self.ctx, name)

    def checkpoint(self) -> str:
        """A signed checkpoint of the log as it stands."""
        return domain.audit.checkpoint(self.store, self.ctx).decode()

    def log_key(self) -> str:
        """The key that verifies checkpoints and proofs."""
        return domain.audit.verifier_key(self.store, self.ctx)

    # Who

    def whoami(self) -> UserInfo:
        """The principal."""
        return domain.accounts.get_user(self.store, self.ctx, self.ctx.principal.name)

    def create_user(
        self, name: str, *, kind: str = "person", admin: bool = False, email: str = "", full_name: str = ""
    ) -> UserInfo:
        """Makes a user with a namespace of its own."""
        return domain.accounts.create_user(
            self.store, self.ctx, name, kind=kind, admin=admin, email=email, full_name=full_name
        )

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
        return domain.accounts.update_user(
            self.store, self.ctx, name, admin=admin, disabled=disabled, email=email, full_name=full_name
        )

    def user(self, name: str) -> UserInfo:
        """A user by name."""
        return domain.accounts.get_user(self.store, self.ctx, name)

    def users(self, *, after: str = "", limit: int = 100) -> list[UserInfo]:
        """Users by name."""
        return domain.accounts.users(self.store, self.ctx, after, limit)

    def create_namespace(
        self, name: str, *, kind: str = "team", description: str = "", region: str = ""
    ) -> NamespaceInfo:
        """Makes a team or organisation."""
        return domain.accounts.create_namespace(
            self.store, self.ctx, name, kind=kind, description=description, region=region
        )

    def namespace(self, name: str) -> NamespaceInfo:
        """A namespace by name."""
        return domain.accounts.get_namespace(self.store, self.ctx, name)

    def namespaces(self, *, after: str = "", limit: int = 100) -> list[NamespaceInfo]:
        """The namespaces that one may read, by name."""
        return domain.accounts.namespaces(self.store, self.ctx, after, limit)

    def set_member(self, namespace: str, user: str, role: str, *, classes: Iterable[str] = ()) -> MemberInfo:
        """Gives a user a role (reader, member, owner) in a namespace, and field classes other than the role's usual ones."""
        return domain.accounts.set_member(self.store, self.ctx, namespace, user, role, tuple(classes))

    def remove_member(self, namespace: str, user: str) -> None:
        """Takes a user's role in a namespace away."""
        domain.accounts.remove_member(self.store, self.ctx, namespace, user)

    def members(self, namespace: str) -> list[MemberInfo]:
        """Who belongs to a namespace."""
        return domain.accounts.members(self.store, self.ctx, namespace)

    def create_key(self, user: str, name: str, *, expires: int = 0, role: str = "") -> NewKey:
        """Makes an API key; it is shown this once."""
        return domain.keys.create(self.store, self.ctx, user, name, expires=expires, role=role)

    def revoke_key(self, key_id: int) -> None:
        """Ends an API key at once."""
        domain.keys.revoke(self.store, self.ctx, key_id)

    def keys(self, user: str) -> list[KeyInfo]:
        """A user's keys, oldest first."""
        return domain.keys.list_keys(self.store, self.ctx, user)

    # Keeping it well

    def verify(self, *, progress: Progress | None = None) -> dict[str, Any]:
        """Checks the index against the log; where the log stands. Raises :class:`Corrupt` naming what fails."""
        head = domain.maintenance.verify(self.store, self.ctx, progress)
        return {"entries": head.size, "root": head.root.hex(), "state": head.state.hex(), "time": head.time}

    def scrub(self, *, deep: bool = False, progress: Progress | None = None) -> dict[str, Any]:
        """Reads every stored byte and withdraws what is damaged; what was found."""
        return as_json(domain.maintenance.scrub(self.store, self.ctx, deep=deep, progress=progress))

    def damages(self) -> list[DamageInfo]:
        """Every damaged stretch that is known."""
        return domain.integrity.damages(self.store, self.ctx)

    def gc(self, *, grace_seconds: float = limits.DEFAULT_GRACE) -> dict[str, Any]:
        """Frees bytes that nothing refers to; what was marked and freed."""
        return as_json(domain.maintenance.gc(self.store, self.ctx, grace_seconds=grace_seconds))

    def export_project(
        self, project: str, target: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Writes a project into an empty directory as an open bundle; its manifest. Needs ``runstone[sql]``."""
        manifest = domain.bundle.export_project(self.store, self.ctx, project, Path(target), progress)
        return as_json(manifest)

    def import_project(
        self, source: str | os.PathLike[str], project: str = "", *, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Makes a project of an open bundle, by default of the name it had; what came of it. Needs ``runstone[sql]``."""
        return as_json(domain.bundle.import_project(self.store, self.ctx, Path(source), project, progress))

    def backup(self, target: str | os.PathLike[str], *, progress: Progress | None = None) -> dict[str, Any]:
        """Copies the store into a directory from which it can be restored; a second time, only what is new."""
        return as_json(domain.maintenance.backup(self.store, self.ctx, Path(target), progress))


def as_json(value: Any) -> dict[str, Any]:
    """A report (a dataclass or struct) as JSON values, with bytes as hexadecimal text."""
    shown: dict[str, Any] = domain.audit.readable(msgspec.to_builtins(value, builtin_types=(bytes,)))
    return shown


def open_library(
    path: str | os.PathLike[str], *, create: bool = True, readonly: bool = False, map_size: int | None = None
) -> Library:
    """Opens a data directory in this process; see :func:`runstone.open`."""
    store = Store(Path(path), create=create, readonly=readonly, map_size=map_size or MAP_SIZE)
    try:
        if not readonly and not store.log.head().size:
            domain.accounts.bootstrap(store)
    except BaseException:
        store.close()
        raise
    return Library(store)
