"""The native API, ``/api/v1``: runstone's own words over HTTP, as JSON or MessagePack."""

from __future__ import annotations

from collections.abc import Iterator

from runstone.dialects.native.problem import problem
from runstone.dialects.routing import Part, Raw, Route, routes_of
from runstone.errors import RunstoneError

_PARTS = (
    Part(r"/api/v1/resolve/", __name__, ("resolving",)),
    Part(
        r"/api/v1/(?!resolve/)",
        __name__,
        (
            "accounts",
            "projects",
            "versions",
            "files",
            "plans",
            "aliases",
            "uploads",
            "runs",
            "alerts",
            "previews",
            "points",
            "series",
            "queries",
            "drawing",
            "sql",
            "documents",
            "events",
            "lineage",
            "log",
            "secrets",
            "admin",
        ),
    ),
)


class Native:
    """The native dialect."""

    name = "native"
    prefixes: tuple[str, ...] = ("/api/v1",)
    parts = _PARTS

    def routes(self) -> Iterator[Route]:
        """See :meth:`Dialect.routes`."""
        return routes_of(self.parts)

    def problem(self, error: RunstoneError, request_id: str) -> Raw:
        """See :meth:`Dialect.problem`."""
        return problem(error, request_id)
