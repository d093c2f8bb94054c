"""One fetch from one server: what a name stands for now, and the bytes of it that this host lacks."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import structs

from runstone.client import names, near, origin, trust
from runstone.client import plan as plans
from runstone.client.cache import Cache
from runstone.client.eviction import make_room
from runstone.client.http import MSGPACK, Http, Retries
from runstone.client.names import Name
from runstone.client.placing import Link
from runstone.client.plan import Content
from runstone.client.plans import Goods, PlanStore
from runstone.client.servers import CONSUMER, is_gone
from runstone.client.sources import Sources
from runstone.client.transfer import Progress, Runs, Transfer, Wanted
from runstone.errors import Missing, RunstoneError, Unreachable

T = TypeVar("T")
Deliver = Callable[["Bringing", Goods, Name], T]

REPORT_SECONDS = 5.0
MAX_REPORTS, MAX_REPORTED = 8, 4 << 20


class StaleWarning(UserWarning):
    """The server cannot be asked; what was fetched last under the name is served from this host's cache."""


class Options(NamedTuple):
    """How to fetch; see :func:`runstone.client.fetch.fetch`. ``path`` names the only file that is wanted, ``suffixes`` the endings of those."""

    prefix: str = ""
    path: str = ""
    link: Link = "auto"
    connections: int = 8
    progress: Progress | None = None
    stale: bool = True
    log_key: str = ""
    suffixes: tuple[str, ...] = ()

    def wants(self, path: str) -> bool:
        """Whether a file is asked for."""
        if self.path:
            return path == self.path
        return path.startswith(self.prefix) and (not self.suffixes or path.endswith(self.suffixes))


def pinned_key(given: str | None) -> str:
    """The log key that plans must be signed with: the one that was given, else the one that the environment pins; empty for none."""
    return os.environ.get("RUNSTONE_LOG_KEY", "") if given is None else given


def bring(
    https: Sequence[Http],
    first: Callable[[Callable[[Http], T]], T],
    cache: Cache,
    options: Options,
    name: str,
    deliver: Deliver[T],
) -> T:
    """What ``deliver`` makes of the plan that a server has for a name or, when none can be asked, of the last good one."""
    parsed = names.parse(name)
    try:
        return first(lambda http: Bringing(http, cache, options).go(parsed, deliver))
    except RunstoneError as error:
        if not options.stale or not is_gone(error):
            raise
        for http in https:
            found = Bringing(http, cache, options).last(parsed, deliver, error)
            if found is not None:
                return found
        raise


class _Self(msgspec.Struct):
    name: str


