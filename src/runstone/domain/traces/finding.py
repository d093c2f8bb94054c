"""Traces by the id that their maker gave them, as far as the principal may see them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from runstone.domain import fields, policy
from runstone.domain.context import Context
from runstone.domain.policy import Action
from runstone.domain.store import Store
from runstone.errors import Missing
from runstone.storage.index import View
from runstone.storage.tables import (
    ASSESSMENTS,
    NAMESPACES,
    PROJECTS,
    TRACE_NAMES,
    TRACES,
    Assessment,
    Namespace,
    Project,
    Trace,
)

MAX_NAME = 255
#: What the fields of traces are called where fields are classed: ``traces.tags.user``, ``traces.request``, ``traces.spans`` …
ROOT = "traces"


class Found(msgspec.Struct, frozen=True):
    """A trace with what it lies in, and the fields that the principal may not read. ``trace`` is the row without them."""

    namespace: Namespace
    project: Project
    trace: Trace
    hidden: tuple[str, ...] = ()

    def shows(self, field: str) -> bool:
        """Whether the principal may read a field of it."""
        return not fields.covers(self.hidden, f"{ROOT}.{field}")


def find(store: Store, view: View, ctx: Context, name: str, action: Action = "read") -> Found:
    """The trace of a name, if the principal may do ``action`` in its project.

    A name is unique in a project only. Of several that the principal may read, the first project's is meant.
    """
    found = lookup(store, view, ctx, name)
    if found is None:
        raise Missing(f"trace {name!r:.300} does not exist, or {ctx.principal.name} may not see it")
    policy.require(store.policy, view, ctx, action, found.namespace, found.project)
    return found


def lookup(
    store: Store,
    view: View,
    ctx: Context,
    name: str,
    *,
    namespace: int = 0,
    projects: Iterable[int] | None = None,
) -> Found | None:
    """The trace of a name, or None; only one of a namespace, or of some projects, if that is asked for."""
    if not fits(name):
        return None
    for (_, project_id), number in view.scan(TRACE_NAMES, name):
        if projects is not None and project_id not in projects:
            continue
        place = placed(store, view, ctx, project_id)
        row = view.get(TRACES, number)
        if place and row and (not namespace or place.namespace.id == namespace):
            return at(place, row)
    return None


class Place(msgspec.Struct, frozen=True):
    """A project that the principal may read, and the fields in it that it may not."""

    namespace: Namespace
    project: Project
    hidden: tuple[str, ...] = ()


def placed(store: Store, view: View, ctx: Context, project_id: int) -> Place | None:
    """The project with an id, if the principal may read it."""
    project = view.get(PROJECTS, project_id)
    namespace = view.get(NAMESPACES, project.namespace) if project else None
    if project is None or namespace is None:
        return None
    if not store.policy.allows(view, ctx, "read", namespace, project):
        return None
    place = Place(namespace, project)
    return replace(place, hidden=fields.hidden_from(store, view, ctx, place))


def at(place: Place, row: Trace) -> Found:
    """A trace in its project, as the principal may see it."""
    return Found(place.namespace, place.project, _seen(row, place.hidden), place.hidden)


def assessments(view: View, found: Found) -> list[Assessment]:
    """What a trace was judged as, oldest first, as far as the principal may see it."""
    rows = [row for _, row in view.scan(ASSESSMENTS, found.trace.id)]
    shown = [row for row in rows if not found.hidden or found.shows(f"assessments.{row.name}")]
    return sorted(shown, key=lambda row: row.order)


def fits(name: str) -> bool:
    """Whether a text can be the name of a trace."""
    try:
        return bool(name) and "\0" not in name and len(name.encode()) <= MAX_NAME
    except UnicodeEncodeError:
        return False


def _seen(row: Trace, hidden: tuple[str, ...]) -> Trace:
    if not hidden:
        return row

    def shown(field: str) -> bool:
        return not fields.covers(hidden, f"{ROOT}.{field}")

    return replace(
        row,
        **{
            name: None
            for name in ("title", "session", "client_request", "request", "response")
            if not shown(name)
        },
        tags={key: text for key, text in row.tags.items() if shown(f"tags.{key}")},
        metadata={key: text for key, text in row.metadata.items() if shown(f"metadata.{key}")},
        usage=row.usage if shown("usage") else {},
        cost=row.cost if shown("cost") else {},
    )
