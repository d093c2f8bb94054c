"""The store of this process with all its parts: versions, files and aliases here, the rest in the modules beside this one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from runstone import domain
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import Invalid, Missing
from runstone.library.documents import Documents
from runstone.library.people import People
from runstone.library.projects import Projects
from runstone.library.records import Records
from runstone.library.tracking import Tracking
from runstone.library.upkeep import Progress, Upkeep
from runstone.storage.index import MAP_SIZE
from runstone.types import AliasInfo, AliasStep, FileEntry, Resolved, VersionInfo


class Library(Projects, Documents, Records, Tracking, People, Upkeep):
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
