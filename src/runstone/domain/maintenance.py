"""Keeping a store well: expiry, garbage collection, scrubbing, verification, backups. Administrators only."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import msgspec

from runstone.domain import accounts, integrity, limits, names, policy, vocabulary
from runstone.domain.context import LOCAL, Context
from runstone.domain.restoring import Restored
from runstone.domain.store import Store, StoreLock
from runstone.domain.versioning import DeleteVersion
from runstone.errors import Conflict, Corrupt, Gone, Missing
from runstone.storage import filesystem, recovery, snapshot
from runstone.storage.backends.packs import wrapped
from runstone.storage.changelog import ChangeLog
from runstone.storage.index import Index
from runstone.storage.recovery import Progress
from runstone.storage.tables import EXPIRIES, Head

#: What a log that is folded here may hold.
VOCABULARY = vocabulary.MODULES


class Verified(msgspec.Struct, frozen=True):
    """What a verification found to hold: log entries, and the bytes and files of blobs read."""

    entries: int
    root: str
    state: str
    blobs: int
    bytes: int


def expire(store: Store) -> list[str]:
    """Deletes the versions whose time has come and that no legal hold keeps, with their aliases; their names."""
    now = time.time_ns() // 1000
    with store.index.read() as view:
        due = []
        for (expires, version_id), _ in view.scan(EXPIRIES):
            if expires > now:
                break
            due.append(names.version_by_id(view, version_id))
    deleted = []
    for found in due:
        if found is None or found[1].hold:
            continue
        place, version = found
        command = DeleteVersion(
            actor=integrity.SELF,
            reason="its time to live has passed",
            collection=version.collection,
            number=version.number,
            with_aliases=True,
        )
        try:
            store.submit(Context(principal=LOCAL), command)
        except (Conflict, Missing):  # held or deleted since
            continue
        deleted.append(f"{place}:v{version.number}")
    return deleted


def gc(store: Store, ctx: Context, *, grace_seconds: float = limits.DEFAULT_GRACE) -> Any:
    """Expires versions, then collects bytes that nothing refers to; the report says what was freed.

    Bytes are freed once they have been unreferenced for ``grace_seconds``: mark in one run, free in a later one.
    """
    policy.require_admin(ctx, "collect garbage")
    expire(store)
    return store.blobs.collect(grace_seconds=grace_seconds)


def scrub(store: Store, ctx: Context, *, deep: bool = False, progress: Progress | None = None) -> Any:
    """Reads every row and every chunk, withdraws versions with damage, releases those that verify again; the report names it all.

    Raises :class:`Corrupt` when the pages of the index are damaged: what the rows say is then not to be trusted.
    """
    policy.require_admin(ctx, "scrub")
    recovery.check_pages(store.index)
    report = store.blobs.scrub(deep=deep, progress=progress)
    integrity.withdraw(store)
    return report


def verify(store: Store, ctx: Context, progress: Progress | None = None) -> Head:
    """Checks that the index is what the log says: every row, proof and hash. Raises :class:`Corrupt` naming what fails."""
    policy.require_admin(ctx, "verify the store")
    return recovery.verify(store.log, progress)


def rebuild(data: Path, *, progress: Progress | None = None) -> Head:
    """Folds a store's log into a new index of equal state hash and puts it in the place of the old one.

    Nobody may have the store open. The old index stays beside it as ``index.old`` until the next rebuild.
    """
    with StoreLock(data, exclusive=True):
        fresh = data / "index.new"
        shutil.rmtree(fresh, ignore_errors=True)
        index = Index(data / "index", create=False)
        try:
            head = recovery.rebuild(ChangeLog(index), fresh, progress=progress)
        finally:
            index.close()
        _replace_index(data, fresh)
        return head


def _replace_index(data: Path, fresh: Path) -> None:
    """Puts a new index in the place of a store's, which stays beside it as ``index.old``; nobody may have the store open."""
    old = data / "index.old"
    shutil.rmtree(old, ignore_errors=True)
    (data / "index").rename(old)
    fresh.rename(data / "index")
    filesystem.fsync_directory(data)


def backup(store: Store, ctx: Context, target: Path, progress: Progress | None = None) -> snapshot.Backup:
    """Copies the store into a directory from which it can be restored; a second time, only what is new."""
    policy.require_admin(ctx, "back the store up")
    # A damaged index must not take the place of a good backup, nor crash LMDB while it copies.
    recovery.check_pages(store.index)
    with store.blobs.without_collection(), wrapped(f"backup into {target}"):
        return snapshot.write(store.id, store.path, store.index, target, progress)


def _require_undamaged(store: Store, source: Path) -> None:
    """Raises :class:`Corrupt` when bytes of a restored store are damaged that were not known to be when it was backed up."""
    with store.index.read() as view:
        known = {(each.sha256, each.offset) for each in store.blobs.damaged(view)}
    found = [each for each in store.blobs.scrub().damages if (each.sha256, each.offset) not in known]
    if found:
        withdrawn = ", ".join(integrity.withdraw(store)[:20]) or found[0].sha256.hex()
        raise Corrupt(
            f"{source}: bytes of {withdrawn} are damaged; use another backup, or {store.path}, where these are withdrawn"
        )


def restore(source: Path, target: Path, *, to: int | None = None, progress: Progress | None = None) -> Head:
    """Makes a data directory from a backup and verifies it; with ``to``, as it was after that many log entries.

    A store that goes back in time is another log from there on: it gets an identity and a signing key of its own, and its next entry
    names the log it came from. Raises :class:`Gone`, and makes nothing, when what an entry before ``to`` said was erased after it.
    """
    found = snapshot.restore(source, target, progress)
    with Store(target) as store:
        head = recovery.verify(store.log)
        if (head.size, head.root.hex(), head.state.hex()) != (found.size, found.root, found.state):
            raise Corrupt(f"{source} does not restore to the state it was made of; use another backup")
        _require_undamaged(store, source)
    if to is None or to >= head.size:
        return head
    fresh = target / "index.new"
    index = Index(target / "index", create=False)
    try:
        head = recovery.rebuild(ChangeLog(index), fresh, upto=to)
    except Gone:  # what is there is of another time than was asked for
        shutil.rmtree(target)
        raise
    finally:
        index.close()
    _replace_index(target, fresh)
    Store.become_another(target)
    shutil.rmtree(target / "index.old")
    with Store(target) as store:
        origin = bytes.fromhex(found.root)
        store.log.submit(Restored(actor=accounts.OWNER, store=found.store, size=found.size, root=origin))
        return store.log.head()
