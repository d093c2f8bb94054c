"""What happened last in all projects that one may read: what a first page shows, in one answer."""

from __future__ import annotations

from runstone.domain import accounts, projects
from runstone.domain.context import Context
from runstone.domain.runs import tablerows
from runstone.domain.store import Store
from runstone.types import Overview, OverviewProject, RecentRun

MAX_NAMESPACES = 50
MAX_PROJECTS = 200
#: Projects whose runs are looked at, and runs of each.
ASKED = 12
RECENT = 8
_FIELDS = ("user",)


def overview(store: Store, ctx: Context, runs: int = 12) -> Overview:
    """Projects and registries, those first that changed last, and the ``runs`` runs that did.

    How many runs a project has, and when one changed last, is told of the :data:`ASKED` projects that changed last themselves.
    """
    found = [
        project
        for namespace in accounts.namespaces(store, ctx, limit=MAX_NAMESPACES)
        for project in projects.list_projects(store, ctx, namespace.name, limit=MAX_PROJECTS)
    ]
    found.sort(key=lambda project: -project.updated)
    asked = [project for project in found if project.kind == "project"][:ASKED]
    shown: dict[str, OverviewProject] = {}
    recent: list[RecentRun] = []
    for project in asked:
        ctx.check_deadline()
        page = tablerows.rows(
            store, ctx, project.path, _FIELDS, order="updated desc", limit=RECENT, total=True
        )
        changed = max([project.updated, *(row.updated for row in page.items[:1])])
        shown[project.path] = OverviewProject(project=project, changed=changed, runs=page.total)
        recent += [
            RecentRun(namespace=project.namespace, project=project.name, by=row.values[0] or "", row=row)
            for row in page.items
        ]
    every = [
        shown.get(project.path) or OverviewProject(project=project, changed=project.updated, runs=None)
        for project in found
    ]
    every.sort(key=lambda each: -each.changed)
    recent.sort(key=lambda each: -each.row.updated)
    return Overview(projects=tuple(every), recent=tuple(recent[:runs]))
