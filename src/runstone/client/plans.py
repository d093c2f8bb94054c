"""The last good plan of each name, kept so that an unmoved name costs one 304, and a lost server costs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import structs

from runstone._native.digests import blake3
from runstone.client import plan as plans
from runstone.client.cache import Cache, write_whole
from runstone.client.local import wrapping
from runstone.client.origin import Origin
from runstone.client.plan import Content, Plan

SIGNED = ".signed"
_DIGEST = 32
MAX_SOURCES = 32


class Goods(msgspec.Struct, frozen=True):
    """A plan that was fetched whole: its ETag, the content of each of its files (external references have none), and who vouches.

    ``signed`` is the store's word for it as it came last, in base64; empty from a server that gave none.
    """

    etag: str
    plan: Plan
    roots: tuple[str, ...]
    signed: str = ""

    @classmethod
    def of(cls, etag: str, plan: Plan, signed: str = "") -> Goods:
        """A plan that has just been read."""
        roots = tuple("" if file.url else plans.content_of(file).root for file in plan.files)
        return cls(etag, plan, roots, signed)

    def contents(self) -> dict[str, Content]:
        """The content of every file held by the server, by path."""
        pairs = zip(self.plan.files, self.roots, strict=True)
        return {file.path: Content(root, file.size, file.chunks) for file, root in pairs if root}


class PlanStore:
    """The plans of one server in a cache. Stored plans were checked, and carry a digest: a torn file is no plan."""

    def __init__(self, cache: Cache, origin: Origin) -> None:
        self._directory = cache.directory / "plans" / _key(str(origin))

    def load(self, collection: str, version: str) -> Goods | None:
        """The last good plan of a name."""
        path = self._directory / _key(collection) / _key(version)
        goods = _load(path)
        if goods is None:
            return None
        try:
            return structs.replace(goods, signed=path.with_suffix(SIGNED).read_text())
        except (OSError, UnicodeDecodeError):
            return goods

    def save(self, collection: str, version: str, goods: Goods) -> None:
        """Keeps a plan whose every file has been fetched."""
        body = msgspec.msgpack.encode(goods)
        path = self._directory / _key(collection) / _key(version)
        with wrapping(f"keeping a plan in {path.parent}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, blake3(body) + body)
        self.save_signed(collection, version, goods.signed)

    def save_signed(self, collection: str, version: str, signed: str) -> None:
        """Keeps the latest word for a plan that stands where it stood."""
        path = (self._directory / _key(collection) / _key(version)).with_suffix(SIGNED)
        with wrapping(f"keeping a plan in {path.parent}"):
            write_whole(path, signed.encode())

    def of_collection(self, collection: str) -> Iterator[Goods]:
        """The plans of a collection, the last used first."""
        try:
            found = (self._directory / _key(collection)).iterdir()
            paths = sorted((path for path in found if path.suffix != SIGNED), key=_age)
        except OSError:
            return
        for path in paths[:MAX_SOURCES]:
            goods = _load(path)
            if goods is not None:
                yield goods

    def own_namespace(self, key: str) -> str:
        """The namespace that names of two parts mean for a key, if this cache has learned it; or empty."""
        try:
            return (self._directory / f"own-{_key(key)}").read_text()
        except (OSError, UnicodeDecodeError):
            return ""

    def learn_namespace(self, key: str, name: str) -> None:
        """Remembers the answer for :meth:`own_namespace`."""
        with wrapping(f"writing in {self._directory}"):
            self._directory.mkdir(parents=True, exist_ok=True)
            write_whole(self._directory / f"own-{_key(key)}", name.encode())


def _load(path: Path) -> Goods | None:
    try:
        stored = path.read_bytes()
        if blake3(stored[_DIGEST:]) != stored[:_DIGEST]:
            return None
        return msgspec.msgpack.decode(stored[_DIGEST:], type=Goods)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _age(path: Path) -> float:
    try:
        return -path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _key(text: str) -> str:
    return blake3(text.encode()).hex()[:32]
