"""Bitmaps over rows: arrays of u64 words, bit ``i % 64`` of word ``i // 64`` for row ``i``, no bit set behind the last row."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from runstone._native import columns as kernels

Bits = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.uint32]
Array = npt.NDArray[Any]


def words(rows: int) -> int:
    """How many words a bitmap over so many rows has."""
    return (rows + 63) // 64


def none(rows: int) -> Bits:
    """No row."""
    return np.zeros(words(rows), np.uint64)


def every(rows: int) -> Bits:
    """Every row."""
    found = np.full(words(rows), 2**64 - 1, np.uint64)
    if rows % 64:
        found[-1] = (1 << (rows % 64)) - 1
    return found


def blank(rows: int) -> Bits:
    """Room for a bitmap that a kernel writes."""
    return np.empty(words(rows), np.uint64)


def pack(flags: Array) -> Bits:
    """The bitmap of an array of booleans."""
    found = none(len(flags))
    packed = np.packbits(flags, bitorder="little")
    found.view(np.uint8)[: len(packed)] = packed
    return found


def unpack(bits: Bits, rows: int) -> npt.NDArray[np.bool_]:
    """The array of booleans of a bitmap."""
    return np.unpackbits(bits.view(np.uint8), count=rows, bitorder="little").view(np.bool_)


def positions(bits: Bits, count: int | None = None) -> Positions:
    """The rows of a bitmap, ascending."""
    found = np.empty(kernels.count(bits) if count is None else count, np.uint32)
    kernels.positions(bits, found)
    return found


def at(places: Array, rows: int) -> Bits:
    """The bitmap of some rows."""
    flags = np.zeros(rows, np.bool_)
    flags[places] = True
    return pack(flags)


def has(bits: Bits, row: int) -> bool:
    """Whether a row is in a bitmap."""
    return bool(int(bits[row // 64]) >> (row % 64) & 1)
