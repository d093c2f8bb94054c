"""Which segments to merge, and the merged columns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from runstone._native import columns as kernels
from runstone.storage.columns import bitmaps, encode
from runstone.storage.columns.bitmaps import Array, Bits, Positions
from runstone.storage.columns.encode import FieldData
from runstone.storage.columns.lanes import Column, Lane
from runstone.storage.columns.manifest import Manifest
from runstone.storage.columns.segment import Segment

#: So many segments of about one size are merged into one.
FANOUT = 4


def choose(manifest: Manifest, smallest: int, largest: int) -> list[int] | None:
    """The segments to replace by one, or by none if no row of them counts; None when all is well.

    ``smallest`` is how many rows a new segment has, ``largest`` how many rows a merge may make.
    """
    live = {segment: kernels.count(bits) for segment, (_, bits) in manifest.segments.items()}
    empty = [segment for segment, count in live.items() if not count]
    if empty:
        return empty
    tiers: dict[int, list[int]] = {}
    for segment, count in live.items():
        tiers.setdefault(max(0, int(math.log(count / smallest, FANOUT))), []).append(segment)
    for tier in sorted(tiers):
        by_size = sorted(tiers[tier], key=lambda segment: (live[segment], segment))
        taken: list[int] = []
        for segment in by_size[: 2 * FANOUT]:
            if sum(live[each] for each in taken) + live[segment] <= largest:
                taken.append(segment)
        if len(by_size) >= FANOUT and len(taken) > 1:
            return taken
    for segment, (rows, _) in manifest.segments.items():
        if 2 * live[segment] < rows:
            return [segment]
    return None


class Merge:
    """The live rows of some segments as one: their ids, and their columns one at a time."""

    def __init__(self, inputs: Sequence[tuple[Segment, Bits]]) -> None:
        self.inputs = inputs
        places = [bitmaps.positions(live) for _, live in inputs]
        ids = [segment.ids[where] for (segment, _), where in zip(inputs, places, strict=True)]
        joined = np.concatenate(ids)
        order = np.argsort(joined, kind="stable")
        self.ids: Array = joined[order]
        rank = np.empty(len(order), np.uint32)
        rank[order] = np.arange(len(order), dtype=np.uint32)
        # For each input, the new place of each of its rows that are live.
        self.new_places: list[Array] = []
        self.flags = [bitmaps.unpack(live, segment.rows) for segment, live in inputs]
        start = 0
        for (segment, _), where in zip(inputs, places, strict=True):
            mapped = np.zeros(segment.rows, np.uint32)
            mapped[where] = rank[start : start + len(where)]
            start += len(where)
            self.new_places.append(mapped)

    def columns(self) -> Iterator[tuple[bytes, Column]]:
        """The columns of all fields by ascending name."""
        sources = [segment.columns() for segment, _ in self.inputs]
        heads = [next(source, None) for source in sources]
        while any(head is not None for head in heads):
            name = min(head[0] for head in heads if head is not None)
            found: list[tuple[int, Column]] = []
            for at, head in enumerate(heads):
                if head is not None and head[0] == name:
                    found.append((at, head[1]))
                    heads[at] = next(sources[at], None)
            column = encode.column_of(self._data(found), len(self.ids))
            if column is not None:
                yield name, column

    def _data(self, found: list[tuple[int, Column]]) -> FieldData:
        data = FieldData()
        data.null_rows = _ascending([self._rows(at, column.nulls)[0] for at, column in found])[0]
        data.other_rows = _ascending([self._rows(at, column.others)[0] for at, column in found])[0]
        self._numbers(data, found)
        self._bools(data, found)
        self._texts(data, found)
        return data

    def _rows(self, at: int, lane: Lane | None) -> tuple[Positions, Array]:
        """The new places of a lane's live rows, and the slots of their values."""
        if lane is None:
            return np.empty(0, np.uint32), np.empty(0, np.int64)
        places, slots = lane.filled()
        kept = self.flags[at][places]
        slots = np.flatnonzero(kept) if isinstance(slots, slice) else slots[kept]
        return self.new_places[at][places[kept]], slots

    def _numbers(self, data: FieldData, found: list[tuple[int, Column]]) -> None:
        places, values, flags = [], [], []
        for at, column in found:
            if column.numbers is not None:
                rows, slots = self._rows(at, column.numbers)
                places.append(rows)
                values.append(column.numbers.numbers()[slots])
                flags.append(column.numbers.integer_flags()[slots])
        if places:
            data.number_rows, order = _ascending(places)
            data.numbers, data.integers = np.concatenate(values)[order], np.concatenate(flags)[order]

    def _bools(self, data: FieldData, found: list[tuple[int, Column]]) -> None:
        places, values = [], []
        for at, column in found:
            if column.bools is not None:
                rows, slots = self._rows(at, column.bools)
                places.append(rows)
                values.append(bitmaps.unpack(column.bools.values, column.bools.slots)[slots])
        if places:
            data.bool_rows, order = _ascending(places)
            data.bools = np.concatenate(values)[order]

    def _texts(self, data: FieldData, found: list[tuple[int, Column]]) -> None:
        places: list[Array] = []
        held: list[tuple[Any, list[bytes]]] = []
        for at, column in found:
            if column.texts is not None:
                rows, slots = self._rows(at, column.texts)
                places.append(rows)
                used, inverse = np.unique(column.texts.codes[slots], return_inverse=True)
                held.append((inverse, column.texts.pool.take(used.astype(np.int64))))
        if places:
            table = sorted(set().union(*(texts for _, texts in held)))
            rank = {text: at for at, text in enumerate(table)}
            codes = [
                np.fromiter(map(rank.__getitem__, texts), np.uint32, len(texts))[inverse]
                for inverse, texts in held
            ]
            data.text_rows, order = _ascending(places)
            data.text_codes, data.text_table = np.concatenate(codes)[order], table


def _ascending(places: list[Array]) -> tuple[Positions, Array]:
    joined = np.concatenate(places)
    order = np.argsort(joined, kind="stable")
    return joined[order], order
