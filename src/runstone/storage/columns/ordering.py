"""The first rows of an order: candidates of each part by a kernel, then all of them together.

The order of a field is a u64 a row (ext/columns_impl.h). Within a part a text's key is its rank in the part's pool; candidates of several
parts get ranks among the candidates' own texts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from runstone._native import columns as kernels
from runstone.query import Order
from runstone.storage.columns import bitmaps, scalars
from runstone.storage.columns.bitmaps import Bits, Positions
from runstone.storage.columns.lanes import BoolLane, Column, Lane, NumberLane, Pool, TextLane
from runstone.storage.columns.parts import View

Keys = npt.NDArray[np.uint64]

KEY_TEXT = 0xFFF0000000000001
KEY_LAST = 0xFFF8000000000000
KEY_NAN = 2**64 - 3
KEY_OTHER = 2**64 - 2
KEY_MISSING = 2**64 - 1
#: Kinds of sources of the kernel.
KEYS, NUMBERS, TABLE, TEXT = range(4)


def number_key(value: float) -> int:
    """The ascending key of a number."""
    out = np.empty(1, np.uint64)
    kernels.number_keys(np.array([value], np.float64), out)
    return int(out[0])


def key_number(key: int) -> float:
    """The number of an ascending key."""
    bits = key & ~(1 << 63) if key >> 63 else ~key & 2**64 - 1
    return float(np.array([bits], np.uint64).view(np.float64)[0])


@dataclass(frozen=True)
class PartOrder:
    """The order of one part: sources for the kernel, all but their cursors."""

    rows: int
    sources: list[tuple[Any, ...]]
    pools: list[Pool | None]
    descending: list[bool]

    def top(self, mask: Bits, after: Sequence[Any] | None, bound: int, limit: int) -> Positions:
        """The places of the first rows of ``mask``, those behind a cursor's values (and ``bound``, see the kernel) only."""
        cursors = [0] * len(self.sources)
        if after is not None:
            cursors = [
                cursor_key(value, pool, descending)
                for value, pool, descending in zip(after, self.pools, self.descending, strict=True)
            ]
        out = np.empty(min(limit, self.rows), np.uint32)
        sources = [(*source, cursor) for source, cursor in zip(self.sources, cursors, strict=True)]
        found = kernels.top(mask, self.rows, sources, bound if after is not None else -1, out)
        return out[:found]

    def keys(self, index: int, places: Positions) -> Keys:
        """The keys of some rows in one source."""
        out = np.empty(len(places), np.uint64)
        kernels.keys_at(self.rows, (*self.sources[index], 0), places, out)
        return out


def order_of(view: View, order: tuple[Order, ...], column: Callable[[str], Column | None]) -> PartOrder:
    """The order of a part's rows."""
    rows = view.part.rows
    sources, pools = [], []
    for each in order:
        found = column(each.field)
        source, pool = _source(found, rows, each.descending)
        sources.append((*source, each.descending))
        pools.append(pool)
    return PartOrder(rows, sources, pools, [each.descending for each in order])


def _source(column: Column | None, rows: int, descending: bool) -> tuple[tuple[Any, ...], Pool | None]:
    if column is None:
        return (KEYS, np.full(rows, KEY_MISSING, np.uint64), None, None), None
    values = [
        lane for lane in (column.numbers, column.texts, column.bools, column.others) if lane is not None
    ]
    if len(values) == 1 and values[0].positions is None:
        lane = values[0]
        if isinstance(lane, NumberLane):
            if lane.values is not None:
                return (NUMBERS, lane.values, lane.valid, None), None
            return (TABLE, lane.codes, lane.valid, lane.table_keys), None
        if isinstance(lane, TextLane):
            return (TEXT, lane.codes, lane.valid, None), lane.pool
    keys = np.full(rows, KEY_MISSING, np.uint64)
    for lane in values:
        places, slots = lane.filled()
        found = _lane_keys(lane, slots)
        if descending:
            found = np.where(found <= KEY_LAST, np.uint64(KEY_LAST) - found, found)
        keys[places] = found
    return (KEYS, keys, None, None), column.texts.pool if column.texts is not None else None


def _lane_keys(lane: Lane, slots: Any) -> Any:
    if isinstance(lane, NumberLane):
        if lane.table is not None:
            assert lane.codes is not None
            return lane.table_keys[lane.codes[slots]]
        assert lane.values is not None
        values = np.ascontiguousarray(lane.values[slots])
        keys = np.empty(len(values), np.uint64)
        kernels.number_keys(values, keys)
        return keys
    if isinstance(lane, TextLane):
        return lane.codes[slots].astype(np.uint64) * np.uint64(2) + np.uint64(KEY_TEXT + 1)
    if isinstance(lane, BoolLane):
        return bitmaps.unpack(lane.values, lane.slots)[slots].astype(np.uint64)
    return np.full(lane.count, KEY_OTHER, np.uint64)


