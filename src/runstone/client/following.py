"""A name that is followed: when it moves, the new version is brought, verified and switched to; the one before is kept to go back to."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from runstone.client import names, origin
from runstone.client.bringing import Options, pinned_key
from runstone.client.cache import Cache, limit_of
from runstone.client.fetch import Fetched, fetch_from, point
from runstone.client.http import Http
from runstone.client.keeping import kept_of
from runstone.client.kept import Keep, Keeping, Kept
from runstone.client.listening import Listening
from runstone.client.local import wrapping
from runstone.client.names import Name
from runstone.client.response import Response
from runstone.client.servers import Servers, is_gone
from runstone.errors import Conflict, Denied, Invalid, Missing, RunstoneError, Unauthenticated
from runstone.types import Event

SHORTEST, LONGEST = 0.2, 15.0


class Switch(NamedTuple):
    """The name stands for ``new`` now, whose files lie in ``path``; ``old`` is what it stood for before, if anything.

    ``seconds`` is how long it took from when the move was heard of, ``fetched`` the bytes that crossed the network.
    """

    old: Kept | None
    new: Kept
    path: Path
    seconds: float
    fetched: int


class Following(Iterator[Switch]):
    """An iterator over the switches of a name, the first of which is to the version that it stands for at the beginning.

    With a ``target`` that is a symbolic link, pointed at each version's directory in one rename; it and the version before it are kept
    in the cache also when no process lives. What fails on the way (a server that is gone, a version that was withdrawn) leaves the
    last good version in its place, is told as a warning, and is tried again. A refusal (401, 403) ends it.

    ``on_ready`` is called with each old and new version's :class:`Kept`, in a thread of its own, if it is given. ``ahead`` brings every
    new version of the collection as it is committed, so that a move costs one request. Close it, or use it as a context manager.
    """

    def __init__(
        self,
        name: str,
        target: str | os.PathLike[str] | None = None,
        *,
        on_ready: Callable[[Kept | None, Kept], None] | None = None,
        ahead: bool = False,
        prefix: str = "",
        url: str | Sequence[str] | None = None,
        key: str | None = None,
        log_key: str | None = None,
        cache: str | os.PathLike[str] | None = None,
        cache_size: int | str | None = None,
        connections: int = 8,
        timeout: float = 30.0,
        retries: int = 4,
        consumer: str = "",
    ) -> None:
        self.name, self._ahead = name, ahead
        self._parsed = names.parse(name)
        if not self._parsed.namespace:
            raise Invalid(f"{name!r} is followed by its full name: namespace/project/collection@alias")
        limit = limit_of(cache_size)
        self._cache = Cache(cache, limit)
        self._servers = Servers(url, key, timeout=timeout, retries=retries, consumer=consumer)
        pinned = pinned_key(log_key)
        self._options = Options(prefix=prefix, connections=connections, stale=False, log_key=pinned)
        self._link = None if target is None else Path(target).absolute()
        self._state = _State(self._cache, name, self._link)
        self._events: _Events | None = None
        self._closed = threading.Event()
        self._due = True
        self._pause = SHORTEST
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        if on_ready is not None:
            self._thread = threading.Thread(target=self._run, args=(on_ready,), daemon=True)
            self._thread.start()

    @property
    def current(self) -> Kept | None:
        """The version that is switched to now."""
        return self._state.versions[0] if self._state.versions else None

    @property
    def previous(self) -> Kept | None:
        """The version that :meth:`rollback` goes back to."""
        return self._state.versions[1] if len(self._state.versions) > 1 else None

    def __next__(self) -> Switch:
        while not self._closed.is_set():
            try:
                switch = self._step()
            except (Denied, Unauthenticated):
                raise
            except RunstoneError as error:
                if self._closed.is_set():
                    break
                self._fail(error)
                continue
            self._pause = SHORTEST
            if switch is not None:
                return switch
        if self._events is not None:  # begun while it was being closed
            self._events.close()
        raise StopIteration

    def _step(self) -> Switch | None:
        """Listens, then looks where the name stands if it may have moved; else waits for the next event."""
        if self._events is None:
            self._events = self._servers.first(lambda http: _Events(http, self._parsed, None))
        elif self._events.broken:
            place = self._events.place
            self._events = self._servers.first(lambda http: _Events(http, self._parsed, place))
            self._due = True
        if self._due:
            switch = self._look()
            self._due = False
            return switch
        event = self._events.next()
        if event is not None and event.name == self._collection:
            self._due = True
            if event.kind == "version" and self._ahead:
                self._bring_ahead(event)
        return None

    @property
    def _collection(self) -> str:
        return str(self._parsed._replace(version=""))

    def _bring_ahead(self, event: Event) -> None:
        """Brings a version that the name may be moved to; that it cannot be had is no failure yet."""
        try:
            name = str(self._parsed._replace(version=f"v{event.detail['version']}"))
            fetch_from(self._servers, self._cache, name, None, self._options).release()
        except RunstoneError:
            self._due = True

    def _look(self) -> Switch | None:
        since = time.monotonic()
        fetched = fetch_from(self._servers, self._cache, self.name, None, self._options)
        with self._lock:
            current = self.current
            number = fetched.version.number
            if (current is not None and current.number == number) or number == self._state.rejected():
                if current is not None and current.number == number:
                    self._state.hold(fetched)
                else:
                    fetched.release()
                return self._state.first_look(since)
            new = self._state.switch(fetched)
        return Switch(current, new, Path(new.path), time.monotonic() - since, fetched.bytes_fetched)

    def rollback(self) -> Kept:
        """Goes back to the version before, at once and without a server; until the name moves on, it stays there.

        Raises :class:`Missing` when there is none.
        """
        with self._lock:
            return self._state.rollback()

    def _fail(self, error: RunstoneError) -> None:
        self._due = True
        if self._events is not None and is_gone(error):
            self._events.close()
        held = f"; {self.current.version} stays in its place" if self.current else ""
        warnings.warn(f"{self.name} cannot be followed now: {error}{held}", stacklevel=3)
        self._closed.wait(self._pause)
        self._pause = min(self._pause * 2, LONGEST)

    def _run(self, on_ready: Callable[[Kept | None, Kept], None]) -> None:
        for switch in self:
            on_ready(switch.old, switch.new)

    def close(self) -> None:
        """Ends the following, from any thread. What stands in the target's place stays there, and is kept."""
        self._closed.set()
        events = self._events
        if events is not None:
            events.abort()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        if self._events is not None:
            self._events.close()
        self._servers.close()
        self._state.close()

    def __enter__(self) -> Following:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _State:
    """The version that is switched to and the one before it: in the cache's records if there is a target, else in this process."""

    def __init__(self, cache: Cache, name: str, link: Path | None) -> None:
        self._keeping, self._name, self._link = Keeping(cache), name, link
        self._fetched: dict[int, Fetched] = {}
        self._rejected = 0
        self._told = False
        kept = self._keeping.get(name, str(link)) if link is not None else None
        self.versions: tuple[Kept, ...] = kept.versions if kept is not None else ()
        self._rejected = kept.rejected if kept is not None else 0
        if link is not None and link.exists() and not link.is_symlink():
            raise Conflict(f"{link} is no symbolic link, and would have to be replaced by one; move it away")

    def rejected(self) -> int:
        """The version that was rolled back from, here or by another process."""
        self._reread()
        return self._rejected

    def _reread(self) -> None:
        if self._link is not None:
            kept = self._keeping.get(self._name, str(self._link))
            if kept is not None:
                self.versions, self._rejected = kept.versions, kept.rejected

    def first_look(self, since: float) -> Switch | None:
        """What is told at the beginning when the target stands right already: made whole if its link was taken away."""
        if self._told or not self.versions:
            return None
        self._told = True
        self._point()
        kept = self.versions[0]
        return Switch(None, kept, Path(kept.path), time.monotonic() - since, 0)

    def hold(self, fetched: Fetched) -> None:
        """Keeps a version in the cache while this process lives."""
        self._fetched[fetched.version.number] = fetched

    def switch(self, fetched: Fetched) -> Kept:
        """Makes a version the current one."""
        self._reread()
        new = kept_of(fetched)
        self.hold(fetched)
        self.versions, self._rejected, self._told = (new, *self.versions[:1]), 0, True
        self._save()
        self._point()
        self._let_go()
        return new

    def rollback(self) -> Kept:
        """Makes the version before the current one."""
        self._reread()
        if len(self.versions) < 2:
            raise Missing(f"{self._name} has no version before this one to go back to")
        self._rejected = self.versions[0].number
        self.versions = self.versions[1], self.versions[0]
        self._point()
        self._save()
        return self.versions[0]

    def _save(self) -> None:
        if self._link is not None:
            keep = Keep(
                name=self._name, target=str(self._link), versions=self.versions, rejected=self._rejected
            )
            self._keeping.save(keep)

    def _point(self) -> None:
        if self._link is not None:
            with wrapping(f"pointing {self._link} at {self.versions[0].path}"):
                self._link.parent.mkdir(parents=True, exist_ok=True)
                point(self._link, self.versions[0].path)

    def _let_go(self) -> None:
        wanted = {kept.number for kept in self.versions}
        for number in [number for number in self._fetched if number not in wanted]:
            self._fetched.pop(number).release()

    def close(self) -> None:
        """Lets this process's versions be evicted, but for what is kept."""
        for fetched in self._fetched.values():
            fetched.release()
        self._fetched = {}


