"""What a bundle has of small objects that clients keep beside a project, and of gates before its collections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec

from runstone.domain import gates
from runstone.domain.bundle.parts import Known, Part, Taker, chunks
from runstone.domain.bundle.records import EntityRecord, GateRecord, ItemRecord, ItemsRecord, plain, restored
from runstone.domain.bundle.source import Source
from runstone.domain.entities import keeping
from runstone.domain.entities.commands import digest
from runstone.domain.entities.keeping import Kind
from runstone.errors import Conflict, Invalid
from runstone.storage.tables import ENTITIES, ENTITY_ITEMS, ENTITY_NAMES, ENTITY_OWNERS, GATES, Entity

MAX_TOGETHER = 1000
_decode = msgspec.msgpack.Decoder().decode


def _each(source: Source) -> Iterator[tuple[str, str, Entity]]:
    """The objects of a project, by kind and id."""
    held = [(kind, entity) for (_, kind, _), entity in source.view.scan(ENTITY_OWNERS, source.project.id)]
    for kind, entity in sorted(held):
        row = source.view.get(ENTITIES, kind, entity)
        if row is not None:
            yield kind, entity, row


def _entities(source: Source) -> Iterator[EntityRecord]:
    for kind, entity, row in _each(source):
        named = source.view.get(ENTITY_NAMES, row.owner, kind, digest(row.name)) == entity
        yield EntityRecord(
            kind=kind,
            id=entity,
            name=row.name,
            unique=named,
            fields=plain(_decode(row.body)),
            created=row.created,
            updated=row.updated,
        )


def _check_entities(known: Known) -> Callable[[EntityRecord], None]:
    names: set[tuple[str, str]] = set()

    def check(record: EntityRecord) -> None:
        if (record.kind, record.id) in known.entities or (
            record.unique and (record.kind, record.name) in names
        ):
            raise Invalid(f"there are two of {record.kind} {record.id!r:.200} in the bundle")
        keeping.check(record.kind, record.id, record.name, restored(record.fields), {})
        known.entities[record.kind, record.id] = set()
        if record.unique:
            names.add((record.kind, record.name))

    return check


def _make_entities(taker: Taker, item: str, record: EntityRecord) -> None:
    try:
        taker.once(
            item,
            keeping.make,
            cast("Kind", record.kind),
            record.id,
            restored(record.fields),
            project=taker.name,
            name=record.name,
            unique=record.unique,
        )
    except Conflict:
        # The ids of such objects are one's alone in a whole store.
        taker.leave_out(f"{record.kind} {record.id}")


def _items(source: Source) -> Iterator[ItemsRecord]:
    for kind, entity, row in _each(source):
        held = sorted(
            ((key, part) for (_, key), part in source.view.scan(ENTITY_ITEMS, row.number)),
            key=lambda each: (each[1].order, each[1].place),
        )
        parts = (ItemRecord(key=key, fields=plain(_decode(part.body))) for key, part in held)
        for some in chunks(parts, MAX_TOGETHER):
            yield ItemsRecord(kind=kind, id=entity, items=some)


def _check_items(known: Known) -> Callable[[ItemsRecord], None]:
    def check(record: ItemsRecord) -> None:
        held = known.entities.get((record.kind, record.id))
        parts = _parts(record)
        if held is None or not parts or len(parts) < len(record.items) or parts.keys() & held:
            raise Invalid(
                f"parts are of nothing in the bundle, or there twice: {record.kind!r:.40} {record.id!r:.200}"
            )
        keeping.check(record.kind, record.id, "", {}, parts)
        held.update(parts)

    return check


def _parts(record: ItemsRecord) -> dict[str, Any]:
    return {each.key: restored(each.fields) for each in record.items}


def _make_items(taker: Taker, item: str, record: ItemsRecord) -> None:
    if f"{record.kind} {record.id}" not in taker.left_out:
        kind = cast("Kind", record.kind)
        taker.once(item, keeping.add_items, kind, record.id, taker.name, _parts(record))


def _gates(source: Source) -> Iterator[GateRecord]:
    for collection in source.collections():
        gate = source.view.get(GATES, collection.id)
        if gate is not None:
            yield GateRecord(collection=collection.name, mode=gate.mode, by=gate.by)


def _check_gates(known: Known) -> Callable[[GateRecord], None]:
    def check(record: GateRecord) -> None:
        if record.collection not in known.versions or record.mode not in gates.MODES:
            raise Invalid(
                f"collection {record.collection!r:.200} is not there, or cannot be gated {record.mode!r:.40}"
            )

    return check


def _make_gates(taker: Taker, item: str, record: GateRecord) -> None:
    taker.once(item, gates.set_mode, f"{taker.name}/{record.collection}", record.mode)


PARTS = (
    Part("entities", EntityRecord, _entities, _check_entities, _make_entities),
    Part("entity_items", ItemsRecord, _items, _check_items, _make_items),
    Part("gates", GateRecord, _gates, _check_gates, _make_gates),
)
