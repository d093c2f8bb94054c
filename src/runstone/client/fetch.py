"""Brings a version's files to this host: one request for the plan, then only the bytes that the host lacks."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import structs

from runstone._native.digests import blake3
from runstone.client import names, origin, trust
from runstone.client import plan as plans
from runstone.client.cache import Cache, parse_size
from runstone.client.eviction import Pin, make_room
from runstone.client.http import MSGPACK, Http, Retries
from runstone.client.local import wrapping
from runstone.client.names import Name
from runstone.client.placing import Link, Target
from runstone.client.plan import Content, PlannedFile
from runstone.client.plans import Goods, PlanStore
from runstone.client.servers import CONSUMER, Servers, is_gone
from runstone.client.sources import Sources
from runstone.client.transfer import Progress, Transfer, Wanted
from runstone.errors import Missing, RunstoneError, Unreachable
from runstone.types import FileEntry, VersionInfo

MAX_PLAN = 1 << 30
REPORT_SECONDS = 5.0
MAX_REPORTS, MAX_REPORTED = 8, 4 << 20


class StaleWarning(UserWarning):
    """The server cannot be asked; what was fetched last under the name is served from this host's cache."""


class Fetched:
    """What a fetch brought.

    ``path`` is the directory with the files. ``bytes_fetched`` came from the server and ``bytes_reused`` were on this host.
    ``stale`` is set when the server could not be asked. ``references`` are files that the version holds elsewhere: they
    are named, not fetched. What was fetched without a target stays in the cache until this process ends, or :meth:`release`.
    """

    __slots__ = ("_pin", "bytes_fetched", "bytes_reused", "path", "references", "stale", "version")

    def __init__(self, path: Path, version: VersionInfo, moved: tuple[int, int], stale: bool) -> None:
        self.path = path
        self.version = version
        self.bytes_fetched, self.bytes_reused = moved
        self.stale = stale
        self.references: tuple[FileEntry, ...] = ()
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
    the target whole or not at all, and files there that the version does not have are left alone. ``progress`` is called with bytes done and in all. ``consumer`` says who
    fetches, for the version's lineage; a fetch that finds every byte on this host is noted like any other.

    When the server cannot be reached, the last good version under this name is answered from the cache, with a
    :class:`StaleWarning`; ``stale=False`` forbids it. Raises :class:`Corrupt` for bytes that do not verify however often they are asked for, and for
    a plan that cannot be trusted; :class:`StorageFull`; and whatever the server refuses with.
    """
    limit = parse_size(cache_size) if isinstance(cache_size, str) else cache_size
    servers = Servers(url, key, timeout=timeout, retries=retries, consumer=consumer)
    options = Options(
        prefix=prefix,
        link=link,
        connections=connections,
        progress=progress,
        stale=stale,
        log_key=default_log_key() if log_key is None else log_key,
    )
    try:
        return fetch_from(servers, Cache(cache, limit), name, target, options)
    finally:
        servers.close()


class Options(NamedTuple):
    """How to fetch; see :func:`fetch`. ``path`` names the only file that is wanted, ``view`` asks for a directory of links."""

    prefix: str = ""
    path: str = ""
    link: Link = "auto"
    connections: int = 8
    progress: Progress | None = None
    stale: bool = True
    log_key: str = ""

    def wants(self, path: str) -> bool:
        """Whether a file is asked for."""
        return path == self.path if self.path else path.startswith(self.prefix)


def default_log_key() -> str:
    """The key of the log that the environment pins."""
    return os.environ.get("RUNSTONE_LOG_KEY", "")


def fetch_over(
    http: Http, cache: Cache, name: str, target: str | os.PathLike[str] | None, options: Options
) -> Fetched:
    """:func:`fetch` over connections and into a cache that the caller has."""
    return _brought([http], lambda work: work(http), cache, name, target, options)


def fetch_from(
    servers: Servers, cache: Cache, name: str, target: str | os.PathLike[str] | None, options: Options
) -> Fetched:
    """:func:`fetch` from the first server that can give it."""
    return _brought(servers.https, servers.first, cache, name, target, options)


def _brought(
    https: Sequence[Http],
    first: Callable[[Callable[[Http], Fetched]], Fetched],
    cache: Cache,
    name: str,
    target: str | os.PathLike[str] | None,
    options: Options,
) -> Fetched:
    parsed = names.parse(name)
    place = None if target is None else Target(Path(target).absolute(), options.link)
    try:
        return first(lambda http: _Fetch(http, cache, options).go(parsed, place))
    except RunstoneError as error:
        if not options.stale or not is_gone(error):
            raise
        for http in https:
            found = _Fetch(http, cache, options).last(parsed, place, error)
            if found is not None:
                return found
        raise
    finally:
        if place is not None:
            place.close()


class _Selection(NamedTuple):
    """The plan that is fetched, and the contents of the files that were asked for, by path."""

    goods: Goods
    contents: dict[str, Content]


class _Self(msgspec.Struct):
    name: str


class _Fetch:
    def __init__(self, http: Http, cache: Cache, options: Options) -> None:
        self._http, self._cache, self._options = http, cache, options
        self._plans = PlanStore(cache, http.origin)
        self._moved = (0, 0)

    def go(self, name: Name, place: Target | None) -> Fetched:
        """Asks the server what the name stands for now, and brings that."""
        name = self._complete(name)
        last = self._plans.load(*self._key(name))
        goods = self._ask(name, last)
        fetched = self._deliver(goods, name, place, stale=False)
        if goods.plan is not (last.plan if last else None):
            self._plans.save(*self._key(name), goods)
        elif last is not None and goods.signed != last.signed:
            self._plans.save_signed(*self._key(name), goods.signed)
        return fetched

    def last(self, name: Name, place: Target | None, why: RunstoneError) -> Fetched | None:
        """What was fetched last under the name, if it is all here and may still be relied on."""
        if not name.namespace:
            known = self._plans.own_namespace(self._http.key)
            if not known:
                return None
            name = name._replace(namespace=known)
        last = self._plans.load(*self._key(name))
        if last is None:
            return None
        word = self._word(name, last) if self._options.log_key else trust.read(last.signed)
        if word is not None and trust.is_over(word):
            raise Unreachable(
                f"{why}; {name} was last asked for at {_time(word.issued)}, and could be relied on until {_time(word.until)}"
            ) from why
        return self._serve_last(last, name, place, why)

    def _word(self, name: Name, goods: Goods) -> trust.Word:
        asked = str(name._replace(version=name.version or "latest"))
        return trust.verify(goods.signed, self._options.log_key, asked, goods.plan, goods.roots)

    def _key(self, name: Name) -> tuple[str, str]:
        return str(name._replace(version="")), f"{name.version}\0{self._options.prefix}\0{self._options.path}"

    def _complete(self, name: Name) -> Name:
        """The name with its namespace: one's own costs a request, once for each key and server."""
        if name.namespace:
            return name
        own = self._plans.own_namespace(self._http.key)
        if not own:
            own = self._http.call("GET", "/api/v1/whoami", _Self).name
            self._plans.learn_namespace(self._http.key, own)
        return name._replace(namespace=own)

    def _ask(self, name: Name, last: Goods | None) -> Goods:
        headers = {"Accept": MSGPACK}
        if last is not None:
            headers["If-None-Match"] = last.etag
        path = f"{names.version_url(name)}/plan"
        response = self._http.request("GET", path, headers=headers, accept=(304,))
        body = self._http.body_of(response, MAX_PLAN)
        signed = response.headers.get(trust.HEADER, "")
        if response.status == 304 and last is not None:
            goods = structs.replace(last, signed=signed)
        else:
            goods = Goods.of(response.headers.get("etag", ""), plans.read(body), signed)
        if self._options.log_key:
            self._word(name, goods)
        return goods

    def _serve_last(
        self, last: Goods, name: Name, place: Target | None, why: RunstoneError
    ) -> Fetched | None:
        try:
            fetched = self._deliver(last, name, place, stale=True)
        except Missing:
            return None
        warnings.warn(
            f"{why}; {name} is served from the cache as {last.plan.version.name}, fetched last when the server was there",
            StaleWarning,
            stacklevel=5,
        )
        return fetched

    def _deliver(self, goods: Goods, name: Name, place: Target | None, *, stale: bool) -> Fetched:
        contents = {path: held for path, held in goods.contents().items() if self._options.wants(path)}
        if self._options.path and not contents:
            raise Missing(
                f"{goods.plan.version.name} has no file {self._options.path!r} that is held by the server"
            )
        pin = Pin(self._cache, contents.values())
        try:
            kept = self._bring(_Selection(goods, contents), name, place, stale=stale)
            path = self._place(contents, place, kept) if place is not None else self._view(contents)
        except BaseException:
            pin.release()
            raise
        fetched = Fetched(path, goods.plan.version, self._moved, stale)
        fetched.references = tuple(_entry(file) for file in goods.plan.files if file.url)
        if place is None:
            fetched._pin = _hold(path, pin)
        else:
            pin.release()
        if self._moved[0]:
            make_room(self._cache)
        return fetched

    def _bring(self, chosen: _Selection, name: Name, place: Target | None, *, stale: bool) -> set[str]:
        """Brings into the cache what neither it nor the target has; the paths that the target has already."""
        kept: set[str] = set()
        missing: dict[str, tuple[str, Content]] = {}
        reused = 0
        for path, content in sorted(chosen.contents.items()):
            if content.root in missing:
                continue
            if self._cache.find(content) is not None:
                reused += content.size
            elif place is not None and place.holds(path, content):
                kept.add(path)
                reused += content.size
            else:
                missing[content.root] = (path, content)
        self._moved = (0, reused)
        if missing and stale:
            raise Missing("the cache does not hold every file any more")
        if missing:
            self._transfer(chosen.goods, name, list(missing.values()))
        return kept

    def _transfer(self, goods: Goods, name: Name, missing: list[tuple[str, Content]]) -> None:
        version = goods.plan.version
        base = names.version_url(name._replace(version=str(version.number)))
        wanted = [Wanted(held, f"{base}/files/{origin.quote_path(path)}", path) for path, held in missing]
        make_room(self._cache, sum(held.size for _, held in missing))
        collection = str(name._replace(version=""))

        def older() -> Iterator[Content]:
            for found in self._plans.of_collection(collection):
                yield from found.contents().values()

        # The plan was asked for by name; with it on each range too, a long fetch would be several in the lineage.
        http = self._http.sibling(without=CONSUMER)
        run = Transfer(
            http,
            self._cache,
            wanted,
            Sources(self._cache, older),
            connections=self._options.connections,
            progress=self._options.progress,
        )
        try:
            run.run()
        finally:
            http.close()
            if run.damaged:
                _report(self._http, base, run.damaged)
        self._moved = (run.fetched, self._moved[1] + run.reused)

    def _place(self, contents: dict[str, Content], place: Target, kept: set[str]) -> Path:
        for path, content in sorted(contents.items(), key=lambda item: item[0].split("/")):
            if path in kept:
                continue
            source = self._cache.path_of(content)
            place.put(path, source)
            self._cache.touch(source)
        return place.path

    def _view(self, contents: dict[str, Content]) -> Path:
        """A directory of links into the cache, named by its content."""
        listing = "".join(f"{path}\0{held.root}\0" for path, held in sorted(contents.items()))
        root = self._cache.directory / "views" / blake3(listing.encode()).hex()[:32]
        with wrapping(f"linking in {root}"):
            for path, content in contents.items():
                source, link = self._cache.path_of(content), root / path
                self._cache.touch(source)
                if not link.is_symlink():
                    link.parent.mkdir(parents=True, exist_ok=True)
                    _link(link, os.path.relpath(source, link.parent))
        return root


