"""The blocks of a series in the index: groups of them in order, each with the coarse cells of its blocks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from runstone.errors import Corrupt
from runstone.storage.index import Txn, View
from runstone.storage.series.blocks import (
    Cells,
    cells_joined,
    cells_of,
    decode_block,
    encode_block,
    summarise,
)
from runstone.storage.series.points import Points, Position
from runstone.storage.tables import (
    SERIES_BLOCKS,
    SERIES_CELLS,
    SERIES_GROUPS,
    BlockEntry,
    SeriesGroup,
)

#: Blocks of a group.
GROUP = 32
_SIGN = 1 << 63


def packed_key(stream: int, key: int, position: Position) -> bytes:
    """The key of the block or group that begins at a position, in each of the three tables."""
    return SERIES_BLOCKS.key.pack(stream, key, position[0] + _SIGN, position[1] + _SIGN)


def first_of(entry: BlockEntry) -> Position:
    """Where a block begins."""
    return entry.first_step, entry.first_time


def last_of(entry: BlockEntry) -> Position:
    """Where a block ends."""
    return entry.last_step, entry.last_time


def keys_of(view: View, stream: int) -> list[int]:
    """The keys of a stream that have blocks."""
    found: list[int] = []
    prefix, after = SERIES_GROUPS.key.prefix(stream), None
    while True:
        row = next(view.scan_bodies(SERIES_GROUPS, prefix, after), None)
        if row is None:
            return found
        key = SERIES_GROUPS.key.unpack(row[0])[1]
        found.append(key)
        after = SERIES_GROUPS.key.pack(stream, key, (1 << 64) - 1, (1 << 64) - 1) + b"\0"


def groups(view: View, stream: int, key: int, start: Position | None = None) -> Iterator[SeriesGroup]:
    """The groups of a series in order, from the one on that may hold ``start``."""
    prefix, after = SERIES_GROUPS.key.prefix(stream, key), None
    if start is not None:
        past = packed_key(stream, key, start) + b"\0"
        before = next(view.scan_bodies(SERIES_GROUPS, prefix, past, reverse=True), None)
        if before is not None:
            yield SERIES_GROUPS.decode(before[1])
            after = before[0]
    for _, body in view.scan_bodies(SERIES_GROUPS, prefix, after):
        yield SERIES_GROUPS.decode(body)


def read_block(view: View, stream: int, key: int, entry: BlockEntry) -> Points:
    """The points of a block; raises :class:`Corrupt` when it is missing or not as its group says."""
    body = view.get_body(SERIES_BLOCKS, packed_key(stream, key, first_of(entry)))
    if body is None:
        raise Corrupt(
            f"series {stream}/{key} lacks its block from step {entry.first_step}; run 'runstone rebuild'"
        )
    block = SERIES_BLOCKS.decode(body)
    if block.count != entry.count:
        raise Corrupt(
            f"series {stream}/{key}: the block from step {entry.first_step} has {block.count} points and not {entry.count}; "
            "run 'runstone rebuild'"
        )
    return decode_block(block)


@dataclass(frozen=True, slots=True)
class Placed:
    """A block as its group knows it; ``points`` when it is to be written."""

    entry: BlockEntry
    coarse: Cells
    fine: Cells | None = None
    points: Points | None = None


def placed(group: SeriesGroup) -> list[Placed]:
    """The blocks of a group, each with its own coarse cells."""
    cells, found, cell, term = cells_of(group.cells), [], 0, 0
    for entry in group.blocks:
        part = cells.part(slice(cell, cell + entry.cells), slice(term, term + entry.terms))
        found.append(Placed(entry, part))
        cell, term = cell + entry.cells, term + entry.terms
    if cell != cells.ints.shape[1] or term != len(cells.terms):
        raise Corrupt("a group of series blocks and its cells differ; run 'runstone rebuild'")
    return found


def new_block(points: Points) -> Placed:
    """A block of ordered points that is to be written."""
    entry, coarse, fine = summarise(points)
    return Placed(entry, coarse, fine, points)


def write_blocks(txn: Txn, stream: int, key: int, old: list[SeriesGroup], blocks: list[Placed]) -> None:
    """Puts blocks in order in the place of consecutive groups; those without ``points`` are there already."""
    kept = {first_of(block.entry) for block in blocks if block.points is None}
    for group in old:
        txn.delete_body(SERIES_GROUPS, packed_key(stream, key, first_of(group.blocks[0])))
        for entry in group.blocks:
            if first_of(entry) not in kept:
                packed = packed_key(stream, key, first_of(entry))
                txn.delete_body(SERIES_BLOCKS, packed)
                txn.delete_body(SERIES_CELLS, packed)
    for block in blocks:
        if block.points is not None:
            packed = packed_key(stream, key, first_of(block.entry))
            txn.put_body(SERIES_BLOCKS, packed, SERIES_BLOCKS.encode(encode_block(block.points)))
            if block.fine is not None:
                txn.put_body(SERIES_CELLS, packed, SERIES_CELLS.encode(block.fine.packed()))
    for at in range(0, len(blocks), GROUP):
        part = blocks[at : at + GROUP]
        group = SeriesGroup(
            tuple(block.entry for block in part), cells_joined([block.coarse for block in part]).packed()
        )
        txn.put_body(
            SERIES_GROUPS, packed_key(stream, key, first_of(part[0].entry)), SERIES_GROUPS.encode(group)
        )


def drop_groups(txn: Txn, stream: int, most: int) -> int:
    """Deletes the first ``most`` groups of a stream with their blocks; how many there were to delete."""
    found = list(itertools.islice(txn.scan_bodies(SERIES_GROUPS, SERIES_GROUPS.key.prefix(stream)), most))
    for packed, body in found:
        key = SERIES_GROUPS.key.unpack(packed)[1]
        write_blocks(txn, stream, key, [SERIES_GROUPS.decode(body)], [])
    return len(found)
