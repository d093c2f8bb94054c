"""Backups: a consistent copy of the index, and of the packs that it refers to.

The index is copied first, in one read transaction; the packs after it, so that they hold all that the copy refers to. Packs only
grow, so a second backup into the same directory copies what is new. Garbage collection waits meanwhile.
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
from runstone.storage.tables import HEAD, Head

Progress = Callable[[int, int], None]
MANIFEST = "BACKUP"
_COPY = 64 << 20


class Backup(msgspec.Struct, frozen=True):
    """What a backup holds: the store, where its log stood (root and state as hexadecimal text), and the packs' sizes."""

    store: str
    size: int
    root: str
    state: str
    time: int
    packs: dict[str, int]


def write(store: str, data: Path, index: Index, target: Path, progress: Progress | None = None) -> Backup:
    """Backs a data directory up into ``target``: empty, missing, or an earlier backup of the same store."""
    _refuse_foreign(store, target)
    filesystem.make_directory(target)
    fresh = target / "index.new"
    shutil.rmtree(fresh, ignore_errors=True)
    index.copy(fresh)
    copied = Index(fresh, readonly=True)
    try:
        with copied.read() as view:
            head = view.get(HEAD, 0) or Head()
    finally:
        copied.close()
    (fresh / "lock.mdb").unlink(missing_ok=True)
    sizes = _copy_packs(data / "packs", target / "packs", progress)
    for name in ("FORMAT", "keys/log", "keys/api-keys", "keys/urls"):
        if (data / name).exists():
            filesystem.make_directory((target / name).parent)
            filesystem.write_durably(target / name, (data / name).read_bytes())
    shutil.rmtree(target / "index", ignore_errors=True)
    fresh.rename(target / "index")
    backup = Backup(store, head.size, head.root.hex(), head.state.hex(), head.time, sizes)
    filesystem.write_durably(target / MANIFEST, msgspec.json.encode(backup) + b"\n")
    return backup


def _refuse_foreign(store: str, target: Path) -> None:
    if not target.exists() or not any(target.iterdir()):
        return
    if not (target / MANIFEST).exists():
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
    for name, size in found.packs.items():
        if (backup / "packs" / name).stat().st_size < size:
            raise Corrupt(f"{backup}: pack {name} is shorter than when it was backed up; use another backup")
    _copy_packs(backup / "packs", target / "packs", progress)
    filesystem.make_directory(target / "index")
    _copy_whole(backup / "index" / "data.mdb", target / "index" / "data.mdb")
    for path in (backup / "keys").iterdir() if (backup / "keys").exists() else ():
        filesystem.make_directory(target / "keys")
        filesystem.write_durably(target / "keys" / path.name, path.read_bytes())
    # Last, for it makes the directory a data directory.
    filesystem.write_durably(target / "FORMAT", (backup / "FORMAT").read_bytes(), 0o644)
    return found


def _copy_packs(source: Path, target: Path, progress: Progress | None) -> dict[str, int]:
    sizes = {str(path.relative_to(source)): path.stat().st_size for path in sorted(source.rglob("*.pack"))}
    total, done = sum(sizes.values()), 0
    for name, size in sizes.items():
        filesystem.make_directory((target / name).parent)
        _copy_whole(source / name, target / name, size)
        done += size
        if progress:
            progress(done, total)
    filesystem.make_directory(target)
    for path in list(target.rglob("*.pack")):
        if str(path.relative_to(target)) not in sizes:
            path.unlink()
    return sizes


def _copy_whole(source: Path, target: Path, size: int | None = None) -> None:
    """Copies a file, or what a grown one has more than its earlier copy; holes stay holes; durable."""
    size = source.stat().st_size if size is None else size
    with source.open("rb") as reader, target.open("r+b" if target.exists() else "w+b") as writer:
        at = min(target.stat().st_size, size) if source.suffix == ".pack" else 0
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
