"""Brings a version's files to this host: one request for the plan, then only the bytes that the host lacks."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from runstone._native.digests import blake3
from runstone.client.bringing import Bringing, Options, bring, pinned_key
from runstone.client.bringing import StaleWarning as StaleWarning
from runstone.client.cache import Cache, limit_of
from runstone.client.eviction import Pin, make_room
from runstone.client.http import Http
from runstone.client.local import wrapping
from runstone.client.names import Name
from runstone.client.placing import Link, Target
from runstone.client.plan import Content, PlannedFile
from runstone.client.plans import Goods
from runstone.client.servers import Servers
from runstone.client.transfer import Progress
from runstone.errors import Missing
from runstone.types import FileEntry, VersionInfo


class Fetched:
    """What a fetch brought.

    ``path`` is the directory with the files. ``bytes_fetched`` came from the server and ``bytes_reused`` were on this host.
    ``stale`` is set when the server could not be asked. ``references`` are files that the version holds elsewhere: they
    are named, not fetched. What was fetched without a target stays in the cache until this process ends, or :meth:`release`.
    """

    __slots__ = ("_pin", "bytes_fetched", "bytes_reused", "path", "references", "roots", "stale", "version")

    def __init__(self, path: Path, version: VersionInfo, moved: tuple[int, int], stale: bool) -> None:
        self.path = path
        self.version = version
        self.bytes_fetched, self.bytes_reused = moved
        self.stale = stale
        self.references: tuple[FileEntry, ...] = ()
        self.roots: tuple[bytes, ...] = ()
        self._pin: Pin | None = None

    def __repr__(self) -> str:
        moved = f"fetched {self.bytes_fetched} bytes, reused {self.bytes_reused}"
        return f"<Fetched {self.version.name} in {self.path}: {moved}{', stale' if self.stale else ''}>"

    def release(self) -> None:
        """Lets the files of a fetch without a target be evicted."""
        pin, self._pin = self._pin, None
        if pin is not None:
            pin.release()


def fetch(
    name: str,
    target: str | os.PathLike[str] | None = None,
    *,
    url: str | Sequence[str] | None = None,
    key: str | None = None,
    log_key: str | None = None,
    prefix: str = "",
    link: Link = "auto",
    cache: str | os.PathLike[str] | None = None,
    cache_size: int | str | None = None,
    connections: int = 8,
    timeout: float = 30.0,
    retries: int = 4,
    consumer: str = "",
    progress: Progress | None = None,
    stale: bool = True,
) -> Fetched:
    """Brings the files of a version (those below ``prefix``) into ``target``, or into a directory of the cache.

    ``url`` and ``key`` default to ``RUNSTONE_URL`` and ``RUNSTONE_API_KEY``; of several addresses (a list, or a text with commas) each is
    tried until one can answer. With ``log_key`` (``RUNSTONE_LOG_KEY``) only a plan is used that the log's key has signed. ``cache`` and
    ``cache_size`` default to ``RUNSTONE_CACHE`` and ``RUNSTONE_CACHE_SIZE``. Every chunk is verified before it is written; a file appears in
    the target whole or not at all, and files there that the version does not have are left alone. ``progress`` is called with bytes done
    and in all. ``consumer`` says who fetches, for the version's lineage; a fetch that finds every byte on this host is noted like any other.

    When the server cannot be reached, the last good version under this name is answered from the cache, with a
    :class:`StaleWarning`; ``stale=False`` forbids it. Raises :class:`Corrupt` for bytes that do not verify however often they are asked for, and for
    a plan that cannot be trusted; :class:`StorageFull`; and whatever the server refuses with.
    """
    limit = limit_of(cache_size)
    servers = Servers(url, key, timeout=timeout, retries=retries, consumer=consumer)
    options = Options(
        prefix=prefix,
        link=link,
        connections=connections,
        progress=progress,
        stale=stale,
        log_key=pinned_key(log_key),
    )
    try:
        return fetch_from(servers, Cache(cache, limit), name, target, options)
    finally:
        servers.close()


def fetch_over(
    http: Http, cache: Cache, name: str, target: str | os.PathLike[str] | None, options: Options
) -> Fetched:
    """:func:`fetch` over connections and into a cache that the caller has."""
    return _fetch([http], lambda work: work(http), cache, name, target, options)


def fetch_from(
    servers: Servers, cache: Cache, name: str, target: str | os.PathLike[str] | None, options: Options
) -> Fetched:
    """:func:`fetch` from the first server that can give it."""
    return _fetch(servers.https, servers.first, cache, name, target, options)


def _fetch(
    https: Sequence[Http],
    first: Callable[[Callable[[Http], Fetched]], Fetched],
    cache: Cache,
    name: str,
    target: str | os.PathLike[str] | None,
    options: Options,
) -> Fetched:
    if target is None:
        return bring(https, first, cache, options, name, into_view)
    place = Target(Path(target).absolute(), options.link)
    try:
        return bring(
            https,
            first,
            cache,
            options,
            name,
            lambda bringing, goods, parsed: _into_target(bringing, goods, parsed, place),
        )
    finally:
        place.close()


def _into_target(bringing: Bringing, goods: Goods, name: Name, place: Target) -> Fetched:
    contents = _wanted(bringing, goods)
    pin = Pin(bringing.cache, contents.values())
    try:
        kept = _bring_missing(bringing, goods, name, contents, place)
        for path, content in sorted(contents.items(), key=lambda item: item[0].split("/")):
            if path not in kept:
                source = bringing.cache.path_of(content)
                place.put(path, source)
                bringing.cache.touch(source)
    finally:
        pin.release()
    return _fetched(bringing, goods, place.path)


def into_view(bringing: Bringing, goods: Goods, name: Name) -> Fetched:
    """Brings what is wanted of a plan into the cache, and a directory of links to it."""
    contents = _wanted(bringing, goods)
    pin = Pin(bringing.cache, contents.values())
    try:
        _bring_missing(bringing, goods, name, contents, None)
        path = view(bringing.cache, contents)
    except BaseException:
        pin.release()
        raise
    fetched = _fetched(bringing, goods, path)
    fetched._pin = _hold(path, pin)
    return fetched


def _wanted(bringing: Bringing, goods: Goods) -> dict[str, Content]:
    options = bringing.options
    contents = {path: held for path, held in goods.contents().items() if options.wants(path)}
    if options.path and not contents:
        raise Missing(f"{goods.plan.version.name} has no file {options.path!r} that is held by the server")
    return contents


def _fetched(bringing: Bringing, goods: Goods, path: Path) -> Fetched:
    if bringing.moved[0]:
        make_room(bringing.cache)
    fetched = Fetched(path, goods.plan.version, bringing.moved, bringing.stale)
    fetched.roots = tuple(bytes.fromhex(content.root) for content in _wanted(bringing, goods).values())
    fetched.references = tuple(_entry(file) for file in goods.plan.files if file.url)
    return fetched


def _bring_missing(
    bringing: Bringing, goods: Goods, name: Name, contents: dict[str, Content], place: Target | None
) -> set[str]:
    """Brings into the cache what neither it nor the target has; the paths that the target has already."""
    kept: set[str] = set()
    missing: dict[str, tuple[str, Content, None]] = {}
    reused = 0
    for path, content in sorted(contents.items()):
        if content.root in missing:
            continue
        if bringing.cache.find(content) is not None:
            reused += content.size
        elif place is not None and place.holds(path, content):
            kept.add(path)
            reused += content.size
        else:
            missing[content.root] = (path, content, None)
    bringing.moved = (0, reused)
    if missing:
        bringing.transfer(goods, name, list(missing.values()))
    return kept


def view(cache: Cache, contents: dict[str, Content]) -> Path:
    """A directory of links into the cache, named by its content."""
    listing = "".join(f"{path}\0{held.root}\0" for path, held in sorted(contents.items()))
    root = cache.directory / "views" / blake3(listing.encode()).hex()[:32]
    with wrapping(f"linking in {root}"):
        root.mkdir(exist_ok=True)
        for path, content in contents.items():
            source, link = cache.path_of(content), root / path
            cache.touch(source)
            if not link.is_symlink():
                link.parent.mkdir(parents=True, exist_ok=True)
                point(link, os.path.relpath(source, link.parent))
    return root


#: Versions fetched without a target, kept for as long as this process may use them.
_held: dict[Path, Pin] = {}


def _hold(path: Path, pin: Pin) -> Pin:
    older = _held.get(path)
    _held[path] = pin
    if older is not None:
        older.release()
    return pin


def point(link: Path, to: str | Path) -> None:
    """Makes a symbolic link, or points one elsewhere, at once."""
    temporary = link.with_name(f".{os.urandom(8).hex()}.part")
    temporary.symlink_to(to)
    try:
        temporary.replace(link)
    except BaseException:
        temporary.unlink()
        raise


def _entry(file: PlannedFile) -> FileEntry:
    return FileEntry(path=file.path, size=file.size, url=file.url, etag=file.etag, media_type=file.media_type)
