"""Runs by name, ``namespace/project/run``, and as they are shown."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from runstone.domain import fields, names
from runstone.domain.context import Context
from runstone.domain.policy import Action
from runstone.domain.runs import keys, stats
from runstone.domain.runs.stats import Stat
from runstone.domain.store import Store
from runstone.errors import Gone, Invalid, Missing
from runstone.storage.index import View
from runstone.storage.tables import (
    LAST_OBJECTS,
    NAMESPACES,
    PROJECTS,
    RUN_MARKS,
    RUN_NAMES,
    RUNS,
    Namespace,
    Project,
    Run,
    RunMark,
)
from runstone.types import KeyStats, RunInfo

_decode = msgspec.msgpack.Decoder().decode


class Found(msgspec.Struct, frozen=True):
    """A run with what it lies in."""

    namespace: Namespace
    project: Project
    run: Run

    def __str__(self) -> str:
        return f"{self.namespace.name}/{self.project.name}/{self.run.name}"


def parse(ctx: Context, name: str) -> names.Name:
    """``namespace/project/run``, or ``project/run`` in the principal's own namespace; ``collection`` of the answer is the run."""
    wrong = Invalid(f"{name!r:.200} is not the name of a run: use namespace/project/run")
    try:
        parsed = names.parse(ctx, name)
    except Invalid:
        raise wrong from None
    if parsed.version:
        raise wrong
    return parsed


def find(
    store: Store, view: View, ctx: Context, name: str, action: Action = "read", *, deleted: bool = False
) -> Found:
    """The run of a name, if the principal may do ``action`` in its project; a deleted one only if asked for."""
    parsed = parse(ctx, name)
    namespace, project = names.find_project(store, view, ctx, parsed, action)
    held = view.get(RUN_NAMES, project.id, parsed.collection)
    run = view.get(RUNS, held) if held is not None else None
    if run is None:
        raise Missing(f"run {parsed} does not exist")
    if run.deleted and not deleted:
        raise Gone(f"run {parsed} was deleted; restore it first")
    return Found(namespace, project, run)


class InProject(msgspec.Struct, frozen=True):
    """A project with its namespace."""

    namespace: Namespace
    project: Project


def project(store: Store, view: View, ctx: Context, name: str, action: Action = "read") -> InProject:
    """The project of a name, if the principal may do ``action`` in it."""
    return InProject(*names.find_project(store, view, ctx, names.parse_project(ctx, name), action))


def named(store: Store, ctx: Context, run_id: int) -> str:
    """The name of the run with an id, if the principal may read it."""
    with store.index.read() as view:
        found = by_id(view, run_id)
        if found is None or not store.policy.allows(view, ctx, "read", found.namespace, found.project):
            raise Missing(f"there is no run with id {run_id}, or {ctx.principal.name} may not see it")
        return str(found)


def by_id(view: View, run_id: int) -> Found | None:
    """The run with an id; no policy is asked."""
    run = view.get(RUNS, run_id)
    project = view.get(PROJECTS, run.project) if run else None
    namespace = view.get(NAMESPACES, project.namespace) if project else None
    return Found(namespace, project, run) if run and project and namespace else None


def info(store: Store, view: View, ctx: Context, found: Found) -> RunInfo:
    """A run as the principal may see it."""
    run = found.run
    hidden = fields.hidden_from(store, view, ctx, found)
    mark = view.get(RUN_MARKS, run.id) or RunMark(0, run.created)
    numbers = stats.of(view, run.stream)
    parent = by_id(view, run.parent) if run.parent else None
    return RunInfo(
        id=run.id,
        namespace=found.namespace.name,
        project=found.project.name,
        name=run.name,
        display_name=run.display_name,
        state=run.state,
        created=run.created,
        started=run.started,
        finished=run.finished,
        updated=mark.time,
        by=run.by,
        group=run.group,
        job_type=run.job_type,
        sweep=run.sweep,
        notes="" if fields.covers(hidden, "notes") else run.notes,
        tags={tag: text for tag, text in run.tags.items() if not fields.covers(hidden, f"tags.{tag}")},
        config=fields.without(_decode(run.config), hidden, "config"),
        summary=fields.without(summary(store, view, run, numbers), hidden, "summary"),
        goals=run.goals,
        info=fields.without(_decode(run.info), hidden, "info"),
        step=max((stat.step for stat in numbers.values()), default=-1),
        points=mark.points,
        lines=mark.lines,
        parent=str(parent) if parent else "",
        forked=run.forked,
        rewinds=len(run.rewinds),
        deleted=run.deleted,
    )


def summary(store: Store, view: View, run: Run, numbers: dict[int, Stat]) -> dict[str, Any]:
    """The latest value of each key, and over them what was set by hand."""
    latest: dict[int, tuple[int, int, Any]] = {
        key: (stat.step, stat.time, number(stat)) for key, stat in numbers.items()
    }
    for (_, key), last in view.scan(LAST_OBJECTS, run.stream):
        if key not in latest or latest[key][:2] < (last.step, last.time):
            latest[key] = (last.step, last.time, _decode(last.value) if last.value else None)
    names_of = keys.names(store).of
    found = {names_of(view, run.project, key): value for key, (_, _, value) in sorted(latest.items())}
    return {**found, **_decode(run.summary)}


def number(stat: Stat) -> int | float:
    """The latest value as it was logged: an integer if it was one."""
    whole = stat.flags & stats.INTEGER and math.isfinite(stat.value)
    return int(stat.value) if whole else stat.value


def key_stats(store: Store, view: View, run: Run, stat: Stat) -> KeyStats:
    """A key's statistics as they are shown."""
    name = keys.names(store).of(view, run.project, stat.key)
    goal = run.goals.get(name)
    return KeyStats(
        key=name,
        points=stat.points,
        nans=stat.nans,
        min=stat.minimum,
        max=stat.maximum,
        mean=stat.mean,
        sum=stat.total,
        step=stat.step,
        time=stat.time,
        last=number(stat),
        best={"min": stat.minimum, "max": stat.maximum}.get(goal) if goal else None,
    )
