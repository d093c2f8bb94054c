"""Lineage as a condition: runs that used or produced a version, or any version of a collection, looked up before the rows are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from runstone.domain import names
from runstone.domain.context import Context
from runstone.domain.queries import attributes
from runstone.domain.store import Store
from runstone.errors import Invalid
from runstone.query import Compare, Condition, Ids, In, Query, rewritten
from runstone.storage.index import View
from runstone.storage.tables import DOWNSTREAM, UPSTREAM, VERSIONS

USED, PRODUCED = attributes.LINEAGE


def resolved(store: Store, ctx: Context, asked: Query) -> Query:
    """A question with its conditions on lineage as ids of runs.

    Raises :class:`Invalid` for anything but ``=`` and ``in``, and :class:`Missing` for a version or collection that is not there to be read.
    """
    return replace(asked, filter=rewritten(asked.filter, lambda leaf: _resolved(store, ctx, leaf)))


def _resolved(store: Store, ctx: Context, leaf: Condition) -> Condition:
    field = getattr(leaf, "field", "")
    if not field.startswith("lineage."):
        return leaf
    if field not in (USED, PRODUCED):
        raise Invalid(f"{field!r:.80} is not a field; write {USED} or {PRODUCED}")
    if isinstance(leaf, Compare) and leaf.op == "=" and not leaf.text:
        values: tuple[Any, ...] = (leaf.value,)
    elif isinstance(leaf, In) and not leaf.text:
        values = leaf.values
    else:
        raise Invalid(f"{field} can be asked with = and in, and not before them")
    if not all(isinstance(value, str) for value in values):
        raise Invalid(f'{field} is asked for the name of a version or collection, such as "project/data@v3"')
    with store.index.read() as view:
        runs = {run for name in values for run in _runs(view, field, _versions(store, view, ctx, name))}
    return Ids(tuple(sorted(runs)))


def _versions(store: Store, view: View, ctx: Context, name: str) -> list[int]:
    parsed = names.parse(ctx, name)
    if parsed.version:
        return [names.find_version(store, view, ctx, parsed, any_state=True)[1].id]
    place = names.find_collection(store, view, ctx, parsed)
    return [version.id for _, version in view.scan(VERSIONS, place.collection.id)]


def _runs(view: View, field: str, versions: list[int]) -> Iterator[int]:
    for version in versions:
        if field == USED:
            yield from (target for (_, _, target), _ in view.scan(DOWNSTREAM, version, "used_by"))
        else:
            yield from (source for (_, _, source), _ in view.scan(UPSTREAM, version, "produced"))
