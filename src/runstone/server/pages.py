"""The web application over HTTP: its page at every address that no protocol claims, and its files."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from runstone.dialects.native.problem import problem
from runstone.dialects.routing import Call, Pairs, Raw, Reply, Route
from runstone.errors import Missing, RunstoneError
from runstone.server.router import Endpoint, Match

if TYPE_CHECKING:
    from runstone.server.assets import Asset, Assets

PREFIX = "/ui/assets"

#: What is shown in the frame may run its scripts and draw, and reach nothing: its origin is its own, and no address is let through.
FRAME_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "media-src data: blob:; font-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'; sandbox allow-scripts"
)


class Pages:
    """The application, as a dialect."""

    name = "ui"
    prefixes: tuple[str, ...] = ("/ui/",)

    def __init__(self, reader: Callable[[Mapping[str, str]], Reply]) -> None:
        """``reader`` answers who is signed in, of a request's header fields; null for nobody."""
        self._reader = reader
        self._assets: Assets | None = None
        route = Route("GET", "/{page...}", self.page, "The web application.", query=Pairs, open=True)
        endpoint = Endpoint(route, self)
        self._page = {"GET": endpoint, "HEAD": endpoint}

    def routes(self) -> Iterator[Route]:
        """See :meth:`Dialect.routes`."""
        yield Route("GET", PREFIX + "/{version}/{path...}", self.asset, "A file of it.", open=True)
        yield Route("GET", "/ui/frame", self.frame, "Where content of users is shown.", open=True)

    def problem(self, error: RunstoneError, request_id: str) -> Raw:
        """See :meth:`Dialect.problem`."""
        return problem(error, request_id)

    def shown(self, method: str, path: str, accept: str) -> Match | None:
        """The page, for a browser that goes somewhere."""
        wanted = method in self._page and "text/html" in accept
        return Match(self._page, {"page": path.strip("/")}) if wanted else None

    def page(self, call: Call) -> Raw:
        """Answers any page."""
        from runstone.server.assets import POLICY

        reader = self._reader(call.headers)
        content = self._held(edited=True).page_at(f"/{call.path['page']}", msgspec.json.encode(reader.value))
        headers = {
            "Content-Security-Policy": POLICY,
            "Cache-Control": "private, no-cache",
            "Vary": "Accept-Encoding, Cookie",
            **reader.headers,
        }
        if "gzip" in call.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
            content = gzip.compress(content, 1, mtime=0)
        return Raw(content, "text/html; charset=utf-8", headers=headers)

    def asset(self, call: Call) -> Raw:
        """Answers ``GET /ui/assets/…``; a file of another version than this one's is not kept by anybody."""
        held = self._held()
        found = held.get(call.path["path"])
        if found is None:
            raise Missing(f"the web application has no file {call.path['path']!r:.200}")
        kept = call.path["version"] == held.version
        return _sent(
            found,
            call.headers,
            {"Cache-Control": "public, max-age=31536000, immutable" if kept else "no-store"},
        )

    def frame(self, call: Call) -> Raw:
        """Answers ``GET /ui/frame``."""
        found = self._held().get("frame.html")
        assert found is not None
        return _sent(
            found, call.headers, {"Content-Security-Policy": FRAME_POLICY, "Cache-Control": "no-cache"}
        )

    def _held(self, *, edited: bool = False) -> Assets:
        from runstone.server.assets import Assets

        held = self._assets
        if held is None or (edited and not held.current):
            held = self._assets = Assets()
        return held


def _sent(asset: Asset, request: Mapping[str, str], headers: dict[str, str]) -> Raw:
    headers = {"ETag": asset.tag, "Vary": "Accept-Encoding", **headers}
    if asset.tag in request.get("If-None-Match", ""):
        return Raw(b"", "", 304, headers)
    if "gzip" in request.get("Accept-Encoding", ""):
        return Raw(asset.packed, asset.media_type, headers={**headers, "Content-Encoding": "gzip"})
    return Raw(asset.content, asset.media_type, headers=headers)
