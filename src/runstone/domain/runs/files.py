"""A run's files: saved beside it, by path, with bytes in the store's blobs."""

from __future__ import annotations

from collections.abc import Iterable

from runstone.domain import limits, manifests, versions
from runstone.domain.content import StoredFile, open_entry
from runstone.domain.context import Context
from runstone.domain.runs import finding
from runstone.domain.runs.logging import PutRunFiles, RemoveRunFiles
from runstone.domain.store import Store
from runstone.errors import Invalid, Missing
from runstone.storage.tables import RUN_FILES
from runstone.types import FileEntry

MAX_FILES = 10_000


def put(store: Store, ctx: Context, name: str, files: Iterable[FileEntry]) -> list[FileEntry]:
    """Gives a run files whose bytes are here already, or elsewhere; one of the same path is replaced."""
    entries = manifests.checked(files)
    if not entries or len(entries) > MAX_FILES:
        raise Invalid(f"a run is given 1 to {MAX_FILES} files at a time, not {len(entries)}")
    needed = manifests.held(entries)
    with store.index.read() as view:
        found = finding.find(store, view, ctx, name, "write")
        versions.require_usable_bytes(store, view, ctx, found.namespace.domain, needed)
    command = PutRunFiles(actor=ctx.principal.name, reason=ctx.reason, run=found.run.id, entries=entries)
    store.submit(ctx, command, store.blobs.guard(found.namespace.domain, needed, ctx.principal.name))
    return [manifests.shown(entry) for entry in entries]


def remove(store: Store, ctx: Context, name: str, paths: Iterable[str]) -> None:
    """Takes files of a run away."""
    with store.index.read() as view:
        found = finding.find(store, view, ctx, name, "write")
    checked = tuple(limits.path(path) for path in paths)
    store.submit(
        ctx,
        RemoveRunFiles(actor=ctx.principal.name, reason=ctx.reason, run=found.run.id, paths=checked),
    )


def listed(
    store: Store, ctx: Context, name: str, *, prefix: str = "", after: str = "", limit: int = 1000
) -> list[FileEntry]:
    """A run's files by path: those under ``prefix``, from just past ``after``."""
    found: list[FileEntry] = []
    with store.index.read() as view:
        run = finding.find(store, view, ctx, name).run
        start = (run.id, after) if after else None
        for (_, path), entry in view.scan(RUN_FILES, run.id, after=start):
            if len(found) == limit:
                break
            if path.startswith(prefix):
                found.append(manifests.shown(entry))
    return found


def entry(store: Store, ctx: Context, name: str, path: str) -> FileEntry:
    """One file of a run."""
    with store.index.read() as view:
        run = finding.find(store, view, ctx, name).run
        held = view.get(RUN_FILES, run.id, path)
    if held is None:
        raise Missing(f"run {name} has no file {path!r}")
    return manifests.shown(held)


def open_file(store: Store, ctx: Context, name: str, path: str) -> StoredFile:
    """A run's file, to read, to read in part, or to map."""
    with store.index.read() as view:
        found = finding.find(store, view, ctx, name)
        held = view.get(RUN_FILES, found.run.id, path)
    if held is None:
        raise Missing(f"run {name} has no file {path!r}")
    if held.url:
        raise Invalid(f"{path} of run {name} is a reference to {held.url}; its bytes are not held here")
    return open_entry(store, found.namespace.domain, held, str(found), found.run.id, found.run.created)
