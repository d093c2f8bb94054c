"""The fields of projects and runs that are of artifacts."""

from __future__ import annotations

from typing import Any

from runstone.dialects.wandb import artifactnodes, collections, wire
from runstone.dialects.wandb.fields import Fields


class ProjectArtifacts(Fields):
    """The fields of a project that are of artifacts."""

    _project: str

    def artifact(self, name: str) -> Any:
        """An artifact by ``collection:alias``, or None."""
        found = self.artifact_collection_membership(name)
        return found.artifact() if found else None

    def artifact_collection_membership(self, name: str) -> Any:
        """A version of a collection by ``collection:alias`` or ``collection:vN``, or None."""
        return collections.membership(self._call, self._project, name)

    def artifact_collection(self, name: str) -> Any:
        """A collection by name, or None."""
        return collections.collection(self._call, self._project, name)

    def artifact_collections(
        self,
        after: str | None = None,
        first: int | None = None,
        filters: str | None = None,
        order: str | None = None,
        collection_types: list[str] | None = None,
    ) -> dict[str, Any]:
        """The collections."""
        return collections.listed(self._call, self._project, after, first, filters, order)

    def artifact_type(self, name: str) -> Any:
        """A type by name, or None if nothing is of it."""
        found = self.artifact_types(first=1000)["edges"]
        return next((each["node"] for each in found if each["node"].name == name), None)

    def artifact_types(
        self, after: str | None = None, first: int | None = None, include_all: bool | None = None
    ) -> dict[str, Any]:
        """The types of the collections, and what a registry allows."""
        return collections.types(self._call, self._project, after, first, bool(include_all))


class RunArtifacts(Fields):
    """The fields of a run that are of artifacts."""

    #: What it is where it may be something else too.
    __typename = "Run"
    _number: int

    def output_artifacts(self, after: str | None = None, first: int | None = None) -> dict[str, Any]:
        """What the run made."""
        return self._artifacts(after, first, used=False)

    def input_artifacts(self, after: str | None = None, first: int | None = None) -> dict[str, Any]:
        """What the run used."""
        return self._artifacts(after, first, used=True)

    def _artifacts(self, after: str | None, first: int | None, *, used: bool) -> dict[str, Any]:
        found = wire.page(artifactnodes.of_run(self._call, self._number, used=used), after, first)
        for edge in found["edges"]:
            edge["version"] = f"v{edge['node'].version_index}"
        return found
