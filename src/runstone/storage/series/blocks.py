"""Blocks: points in compressed columns, and their cells (docs/format/series.md)."""

from __future__ import annotations

import itertools
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from runstone._native import codecs, zoom
from runstone._native.points import FLOAT, INT, OBJECT
from runstone.errors import Corrupt
from runstone.storage.series.points import Bytes, Floats, Ints, Points
from runstone.storage.tables import BlockEntry, SeriesBlock, SeriesCells

#: Points of a block, unless more of them stand at one position.
BLOCK = 8192
#: A block with fewer points has coarse cells only.
FINE_FROM = 1024
#: So many cells cut by step or one more, and as many cut by time.
_COARSE, _FINE = 16, 64
_LEVEL = 6


def flat(column: Any) -> Any:
    """A column as the kernels take it, its numbers one after the other: itself where they are."""
    return np.ascontiguousarray(column)


def encode_block(points: Points) -> SeriesBlock:
    """Ordered points as a block."""
    kinds = points.kinds
    one_kind = int(kinds[0]) if (kinds == kinds[0]).all() else None
    floats = points.bits if one_kind == FLOAT else points.bits[kinds == FLOAT]
    ints = points.bits if one_kind == INT else points.bits[kinds == INT]
    return SeriesBlock(
        len(points),
        codecs.encode_ints(flat(points.steps)),
        codecs.encode_ints(flat(points.times)),
        codecs.encode_floats(flat(floats)),
        codecs.encode_ints(flat(ints)),
        codecs.encode_ints(flat(np.array([len(packed) for packed in points.objects], np.int64))),
        zlib.compress(b"".join(points.objects), _LEVEL) if points.objects else b"",
        b""
        if one_kind == FLOAT
        else bytes([one_kind])
        if one_kind is not None
        else zlib.compress(kinds.tobytes()),
    )


def decode_block(block: SeriesBlock) -> Points:
    """The points of a block; raises :class:`Corrupt` when it is not one."""
    try:
        return _decode_block(block)
    except (ValueError, zlib.error) as error:
        raise Corrupt(f"a block of a series does not decode: {error}; run 'runstone rebuild'") from error


def _decode_block(block: SeriesBlock) -> Points:
    steps, times = ints_of(block.steps, block.count), ints_of(block.times, block.count)
    if not block.kinds:
        floats = floats_of(block.floats, block.count)
        return Points(steps, times, np.zeros(block.count, np.uint8), floats.view(np.int64), [])
    kinds = _decode_kinds(block)
    counts = [int(count) for count in np.bincount(kinds, minlength=OBJECT + 1)]
    if len(counts) > OBJECT + 1:
        raise ValueError("a value is of an unknown kind")
    bits = np.empty(block.count, np.int64)
    bits[kinds == FLOAT] = floats_of(block.floats, counts[FLOAT]).view(np.int64)
    bits[kinds == INT] = ints_of(block.ints, counts[INT])
    bits[kinds == OBJECT] = np.arange(counts[OBJECT])
    return Points(steps, times, kinds, bits, _decode_objects(block, counts[OBJECT]))


def _decode_kinds(block: SeriesBlock) -> Bytes:
    if len(block.kinds) == 1:
        return np.full(block.count, block.kinds[0], np.uint8)
    return np.frombuffer(_inflate(block.kinds, block.count), np.uint8)


def _inflate(data: bytes, size: int) -> bytes:
    inflater = zlib.decompressobj()
    found = inflater.decompress(data, size + 1)
    if len(found) != size or not inflater.eof:
        raise ValueError(f"{len(data)} bytes do not inflate to {size}")
    return found


def _decode_objects(block: SeriesBlock, count: int) -> list[bytes]:
    lengths = ints_of(block.lengths, count)
    if not count:
        return []
    if (lengths < 1).any() or (lengths >= 1 << 32).any():
        raise ValueError("an object has no length that can be")
    ends = np.concatenate([[0], np.cumsum(lengths)]).tolist()
    data = _inflate(block.objects, ends[-1])
    return [data[start:stop] for start, stop in itertools.pairwise(ends)]


