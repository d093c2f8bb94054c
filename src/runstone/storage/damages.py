"""Chunks that are known to be damaged: how they are recorded, who else is told, and how they are made whole again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec.structs import replace

from runstone.errors import Corrupt
from runstone.storage import chunks
from runstone.storage.chunks import transact
from runstone.storage.holdings import complete, held
from runstone.storage.index import Index, Txn, View
from runstone.storage.openpacks import Fault, OpenPacks, is_genuine
from runstone.storage.parts import DIGEST_SIZE, PLACE, PartBuilder, placed
from runstone.storage.tables import BLOB_PARTS, BLOBS, CHUNKS, DAMAGES, Damage, Part

#: What is wrong where the index lacks a part, or cannot read it.
NO_PART = "no part in the index"


class DamagedBlob(NamedTuple):
    """A damaged chunk: the blob, the chunk's place in it, and what is known of the damage."""

    domain: int
    sha256: bytes
    offset: int
    damage: Damage


def damaged(view: View) -> Iterator[DamagedBlob]:
    """Every chunk that is known to be damaged, by blob and offset."""
    for (domain, sha256, offset), damage in view.scan(DAMAGES):
        yield DamagedBlob(domain, sha256, offset, damage)


def record(index: Index, domain: int, sha256: bytes, found: Iterable[Fault], now: int) -> list[Fault]:
    """Records faults of a blob, and takes the chunks out of the index of those that new uploads may share.

    Answers those that still concern the blob: it may have been deleted, or repaired, since it was read.
    """
    faults = list(found)
    with index.read() as view:
        if all(_recorded(view, domain, sha256, fault) for fault in faults):
            return faults  # many may ask for a damaged chunk: that writes nothing

    def change(txn: Txn) -> list[Fault]:
        real = [fault for fault in faults if _still(txn, domain, sha256, fault)]
        for fault in real:
            damage = Damage(fault.length, fault.pack, fault.pack_offset, now, fault.how)
            txn.put(DAMAGES, domain, sha256, fault.offset, damage)
            key = chunks.chunk_key(domain, fault.record[:DIGEST_SIZE])
            row = txn.get_body(CHUNKS, key)
            if row is not None and PLACE.unpack_from(row) == (fault.pack, fault.pack_offset):
                txn.delete_body(CHUNKS, key)
        if real:
            chunks.bump_generation(txn)
        return real

    return transact(index, change)


def _recorded(view: View, domain: int, sha256: bytes, fault: Fault) -> bool:
    damage = view.get(DAMAGES, domain, sha256, fault.offset)
    known = damage is not None and (damage.pack, damage.pack_offset) == (fault.pack, fault.pack_offset)
    return known and _still(view, domain, sha256, fault)


def _still(view: View, domain: int, sha256: bytes, fault: Fault) -> bool:
    found = part_at(view, domain, sha256, fault.offset)
    if found is None:
        return False
    at = found[0]
    for _, pack, pack_offset, length in placed(found[1]):
        if at == fault.offset:
            return (pack, pack_offset) == (fault.pack, fault.pack_offset)
        at += length
    return False


def part_at(view: View, domain: int, sha256: bytes, offset: int) -> tuple[int, Part] | None:
    """The part of a blob that holds the byte at ``offset``, with its own offset."""
    at, after = 0, (domain, sha256, offset + 1)
    # Damage to a neighbour's row ends a scan, and must not end the reading of this blob.
    with contextlib.suppress(Corrupt):
        found = next(view.scan(BLOB_PARTS, domain, sha256, after=after, reverse=True), None)
        return None if found is None else (found[0][2], found[1])
    while (part := view.get(BLOB_PARTS, domain, sha256, at)) is not None and part.size:
        if offset < at + part.size:
            return at, part
        at += part.size
    return None


def record_gap(index: Index, domain: int, sha256: bytes, offset: int, length: int, now: int) -> bool:
    """Records that the index lacks parts of a blob; whether it still does."""

    def change(txn: Txn) -> bool:
        row = held(txn, domain, sha256)
        if row is None or complete(txn, domain, sha256, row.size):
            return False
        txn.put(DAMAGES, domain, sha256, offset, Damage(length, 0, 0, now, NO_PART))
        return True

    return transact(index, change)


def forget(index: Index, domain: int, sha256: bytes, offsets: Iterable[int]) -> int:
    """Drops the records of chunks that verify again; how many. The next collection indexes them."""
    gone = list(offsets)

    def change(txn: Txn) -> int:
        row = held(txn, domain, sha256)
        if row is not None:
            txn.put(BLOBS, domain, sha256, replace(row, indexed=False))
        return sum(txn.delete(DAMAGES, domain, sha256, offset) for offset in gone)

    return transact(index, change) if gone else 0


def heal(index: Index, packs: OpenPacks) -> int:
    """Points damaged chunks at another copy of the same bytes, where the index knows one that is genuine; how many it healed."""
    healed = 0
    with index.read() as view:
        known = [found for found in damaged(view) if found.damage.how != NO_PART]
    for domain, sha256, offset, damage in known:
        # A part that cannot be read cannot be pointed elsewhere; only the blob's own bytes repair that.
        with contextlib.suppress(Corrupt):
            healed += _heal_one(index, packs, domain, sha256, offset, damage)
    return healed


def _heal_one(
    index: Index, packs: OpenPacks, domain: int, sha256: bytes, offset: int, damage: Damage
) -> bool:
    with index.read() as view:
        found = part_at(view, domain, sha256, offset)
        if found is None:
            return False
        base, part = found
        better = _repoint(view, domain, base, part, offset, damage)
    if better is None:
        return False
    changed, record, place = better
    if not is_genuine(packs, record, *place):
        return False

    def change(txn: Txn) -> bool:
        unmoved = txn.get(BLOB_PARTS, domain, sha256, base) == part
        if not unmoved or chunks.find(txn, domain, [record]) != [place]:
            return False
        txn.put(BLOB_PARTS, domain, sha256, base, changed)
        txn.delete(DAMAGES, domain, sha256, offset)
        chunks.note_repair(txn)
        return True

    return transact(index, change)


def _repoint(
    view: View, domain: int, base: int, part: Part, offset: int, damage: Damage
) -> tuple[Part, bytes, tuple[int, int]] | None:
    builder, at, hit = PartBuilder(base), base, None
    for record, pack, pack_offset, length in placed(part):
        if at == offset:
            place = chunks.find(view, domain, [record])[0]
            if place is None or place == (damage.pack, damage.pack_offset):
                return None
            pack, pack_offset = place
            hit = record, place
        builder.add(record, pack, pack_offset, length)
        at += length
    return None if hit is None else (builder.build(), *hit)
