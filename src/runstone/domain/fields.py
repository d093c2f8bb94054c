"""Field classes: what kind of thing a metadata field holds, and who may read it.

A field is named by its path in the metadata (``training.user.email``); a class set on a path holds for all below it. A reader whose mask
lacks the class of a field is answered as if the field were not there. Such a reader who may write changes the rest: fields that it does
not see stay as they are, it cannot set them, and neither an answer nor a refusal depends on what they hold or on whether they are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from runstone.domain import limits, names, policy
from runstone.domain.context import Context
from runstone.domain.names import Place
from runstone.domain.store import Store
from runstone.errors import Denied, Invalid, Missing
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.index import View
from runstone.storage.state import State
from runstone.storage.tables import FIELD_CLASSES, PROJECTS, FieldClass, Namespace, Project

MAX_FIELD = 400


class InProject(Protocol):
    """What lies in a project: a collection or a run with its place."""

    @property
    def namespace(self) -> Namespace:
        """The project's namespace."""

    @property
    def project(self) -> Project:
        """The project."""


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


def hidden_from(store: Store, view: View, ctx: Context, place: InProject) -> tuple[str, ...]:
    """The fields of a project that the principal may not read, by name; ``place`` is anything that lies in the project."""
    allowed = store.policy.classes(view, ctx, place.namespace)
    if allowed == policy.ALL_CLASSES:
        return ()
    rows = view.scan(FIELD_CLASSES, place.project.id)
    return tuple(field for (_, field), row in rows if not allowed >> row.value & 1)


def mask(store: Store, view: View, ctx: Context, place: Place, metadata: Any) -> Any:
    """Metadata without the fields that the principal may not read."""
    return without(metadata, hidden_from(store, view, ctx, place))


def without(value: Any, hidden: tuple[str, ...], path: str = "") -> Any:
    """A value without the fields that are hidden; ``path`` is its own name."""
    if not hidden:
        return value
    if isinstance(value, dict):
        return {
            key: without(item, hidden, at)
            for key, item in value.items()
            if not covers(hidden, at := _below(path, key))
        }
    if isinstance(value, list):
        return [without(item, hidden, path) for item in value]
    return value


def covers(hidden: tuple[str, ...], name: str) -> bool:
    """Whether a field is hidden. A class on a path holds for all below it, and on a key for its statistics (``loss:min``) too."""
    path = name.partition(":")[0]
    while path:
        if path in hidden:
            return True
        path = path.rpartition(".")[0]
    return False


def require_changeable(
    ctx: Context, hidden: tuple[str, ...], documents: Mapping[str, Any], removed: Iterable[str]
) -> None:
    """Raises :class:`Denied` for a name to be set in a document or removed that is hidden, or has something hidden below it.

    Whether the field is there at all is not looked at, so that nothing can be learned of it.
    """
    if not hidden:
        return
    names = [f"{root}.{name}" for root, document in documents.items() for name in document or ()]
    for name in (*names, *removed):
        if covers(hidden, name) or _may_hide(name, hidden):
            raise Denied(f"{ctx.principal.name} may not change {name}: it may not read all of it")


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def require_settable(ctx: Context, metadata: Any, hidden: tuple[str, ...]) -> None:
    """Raises :class:`Denied` for metadata that gives a value to a field that its giver may not read."""
    field = first_named(metadata, hidden)
    if field:
        raise Denied(
            f"{ctx.principal.name} may not read the field {field}, and so may not change it; leave it out, and it stays as it is"
        )


def first_named(metadata: Any, hidden: tuple[str, ...], path: str = "") -> str:
    """The first of the fields that metadata gives a value to, or nothing."""
    if isinstance(metadata, dict):
        found = (
            at if (at := _below(path, key)) in hidden else first_named(item, hidden, at)
            for key, item in metadata.items()
        )
    elif isinstance(metadata, list | tuple):
        found = (first_named(item, hidden, path) for item in metadata)
    else:
        return ""
    return next(filter(None, found), "")


def merge(stored: Any, given: Any, hidden: tuple[str, ...], path: str = "") -> Any:
    """The metadata of an object that holds ``stored`` and is ``given`` other metadata by who does not see the ``hidden`` fields.

    Those stay, and what they lie in with them: an object whose parts are partly hidden is emptied, not removed. What lies in a list has
    no name to be kept under, so such a list can only be given as it is shown. Raises :class:`Denied` for any other, and for an object
    that is replaced by something else.
    """
    if not _may_hide(path, hidden):
        return given
    if isinstance(stored, dict) and isinstance(given, dict):
        merged = {
            key: merge(stored[key], item, hidden, _below(path, key)) if key in stored else item
            for key, item in given.items()
        }
        for key, item in stored.items():
            at = _below(path, key)
            if at in hidden:
                merged[key] = item
            elif key not in given and _has_fields(item) and _may_hide(at, hidden):
                merged[key] = merge(item, {}, hidden, at)
        return merged
    shown = without(stored, hidden, path)
    if _canonical(given) == _canonical(shown):
        return stored
    if _has_fields(shown):
        raise Denied(
            f"{path or 'the metadata'} may hold fields that you may not read, and cannot be replaced by something else; give it as it is shown"
        )
    return given


def _may_hide(path: str, hidden: tuple[str, ...]) -> bool:
    return any(field.startswith(f"{path}.") if path else True for field in hidden)


def _has_fields(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(map(_has_fields, value)))


def _canonical(value: Any) -> bytes:
    return msgspec.msgpack.encode(value, order="sorted")
