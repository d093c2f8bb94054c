"""Labels: texts by key on projects, collections and versions, which may change at any time.

A ``tag`` is what people set; a ``property`` is what a dialect keeps beside an object for its own clients.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from runstone.domain import limits, names
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import Missing, TooLarge
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.index import View
from runstone.storage.state import State
from runstone.storage.tables import COLLECTIONS, LABELS, PROJECTS, VERSION_IDS, Table

Kind = Literal["tag", "property"]
KINDS: tuple[Kind, ...] = ("tag", "property")
MAX_KEY = 400
MAX_TEXT = 512 << 10
MAX_LABELS = 1000
_SUBJECTS: tuple[Table[Any], ...] = (PROJECTS, COLLECTIONS, VERSION_IDS)


class SetLabels(Command, frozen=True, kw_only=True):
    """Sets labels of a project, collection or version, and takes those in ``remove`` away."""

    subject: int
    kind: str
    labels: dict[str, str]
    remove: tuple[str, ...] = ()


@applies(90, "set_labels", SetLabels)
def _set_labels(state: State, at: Stamp, command: SetLabels) -> None:
    if not any(state.get(table, command.subject) for table in _SUBJECTS):
        raise Missing("what was to be labelled does not exist any more")
    held = {key for (_, _, key), _ in state.scan(LABELS, command.subject, command.kind)}
    if len(held | set(command.labels)) > MAX_LABELS:
        raise TooLarge(f"more than {MAX_LABELS} labels of one kind are over the limit")
    for key in command.remove:
        if key in held:
            state.delete(LABELS, command.subject, command.kind, key)
    for key, text in command.labels.items():
        state.put(LABELS, command.subject, command.kind, key, text)
    state.touch(command.subject, at.seq, 90)


def begin(state: State, subject: int, tags: Mapping[str, str], properties: Mapping[str, str]) -> None:
    """Gives a new object its first labels, in ``apply``."""
    for kind, labels in (("tag", tags), ("property", properties)):
        if len(labels) > MAX_LABELS:
            raise TooLarge(f"more than {MAX_LABELS} labels of one kind are over the limit")
        for key, text in labels.items():
            state.put(LABELS, subject, kind, key, text)


def of(view: View, subject: int, kind: Kind = "tag") -> dict[str, str]:
    """The labels of an object by key."""
    return {key: text for (_, _, key), text in view.scan(LABELS, subject, kind)}


def label_project(
    store: Store,
    ctx: Context,
    name: str,
    labels: Mapping[str, str] | None = None,
    *,
    remove: Iterable[str] = (),
    kind: Kind = "tag",
) -> None:
    """Changes the labels of a project that the principal may write."""
    with store.index.read() as view:
        _, project = names.find_project(store, view, ctx, names.parse_project(ctx, name), "write")
    _submit(store, ctx, project.id, labels or {}, remove, kind)


def label_collection(
    store: Store,
    ctx: Context,
    name: str,
    labels: Mapping[str, str] | None = None,
    *,
    remove: Iterable[str] = (),
    kind: Kind = "tag",
) -> None:
    """Changes the labels of a collection that the principal may write."""
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, names.parse(ctx, name), "write")
    _submit(store, ctx, place.collection.id, labels or {}, remove, kind)


def label_version(
    store: Store,
    ctx: Context,
    name: str,
    labels: Mapping[str, str] | None = None,
    *,
    remove: Iterable[str] = (),
    kind: Kind = "tag",
) -> None:
    """Changes the labels of a version that the principal may write."""
    with store.index.read() as view:
        _, version = names.find_version(store, view, ctx, names.parse(ctx, name), "write")
    _submit(store, ctx, version.id, labels or {}, remove, kind)


def checked(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels that can be stored; raises :class:`Invalid` and :class:`TooLarge`."""
    return {
        limits.required_text(key, "label", MAX_KEY): limits.text(text, f"label {key}", MAX_TEXT)
        for key, text in labels.items()
    }


def _submit(
    store: Store, ctx: Context, subject: int, labels: Mapping[str, str], remove: Iterable[str], kind: Kind
) -> None:
    command = SetLabels(
        actor=ctx.principal.name,
        reason=ctx.reason,
        subject=subject,
        kind=kind,
        labels=checked(labels),
        remove=tuple(limits.required_text(key, "label", MAX_KEY) for key in remove),
    )
    store.submit(ctx, command)
