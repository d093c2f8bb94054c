"""The rows of a table as Arrow, for SQL engines. Needs the extra ``sql``.

A column is ``double`` where a field has numbers only, ``bool`` where booleans only, else ``string``, each value by its text as Python prints it
(lists and objects are null). Numbers that lie one a row are not copied: their arrays lie over the map of the segment. Texts are
dictionaries over the segment's pool, whose codes are widened to 32 bits; where rows of a segment are superseded, and for fields that few rows have,
arrays are copied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from runstone.storage.columns import bitmaps, textual
from runstone.storage.columns.bitmaps import Bits, Positions
from runstone.storage.columns.lanes import BoolLane, Column, Lane, NumberLane, Pool, TextLane
from runstone.storage.columns.parts import View

#: The column of row ids; a field may be called ``id``.
ID = "row"


def table_of(views: Sequence[View], fields: Sequence[str], visible: Callable[[str], bool]) -> pa.Table:
    """All live rows with their ids (column ``row``) and some fields, in no order; a hidden field is all null."""
    views = [view for view in views if view.count]
    arrays = [pa.chunked_array([_kept(view, pa.array(view.part.ids)) for view in views], pa.int64())]
    for field in fields:
        columns = [view.part.column(field) if visible(field) else None for view in views]
        kind = _type_of(columns)
        chunks = [
            _kept(view, _array(column, view, kind)) for view, column in zip(views, columns, strict=True)
        ]
        arrays.append(pa.chunked_array(chunks, kind))
    return pa.table(arrays, names=[ID, *fields])


def matching(pool: Pool, codes: Positions, expression: str) -> Bits:
    """Those of some codes whose texts match an expression that RE2 accepts."""
    kind = pa.utf8() if pool.offsets.itemsize == 4 else pa.large_utf8()
    buffers = [None, pa.py_buffer(pool.offsets), pa.py_buffer(pool.data)]
    texts = pa.Array.from_buffers(kind, len(pool), buffers)
    if len(codes) < len(pool):
        texts = texts.take(pa.array(codes))
    hits = compute.match_substring_regex(texts, expression).to_numpy(zero_copy_only=False)
    return bitmaps.at(codes[hits], len(pool))


def _type_of(columns: Sequence[Column | None]) -> pa.DataType:
    there = [column for column in columns if column is not None]
    lanes = {type(lane) for column in there for lane in column.lanes() if lane is not column.nulls}
    if lanes == {NumberLane}:
        return pa.float64()
    return pa.bool_() if lanes == {BoolLane} else pa.dictionary(pa.int32(), pa.large_utf8())


def _kept(view: View, array: pa.Array) -> pa.Array:
    if view.count == view.part.rows:
        return array
    return array.filter(pa.array(bitmaps.unpack(view.live, view.part.rows)))


def _array(column: Column | None, view: View, kind: pa.DataType) -> pa.Array:
    rows = view.part.rows
    if column is None:
        return pa.nulls(rows, kind)
    if kind == pa.float64():
        return _numbers(column.numbers, rows)
    if kind == pa.bool_():
        return _bools(column.bools, rows)
    if column.numbers is None and column.bools is None and column.texts is not None:
        return _texts(column.texts, rows)
    return _by_text(column, rows)


def _bitmap(bits: Bits | None) -> pa.Buffer | None:
    return None if bits is None else pa.py_buffer(bits)


def _dense(lane: Lane, values: Any) -> tuple[Any, Bits | None]:
    """Values one a row, with the bitmap of those that are there."""
    if lane.positions is None:
        return values, lane.valid
    spread = np.zeros(lane.rows, values.dtype)
    spread[lane.positions] = values
    return spread, lane.present()


def _numbers(lane: NumberLane | None, rows: int) -> pa.Array:
    if lane is None:
        return pa.nulls(rows, pa.float64())
    values, valid = _dense(lane, lane.numbers())
    return pa.Array.from_buffers(pa.float64(), rows, [_bitmap(valid), pa.py_buffer(values)])


def _bools(lane: BoolLane | None, rows: int) -> pa.Array:
    if lane is None:
        return pa.nulls(rows, pa.bool_())
    bits = lane.spread(lane.values.copy())
    return pa.Array.from_buffers(pa.bool_(), rows, [_bitmap(lane.present()), pa.py_buffer(bits)])


def _texts(lane: TextLane, rows: int) -> pa.Array:
    codes, valid = _dense(lane, lane.codes)
    offsets = lane.pool.offsets.astype(np.int64)
    pool = pa.Array.from_buffers(
        pa.large_utf8(), len(lane.pool), [None, pa.py_buffer(offsets), pa.py_buffer(lane.pool.data)]
    )
    indices = pa.Array.from_buffers(
        pa.int32(), rows, [_bitmap(valid), pa.py_buffer(codes.astype(np.int32, copy=False))]
    )
    return pa.DictionaryArray.from_arrays(indices, pool, safe=False)


def _by_text(column: Column, rows: int) -> pa.Array:
    texts: list[str | None] = [None] * rows
    for lane in (column.numbers, column.texts, column.bools):
        if lane is not None:
            places, values = textual.texts_of(lane)
            for place, text in zip(places.tolist(), values, strict=True):
                texts[place] = text
    return pa.array(texts, pa.large_utf8()).dictionary_encode()