class _Events:
    """The events of a project over a connection of their own, that can be broken off."""

    def __init__(self, http: Http, name: Name, after: int | None) -> None:
        self.place = after
        self.broken = False
        self._http = http.sibling(EVENT_SECONDS)
        path = f"/api/v1/events/{origin.quote(name.namespace)}/{origin.quote(name.project)}"

        def listen(after: int | None) -> Response:
            headers = {"Accept": "text/event-stream"}
            return self._http.request("GET", path + origin.query(after=after), headers=headers)

        self._listening = Listening(listen, after)

    def next(self) -> Event | None:
        """The next event; raises :class:`Unreachable` when the server is gone."""
        try:
            event = next(self._listening)
        except RunstoneError:
            self.close()
            raise
        self.place = event.seq
        return event

    def abort(self) -> None:
        """Breaks off, from any thread."""
        self.broken = True
        self._http.abort()

    def close(self) -> None:
        """Breaks off, and lets the connection go; nobody may wait for an event."""
        self.abort()
        self._listening.close()
        self._http.close()


#: The server says every 15 seconds that it is there.
EVENT_SECONDS = 45.0


def rollback(target: str | os.PathLike[str], *, cache: str | os.PathLike[str] | None = None) -> Kept:
    """Points a followed name's link back at the version before, whether or not a process follows it now.

    Raises :class:`Missing` when nothing is followed there, or there is no version before.
    """
    link = Path(target).absolute()
    opened = Cache(cache)
    keep = Keeping(opened).by_target(str(link))
    if keep is None:
        raise Missing(f"{link} is not the link of a name that is followed")
    return _State(opened, keep.name, link).rollback()
