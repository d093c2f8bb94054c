"""Runs as they are sent, remembered until they change: a page of a hundred runs is put together and not made.

What is remembered of a run holds as long as its last change, its project's names, and what the reader may see are the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from runstone.domain.context import Context
from runstone.domain.runs import finding
from runstone.domain.runs.finding import Found, InProject
from runstone.domain.store import Store
from runstone.storage.index import View
from runstone.storage.tables import RUN_MARKS, RUNS

#: Some 4 KB each.
_REMEMBERED = 8192
_encoders = (msgspec.json.Encoder().encode, msgspec.msgpack.Encoder().encode)


class EncodedPage(msgspec.Struct, frozen=True, kw_only=True):
    """A :class:`runstone.types.RunPage` of which the runs are encoded already."""

    items: tuple[msgspec.Raw, ...]
    next: str = ""
    total: int | None = None


class _Held(NamedTuple):
    changed: int
    names: tuple[str, str]
    hidden: tuple[str, ...]
    content: msgspec.Raw


class EncodedRuns:
    """The runs of a store, encoded as JSON or MessagePack."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: dict[tuple[int, bool], _Held] = {}

    def of(
        self, view: View, ctx: Context, place: InProject, hidden: tuple[str, ...], run_id: int, packed: bool
    ) -> msgspec.Raw | None:
        """A run as its reader may see it; None when it was purged."""
        mark = view.get(RUN_MARKS, run_id)
        names = (place.namespace.name, place.project.name)
        held = self._held.get((run_id, packed))
        if held is not None and mark is not None and held[:3] == (mark.changed, names, hidden):
            return held.content
        run = view.get(RUNS, run_id)
        if run is None or mark is None:
            return None
        info: Any = finding.info(self._store, view, ctx, Found(place.namespace, place.project, run))
        content = msgspec.Raw(_encoders[packed](info))
        if len(self._held) >= _REMEMBERED:
            self._held.clear()
        self._held[run_id, packed] = _Held(mark.changed, names, hidden, content)
        return content


def of(store: Store) -> EncodedRuns:
    """The encoded runs of a store."""
    return store.part("encoded runs", EncodedRuns)
