"""What the cache lets go: what was not used for longest, never what a live process has pinned."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from runstone.client.cache import Cache, remove
from runstone.client.kept import kept_roots
from runstone.client.local import wrapping
from runstone.client.lock import FileLock
from runstone.client.plan import Content

_ROOT = 32


class Pin:
    """Keeps contents in the cache, from before they are looked up until :meth:`release` or the end of the process.

    A pin is a file under a lock that the kernel lets go with its holder. It is written under the shared eviction lock, and
    evictors hold that lock alone: so whatever is found in the cache after pinning stays.
    """

    def __init__(self, cache: Cache, contents: Iterable[Content]) -> None:
        roots = b"".join(bytes.fromhex(content.root) for content in contents)
        path = cache.directory / "pins" / os.urandom(8).hex()
        with (
            wrapping(f"pinning in {cache.directory}"),
            FileLock.acquire(cache.directory / "lock", shared=True),
        ):
            lock = FileLock.try_acquire(path)
            assert lock is not None  # nobody else knows the name
            self._lock = lock
            os.write(lock.handle, roots)

    def release(self) -> None:
        """Lets the contents be evicted."""
        self._lock.release(remove=True)


class _Victim(NamedTuple):
    used: float
    size: int
    path: Path
    partial: bool


def make_room(cache: Cache, needed: int = 0, *, free: int = 0) -> int:
    """Evicts until ``needed`` more bytes stay within the limit and at least ``free`` bytes were freed; the bytes freed.

    It stops earlier when all that is left is in use: then the cache is over its limit until it is not.
    """
    with wrapping(f"evicting from {cache.directory}"), FileLock.acquire(cache.directory / "lock"):
        victims = sorted([*_files(cache), *_abandoned(cache)])
        used = sum(victim.size for victim in victims) + _in_flight(cache)
        target = max(used + needed - cache.limit, free)
        if target <= 0:
            return 0
        pinned, freed = _pinned(cache), 0
        for victim in victims:
            if freed >= target:
                break
            if victim.path.name in pinned:
                continue
            if victim.partial:
                freed += victim.size if _drop_partial(victim.path) else 0
            else:
                remove(victim.path)
                freed += victim.size
    return freed


def _drop_partial(path: Path) -> bool:
    """Removes an abandoned partial file under its lock; False if somebody has gone on with it since."""
    lock = FileLock.try_acquire(path.with_name(f"{path.name}.lock"))
    if lock is None:
        return False
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}.journal").unlink(missing_ok=True)
    lock.release(remove=True)
    return True


def _files(cache: Cache) -> list[_Victim]:
    found = []
    for folder in (cache.directory / "files").iterdir():
        for entry in os.scandir(folder):
            if entry.name.endswith(".chunks") or entry.name.startswith("."):
                continue
            held = entry.stat()
            found.append(_Victim(held.st_atime, held.st_size, Path(entry.path), False))
    return found


def _partials(cache: Cache) -> list[tuple[Path, os.stat_result, bool]]:
    """The partial files, each with whether somebody is bringing it now; what nobody can go on with is swept."""
    directory, found = cache.directory / "partial", []
    for entry in os.scandir(directory):
        if "." in entry.name:
            continue
        lock = FileLock.try_acquire(directory / f"{entry.name}.lock")
        try:
            if lock is not None and not Path(f"{entry.path}.journal").exists():
                Path(entry.path).unlink()
                continue
            found.append((Path(entry.path), entry.stat(), lock is None))
        except FileNotFoundError:
            continue
        finally:
            if lock is not None:
                lock.release(remove=True)
    return found


def _abandoned(cache: Cache) -> list[_Victim]:
    return [
        _Victim(held.st_mtime, held.st_size, path, True) for path, held, live in _partials(cache) if not live
    ]


def _in_flight(cache: Cache) -> int:
    return sum(held.st_size for _, held, live in _partials(cache) if live)


def _pinned(cache: Cache) -> set[str]:
    """The roots that live processes have pinned; pins of dead ones are swept."""
    roots = kept_roots(cache)
    for path in (cache.directory / "pins").iterdir():
        lock = FileLock.try_acquire(path)
        if lock is not None:
            lock.release(remove=True)
            continue
        try:
            held = path.read_bytes()
        except FileNotFoundError:
            continue
        roots.update(held[at : at + _ROOT].hex() for at in range(0, len(held), _ROOT))
    return roots
