"""mlflow's REST interface: what an unmodified ``mlflow`` client with ``MLFLOW_TRACKING_URI`` set speaks."""

from __future__ import annotations

from collections.abc import Iterator

from runstone.dialects.mlflow import (
    artifacts,
    experiments,
    hooks,
    inputs,
    logged,
    logging,
    metrics,
    models,
    modelversions,
    people,
    runs,
    service,
    transfers,
    workspaces,
)
from runstone.dialects.mlflow.genai import (
    asking,
    assessments,
    datasets,
    ingest,
    issues,
    labels,
    metering,
    oldtraces,
    queues,
    scorers,
    traces,
)
from runstone.dialects.mlflow.problem import problem
from runstone.dialects.routing import Raw, Route
from runstone.errors import RunstoneError

_MODULES = (
    service,
    experiments,
    runs,
    logging,
    metrics,
    artifacts,
    logged,
    models,
    modelversions,
    hooks,
    transfers,
    inputs,
    people,
    workspaces,
)
_GENAI = (traces, oldtraces, asking, assessments, ingest, scorers, datasets, labels, queues, issues, metering)


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

    channels = (hooks.Channel(),)

    def routes(self) -> Iterator[Route]:
        """See :meth:`Dialect.routes`."""
        for module in (*_MODULES, *_GENAI):
            yield from module.ROUTES

    def problem(self, error: RunstoneError, request_id: str) -> Raw:
        """See :meth:`Dialect.problem`."""
        return problem(error, request_id)
