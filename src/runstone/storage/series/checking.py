"""Whether the blocks of a stream hold what the log says they should."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from runstone.errors import Corrupt
from runstone.storage.index import Index, View
from runstone.storage.series import directory
from runstone.storage.series.blocks import Cells, cells_of, summarise
from runstone.storage.series.directory import first_of, last_of
from runstone.storage.series.points import Points, joined
from runstone.storage.series.tail import BatchOf, KeyIds, arrivals, compacted, read_tail
from runstone.storage.tables import LOG_PAYLOADS, SERIES_CELLS

_SECONDS = 3600.0


@dataclass(slots=True)
class Checked:
    """What a check of a stream saw. ``erased`` counts log entries whose payload is no longer kept: nothing proves their points."""

    points: int = 0
    keys: int = 0
    erased: int = 0
    problems: list[str] = field(default_factory=list)


def check_stream(index: Index, stream: int, key_ids: KeyIds, batch_of: BatchOf) -> Checked:
    """Compares the blocks of a stream with the log, point by point, and their summaries with the points.

    It holds the whole stream in memory, and one read transaction: all it sees must be of one moment.
    """
    checked = Checked()
    with index.read(_SECONDS) as view:
        mark = compacted(view, stream)
        for seq in arrivals(view, stream, 0, mark.seq):
            stored = view.get(LOG_PAYLOADS, seq)
            checked.erased += stored is None or stored.payload is None
        # Between seq and upto some points are in blocks and some are not.
        upto = max(mark.seq, mark.upto)
        sure = read_tail(view, stream, 0, mark.seq, key_ids, batch_of, None)
        maybe = read_tail(view, stream, mark.seq, upto, key_ids, batch_of, None)
        for key in sorted({*sure.columns, *maybe.columns, *directory.keys_of(view, stream)}):
            name = f"series {stream}/{key}"
            try:
                found = _blocks(view, stream, key, checked, name)
            except Corrupt as error:
                checked.problems.append(error.message)
                continue
            checked.keys += 1
            checked.points += len(found)
            _compare(found, sure.points(key), maybe.points(key), checked, name)
    return checked


def _blocks(view: View, stream: int, key: int, checked: Checked, name: str) -> Points:
    parts: list[Points] = []
    for group in directory.groups(view, stream, key):
        for block in directory.placed(group):
            points = directory.read_block(view, stream, key, block.entry)
            if len(joined([points]).ordered()) != len(points) or (
                parts and parts[-1].last() >= points.first()
            ):
                checked.problems.append(
                    f"{name}: the block from step {block.entry.first_step} is out of order"
                )
            parts.append(points)
            entry, coarse, fine = summarise(points)
            body = view.get_body(SERIES_CELLS, directory.packed_key(stream, key, first_of(block.entry)))
            stored = None if body is None else cells_of(SERIES_CELLS.decode(body))
            tables = [(block.coarse, coarse), (stored, fine)]
            if (
                entry != block.entry
                or last_of(entry) != points.last()
                or not all(_same(a, b) for a, b in tables)
            ):
                checked.problems.append(
                    f"{name}: the summaries of the block from step {entry.first_step} are not those of its points"
                )
    return joined(parts)


def _same(a: Cells | None, b: Cells | None) -> bool:
    if a is None or b is None:
        return a is b
    pairs = ((a.ints, b.ints), (a.floats, b.floats), (a.terms, b.terms))
    return all(np.ascontiguousarray(x).tobytes() == np.ascontiguousarray(y).tobytes() for x, y in pairs)


def _compare(found: Points, sure: Points, maybe: Points, checked: Checked, name: str) -> None:
    lost = len(joined([found, sure]).ordered()) - len(found)
    if lost:
        checked.problems.append(f"{name}: {lost} points of the log are in no block")
    known = joined([sure, maybe]).ordered()
    if not checked.erased and (more := len(joined([known, found]).ordered()) - len(known)):
        checked.problems.append(f"{name}: {more} points of its blocks are not in the log")
