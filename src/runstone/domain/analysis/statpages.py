"""Pages of statistics (:mod:`runstone.domain.runs.stats`) of many runs, joined to an array for each number by numpy."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from runstone.domain.runs.stats import HEAD, PAGE
from runstone.storage.columns.bitmaps import Array


class Stats(NamedTuple):
    """Statistics of several keys in several runs, named as in :class:`runstone.domain.runs.stats.Stat`; ``place`` says of which run."""

    place: Array
    key: Array
    integer: Array
    points: Array
    nans: Array
    minimum: Array
    maximum: Array
    total: Array
    step: Array
    value: Array

    def by_key(self) -> Iterator[tuple[int, Stats]]:
        """The statistics of each key; runs stay in their order."""
        order = np.argsort(self.key, kind="stable")
        ordered = Stats(*(column[order] for column in self))
        ends = np.flatnonzero(np.diff(ordered.key, append=-1)) + 1
        start = 0
        for end in ends.tolist():
            yield int(ordered.key[start]), Stats(*(column[start:end] for column in ordered))
            start = end

    @property
    def mean(self) -> Array:
        """The mean of what is not NaN; NaN of nothing."""
        there = self.points - self.nans
        found = np.full(len(there), np.nan)
        np.divide(self.total, there, out=found, where=there > 0)
        return found


class Pages:
    """Pages that are gathered to be joined."""

    def __init__(self) -> None:
        self._rows = 0
        self._places: list[tuple[int, int]] = []
        self._keys: list[Array] = []
        self._integers: list[Array] = []
        self._values: list[Array] = []
        self._steps: list[Array] = []
        # Of the keys that have more than one point, and of those that have NaN: which rows they are, and what is known beside the value.
        self._several: list[tuple[Array, Array, Array]] = []
        self._unreal: list[tuple[Array, Array]] = []

    def add(self, place: int, number: int, page: bytes) -> None:
        """Adds page ``number`` of a run's stream."""
        if not page:
            return
        present, whole, _, more, unreal, places = HEAD.unpack_from(page)
        count, several, nans = present.bit_count(), more.bit_count(), unreal.bit_count()
        floats = np.frombuffer(page, "<f8", count + 3 * several, HEAD.size)
        at = HEAD.size + floats.nbytes
        wholes = np.frombuffer(page, "<i8", several + nans + 2 * places, at)
        steps = wholes[several + nans :: 2]
        if places > 1:
            self._steps.append(steps[np.frombuffer(page, np.uint8, count, at + wholes.nbytes)])
        else:
            self._steps.append(np.repeat(steps, count))
        self._places.append((place, count))
        self._keys.append(_bits(present) + number * PAGE)
        self._integers.append(_chosen(present, whole))
        self._values.append(floats[:count])
        if several:
            which = np.flatnonzero(_chosen(present, more)) + self._rows
            self._several.append((which, floats[count:].reshape(3, several), wholes[:several]))
        if nans:
            which = np.flatnonzero(_chosen(present, unreal)) + self._rows
            self._unreal.append((which, wholes[several : several + nans]))
        self._rows += count

    def joined(self) -> Stats:
        """All statistics of the pages."""
        pairs = np.array(self._places, np.int64).reshape(-1, 2)
        value = _all(self._values, np.float64)
        minimum, maximum, total = value.copy(), value.copy(), value.copy()
        points, nans = np.ones(self._rows, np.int64), np.zeros(self._rows, np.int64)
        if self._several:
            which = np.concatenate([each[0] for each in self._several])
            minimum[which], maximum[which], total[which] = np.concatenate(
                [each[1] for each in self._several], axis=1
            )
            points[which] = np.concatenate([each[2] for each in self._several])
        if self._unreal:
            nans[np.concatenate([each[0] for each in self._unreal])] = np.concatenate(
                [each[1] for each in self._unreal]
            )
        return Stats(
            place=np.repeat(pairs[:, 0], pairs[:, 1]).astype(np.uint32),
            key=_all(self._keys, np.int64),
            integer=_all(self._integers, np.bool_) & np.isfinite(value),
            points=points,
            nans=nans,
            minimum=minimum,
            maximum=maximum,
            total=total,
            step=_all(self._steps, np.int64),
            value=value,
        )


def _all(parts: list[Array], kind: type) -> Array:
    return np.concatenate(parts).astype(kind, copy=False) if parts else np.empty(0, kind)


@functools.lru_cache(4096)
def _bits(mask: int) -> Array:
    """The numbers of a mask's bits."""
    return np.array([bit for bit in range(PAGE) if mask >> bit & 1], np.int64)


@functools.lru_cache(4096)
def _chosen(present: int, mask: int) -> Array:
    """Of the bits of ``present``, which are in a mask."""
    return np.array([bool(mask >> bit & 1) for bit in range(PAGE) if present >> bit & 1], np.bool_)