class Bringing:
    """Asks one server for a plan, and brings contents. ``moved`` counts bytes fetched and reused; ``stale`` is set when it is not asked."""

    def __init__(self, http: Http, cache: Cache, options: Options) -> None:
        self.http, self.cache, self.options = http, cache, options
        self._plans = PlanStore(cache, http.origin)
        self.moved = (0, 0)
        self.stale = False

    def go(self, name: Name, deliver: Deliver[T]) -> T:
        """Asks the server what the name stands for now, and brings that."""
        name = self._complete(name)
        last = self._plans.load(*self._key(name))
        goods = self._ask(name, last)
        delivered = deliver(self, goods, name)
        if last is None or goods.plan is not last.plan:
            self._plans.save(*self._key(name), goods)
        elif goods.signed != last.signed:
            self._plans.save_signed(*self._key(name), goods.signed)
        return delivered

    def last(self, name: Name, deliver: Deliver[T], why: RunstoneError) -> T | None:
        """What was fetched last under the name, if it is all here and may still be relied on."""
        if not name.namespace:
            known = self._plans.own_namespace(self.http.key)
            if not known:
                return None
            name = name._replace(namespace=known)
        last = self._plans.load(*self._key(name))
        if last is None:
            return None
        word = self._word(name, last) if self.options.log_key else trust.read(last.signed)
        if word is not None and trust.is_over(word):
            raise Unreachable(
                f"{why}; {name} was last asked for at {_time(word.issued)}, and could be relied on until {_time(word.until)}"
            ) from why
        self.stale = True
        try:
            delivered = deliver(self, last, name)
        except Missing:
            return None
        warnings.warn(
            f"{why}; {name} is served from the cache as {last.plan.version.name}, fetched last when the server was there",
            StaleWarning,
            stacklevel=6,
        )
        return delivered

    def _word(self, name: Name, goods: Goods) -> trust.Word:
        asked = str(name._replace(version=name.version or "latest"))
        return trust.verify(goods.signed, self.options.log_key, asked, goods.plan, goods.roots)

    def _key(self, name: Name) -> tuple[str, str]:
        return str(name._replace(version="")), "\0".join(
            (name.version, self.options.prefix, self.options.path, *self.options.suffixes)
        )

    def _complete(self, name: Name) -> Name:
        """The name with its namespace: one's own costs a request, once for each key and server."""
        if name.namespace:
            return name
        own = self._plans.own_namespace(self.http.key)
        if not own:
            own = self.http.call("GET", "/api/v1/whoami", _Self).name
            self._plans.learn_namespace(self.http.key, own)
        return name._replace(namespace=own)

    def _ask(self, name: Name, last: Goods | None) -> Goods:
        headers = {"Accept": MSGPACK}
        if last is not None:
            headers["If-None-Match"] = last.etag
        path = f"{names.version_url(name)}/plan"
        response = self.http.request("GET", path, headers=headers, accept=(304,))
        body = self.http.body_of(response, plans.MAX_PLAN)
        signed = response.headers.get(trust.HEADER, "")
        if response.status == 304 and last is not None:
            goods = structs.replace(last, signed=signed)
        else:
            goods = Goods.of(response.headers.get("etag", ""), plans.read(body), signed)
        if self.options.log_key:
            self._word(name, goods)
        return goods

    def transfer(self, goods: Goods, name: Name, missing: list[tuple[str, Content, Runs]]) -> None:
        """Brings contents into the cache: those of files by path, whole or (with runs of chunks) in part."""
        if self.stale:
            raise Missing("the cache does not hold every file any more")
        exact = name._replace(version=str(goods.plan.version.number))
        base = names.version_url(exact)
        # The plan was asked for by name; with it on what follows too, a long fetch would be several in the lineage.
        http = self.http.sibling(without=CONSUMER)
        pieces: dict[str, tuple[near.Piece, ...]] = {}
        try:
            pieces = _pieces(http, exact, {path for path, _, _ in missing})
            self._transfer(
                http,
                base,
                name,
                [
                    Wanted(held, f"{base}/files/{origin.quote_path(path)}", path, runs, pieces.get(path, ()))
                    for path, held, runs in missing
                ],
            )
        finally:
            http.close()
            near.release(piece for held in pieces.values() for piece in held)

    def _transfer(self, http: Http, base: str, name: Name, wanted: list[Wanted]) -> None:
        make_room(self.cache, sum(each.size for each in wanted))
        collection = str(name._replace(version=""))

        def older() -> Iterator[Content]:
            for found in self._plans.of_collection(collection):
                yield from found.contents().values()

        run = Transfer(
            http,
            self.cache,
            wanted,
            Sources(self.cache, older),
            connections=self.options.connections,
            progress=self.options.progress,
        )
        try:
            run.run()
        finally:
            if run.damaged:
                _report(self.http, base, run.damaged)
        self.moved = (self.moved[0] + run.fetched, self.moved[1] + run.reused)


def _pieces(http: Http, name: Name, paths: set[str]) -> dict[str, tuple[near.Piece, ...]]:
    """Where files lie, by path, if the server is on this machine and they can be read: what is copied from there is verified like what is sent."""
    found: dict[str, tuple[near.Piece, ...]] = {}
    plan = near.ask(http, name)
    for file in plan.files if plan is not None else ():
        held = near.hold(file) if file.path in paths else None
        if held is not None:
            found[file.path] = held
    return found


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


def _time(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
