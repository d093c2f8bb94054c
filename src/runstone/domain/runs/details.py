"""Runs with the latest value of each key and what they read and make, looked up at once; and as a dialect writes them, remembered.

What is remembered of a run holds as long as its last change, its project's names, what the reader may see and how it is written are the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

import msgspec

from runstone.domain import fields
from runstone.domain.context import Context
from runstone.domain.runs import finding, inputs, keys, stats
from runstone.domain.runs.finding import Found, InProject
from runstone.domain.runs.inputs import Uses
from runstone.domain.store import Store
from runstone.storage.index import View
from runstone.storage.tables import RUN_MARKS, RUNS

#: Written runs that are remembered, in bytes of what is written.
MAX_BYTES = 32 << 20
_decode = msgspec.msgpack.Decoder().decode


class Latest(NamedTuple):
    """The latest point of a key that is a number."""

    key: str
    value: float
    time: int
    step: int


class RunDetails(msgspec.Struct, frozen=True):
    """A run as far as its reader may see it; see :class:`runstone.types.RunInfo` for what the fields mean."""

    id: int
    namespace: str
    project: str
    name: str
    display_name: str
    state: str
    created: int
    started: int
    finished: int
    updated: int
    by: str
    job_type: str
    tags: dict[str, str]
    config: Any
    info: Any
    deleted: int
    #: By key.
    latest: list[Latest]
    uses: Uses

    @property
    def path(self) -> str:
        """``namespace/project/run``."""
        return f"{self.namespace}/{self.project}/{self.name}"


def get(store: Store, ctx: Context, name: str) -> RunDetails:
    """A run by name, also a deleted one."""
    with store.index.read() as view:
        found = finding.find(store, view, ctx, name, deleted=True)
        return _details(store, view, found, fields.hidden_from(store, view, ctx, found))


def _details(store: Store, view: View, found: Found, hidden: tuple[str, ...]) -> RunDetails:
    run = found.run
    mark = view.get(RUN_MARKS, run.id)
    names_of, project = keys.names(store).of, run.project
    latest = [
        Latest(names_of(view, project, key), value, time, step)
        for key, value, time, step in stats.latest(view, run.stream)
    ]
    if hidden:
        latest = [each for each in latest if not fields.covers(hidden, f"summary.{each.key}")]
    latest.sort()
    return RunDetails(
        id=run.id,
        namespace=found.namespace.name,
        project=found.project.name,
        name=run.name,
        display_name=run.display_name,
        state=run.state,
        created=run.created,
        started=run.started,
        finished=run.finished,
        updated=mark.time if mark is not None else run.created,
        by=run.by,
        job_type=run.job_type,
        tags={tag: text for tag, text in run.tags.items() if not fields.covers(hidden, f"tags.{tag}")},
        config=fields.without(_decode(run.config), hidden, "config"),
        info=fields.without(_decode(run.info), hidden, "info"),
        deleted=run.deleted,
        latest=latest,
        uses=inputs.noted(view, run.id),
    )


class Rendering(NamedTuple):
    """How the runs of a project are written; ``form`` is all that the writing depends on beside the run."""

    form: Hashable
    write: Callable[[RunDetails], bytes]


class Place(NamedTuple):
    """A project whose runs are asked about, the fields of it that are hidden from the reader, and how its runs are written."""

    within: InProject
    hidden: tuple[str, ...]
    rendering: Rendering


class _Held(NamedTuple):
    changed: int
    depends: Hashable
    project: int
    content: msgspec.Raw


class WrittenRuns:
    """The runs of a store as dialects write them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._held: dict[tuple[str, int], _Held] = {}
        self._bytes = 0

    def of(self, view: View, places: Mapping[int, Place], kind: str, run_id: int) -> msgspec.Raw | None:
        """A run of one of some projects, by their numbers, in the writing that is called ``kind``; None when it is in none of them."""
        mark = view.get(RUN_MARKS, run_id)
        held = self._held.get((kind, run_id))
        if held is not None and mark is not None and held.changed == mark.changed:
            place = places.get(held.project)
            if place is not None and held.depends == _depends(place):
                return held.content
        run = view.get(RUNS, run_id)
        place = places.get(run.project) if run is not None else None
        if run is None or place is None:
            return None
        found = Found(place.within.namespace, place.within.project, run)
        content = msgspec.Raw(place.rendering.write(_details(self._store, view, found, place.hidden)))
        if mark is not None:
            self._keep((kind, run_id), _Held(mark.changed, _depends(place), run.project, content))
        return content

    def _keep(self, key: tuple[str, int], held: _Held) -> None:
        size = len(bytes(held.content)) + 256
        with self._lock:
            if self._bytes + size > MAX_BYTES:
                self._held, self._bytes = {}, 0
            old = self._held.get(key)
            self._bytes += size - (len(bytes(old.content)) + 256 if old is not None else 0)
            self._held[key] = held


def _depends(place: Place) -> Hashable:
    names = place.within.namespace.name, place.within.project.name
    return names, place.hidden, place.rendering.form


def written(store: Store) -> WrittenRuns:
    """The written runs of a store."""
    return store.part("written runs", WrittenRuns)