def cursor_key(value: Any, pool: Pool | None, descending: bool) -> int:
    """The key of a cursor's value in a part: a text that the part does not have lies between two that it has."""
    if isinstance(value, bool):
        key = int(value)
    elif isinstance(value, int):
        return {scalars.NAN: KEY_NAN, scalars.OTHER: KEY_OTHER}.get(value, KEY_MISSING)
    elif isinstance(value, float):
        key = number_key(value)
    else:
        data = scalars.encode(value)
        code = pool.lower_bound(data) if pool is not None else 0
        known = pool is not None and code < len(pool) and pool.get(code) == data
        key = KEY_TEXT + 2 * code + known
    return KEY_LAST - key if descending else key


@dataclass(frozen=True)
class Ranked:
    """Rows in order, with what makes their places: keys for each field of the order, and the texts that keys are ranks of."""

    ids: npt.NDArray[np.int64]
    keys: list[Keys]
    texts: list[list[bytes]]
    descending: list[bool]

    def values(self, index: int) -> list[Any]:
        """The values of a row in the order's fields."""
        return [
            key_value(int(keys[index]), texts, descending)
            for keys, texts, descending in zip(self.keys, self.texts, self.descending, strict=True)
        ]


def key_value(key: int, texts: list[bytes], descending: bool) -> Any:
    """The value of a key; an empty tuple for what has no order."""
    last = {KEY_NAN: math.nan, KEY_OTHER: scalars.UNORDERED, KEY_MISSING: None}
    if key in last:
        return last[key]
    if descending:
        key = KEY_LAST - key
    if key < 2:
        return bool(key)
    return scalars.decode(texts[(key - KEY_TEXT) // 2]) if key > KEY_TEXT else key_number(key)


def leading(view: View, order: PartOrder, places: Positions) -> Keys:
    """The keys of some rows in the first field of an order, or, where it has none, those of the newest first."""
    return order.keys(0, places) if order.sources else ~view.part.ids[places].view(np.uint64)


def merge(
    found: list[tuple[View, PartOrder, Positions]], order: tuple[Order, ...], skip: int, limit: int
) -> Ranked:
    """The first rows of the candidates of all parts, but for ``skip`` of them."""
    ids = [view.part.ids[places] for view, _, places in found]
    all_ids = np.concatenate(ids) if ids else np.empty(0, np.int64)
    keys, texts = [], []
    for index, each in enumerate(order):
        merged, pool = _merge_keys(found, index, each.descending)
        keys.append(merged)
        texts.append(pool)
    # The last key is the first that lexsort looks at; ~id turns the order of ids over without overflow.
    chosen = np.lexsort((~all_ids, *reversed(keys)))[skip : skip + limit]
    return Ranked(
        all_ids[chosen], [each[chosen] for each in keys], texts, [each.descending for each in order]
    )


def _merge_keys(
    found: list[tuple[View, PartOrder, Positions]], index: int, descending: bool
) -> tuple[Keys, list[bytes]]:
    keys = [part.keys(index, places) for _, part, places in found]
    pools = [part.pools[index] for _, part, _ in found]
    merged = np.concatenate(keys) if keys else np.empty(0, np.uint64)
    if all(pool is None for pool in pools):
        return merged, []
    used: list[tuple[Any, Any, list[bytes]]] = []
    for key, pool in zip(keys, pools, strict=True):
        if pool is not None:
            ascending = np.where(key <= KEY_LAST, np.uint64(KEY_LAST) - key, key) if descending else key
            where = np.flatnonzero((ascending > KEY_TEXT) & (ascending <= KEY_LAST))
            codes, inverse = np.unique((ascending[where] - np.uint64(KEY_TEXT)) // 2, return_inverse=True)
            used.append((where, inverse, pool.take(codes.astype(np.int64))))
        else:
            used.append((None, None, []))
    texts = sorted({text for _, _, each in used for text in each})
    rank = {text: at for at, text in enumerate(texts)}
    for key, (where, inverse, each) in zip(keys, used, strict=True):
        if each:
            ranks = np.array([rank[text] for text in each], np.uint64)[inverse]
            new = ranks * np.uint64(2) + np.uint64(KEY_TEXT + 1)
            key[where] = np.uint64(KEY_LAST) - new if descending else new
    return np.concatenate(keys), texts