def _report(http: Http, base: str, damaged: list[tuple[Wanted, int, int]]) -> None:
    """Tells the server which bytes came damaged, so that it looks at them; that it hears it is not waited for for long."""
    other = http.sibling(REPORT_SECONDS)
    other.retries = Retries(times=0)
    try:
        for wanted, start, stop in damaged[:MAX_REPORTS]:
            told = {"path": wanted.name, "start": start, "stop": min(stop, start + MAX_REPORTED)}
            other.call("POST", f"{base}/damage", msgspec.Raw, value=told)
    except RunstoneError:
        pass  # an older server, or one that is gone: the fetch itself says how it went
    finally:
        other.close()


#: Versions fetched without a target, kept for as long as this process may use them.
_held: dict[Path, Pin] = {}


def _hold(path: Path, pin: Pin) -> Pin:
    older = _held.get(path)
    _held[path] = pin
    if older is not None:
        older.release()
    return pin


def _link(link: Path, source: str) -> None:
    temporary = link.with_name(f".{os.urandom(8).hex()}.part")
    temporary.symlink_to(source)
    temporary.replace(link)


def _time(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _entry(file: PlannedFile) -> FileEntry:
    return FileEntry(path=file.path, size=file.size, url=file.url, etag=file.etag, media_type=file.media_type)
