"""Records of what the cache keeps until it is told otherwise: versions pinned by name, and those that a followed alias stands for.

A record is a file of ``<cache>/v1/kept``: the BLAKE3 of what follows, and MessagePack. It outlives processes and boots.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from runstone._native.digests import blake3
from runstone.client.cache import Cache, write_whole
from runstone.client.local import wrapping

_DIGEST = 32
_ROOT = 32


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A version that is kept: its directory of links, its size, and the roots of its contents, 32 bytes each."""

    version: str
    number: int
    path: str
    size: int
    roots: bytes


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept under a name. A followed alias keeps two versions, the one before it last, and its ``target``.

    ``rejected`` is the number of the version that was rolled back from, or 0.
    """

    name: str
    target: str = ""
    versions: tuple[Kept, ...]
    rejected: int = 0


class Keeping:
    """The records of a cache."""

    def __init__(self, cache: Cache) -> None:
        self._directory = cache.directory / "kept"

    def get(self, name: str, target: str = "") -> Keep | None:
        """What is kept under a name."""
        return _load(self._path(name, target))

    def by_target(self, target: str) -> Keep | None:
        """What is kept for a followed alias, by the link that stands for it."""
        return next((keep for keep in self.all() if keep.target == target), None)

    def save(self, keep: Keep) -> None:
        """Keeps versions, and no others, under a name."""
        body = msgspec.msgpack.encode(keep)
        with wrapping(f"keeping {keep.name} in {self._directory}"):
            self._directory.mkdir(exist_ok=True)
            write_whole(self._path(keep.name, keep.target), blake3(body) + body)

    def drop(self, name: str, target: str = "") -> bool:
        """Keeps nothing under a name any more; whether anything was."""
        path = self._path(name, target)
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        return True

    def all(self) -> list[Keep]:
        """Every record, by name."""
        return sorted(_all(self._directory), key=lambda keep: (keep.name, keep.target))

    def _path(self, name: str, target: str) -> Path:
        return self._directory / blake3(f"{name}\0{target}".encode()).hex()[:32]


def kept_roots(cache: Cache) -> set[str]:
    """The roots of all that is kept."""
    found: set[str] = set()
    for keep in _all(cache.directory / "kept"):
        for kept in keep.versions:
            found.update(kept.roots[at : at + _ROOT].hex() for at in range(0, len(kept.roots), _ROOT))
    return found


def _all(directory: Path) -> Iterable[Keep]:
    try:
        paths = [path for path in directory.iterdir() if not path.name.startswith(".")]
    except OSError:
        return
    for path in paths:
        keep = _load(path)
        if keep is not None:
            yield keep


def _load(path: Path) -> Keep | None:
    try:
        stored = path.read_bytes()
        if blake3(stored[_DIGEST:]) != stored[:_DIGEST]:
            return None
        return msgspec.msgpack.decode(stored[_DIGEST:], type=Keep)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
