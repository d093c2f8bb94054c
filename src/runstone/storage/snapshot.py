"""Backups: a consistent copy of the index, and of the packs that it refers to.

The index is copied first, in one read transaction; the packs after it, as far as the copy accounts for them. What a pack accounts for
never changes, so a second backup into the same directory copies what is new. The manifest is written last and names all that counts: a
backup that is cut off leaves the one before it whole. Garbage collection waits meanwhile.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from runstone.errors import Corrupt, Invalid
from runstone.storage import filesystem
from runstone.storage.index import Index
from runstone.storage.tables import HEAD, PACKS, Head

Progress = Callable[[int, int], None]
MANIFEST = "BACKUP"
_PARTS = ("FORMAT", "keys", "packs")
_COPY = 64 << 20


class Backup(msgspec.Struct, frozen=True):
    """What a backup holds: the store, where its log stood (root and state as hexadecimal text), the packs' sizes, the index's folder."""

    store: str
    size: int
    root: str
    state: str
    time: int
    packs: dict[str, int]
    index: str = "index"


def write(store: str, data: Path, index: Index, target: Path, progress: Progress | None = None) -> Backup:
    """Backs a data directory up into ``target``: empty, missing, or an earlier backup of the same store."""
    _refuse_foreign(store, target)
    filesystem.make_directory(target)
    before = read(target).packs if (target / MANIFEST).exists() else {}
    fresh = target / f"index-{os.urandom(8).hex()}"
    index.copy(fresh)
    copied = Index(fresh, readonly=True)
    try:
        with copied.read() as view:
            head = view.get(HEAD, 0) or Head()
            sizes = {f"{pack >> 56:02x}/{pack:016x}.pack": row.size for (pack,), row in view.scan(PACKS)}
    finally:
        copied.close()
    (fresh / "lock.mdb").unlink(missing_ok=True)
    _copy_packs(data / "packs", target / "packs", sizes, before, progress)
    filesystem.make_directory(target)
    filesystem.write_durably(target / "FORMAT", (data / "FORMAT").read_bytes())
    _copy_keys(data / "keys", target / "keys")
    backup = Backup(store, head.size, head.root.hex(), head.state.hex(), head.time, sizes, fresh.name)
    filesystem.write_durably(target / MANIFEST, msgspec.json.encode(backup) + b"\n")
    _remove_others(target, backup)
    return backup


def _remove_others(target: Path, backup: Backup) -> None:
    """Drops what the manifest does not name: of earlier backups, and of those that were cut off."""
    for path in target.glob("index*"):
        if path.name != backup.index:
            shutil.rmtree(path)
    for path in (target / "packs").rglob("*.pack"):
        if str(path.relative_to(target / "packs")) not in backup.packs:
            path.unlink()


def _refuse_foreign(store: str, target: Path) -> None:
    found = {path.name for path in target.iterdir()} if target.exists() else set()
    if MANIFEST not in found:
        # What a first backup leaves that is cut off is all right.
        if all(name in _PARTS or name.startswith((".", "index-")) for name in found):
            return
        raise Invalid(f"{target} is not empty and is not a backup; choose another directory")
    if read(target).store != store:
        raise Invalid(f"{target} is the backup of another store; choose another directory")


def read(backup: Path) -> Backup:
    """What a backup says of itself."""
    try:
        return msgspec.json.decode((backup / MANIFEST).read_bytes(), type=Backup)
    except FileNotFoundError:
        raise Invalid(f"{backup} is not a backup: it has no file {MANIFEST}") from None
    except msgspec.DecodeError as error:
        raise Corrupt(f"{backup / MANIFEST} is damaged: {error}") from None


def restore(backup: Path, target: Path, progress: Progress | None = None) -> Backup:
    """Copies a backup into the empty or missing directory ``target``, which is then a data directory."""
    found = read(backup)
    if target.exists() and any(target.iterdir()):
        raise Invalid(f"{target} is not empty; restore into a new directory")
    filesystem.make_directory(target)
    _copy_packs(backup / "packs", target / "packs", found.packs, {}, progress)
    filesystem.make_directory(target / "index")
    _copy_whole(backup / found.index / "data.mdb", target / "index" / "data.mdb")
    _copy_keys(backup / "keys", target / "keys")
    # Last, for it makes the directory a data directory.
    filesystem.write_durably(target / "FORMAT", (backup / "FORMAT").read_bytes(), 0o644)
    return found


def _copy_keys(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        # What begins with a dot is a file that is being written.
        if path.is_file() and not path.name.startswith("."):
            copy = target / path.relative_to(source)
            filesystem.make_directory(copy.parent)
            filesystem.write_durably(copy, path.read_bytes())


def _copy_packs(
    source: Path, target: Path, sizes: dict[str, int], before: dict[str, int], progress: Progress | None
) -> None:
    """Copies packs as far as ``sizes`` says, but not what was copied and made durable ``before``."""
    total, done = sum(sizes.values()), 0
    filesystem.make_directory(target)
    for name, size in sizes.items():
        filesystem.make_directory((target / name).parent)
        try:
            found = (source / name).stat().st_size
        except FileNotFoundError:
            found = 0
        if found < size:
            raise Corrupt(
                f"{source / name} has {found} bytes of {size}; run 'runstone scrub', or use another backup"
            )
        _copy_whole(source / name, target / name, size, before.get(name, 0))
        done += size
        if progress:
            progress(done, total)


def _copy_whole(source: Path, target: Path, size: int | None = None, start: int = 0) -> None:
    """Copies a file from ``start`` on; holes stay holes; durable."""
    size = source.stat().st_size if size is None else size
    with source.open("rb") as reader, target.open("r+b" if target.exists() else "w+b") as writer:
        at = min(start, size, target.stat().st_size)
        os.ftruncate(writer.fileno(), at)
        os.ftruncate(writer.fileno(), size)
        while at < size:
            try:
                start = os.lseek(reader.fileno(), at, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                break
            end = min(os.lseek(reader.fileno(), start, os.SEEK_HOLE), size)
            at = _copy_range(reader.fileno(), writer.fileno(), start, end)
        os.fsync(writer.fileno())
    filesystem.fsync_directory(target.parent)


def _copy_range(reader: int, writer: int, start: int, end: int) -> int:
    while start < end:
        moved = os.copy_file_range(reader, writer, min(end - start, _COPY), start, start)
        if not moved:
            break
        start += moved
    return max(start, end)
