"""The Hugging Face Hub dialect: what ``huggingface_hub`` and those built on it speak to ``HF_ENDPOINT``."""

from __future__ import annotations

from collections.abc import Iterator

from runstone.dialects.hub.problem import problem
from runstone.dialects.routing import Part, Raw, Route, routes_of
from runstone.errors import RunstoneError

_MODULES = (
    "identity",
    "infos",
    "resolving",
    "repos",
    "lfs",
    "lfsfiles",
    "commits",
    "access",
    "xet",
)
_CLAIMS = (
    r"/api/(models|datasets|spaces|repos|whoami-v2|validate-yaml|lfs-uploads|xet|xet-chunks)(/|$)"
    r"|/(?!api/).+/(resolve/|info/lfs/|ask-access$)"
)


class Hub:
    """The Hub dialect."""

    name = "hub"
    prefixes: tuple[str, ...] = (
        "/api/models",
        "/api/datasets",
        "/api/spaces",
        "/api/repos",
        "/api/whoami-v2",
        "/api/validate-yaml",
        "/api/lfs-uploads",
        "/api/xet",
        "/api/xet-chunks",
    )
    parts = (Part(_CLAIMS, __name__, _MODULES),)

    def routes(self) -> Iterator[Route]:
        """See :meth:`Dialect.routes`."""
        return routes_of(self.parts)

    def problem(self, error: RunstoneError, request_id: str) -> Raw:
        """See :meth:`Dialect.problem`."""
        return problem(error, request_id)
