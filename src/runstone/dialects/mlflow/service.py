"""What the server says of itself to mlflow's clients, and what of mlflow it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runstone.dialects.mlflow import wire
from runstone.dialects.mlflow.problem import NOT_IMPLEMENTED, refusal
from runstone.dialects.routing import Call, Pairs, Raw, Route

#: The mlflow whose interface this is.
VERSION = "3.17.2"
_REFUSED = ("gateway", "prompt-optimization", "mcp-servers")
_METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")


def version(call: Call) -> Raw:
    """Answers ``GET /version``."""
    return Raw(VERSION.encode(), "text/plain; charset=utf-8")


def server_info(call: Call) -> dict[str, Any]:
    """Answers ``GET /api/3.0/mlflow/server-info``."""
    return {
        "store_type": "SqlStore",
        "workspaces_enabled": True,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": True,
        "multipart_downloads_enabled": True,
        "presigned_upload_run_id_supported": True,
        "presigned_upload_model_id_supported": True,
    }


def refuse(call: Call) -> Any:
    """Answers what is not supported; 501 is not tried again by clients."""
    raise refusal(
        NOT_IMPLEMENTED, "runstone does not support this part of mlflow; docs/mlflow.md lists what it does"
    )


def _routes() -> Iterator[Route]:
    yield Route(
        "GET",
        "/version",
        version,
        "The version of mlflow that is spoken.",
        query=Pairs,
        open=True,
        hot=version,
        fields=wire.FIELDS,
    )
    for root in ("/api/3.0/mlflow", "/ajax-api/3.0/mlflow"):
        yield Route(
            "GET", f"{root}/server-info", server_info, "What the server can do.", query=Pairs, open=True
        )
    for root in ("/api/3.0/mlflow", "/ajax-api/3.0/mlflow", "/api/2.0/mlflow", "/ajax-api/2.0/mlflow"):
        for part in _REFUSED:
            for path in (f"{root}/{part}", f"{root}/{part}/{{rest...}}"):
                yield from _refused(path)
    yield from _refused("/gateway/{rest...}")


def _refused(path: str) -> Iterator[Route]:
    for method in _METHODS:
        yield Route(method, path, refuse, "Not supported.", body=Any, query=Pairs, status=501)


ROUTES = tuple(_routes())
