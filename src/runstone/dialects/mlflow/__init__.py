"""mlflow's REST interface: what an unmodified ``mlflow`` client with ``MLFLOW_TRACKING_URI`` set speaks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from runstone.dialects.mlflow.problem import problem
from runstone.dialects.routing import Part, Raw, Route, routes_of
from runstone.errors import RunstoneError

if TYPE_CHECKING:
    from runstone.domain.webhooks import Channel

_V2, _V3, _ANY = (rf"/(ajax-)?api/{version}/mlflow/" for version in (r"2\.0", r"3\.0", r"[23]\.0"))
_GENAI = (
    "traces",
    "oldtraces",
    "asking",
    "assessments",
    "ingest",
    "scorers",
    "datasets",
    "labels",
    "queues",
    "issues",
    "metering",
)
_PARTS = (
    Part(
        rf"/version$|{_V3}server-info$|{_ANY}(gateway|prompt-optimization|mcp-servers)(/|$)|/gateway/",
        __name__,
        ("service",),
    ),
    Part(
        rf"{_V2}(registered-models|model-versions)/|/model-versions/", __name__, ("models", "modelversions")
    ),
    Part(
        rf"{_V2}(experiments|runs|metrics|artifacts|logged-models|get-artifact)(/|$)|/(ajax-)?api/2\.0/mlflow-artifacts/|/get-artifact$",
        __name__,
        ("experiments", "runs", "logging", "metrics", "artifacts", "logged", "transfers", "inputs"),
    ),
    Part(
        rf"{_V2}(webhooks|users)(/|$)|{_V3}(users|roles|workspaces)(/|$)",
        __name__,
        ("hooks", "people", "workspaces"),
    ),
    Part(
        rf"{_ANY}traces(/|$)|{_V3}(scorers|datasets|label-schemas|review-queues|issues)(/|$)|/v1/traces$",
        f"{__name__}.genai",
        _GENAI,
    ),
)


class Mlflow:
    """The mlflow dialect."""

    name = "mlflow"
    prefixes: tuple[str, ...] = (
        "/api/2.0/",
        "/api/2.0mlflow",
        "/api/3.0/mlflow",
        "/ajax-api/",
        "/version",
        "/get-artifact",
        "/model-versions/",
        "/v1/traces",
        "/gateway/",
    )

    parts = _PARTS

    @property
    def channels(self) -> tuple[Channel, ...]:
        """What is told to webhooks."""
        from runstone.dialects.mlflow.hooks import Channel

        return (Channel(),)

    def routes(self) -> Iterator[Route]:
        """See :meth:`Dialect.routes`."""
        return routes_of(self.parts)

    def problem(self, error: RunstoneError, request_id: str) -> Raw:
        """See :meth:`Dialect.problem`."""
        return problem(error, request_id)
