"""Sweeps by name, ``namespace/project/sweep``, and by id."""

from __future__ import annotations

import msgspec

from runstone.domain import names
from runstone.domain.context import Context
from runstone.domain.policy import Action
from runstone.domain.runs import finding
from runstone.domain.store import Store
from runstone.errors import Missing
from runstone.storage.index import View
from runstone.storage.tables import NAMESPACES, PROJECTS, SWEEP_NAMES, SWEEPS, Namespace, Project, Sweep


class Found(msgspec.Struct, frozen=True):
    """A sweep with what it lies in."""

    namespace: Namespace
    project: Project
    sweep: Sweep

    def __str__(self) -> str:
        return f"{self.namespace.name}/{self.project.name}/{self.sweep.name}"

    def run(self, name: str) -> str:
        """The full name of one of its runs."""
        return f"{self.namespace.name}/{self.project.name}/{name}"


def find(store: Store, view: View, ctx: Context, name: str, action: Action = "read") -> Found:
    """The sweep of a name, if the principal may do ``action`` in its project."""
    parsed = finding.parse(ctx, name)
    namespace, project = names.find_project(store, view, ctx, parsed, action)
    held = view.get(SWEEP_NAMES, project.id, parsed.collection)
    sweep = view.get(SWEEPS, held) if held is not None else None
    if sweep is None:
        raise Missing(f"sweep {parsed} does not exist")
    return Found(namespace, project, sweep)


def by_id(view: View, sweep_id: int) -> Found | None:
    """The sweep with an id; no policy is asked."""
    sweep = view.get(SWEEPS, sweep_id)
    project = view.get(PROJECTS, sweep.project) if sweep else None
    namespace = view.get(NAMESPACES, project.namespace) if project else None
    return Found(namespace, project, sweep) if sweep and project and namespace else None
