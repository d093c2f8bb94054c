"""Field classes: what kind of thing a metadata field holds, and who may read it.

A field is named by its path in the metadata (``training.user.email``); a class set on a path holds for all below it. A reader whose mask
lacks the class of a field is answered as if the field were not there.
"""

from __future__ import annotations

from typing import Any

from runstone.domain import limits, names, policy
from runstone.domain.context import Context
from runstone.domain.names import Place
from runstone.domain.store import Store
from runstone.errors import Invalid, Missing
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.index import View
from runstone.storage.state import State
from runstone.storage.tables import FIELD_CLASSES, PROJECTS, FieldClass

MAX_FIELD = 400


class SetFieldClass(Command, frozen=True, kw_only=True):
    """Sets the class byte of a field in a project; 0 (public) forgets it."""

    project: int
    field: str
    value: int


@applies(48, "set_field_class", SetFieldClass)
def _set_field_class(state: State, at: Stamp, command: SetFieldClass) -> None:
    if state.get(PROJECTS, command.project) is None:
        raise Missing("the project does not exist any more")
    if command.value:
        row = FieldClass(command.value, command.actor, at.time)
        state.put(FIELD_CLASSES, command.project, command.field, row)
    else:
        state.delete(FIELD_CLASSES, command.project, command.field)
    state.touch(command.project, at.seq, 48)


def set_class(store: Store, ctx: Context, project: str, field: str, name: str) -> None:
    """Classes a field of a project's metadata. Takes the right to administer the project."""
    if name not in policy.CLASSES:
        raise Invalid(f"field class {name!r} must be one of {', '.join(policy.CLASSES)}")
    with store.index.read() as view:
        _, held = names.find_project(store, view, ctx, names.parse_project(ctx, project), "admin")
    command = SetFieldClass(
        actor=ctx.principal.name,
        reason=ctx.reason,
        project=held.id,
        field=limits.text(field, "field", MAX_FIELD),
        value=policy.CLASSES.index(name),
    )
    store.submit(ctx, command)


def classes(store: Store, ctx: Context, project: str) -> dict[str, str]:
    """The classes of a project's fields by field name."""
    with store.index.read() as view:
        _, held = names.find_project(store, view, ctx, names.parse_project(ctx, project))
        return {field: policy.CLASSES[row.value] for (_, field), row in view.scan(FIELD_CLASSES, held.id)}


def mask(store: Store, view: View, ctx: Context, place: Place, metadata: Any) -> Any:
    """Metadata without the fields that the principal may not read."""
    allowed = store.policy.classes(view, ctx, place.namespace)
    if allowed == policy.ALL_CLASSES:
        return metadata
    hidden = {
        field
        for (_, field), row in view.scan(FIELD_CLASSES, place.project.id)
        if not allowed >> row.value & 1
    }
    return _without(metadata, hidden, "") if hidden else metadata


def _without(value: Any, hidden: set[str], path: str) -> Any:
    if isinstance(value, dict):
        kept = {key: (f"{path}.{key}" if path else key, item) for key, item in value.items()}
        return {key: _without(item, hidden, at) for key, (at, item) in kept.items() if at not in hidden}
    if isinstance(value, list):
        return [_without(item, hidden, path) for item in value]
    return value
