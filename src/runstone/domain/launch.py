"""Queues of jobs for agents that run them elsewhere: stored, handed out once, and followed. runstone runs no job itself.

Queues, their default configurations, items and agents are documents of a project (:mod:`runstone.domain.documents`).
"""

from __future__ import annotations

import secrets
from typing import Any

from runstone.domain import documents, projects
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import Conflict, Exists, Invalid, Missing
from runstone.types import DocumentInfo

QUEUE, ITEM, AGENT, CONFIG = "launch-queue", "launch-item", "launch-agent", "launch-config"
ACCESS = ("PROJECT", "USER")
#: Where an item may go from each state.
STATES = {"PENDING": ("LEASED",), "LEASED": ("CLAIMED", "FAILED"), "CLAIMED": ("FAILED",), "FAILED": ()}
MAX_ITEMS = 10_000


def make(
    store: Store, ctx: Context, project: str, kind: str, name: str, spec: dict[str, Any]
) -> DocumentInfo:
    """Keeps something of a project, which is made on first use."""
    projects.create(store, ctx.without_id(), project, exist_ok=True)
    return documents.create(store, ctx.without_id(), project, kind, name or secrets.token_hex(6), spec)


def create_queue(store: Store, ctx: Context, project: str, name: str, spec: dict[str, Any]) -> DocumentInfo:
    """Makes a queue."""
    if spec["access"] not in ACCESS:
        raise Invalid(f"access must be one of {', '.join(ACCESS)}, not {spec['access']!r:.100}")
    return make(store, ctx, project, QUEUE, name, spec)


def upsert_queue(store: Store, ctx: Context, project: str, name: str, spec: dict[str, Any]) -> DocumentInfo:
    """Makes a queue, or changes what is given of one that is there."""
    try:
        return create_queue(store, ctx, project, name, {"access": "PROJECT", **spec})
    except Exists:
        held = documents.get(store, ctx, project, QUEUE, name)
        given = {key: value for key, value in spec.items() if value is not None}
        return documents.update(
            store, ctx, project, QUEUE, name, spec={**held.spec, **given}, revision=held.revision
        )


def queues(store: Store, ctx: Context, project: str) -> list[DocumentInfo]:
    """The queues of a project."""
    return documents.list_documents(store, ctx, project, kind=QUEUE, limit=MAX_ITEMS)


def delete_queue(store: Store, ctx: Context, queue: DocumentInfo) -> None:
    """Removes a queue with what waits in it."""
    place = f"{queue.namespace}/{queue.project}"
    for item in items(store, ctx, place, queue.id):
        documents.delete(store, ctx.without_id(), place, ITEM, item.name)
    documents.delete(store, ctx.without_id(), place, QUEUE, queue.name)


def push(store: Store, ctx: Context, project: str, queue: str, run_spec: Any, priority: int) -> DocumentInfo:
    """Puts a job into a queue."""
    held = documents.get(store, ctx, project, QUEUE, queue)
    spec = {
        "queue": held.id,
        "run_spec": run_spec,
        "priority": priority,
        "state": "PENDING",
        "run": None,
        "agent": None,
        "notes": [],
    }
    return make(store, ctx, project, ITEM, "", spec)


def items(store: Store, ctx: Context, project: str, queue: int) -> list[DocumentInfo]:
    """The jobs of a queue, the first first."""
    listed = documents.list_documents(store, ctx, project, kind=ITEM, limit=MAX_ITEMS)
    found = [documents.get(store, ctx, project, ITEM, each.name) for each in listed]
    return sorted((each for each in found if each.spec["queue"] == queue), key=lambda each: each.id)


def pop(store: Store, ctx: Context, project: str, queue: str, agent: str | None) -> DocumentInfo | None:
    """Hands the next job of a queue to an agent: of the least priority number, the oldest. None when nothing waits."""
    held = documents.get(store, ctx, project, QUEUE, queue)
    waiting = [each for each in items(store, ctx, project, held.id) if each.spec["state"] == "PENDING"]
    for each in sorted(waiting, key=lambda item: (item.spec["priority"], item.id)):
        try:
            return _move(store, ctx, each, "LEASED", agent=agent)
        except Conflict:  # another agent has it
            continue
    return None


def claim(store: Store, ctx: Context, item: DocumentInfo, run: str) -> DocumentInfo:
    """Says which run a job became."""
    return _move(store, ctx, item, "CLAIMED", run=run)


def fail(store: Store, ctx: Context, item: DocumentInfo, note: dict[str, Any]) -> DocumentInfo:
    """Says that a job failed, and why."""
    return _move(store, ctx, item, "FAILED", notes=[*item.spec["notes"], note])


def warn(store: Store, ctx: Context, item: DocumentInfo, note: dict[str, Any]) -> DocumentInfo:
    """Adds a warning to a job."""
    return _change(store, ctx, item, notes=[*item.spec["notes"], note])


def set_status(store: Store, ctx: Context, agent: DocumentInfo, status: str) -> DocumentInfo:
    """Notes how an agent does."""
    return _change(store, ctx, agent, status=status)


def by_id(store: Store, ctx: Context, kind: str, number: int) -> DocumentInfo:
    """A queue, item, agent or configuration by its id."""
    found = documents.by_id(store, ctx, number)
    if found.kind != kind:
        raise Missing(f"there is no {kind} with id {number}")
    return found


def _move(store: Store, ctx: Context, item: DocumentInfo, state: str, **changes: Any) -> DocumentInfo:
    if state not in STATES[item.spec["state"]]:
        raise Conflict(f"the job is {item.spec['state'].lower()} and cannot become {state.lower()}")
    return _change(store, ctx, item, state=state, **changes)


def _change(store: Store, ctx: Context, held: DocumentInfo, **changes: Any) -> DocumentInfo:
    place = f"{held.namespace}/{held.project}"
    return documents.update(
        store,
        ctx.without_id(),
        place,
        held.kind,
        held.name,
        spec={**held.spec, **changes},
        revision=held.revision,
    )
