"""Field classes: what kind of thing a metadata field holds, and who may read it.

A field is named by its path in the metadata (``training.user.email``); a class set on a path holds for all below it. A reader whose mask
lacks the class of a field is answered as if the field were not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from runstone.domain import limits, names, policy
from runstone.domain.context import Context
from runstone.domain.names import Place
from runstone.domain.store import Store
from runstone.errors import Denied, Invalid, Missing
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.index import View
from runstone.storage.state import State
from runstone.storage.tables import FIELD_CLASSES, PROJECTS, FieldClass, Namespace

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
    return shown(metadata, visible(store, view, ctx, place.namespace, place.project.id))


def visible(
    store: Store, view: View, ctx: Context, namespace: Namespace, project: int
) -> Callable[[str], bool]:
    """Says of a field's name (``config.user.email``) whether the principal may read it in a project."""
    hidden = _hidden(store, view, ctx, namespace, project)
    return (lambda name: not _covered(name, hidden)) if hidden else _any


def _hidden(store: Store, view: View, ctx: Context, namespace: Namespace, project: int) -> set[str]:
    allowed = store.policy.classes(view, ctx, namespace)
    if allowed == policy.ALL_CLASSES:
        return set()
    return {field for (_, field), row in view.scan(FIELD_CLASSES, project) if not allowed >> row.value & 1}


def require_settable(
    store: Store,
    view: View,
    ctx: Context,
    namespace: Namespace,
    project: int,
    documents: Mapping[str, Any],
    removed: Iterable[str],
) -> None:
    """Raises :class:`Denied` for a name to be set or removed that the principal may not read, or that holds one it may not read.

    Whether the field is there at all is not looked at, so that nothing can be learned of it.
    """
    hidden = _hidden(store, view, ctx, namespace, project)
    if not hidden:
        return
    names = [f"{root}.{name}" for root, document in documents.items() for name in document or ()]
    for name in (*names, *removed):
        if _covered(name, hidden) or any(field.startswith(f"{name}.") for field in hidden):
            raise Denied(f"{ctx.principal.name} may not change {name}: it may not read all of it")


def _any(name: str) -> bool:
    return True


def _covered(name: str, hidden: set[str]) -> bool:
    # A class on a path holds for all below it, and on a key for its statistics too.
    path = name.partition(":")[0]
    while path:
        if path in hidden:
            return True
        path = path.rpartition(".")[0]
    return False


def shown(value: Any, visible: Callable[[str], bool], path: str = "") -> Any:
    """A value without the fields that are not visible; ``path`` is the value's own name."""
    if visible is _any:
        return value
    if isinstance(value, dict):
        kept = {key: f"{path}.{key}" if path else key for key in value}
        return {key: shown(value[key], visible, at) for key, at in kept.items() if visible(at)}
    if isinstance(value, list):
        return [shown(item, visible, path) for item in value]
    return value
