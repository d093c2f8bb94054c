"""Projects as GraphQL objects, and the runs in them."""

from __future__ import annotations

from typing import Any

from runstone.dialects.routing import Call
from runstone.dialects.wandb import automations, launch, naming, sweeps, views, wire
from runstone.dialects.wandb.artifactfields import ProjectArtifacts
from runstone.dialects.wandb.launch import QueueNode
from runstone.dialects.wandb.people import EntityNode, UserNode
from runstone.dialects.wandb.registryfields import ProjectRegistry
from runstone.dialects.wandb.runs import RunNode
from runstone.dialects.wandb.sweeps import SweepNode
from runstone.domain import projects
from runstone.domain.queries import mongo
from runstone.domain.runs import finding, lifecycle, questions
from runstone.errors import Gone, Missing
from runstone.query import Condition
from runstone.types import ProjectInfo

#: Runs of a page, at most.
MAX_PAGE = 1000


class ProjectNode(ProjectArtifacts, ProjectRegistry):
    """A project, or a registry."""

    __typename = "Project"
    is_benchmark = False
    views = "{}"

    def __init__(self, call: Call, info: ProjectInfo) -> None:
        self._call, self._info, self._project = call, info, info.path
        self.name = naming.shown(info.kind, info.name)
        self.entity_name, self.description = info.namespace, info.description
        self.entity = EntityNode(call, info.namespace)
        self.user = UserNode(call, info.by)
        self.created_at, self.updated_at = wire.time_text(info.created), wire.time_text(info.updated)
        self.access = naming.ACCESS[info.visibility]

    def read_only(self) -> bool:
        """Whether the caller may only read it."""
        return not projects.may_write(self._call.store, self._call.ctx, self._info.path)

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
        asked = mongo.condition(filters or None)
        page = questions.ask(
            self._call.store, self._call.ctx, self._info.path, filter=asked, limit=1, total=True
        )
        return page.total or 0

    def runs(
        self,
        filters: str | None = None,
        after: str | None = None,
        first: int | None = None,
        order: str | None = None,
    ) -> dict[str, Any]:
        """Runs that a MongoDB filter finds, in an order, by page. The SDK goes on from the last cursor of a page."""
        return runs_page(self._call, self._info.path, mongo.condition(filters or None), order, after, first)

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

    def run_queues(self) -> list[QueueNode]:
        """Its queues of Launch."""
        return launch.queues(self._call, self._info.path)

    def run_queue(self, name: str) -> QueueNode | None:
        """A queue of Launch by name, or None."""
        return next((each for each in self.run_queues() if each.name == name), None)

    def triggers(self) -> list[Any]:
        """Its automations."""
        return automations.of_project(self._call, self._info.namespace, self._number())

    def all_views(
        self,
        view_type: str | None = None,
        view_name: str | None = None,
        user_name: str | None = None,
        first: int | None = None,
        after: str | None = None,
    ) -> dict[str, Any]:
        """Saved workspaces or reports."""
        return views.listed(
            self._call, self._info.path, view_type or "runs", view_name, user_name, after, first
        )


def runs_page(
    call: Call, project: str, condition: Condition, order: str | None, after: str | None, first: int | None
) -> dict[str, Any]:
    """A page of the runs that a condition finds."""
    limit = max(1, min(50 if first is None else first, MAX_PAGE))
    page = questions.ask(
        call.store,
        call.ctx,
        project,
        filter=condition,
        order=mongo.orders(order),
        limit=limit,
        after=after or "",
    )
    edges = [{"node": RunNode(call, each), "cursor": page.next or ""} for each in page.items]
    return {"edges": edges, "pageInfo": {"endCursor": page.next or after, "hasNextPage": bool(page.next)}}


def project(call: Call, name: str | None, entity: str | None) -> ProjectNode | None:
    """A project, or None when there is none to be seen."""
    try:
        info = projects.get(call.store, call.ctx, naming.project(call, entity, name))
    except Missing:
        return None
    return ProjectNode(call, info) if info.kind == naming.kind(name) else None


def held_in(call: Call, path: str) -> ProjectNode:
    """The project of a path."""
    return ProjectNode(call, projects.get(call.store, call.ctx, path))


def listed(call: Call, entity: str | None, after: str | None, first: int | None) -> dict[str, Any]:
    """The projects of an entity, by page."""
    found = projects.list_projects(call.store, call.ctx, entity or call.ctx.principal.name, limit=100_000)
    return wire.page([ProjectNode(call, each) for each in found], after, first)
