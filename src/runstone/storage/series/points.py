"""Points of one key in memory: columns of step, time, kind and value, and the order in which they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from runstone._native.points import FLOAT, INT, OBJECT

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]
#: (step, time): where a point stands. Points at one position are never parted between blocks or pages.
Position = tuple[int, int]

I64_MIN, I64_MAX = -(1 << 63), (1 << 63) - 1
_decode = msgspec.msgpack.Decoder().decode
_CLEAR_SIGN = np.int64(I64_MAX)


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Columns of the same length: int64 steps, int64 times (microseconds), the kind of each value, and the values' 64 bits.

    The bits are those of a float, the number of an int, and for the n-th object n: ``objects`` are MessagePack, in the order of rows.
    """

    steps: Ints
    times: Ints
    kinds: Bytes
    bits: Ints
    objects: list[bytes]

    def __len__(self) -> int:
        return len(self.steps)

    def first(self) -> Position:
        """Where the first point stands."""
        return int(self.steps[0]), int(self.times[0])

    def last(self) -> Position:
        """Where the last point stands."""
        return int(self.steps[-1]), int(self.times[-1])

    def take(self, chosen: Any) -> Points:
        """The rows of a slice, mask or array of places."""
        kinds, bits, objects = self.kinds[chosen], self.bits[chosen], self.objects
        if objects:
            kept = kinds == OBJECT
            objects = [objects[place] for place in bits[kept].tolist()]
            bits = bits.copy()
            bits[kept] = np.arange(len(objects))
        return Points(self.steps[chosen], self.times[chosen], kinds, bits, objects)

    def floats(self) -> Floats:
        """Every value as a float: ints are rounded, and an object is NaN."""
        values = self.bits.view(np.float64)
        if self.kinds.any():
            values = np.where(self.kinds == INT, self.bits.astype(np.float64), values)
            values[self.kinds == OBJECT] = np.nan
        return values

    def values(self) -> list[Any]:
        """Every value as it was logged."""
        found: list[Any] = self.bits.view(np.float64).tolist()
        if self.kinds.any():
            bits = self.bits.tolist()
            for place in np.flatnonzero(self.kinds).tolist():
                found[place] = bits[place] if self.kinds[place] == INT else _decode(self.objects[bits[place]])
        return found

    def rows(self) -> list[tuple[int, int, Any]]:
        """(step, time, value) of every point."""
        return list(zip(self.steps.tolist(), self.times.tolist(), self.values(), strict=True))

    def place(self, position: Position, *, right: bool = False) -> int:
        """How many points stand before a position; with ``right``, at or before it. The points are in order."""
        step, time = position
        begin, end = np.searchsorted(self.steps, step, "left"), np.searchsorted(self.steps, step, "right")
        within = np.searchsorted(self.times[begin:end], time, "right" if right else "left")
        return int(begin + within)

    def is_rising(self) -> bool:
        """Whether every point stands after the one before it: then they are in order, and no two are the same."""
        after = self.steps[1:] > self.steps[:-1]
        if after.all():
            return True
        same = self.steps[1:] == self.steps[:-1]
        return bool((after | (same & (self.times[1:] > self.times[:-1]))).all())

    def ordered(self) -> Points:
        """By step, time, kind and value (floats in IEEE 754 total order, objects by their bytes); identical points once."""
        if self.is_rising():
            return self
        by_step = self.take(np.argsort(self.steps, kind="stable"))
        if by_step.is_rising():
            return by_step
        rank = self._ranks()
        order = np.lexsort((rank, self.kinds, self.times, self.steps))
        different = np.ones(len(order), bool)
        for column in (self.steps, self.times, self.kinds, rank):
            sorted_column = column[order]
            different[1:] &= sorted_column[1:] == sorted_column[:-1]
        different[1:] = ~different[1:]
        return self.take(order[different])

    def _ranks(self) -> Ints:
        """Numbers in the order of the values of each kind, equal only for identical ones."""
        bits = self.bits
        rank = np.where(self.kinds == FLOAT, bits ^ ((bits >> 63) & _CLEAR_SIGN), bits)
        if self.objects:
            places = {packed: place for place, packed in enumerate(sorted(set(self.objects)))}
            rank[self.kinds == OBJECT] = [places[packed] for packed in self.objects]
        return rank


def none() -> Points:
    """No points."""
    return Points(
        np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint8), np.empty(0, np.int64), []
    )


def joined(parts: Sequence[Points]) -> Points:
    """The points of several parts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return none()
    bits = np.concatenate([part.bits for part in parts])
    kinds = np.concatenate([part.kinds for part in parts])
    objects = [packed for part in parts for packed in part.objects]
    if objects:
        bits[kinds == OBJECT] = np.arange(len(objects))
    return Points(
        np.concatenate([part.steps for part in parts]),
        np.concatenate([part.times for part in parts]),
        kinds,
        bits,
        objects,
    )


def of_columns(columns: tuple[bytes, bytes, bytes, bytes, list[bytes]]) -> Points:
    """The points of one key as ``points.gather`` gives them."""
    steps, times, kinds, bits, objects = columns
    return Points(
        np.frombuffer(steps, np.int64),
        np.frombuffer(times, np.int64),
        np.frombuffer(kinds, np.uint8),
        np.frombuffer(bits, np.int64),
        objects,
    )
