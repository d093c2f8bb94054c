"""Runs as rows: what a question about them is asked of.

A project's runs are kept as columns in its folder below ``columns/``, a copy that can be made again from the index at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from runstone.domain.runs import finding, keys, stats
from runstone.domain.runs.stats import Stat
from runstone.domain.store import Store
from runstone.storage.index import View
from runstone.storage.tables import RUN_CHANGES, RUN_MARKS, RUNS, Run, RunMark

if TYPE_CHECKING:
    from runstone.storage.columns.bitmaps import Array
    from runstone.storage.columns.encode import FieldData

_decode = msgspec.msgpack.Decoder().decode


class Runs:
    """The runs of one project as a source of rows; see :class:`runstone.storage.columns.Source`."""

    def __init__(self, store: Store, project: int) -> None:
        self._store, self._project = store, project

    def changes(self, after: int, limit: int) -> Sequence[tuple[int, int]]:
        """About ``limit`` (log entry, run id) pairs from just past a log entry, each run at its latest change, and all of one entry."""
        found: list[tuple[int, int]] = []
        start = (self._project, after + 1) if after >= 0 else None
        with self._store.index.read() as view:
            for (_, seq, run_id), _ in view.scan(RUN_CHANGES, self._project, after=start):
                if len(found) >= limit and seq != found[-1][0]:
                    break
                found.append((seq, run_id))
        return found

    def rows(self, ids: Sequence[int]) -> Sequence[dict[str, Any] | None]:
        """The rows of runs; None for one that was purged."""
        found: list[dict[str, Any] | None] = []
        for start in range(0, len(ids), 1024):
            with self._store.index.read() as view:
                found += [row(self._store, view, run_id) for run_id in ids[start : start + 1024]]
        return found

    def fields(self, ids: Sequence[int]) -> tuple[Array, dict[str, FieldData]]:
        """Many runs at once: the ids of those that there are, and each of their fields as it stands over these."""
        from runstone.domain.analysis import gathering

        return gathering.fields(self._store, self._project, ids)


def row(store: Store, view: View, run_id: int) -> dict[str, Any] | None:
    """A run as flat fields, named as in :mod:`runstone.query`; None when there is no such run.

    ``id`` is the run's name and ``name`` what it is shown as; times are microseconds, ``duration`` seconds.
    """
    run = view.get(RUNS, run_id)
    return None if run is None else complete(store, view, run, view.get(RUN_MARKS, run_id))


def complete(store: Store, view: View, run: Run, mark: RunMark | None) -> dict[str, Any]:
    """All fields of a run."""
    fields = described(run, mark)
    numbers = stats.of(view, run.stream)
    fields["steps"] = max((stat.step for stat in numbers.values()), default=-1) + 1
    names_of = keys.names(store).of
    for key, stat in numbers.items():
        name = names_of(view, run.project, key)
        _statistics(fields, f"summary.{name}", stat, run.goals.get(name, ""))
    flatten(fields, "summary", finding.summary(store, view, run, numbers))
    return fields


def described(run: Run, mark: RunMark | None) -> dict[str, Any]:
    """The fields of a run that do not come of its points: all but ``steps`` and the summary."""
    mark = mark or RunMark(0, run.created)
    info = _decode(run.info)
    fields: dict[str, Any] = {
        "id": run.name,
        "name": run.display_name or run.name,
        "state": run.state,
        "created": run.created,
        "started": run.started,
        "updated": mark.time,
        "heartbeat": mark.time,
        "user": run.by,
        "user_id": _within(info, "user_id") or run.by,
        "points": mark.points,
        "deleted": run.deleted > 0,
    }
    if run.finished:
        fields["ended"] = run.finished
        fields["duration"] = max(run.finished - run.started, 0) / 1e6
    given = {name: getattr(run, name) for name in ("group", "job_type", "sweep", "notes")}
    given["host"] = _within(info, "host", "name")
    given["commit"] = _within(info, "git", "commit")
    given["command"] = _within(info, "command")
    fields |= {name: text for name, text in given.items() if text}
    for tag, text in run.tags.items():
        fields[f"tags.{tag}"] = text
    flatten(fields, "config", _decode(run.config))
    return fields


def _within(value: Any, *path: str) -> str:
    """The text at a path of a captured document, or nothing: what was captured may have any shape."""
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return " ".join(value)
    return value if isinstance(value, str) else ""


def _statistics(fields: dict[str, Any], name: str, stat: Stat, goal: str) -> None:
    fields[f"{name}:min"] = stat.minimum
    fields[f"{name}:max"] = stat.maximum
    fields[f"{name}:mean"] = stat.mean
    fields[f"{name}:count"] = stat.points
    fields[f"{name}:step"] = stat.step
    if goal:
        fields[f"{name}:best"] = stat.minimum if goal == "min" else stat.maximum


def flatten(fields: dict[str, Any], path: str, value: dict[str, Any]) -> None:
    """Adds a map's values as ``path.name``, and those of the maps in it as ``path.name.name``; an empty map as itself."""
    for name, item in value.items():
        if isinstance(item, dict) and item and "_type" not in item:
            flatten(fields, f"{path}.{name}", item)
        else:
            fields[f"{path}.{name}"] = item
