"""The Hugging Face Hub dialect: what ``huggingface_hub`` and those built on it speak to ``HF_ENDPOINT``."""

from __future__ import annotations

from collections.abc import Iterator

from runstone.dialects.hub import (
    access,
    commits,
    identity,
    infos,
    lfs,
    lfsfiles,
    repos,
    resolving,
    xet,
)
from runstone.dialects.hub.problem import problem
from runstone.dialects.routing import Raw, Route
from runstone.errors import RunstoneError

_MODULES = (identity, infos, resolving, repos, lfs, lfsfiles, commits, access, xet)


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

    def routes(self) -> Iterator[Route]:
        """See :meth:`Dialect.routes`."""
        for module in _MODULES:
            yield from module.ROUTES

    def problem(self, error: RunstoneError, request_id: str) -> Raw:
        """See :meth:`Dialect.problem`."""
        return problem(error, request_id)
