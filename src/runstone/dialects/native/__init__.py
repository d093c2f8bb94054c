"""The native API, ``/api/v1``: runstone's own words over HTTP, as JSON or MessagePack."""

from __future__ import annotations

from collections.abc import Iterator

from runstone.dialects.native import (
    accounts,
    admin,
    alerts,
    aliases,
    documents,
    drawing,
    events,
    files,
    lineage,
    log,
    plans,
    points,
    previews,
    projects,
    queries,
    runs,
    secrets,
    series,
    sql,
    uploads,
    versions,
)
from runstone.dialects.native.problem import problem
from runstone.dialects.routing import Raw, Route
from runstone.errors import RunstoneError

_MODULES = (
    accounts,
    projects,
    versions,
    files,
    plans,
    aliases,
    uploads,
    runs,
    alerts,
    previews,
    points,
    series,
    queries,
    drawing,
    sql,
    documents,
    events,
    lineage,
    log,
    secrets,
    admin,
)


class Native:
    """The native dialect."""

    name = "native"
    prefixes: tuple[str, ...] = ("/api/v1",)

    def routes(self) -> Iterator[Route]:
        """See :meth:`Dialect.routes`."""
        for module in _MODULES:
            yield from module.ROUTES

    def problem(self, error: RunstoneError, request_id: str) -> Raw:
        """See :meth:`Dialect.problem`."""
        return problem(error, request_id)
