"""Compaction: points are taken from the log into blocks, in steps of one short write transaction each.

A step changes blocks, their summaries and the stream's mark together, so that a reader sees all of it or nothing, and a kill leaves
the last step. To merge the same points again changes nothing: a point is in a block once. So a step that several processes take, or
one that stops within an entry, loses and doubles nothing.
"""

from __future__ import annotations

from runstone.storage.index import Txn, View
from runstone.storage.series import directory
from runstone.storage.series.blocks import BLOCK
from runstone.storage.series.directory import Placed, first_of, last_of, new_block
from runstone.storage.series.points import I64_MIN, Points, Position, joined
from runstone.storage.series.tail import BatchOf, KeyIds, compacted, read_tail
from runstone.storage.tables import ARRIVALS, SERIES_COMPACTED, Compacted, SeriesGroup

_START: Position = (I64_MIN, I64_MIN)


def compact_step(txn: Txn, stream: int, budget: int, key_ids: KeyIds, batch_of: BatchOf) -> int:
    """Compacts some arrivals of a stream, about ``budget`` points' worth of work; how much it was, 0 when nothing is left."""
    mark = compacted(txn, stream)
    if mark.upto <= mark.seq:
        mark = Compacted(mark.seq, _choose(txn, stream, mark.seq, budget))
        if mark.upto == mark.seq:
            return 0
    tail = read_tail(txn, stream, mark.seq, mark.upto, key_ids, batch_of, None)
    work = tail.entries
    for key in sorted(key for key in tail.columns if key >= mark.key):
        points = tail.points(key)
        start = (mark.step, mark.time) if key == mark.key else _START
        points = points.take(slice(points.place(start), None))
        if work > budget:
            txn.put(SERIES_COMPACTED, stream, Compacted(mark.seq, mark.upto, key, *start))
            return work
        done, rest = merge(txn, stream, key, points, budget - work)
        work += done
        if rest is not None:
            txn.put(SERIES_COMPACTED, stream, Compacted(mark.seq, mark.upto, key, *rest))
            return work
    txn.put(SERIES_COMPACTED, stream, Compacted(mark.upto))
    return max(work, 1)


def _choose(view: View, stream: int, seq: int, budget: int) -> int:
    """The log entry before which arrivals are taken: about a budget's worth, one entry at least."""
    points, upto = 0, seq
    for (_, entry), arrival in view.scan(ARRIVALS, stream, after=(stream, seq - 1) if seq else None):
        if points and points + arrival.points > budget:
            break
        points += arrival.points
        upto = entry + 1
    return upto


def merge(txn: Txn, stream: int, key: int, points: Points, budget: int) -> tuple[int, Position | None]:
    """Merges ordered points into the blocks of a series.

    The answer is the work done, in points read and written, and where to go on when that reached the budget, or None.
    """
    if not len(points):
        return 0, None
    old, blocks = _touched(txn, stream, key, points)
    made: list[Placed] = []
    work, at = 0, 0
    for place, block in enumerate(blocks):
        follows = blocks[place + 1].entry if place + 1 < len(blocks) else None
        end = len(points) if follows is None else points.place(first_of(follows))
        stop = min(end, at + _cut(points.take(slice(at, end)), max(budget - work, 1)))
        if at < end and work > budget:
            made += blocks[place:]
            break
        work += _merge_into(txn, stream, key, block, points.take(slice(at, stop)), made)
        at = stop
        if at < end:
            made += blocks[place + 1 :]
            break
    if not blocks:
        at = _cut(points, max(budget, BLOCK))
        made, work = _blocks_of(points.take(slice(0, at))), at
    directory.write_blocks(txn, stream, key, old, made)
    return work, points.take(slice(at, None)).first() if at < len(points) else None


def _touched(view: View, stream: int, key: int, points: Points) -> tuple[list[SeriesGroup], list[Placed]]:
    """The groups that points fall into or follow, and their blocks."""
    old: list[SeriesGroup] = []
    for group in directory.groups(view, stream, key, points.first()):
        if old and first_of(group.blocks[0]) > points.last():
            break
        old.append(group)
    return old, [block for group in old for block in directory.placed(group)]


def _merge_into(txn: Txn, stream: int, key: int, block: Placed, part: Points, made: list[Placed]) -> int:
    """Appends to ``made`` what becomes of a block when points that fall into it or follow it are added; the work it was."""
    if not len(part):
        made.append(block)
        return 0
    if part.first() > last_of(block.entry) and 2 * block.entry.count > BLOCK:
        made.append(block)
        made += _blocks_of(part)
        return len(part)
    before = directory.read_block(txn, stream, key, block.entry)
    after = joined([before, part]).ordered()
    # All were there already: what is written stays.
    made += [block] if len(after) == len(before) else _blocks_of(after)
    return len(after)


def _blocks_of(points: Points) -> list[Placed]:
    blocks = []
    while len(points):
        cut = _cut(points, BLOCK)
        blocks.append(new_block(points.take(slice(0, cut))))
        points = points.take(slice(cut, None))
    return blocks


def _cut(points: Points, count: int) -> int:
    """The end of the position that the ``count``-th point stands at."""
    if len(points) <= count:
        return len(points)
    return points.place((int(points.steps[count - 1]), int(points.times[count - 1])), right=True)
