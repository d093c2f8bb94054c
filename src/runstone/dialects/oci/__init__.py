"""The OCI dialect: every version is pulled by container tools, as a ModelPack artifact and as an image. It only reads.

Source: opencontainers/distribution-spec, spec.md; opencontainers/image-spec, manifest.md and config.md; modelpack/model-spec,
docs/spec.md; for tokens https://distribution.github.io/distribution/spec/auth/token/.
"""

from __future__ import annotations

from collections.abc import Iterator

from runstone.dialects.oci.problem import problem
from runstone.dialects.routing import Part, Raw, Route, routes_of
from runstone.errors import RunstoneError


class Oci:
    """The OCI dialect."""

    name = "oci"
    prefixes: tuple[str, ...] = ("/v2",)
    parts = (Part(r"/v2(/|$)", __name__, ("registry", "manifests", "blobs")),)

    def routes(self) -> Iterator[Route]:
        """See :meth:`Dialect.routes`."""
        return routes_of(self.parts)

    def problem(self, error: RunstoneError, request_id: str) -> Raw:
        """See :meth:`Dialect.problem`."""
        return problem(error, request_id)
