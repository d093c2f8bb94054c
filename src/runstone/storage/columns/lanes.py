"""The columns of one part of a table: lanes of numbers, texts and booleans, and where null and unordered values are.

A field has a lane for each type that occurs in it. A lane lies over ``rows`` rows in one of three layouts: every row has a value
(``positions`` and ``valid`` None), some have (``valid`` a bitmap, values one a row), or few have (``positions``, values one each).
Arrays may lie in a file's map: they are never written.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from runstone._native import columns as kernels
from runstone.storage.columns import bitmaps, scalars
from runstone.storage.columns.bitmaps import Array, Bits, Positions

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Lane:
    """Which of ``rows`` rows have a value; by itself, a lane of nulls or of unordered values. ``count`` is how many have."""

    rows: int
    count: int
    positions: Positions | None = None
    valid: Bits | None = None

    @property
    def slots(self) -> int:
        """How many values lie in the lane's arrays, those of rows without one included."""
        return self.rows if self.positions is None else len(self.positions)

    def present(self) -> Bits:
        """The rows that have a value."""
        if self.positions is not None:
            return self.spread(bitmaps.every(len(self.positions)))
        return bitmaps.every(self.rows) if self.valid is None else self.valid

    def spread(self, bits: Bits) -> Bits:
        """A bitmap over slots as one over rows. May return the bitmap that was given."""
        if self.positions is not None:
            out = bitmaps.blank(self.rows)
            kernels.scatter(self.positions, bits, self.rows, out)
            return out
        return bits if self.valid is None else np.bitwise_and(bits, self.valid, out=bits)

    def filled(self) -> tuple[Positions, Array | slice]:
        """The rows that have a value, and an index that picks their values from the lane's arrays."""
        if self.positions is not None:
            return self.positions, slice(None)
        if self.valid is None:
            return np.arange(self.rows, dtype=np.uint32), slice(None)
        found = bitmaps.positions(self.valid, self.count)
        return found, found

    def live(self, live: Bits) -> int:
        """How many rows of a bitmap have a value."""
        if self.positions is None and self.valid is None:
            return kernels.count(live)
        return kernels.count_and(self.present(), live)


@dataclass(frozen=True)
class Pool:
    """Distinct texts in ascending order (as UTF-8): ``data[offsets[i]:offsets[i + 1]]``."""

    data: npt.NDArray[np.uint8]
    offsets: Array

    @functools.cached_property
    def found(self) -> dict[tuple[bytes, bool], tuple[Bits, bool]]:
        """What was last looked for in the texts: the codes that had it, and whether exactly those."""
        return {}

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> Pool:
        """The pool of texts that are sorted and distinct."""
        offsets = np.zeros(len(texts) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)), out=offsets[1:])
        if offsets[-1] < 2**31:
            offsets = offsets.astype(np.int32)
        return cls(np.frombuffer(b"".join(texts), np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def get(self, code: int) -> bytes:
        """The text of a code."""
        return self.data[self.offsets[code] : self.offsets[code + 1]].tobytes()

    def take(self, codes: Array) -> list[bytes]:
        """The texts of some codes."""
        starts, ends = self.offsets[codes].tolist(), self.offsets[1:][codes].tolist()
        view = self.data.data
        return [bytes(view[start:end]) for start, end in zip(starts, ends, strict=True)]

    def all(self) -> list[bytes]:
        """Every text."""
        data, offsets = self.data.tobytes(), self.offsets.tolist()
        return [data[start:end] for start, end in itertools.pairwise(offsets)]

    def lower_bound(self, text: bytes, low: int = 0) -> int:
        """The first code whose text is not before ``text``."""
        high = len(self)
        while low < high:
            middle = (low + high) // 2
            if self.get(middle) < text:
                low = middle + 1
            else:
                high = middle
        return low

    def after_prefix(self, prefix: bytes, low: int) -> int:
        """The first code from ``low`` on whose text does not begin with ``prefix``."""
        head = prefix.rstrip(b"\xff")
        return self.lower_bound(head[:-1] + bytes([head[-1] + 1]), low) if head else len(self)


@dataclass(frozen=True)
class TextLane(Lane):
    """Texts: codes into a pool."""

    codes: Array = field(default_factory=lambda: np.empty(0, np.uint8))
    pool: Pool = field(default_factory=lambda: Pool.of([]))


@dataclass(frozen=True)
class NumberLane(Lane):
    """Numbers: ``values``, or ``codes`` into a sorted ``table`` of distinct ones, in which NaN comes last.

    ``integers`` says which slots held an int: all, none, or a bitmap.
    """

    values: Floats | None = None
    codes: Array | None = None
    table: Floats | None = None
    integers: Bits | bool = False

    def numbers(self) -> Floats:
        """The number of each slot."""
        if self.values is not None:
            return self.values
        assert self.codes is not None and self.table is not None
        return self.table[self.codes]

    def integer_flags(self) -> npt.NDArray[np.bool_]:
        """Whether each slot held an int."""
        if isinstance(self.integers, bool):
            return np.full(self.slots, self.integers)
        return bitmaps.unpack(self.integers, self.slots)

    @functools.cached_property
    def table_keys(self) -> npt.NDArray[np.uint64]:
        """The ascending order key of each number in the table."""
        assert self.table is not None
        keys = np.empty(len(self.table), np.uint64)
        kernels.number_keys(self.table, keys)
        return keys


@dataclass(frozen=True)
class BoolLane(Lane):
    """Booleans: ``values`` is a bitmap over slots."""

    values: Bits = field(default_factory=lambda: bitmaps.none(0))


@dataclass(frozen=True)
class Column:
    """A field of one part: a lane for each type that occurs. ``count`` is how many rows have the field, be it null."""

    rows: int
    count: int
    numbers: NumberLane | None = None
    texts: TextLane | None = None
    bools: BoolLane | None = None
    nulls: Lane | None = None
    others: Lane | None = None

    def lanes(self) -> Iterable[Lane]:
        """The lanes that there are."""
        return (
            lane
            for lane in (self.numbers, self.texts, self.bools, self.nulls, self.others)
            if lane is not None
        )

    def present(self, nulls: bool = True) -> Bits:
        """The rows that have the field; without ``nulls``, those where it is not null."""
        found = bitmaps.none(self.rows)
        for lane in self.lanes():
            if nulls or lane is not self.nulls:
                found |= lane.present()
        return found

    def live(self, live: Bits) -> int:
        """How many rows of a bitmap have the field."""
        return sum(lane.live(live) for lane in self.lanes())


def text_of(pool: Pool, code: int) -> str:
    """The text of a code, decoded."""
    return scalars.decode(pool.get(code))
