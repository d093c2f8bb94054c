"""The routes of the dialect."""

from __future__ import annotations

from typing import Any

import msgspec

from runstone.dialects.routing import BYTES, JSON, Call, Raw, Route
from runstone.dialects.wandb import artifactfiles, filestream, parts, runfiles, wire
from runstone.dialects.wandb.problem import content, is_outright
from runstone.errors import RunstoneError


class Operation(msgspec.Struct, rename="camel"):
    """A GraphQL request."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None


def graphql(call: Call) -> Raw:
    """Answers ``POST /graphql``; an error of the caller's own comes with status 200, which the SDK does not try again."""
    from runstone.dialects.wandb import execution
    from runstone.dialects.wandb.root import Root

    asked: Operation = call.body
    try:
        found = execution.run(Root(call), asked.query, asked.variables or {}, asked.operation_name)
    except RunstoneError as error:
        if is_outright(error):
            raise
        return Raw(content(error), JSON)
    return Raw(wire.answered(found), JSON)


ROUTES = (
    Route(
        "POST", "/graphql", graphql, "The wandb SDK's GraphQL.", body=Operation, blocking=True, manifest=True
    ),
    Route(
        "POST",
        "/files/{entity}/{project}/{run}/file_stream",
        filestream.take_in,
        "What a run of the wandb SDK sends while it goes on.",
        body=filestream.Stream,
        blocking=True,
        manifest=True,
    ),
    Route(
        "PUT",
        runfiles.RUN_FILE,
        runfiles.put,
        "Takes a run's file in, by a signed address.",
        streams=True,
        signed=True,
    ),
    Route(
        "GET",
        runfiles.RUN_FILE,
        runfiles.get,
        "A run's file, by a signed address.",
        media_type=BYTES,
        also=(206, 304),
        signed=True,
        blocking=True,
    ),
    *artifactfiles.ROUTES,
    *parts.ROUTES,
)
