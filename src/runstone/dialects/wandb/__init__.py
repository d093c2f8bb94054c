"""The wandb dialect: what the unmodified ``wandb`` SDK speaks, GraphQL with file streams and signed addresses beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from runstone.dialects.routing import Part, Raw, Route, routes_of
from runstone.dialects.wandb.problem import problem
from runstone.errors import RunstoneError

if TYPE_CHECKING:
    from runstone.domain.webhooks import Channel


class Wandb:
    """The dialect of the ``wandb`` SDK."""

    name = "wandb"
    prefixes: tuple[str, ...] = ("/graphql", "/files/", "/wandb/", "/artifactsV2/", "/artifacts/")
    parts = (Part(r"/(graphql$|(files|wandb|artifactsV2|artifacts)/)", __name__, ("routes",)),)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """What is told to webhooks."""
        from runstone.dialects.wandb.channel import CHANNELS

        return CHANNELS

    def routes(self) -> Iterator[Route]:
        """See :meth:`Dialect.routes`."""
        return routes_of(self.parts)

    def problem(self, error: RunstoneError, request_id: str) -> Raw:
        """See :meth:`Dialect.problem`."""
        return problem(error)
