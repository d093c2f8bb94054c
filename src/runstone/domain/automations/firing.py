"""Which automations an event sets off, and what they say of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import msgspec

from runstone._native import points
from runstone.domain import names
from runstone.domain.automations import conditions, metrics
from runstone.domain.automations.conditions import Fields
from runstone.domain.automations.lifecycle import METRICS, MUTATIONS
from runstone.domain.context import LOCAL, Context
from runstone.domain.queries import rows
from runstone.domain.runs import finding, series, table
from runstone.domain.store import Store
from runstone.domain.webhooks.events import Event
from runstone.errors import Missing
from runstone.storage.entry import unpack_header
from runstone.storage.index import View
from runstone.storage.tables import (
    ARTIFACTS,
    AUTOMATIONS,
    HISTORY,
    LOG_HEADERS,
    LOG_PAYLOADS,
    VERSIONS,
    Automation,
)

#: Kinds of events that automations look at.
KINDS = frozenset(
    {
        "version.created",
        "version.updated",
        "version.deleted",
        "alias.set",
        "collection.updated",
        "run.created",
        "run.state",
        "run.points",
    }
)
#: Metrics of runs whose last values are remembered.
MAX_WINDOWS = 10_000
_CTX = Context(principal=LOCAL)
_COMMIT = 24


class Fired(msgspec.Struct, frozen=True):
    """An automation that was set off, and what is said of why: the values of the variables that a message may name."""

    automation: Automation
    variables: dict[str, str]


class Windows:
    """The last values of metrics of runs, as far as automations look back."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: OrderedDict[tuple[int, str], list[float]] = OrderedDict()

    def before(self, run: str, run_id: int, key: str, step: int, size: int) -> list[float]:
        """Up to ``size`` values before a step, from memory or from the run."""
        found = self._held.pop((run_id, key), None)
        return (self._read(run, key, step) if found is None else found)[-size:]

    def keep(self, run_id: int, key: str, values: list[float]) -> None:
        """Remembers the values up to now."""
        self._held[run_id, key] = values[-2 * metrics.MAX_WINDOW :]
        if len(self._held) > MAX_WINDOWS:
            self._held.popitem(last=False)

    def _read(self, run: str, key: str, step: int) -> list[float]:
        found: list[float] = []
        after = ""
        while True:
            try:
                page = series.read(self._store, _CTX, run, key, high=step, after=after)
            except Missing:
                return found
            found = [*found, *(float(each) for each in page.values if isinstance(each, int | float))][
                -2 * metrics.MAX_WINDOW :
            ]
            if not page.next:
                return found
            after = page.next


class _Last:
    """The event that was looked at last, and what it set off: each channel asks, and what a run logged is to be taken in once."""

    def __init__(self, _: Store) -> None:
        self.event: Event | None = None
        self.fired: list[Fired] = []


def fired(store: Store, event: Event) -> list[Fired]:
    """The automations that an event sets off."""
    last: _Last = store.part("automation-last", _Last)
    if last.event is not event:
        last.event, last.fired = event, list(_fired(store, event))
    return last.fired


def _fired(store: Store, event: Event) -> Iterator[Fired]:
    with store.index.read() as view:
        held = [each for _, each in view.scan(AUTOMATIONS) if each.enabled and _covers(each, event)]
    if not held:
        return
    if event.kind == "run.points":
        yield from _by_metrics(store, event, [each for each in held if each.event in METRICS])
        return
    with store.index.read() as view:
        for what, fields in _meanings(view, event):
            told = {name: text if isinstance(text, str) else ", ".join(text) for name, text in fields.items()}
            variables = _variables(view, event, what) | told
            for each in held:
                if each.event in _names_of(what) and _fits(store, view, each, event, fields):
                    yield Fired(each, variables | {"automation_name": each.name})


def _covers(each: Automation, event: Event) -> bool:
    if each.id > event.seq:  # it is younger than what happened
        return False
    place = {"namespace": event.namespace, "project": event.project, "collection": event.collection}[
        each.scope
    ]
    return each.subject == place


def _names_of(what: str) -> tuple[str, ...]:
    return ("ADD_ARTIFACT_ALIAS", "UPDATE_ARTIFACT_ALIAS") if what == "ADD_ARTIFACT_ALIAS" else (what,)


def _meanings(view: View, event: Event) -> Iterator[tuple[str, Fields]]:
    """What an event is in the words of automations, with the fields that it may be chosen by."""
    if event.kind == "run.state":
        yield "RUN_STATE", {"state": str(event.detail["state"]).upper()}
    elif event.kind == "run.created":
        yield "RUN_STATE", {"state": "RUNNING"}
    elif event.kind == "alias.set":
        yield "ADD_ARTIFACT_ALIAS", {"alias": str(event.detail["alias"])}
    elif event.kind == "version.created":
        tags = tuple(event.detail["tags"])
        linked = event.detail.get("linked") or _in_registry(view, event)
        yield (
            ("LINK_MODEL" if linked else "CREATE_ARTIFACT"),
            {"alias": tuple(event.detail["aliases"]), "tag": tags},
        )
        yield from (("ADD_ARTIFACT_TAG", {"tag": tag}) for tag in sorted(tags))
    elif event.kind == "version.deleted":
        version = view.get(VERSIONS, event.collection, event.version)
        beside = view.get(ARTIFACTS, version.id) if version else None
        if (beside and beside.source) or _in_registry(view, event):
            yield "UNLINK_ARTIFACT", {"tag": version.tags if version else ()}
    elif event.kind == "version.updated":
        yield from _tags(view, event, "ARTIFACT")
    elif event.kind == "collection.updated":
        yield from _tags(view, event, "COLLECTION")