def ints_of(data: bytes, count: int) -> Ints:
    """An encoded column of ``count`` ints."""
    out = np.empty(count, np.int64)
    codecs.decode_ints(data, flat(out))
    return out


def floats_of(data: bytes, count: int) -> Floats:
    """An encoded column of ``count`` floats."""
    out = np.empty(count, np.float64)
    codecs.decode_floats(data, flat(out))
    return out


@dataclass(frozen=True, slots=True)
class Cells:
    """A table of cells in memory: a row of ``ints`` for each of `zoom.INT_COLUMNS`, one of ``floats`` for each of `FLOAT_COLUMNS`."""

    ints: Ints
    floats: Floats
    terms: Floats

    def packed(self) -> SeriesCells:
        """The table as it is stored."""
        return SeriesCells(
            self.ints.shape[1],
            len(self.terms),
            codecs.encode_ints(flat(self.ints)),
            codecs.encode_floats(flat(np.concatenate([self.floats.ravel(), self.terms]))),
        )

    def part(self, cells: slice, terms: slice) -> Cells:
        """Some of the cells, with the terms of their sums."""
        return Cells(self.ints[:, cells], self.floats[:, cells], self.terms[terms])


def cells_joined(tables: list[Cells]) -> Cells:
    """The cells of several tables, one after the other."""
    return Cells(
        np.concatenate([table.ints for table in tables], axis=1),
        np.concatenate([table.floats for table in tables], axis=1),
        np.concatenate([table.terms for table in tables]),
    )


def unpacked(table: SeriesCells) -> tuple[Any, Any]:
    """The columns of a stored table, as the kernel takes them; raises :class:`Corrupt` when it is not one."""
    try:
        return (
            ints_of(table.ints, len(zoom.INT_COLUMNS) * table.cells),
            floats_of(table.floats, len(zoom.FLOAT_COLUMNS) * table.cells + table.terms),
        )
    except ValueError as error:
        raise Corrupt(f"the cells of a series do not decode: {error}; run 'runstone rebuild'") from error


def cells_of(table: SeriesCells) -> Cells:
    """A stored table, decoded."""
    ints, floats = unpacked(table)
    numbers = len(zoom.FLOAT_COLUMNS) * table.cells
    return Cells(
        ints.reshape(len(zoom.INT_COLUMNS), table.cells),
        floats[:numbers].reshape(len(zoom.FLOAT_COLUMNS), table.cells),
        floats[numbers:],
    )


def _shift(low: int, high: int, cells: int) -> int:
    """The least shift at which a range falls into so few cells, or one more where it begins within one."""
    shift = max(0, (high - low).bit_length() - cells.bit_length())
    while (high >> shift) - (low >> shift) > cells:
        shift += 1
    return shift


def summarise(points: Points) -> tuple[BlockEntry, Cells, Cells | None]:
    """What is kept about a block of ordered points: its entry, its coarse cells, and its fine ones if it is large."""
    low, high = int(points.times.min()), int(points.times.max())
    # Times that go back and forth would cut a cell at every point.
    monotone = bool((points.times[1:] >= points.times[:-1]).all())
    values, numeric = points.floats(), (points.kinds != OBJECT).view(np.uint8)
    steps, times, numbers, flags = (flat(column) for column in (points.steps, points.times, values, numeric))

    def cut(count: int) -> Cells:
        by_step = _shift(int(points.steps[0]), int(points.steps[-1]), count)
        ints, floats = zoom.cells(
            steps,
            times,
            numbers,
            flags,
            min(by_step, 63),
            min(_shift(low, high, count), 63) if monotone else 64,
        )
        table = np.frombuffer(ints, np.int64).reshape(len(zoom.INT_COLUMNS), -1)
        size = len(zoom.FLOAT_COLUMNS) * table.shape[1]
        real = np.frombuffer(floats, np.float64)
        return Cells(table, real[:size].reshape(len(zoom.FLOAT_COLUMNS), -1), real[size:])

    coarse = cut(_COARSE)
    entry = BlockEntry(
        *points.first(), *points.last(), low, high, len(points), coarse.ints.shape[1], len(coarse.terms)
    )
    return entry, coarse, cut(_FINE) if len(points) >= FINE_FROM else None
