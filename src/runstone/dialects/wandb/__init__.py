"""The wandb dialect: what the unmodified ``wandb`` SDK speaks, GraphQL with file streams and signed addresses beside it."""

from __future__ import annotations

from collections.abc import Iterator

from runstone.dialects.routing import Raw, Route
from runstone.dialects.wandb import routes
from runstone.dialects.wandb.channel import CHANNELS
from runstone.dialects.wandb.problem import problem
from runstone.errors import RunstoneError


class Wandb:
    """The dialect of the ``wandb`` SDK."""

    name = "wandb"
    prefixes: tuple[str, ...] = ("/graphql", "/files/", "/wandb/", "/artifactsV2/", "/artifacts/")

    channels = CHANNELS

    def routes(self) -> Iterator[Route]:
        """See :meth:`Dialect.routes`."""
        yield from routes.ROUTES

    def problem(self, error: RunstoneError, request_id: str) -> Raw:
        """See :meth:`Dialect.problem`."""
        return problem(error)