def _in_registry(view: View, event: Event) -> bool:
    place = names.place_of(view, event.collection)
    return place is not None and place.project.kind == "registry"


def _tags(view: View, event: Event, of: str) -> Iterator[tuple[str, dict[str, str]]]:
    after = _tags_said(view, event.seq)
    if after is None:
        return
    version = view.get(VERSIONS, event.collection, event.version) if event.version else None
    subject = version.id if version else event.collection
    before: set[str] = set()
    for (_, seq), _ in view.scan(HISTORY, subject, reverse=True):
        if seq < event.seq and (said := _tags_said(view, seq)) is not None:
            before = said
            break
    yield from ((f"ADD_{of}_TAG", {"tag": tag}) for tag in sorted(after - before))
    yield from ((f"REMOVE_{of}_TAG", {"tag": tag}) for tag in sorted(before - after))


class _Said(msgspec.Struct):
    tags: tuple[str, ...] | None = None


def _tags_said(view: View, seq: int) -> set[str] | None:
    """The tags that a log entry gives its subject; None if it says nothing of them."""
    header, stored = view.get(LOG_HEADERS, seq), view.get(LOG_PAYLOADS, seq)
    if header is None or stored is None or stored.payload is None:
        return None
    try:
        said = msgspec.msgpack.decode(stored.payload, type=_Said).tags
    except msgspec.ValidationError:
        return None
    made = unpack_header(header).kind == _COMMIT
    return set(said or ()) if made or said is not None else None


def _fits(store: Store, view: View, each: Automation, event: Event, fields: Fields) -> bool:
    filter: dict[str, Any] = msgspec.msgpack.decode(each.filter)
    if each.event in MUTATIONS:
        return conditions.holds(filter, fields)
    if fields.get("state") not in filter["run_state_filter"]["states"]:
        return False
    return _run_fits(store, view, filter, event.run)


def _run_fits(store: Store, view: View, filter: dict[str, Any], run: int) -> bool:
    row = table.row(store, view, run)
    if row is None:
        return False
    return rows.matches(conditions.run_filter(filter.get("run_filter")), row, row["id"])


def _by_metrics(store: Store, event: Event, held: list[Automation]) -> Iterator[Fired]:
    if not held:
        return
    new: dict[str, list[tuple[int, float]]] = {}
    for step, _, values in points.decode_rows(event.detail["batch"]):
        for key, value in values.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                new.setdefault(key, []).append((step, float(value)))
    windows: Windows = store.part("automation-windows", Windows)
    with store.index.read() as view:
        run = finding.by_id(view, event.run)
        variables = _variables(view, event, "RUN_METRIC")
    if run is None:
        return
    asked = [(each, msgspec.msgpack.decode(each.filter)) for each in held]
    read = [(each, filter, metrics.read(each.event, filter["run_metric_filter"])) for each, filter in asked]
    for key in {condition.name for _, _, condition in read} & new.keys():
        # A batch holds its rows by kind of value: whole numbers first.
        came = sorted(new[key], key=lambda point: point[0])
        arrived = [value for _, value in came]
        before = windows.before(str(run), run.run.id, key, came[0][0], 2 * metrics.MAX_WINDOW)
        for each, filter, condition in read:
            value = metrics.begins(condition, before, arrived) if condition.name == key else None
            if value is None:
                continue
            with store.index.read() as view:
                fits = _run_fits(store, view, filter, event.run)
            if fits:
                said = {
                    "event_type": each.event,
                    "metric_name": key,
                    "metric_value": repr(value),
                    "automation_name": each.name,
                }
                yield Fired(each, variables | said)
        windows.keep(run.run.id, key, [*before, *arrived])


def _variables(view: View, event: Event, what: str) -> dict[str, str]:
    found = {"event_type": what, "event_author": event.by}
    if event.collection:
        place = names.place_of(view, event.collection)
        if place is not None:
            found |= {
                "entity_name": place.namespace.name,
                "project_name": place.project.name,
                "artifact_collection_name": place.collection.name,
                "alias": "",
                "tag": "",
            }
        if event.version and place is not None:
            version = f"{place.collection.name}:v{event.version - 1}"
            found |= {
                "artifact_version": version,
                "artifact_version_string": f"{place.namespace.name}/{place.project.name}/{version}",
            }
        return found
    run = finding.by_id(view, event.run)
    if run is not None:
        found |= {"entity_name": run.namespace.name, "project_name": run.project.name}
        found |= {
            "run_id": run.run.name,
            "run_name": run.run.display_name or run.run.name,
            "run_state": run.run.state,
        }
    return found
