"""What a name stands for now."""

from __future__ import annotations

from runstone.dialects.native.wire import NoQuery, version_name
from runstone.dialects.routing import Call, Route
from runstone.domain import versions
from runstone.types import Resolved


def resolve(call: Call) -> Resolved:
    """Answers ``GET /resolve/…``: the hot read, remembered until the next commit for all that the answer depends on."""
    store, ctx, name = call.store, call.ctx, version_name(call)
    key = ("resolve", ctx.asker, name)
    return store.cached(key, lambda: versions.resolve(store, ctx, name))


ROUTES = (
    Route(
        "GET",
        "/api/v1/resolve/{ns}/{project}/{collection}/{version}",
        resolve,
        "What an alias or number stands for now.",
        query=NoQuery,
        answer=Resolved,
        hot=resolve,
    ),
)
