"""Projects as GraphQL objects, and the runs in them."""

from __future__ import annotations

from typing import Any

from runstone.dialects.routing import Call
from runstone.dialects.wandb import sweeps, wire
from runstone.dialects.wandb.people import EntityNode, UserNode
from runstone.dialects.wandb.runs import RunNode
from runstone.dialects.wandb.sweeps import SweepNode
from runstone.domain import projects
from runstone.domain.queries import mongo
from runstone.domain.runs import finding, lifecycle, listing
from runstone.errors import Gone, Missing
from runstone.types import ProjectInfo

DEFAULT = "uncategorized"


class ProjectNode:
    """A project."""

    is_benchmark = False
    read_only = False
    views = "{}"

    def __init__(self, call: Call, info: ProjectInfo) -> None:
        self._call, self._info = call, info
        self.name, self.entity_name, self.description = info.name, info.namespace, info.description
        self.entity = EntityNode(call, info.namespace)
        self.user = UserNode(call, info.by)
        self.created_at = wire.time_text(info.created)
        self.access = "USER_READ" if info.visibility == "public" else "PRIVATE"

    def _number(self) -> int:
        with self._call.store.index.read() as view:
            return finding.project(self._call.store, view, self._call.ctx, self._info.path).project.id

    def id(self) -> str:
        """The id of the project."""
        return wire.make_id("Project", self._number())

    def internal_id(self) -> str:
        """The same, of the kind that the SDK takes a number from."""
        return wire.make_id("ProjectInternalId", self._number())

    def run(self, name: str, desc: str | None = None) -> RunNode | None:
        """A run by name, or None; ``desc`` says nothing."""
        try:
            info = lifecycle.get(self._call.store, self._call.ctx, f"{self._info.path}/{name}")
        except (Missing, Gone):
            return None
        return RunNode(self._call, info)

    def bucket(self, name: str, missing_ok: bool | None = None) -> RunNode | None:
        """A run by name; raises :class:`Missing` unless it may be missing."""
        found = self.run(name)
        if found is None and not missing_ok:
            raise Missing(f"run {self._info.path}/{name} does not exist")
        return found

    def run_count(self, filters: str | None = None) -> int:
        """How many runs a filter finds."""
        return len(self._found(filters, None))

    def runs(
        self,
        filters: str | None = None,
        after: str | None = None,
        first: int | None = None,
        order: str | None = None,
    ) -> dict[str, Any]:
        """Runs that a MongoDB filter finds, in an order, by page."""
        found = wire.page(self._found(filters, order), after, first)
        for edge in found["edges"]:
            edge["node"] = RunNode(self._call, lifecycle.get(self._call.store, self._call.ctx, edge["node"]))
        return found

    def total_sweeps(self, filters: str | None = None) -> int:
        """How many sweeps a filter finds."""
        return len(sweeps.listed(self._call, self._info.path, filters))

    def sweeps(
        self, after: str | None = None, first: int | None = None, filters: str | None = None
    ) -> dict[str, Any]:
        """Sweeps that a filter finds, by page."""
        found = sweeps.listed(self._call, self._info.path, filters)
        return wire.page([SweepNode(self._call, each) for each in found], after, first)

    def sweep(self, sweep_name: str) -> SweepNode | None:
        """A sweep by name, or None."""
        return sweeps.sweep(self._call, self._info.path, sweep_name)

    def _found(self, filters: str | None, order: str | None) -> list[str]:
        return listing.find(
            self._call.store,
            self._call.ctx,
            self._info.path,
            mongo.condition(filters or None),
            mongo.orders(order),
        )


def project(call: Call, name: str | None, entity: str | None) -> ProjectNode | None:
    """A project, or None when there is none to be seen."""
    path = f"{entity or call.ctx.principal.name}/{name or DEFAULT}"
    try:
        return ProjectNode(call, projects.get(call.store, call.ctx, path))
    except Missing:
        return None


def listed(call: Call, entity: str | None, after: str | None, first: int | None) -> dict[str, Any]:
    """The projects of an entity, by page."""
    found = projects.list_projects(call.store, call.ctx, entity or call.ctx.principal.name, limit=100_000)
    return wire.page([ProjectNode(call, each) for each in found], after, first)
