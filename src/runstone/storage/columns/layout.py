"""The bytes of a segment file, as docs/format/columns.md has them: what reader and writer share."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runstone._native import digests
from runstone.storage.columns import bitmaps
from runstone.storage.columns.bitmaps import Array
from runstone.storage.columns.lanes import BoolLane, Column, Lane, NumberLane, Pool, TextLane

MAGIC = b"RSCOLSEG"
VERSION = 1
#: magic, version, reserved, rows, fields, pages, offset and checksum of the ids, offset of the page table, size of the file
HEADER = struct.Struct("<8sHHIIIQQQQ")
CHECK = struct.Struct("<Q")
HEADER_SIZE = 64
#: offset, length, entries, checksum
PAGE = struct.Struct("<QIIQ")
#: length of the name, rows that have the field, lanes
ENTRY = struct.Struct("<IIB3x")
#: kind, layout, width, integers, count, entries of the table, bytes an offset has, offset, length, checksum
LANE = struct.Struct("<BBBBIIB3xQQQ")
#: A page takes entries until it has so many bytes.
PAGE_FILL = 4096
ALIGN = 64

NUMBERS, TEXTS, BOOLS, NULLS, OTHERS = range(1, 6)
EVERY_ROW, WITH_BITMAP, WITH_POSITIONS = range(3)
NO_INTEGERS, ALL_INTEGERS, SOME_INTEGERS = range(3)
CODES: dict[int, type[np.generic]] = {1: np.uint8, 2: np.uint16, 4: np.uint32}
OFFSETS: dict[int, type[np.generic]] = {4: np.int32, 8: np.int64}

assert HEADER.size + CHECK.size == HEADER_SIZE


def checksum(data: object, segment: int, offset: int) -> int:
    """xxh3-64, seeded by the segment and the place, so that bytes of another file or place are found out."""
    return digests.xxh3_64(data, (segment ^ offset * 0x9E3779B97F4A7C15) & 2**64 - 1)  # type: ignore[arg-type]


@dataclass(frozen=True)
class LaneRecord:
    """What a directory entry says of one lane; fields as in :data:`LANE`."""

    kind: int
    layout: int
    width: int
    integers: int
    count: int
    entries: int
    offset_width: int
    offset: int
    length: int
    checksum: int


def padded(size: int) -> int:
    """A size up to the next multiple of 8."""
    return (size + 7) // 8 * 8


def describe(kind: int, lane: Lane) -> tuple[LaneRecord, list[Array]]:
    """The record of a lane, its place still missing, and its sections in order."""
    sections: list[Array] = []
    layout = EVERY_ROW
    if lane.positions is not None:
        layout = WITH_POSITIONS
        sections.append(lane.positions)
    elif lane.valid is not None:
        layout = WITH_BITMAP
        sections.append(lane.valid)
    width = integers = entries = offset_width = 0
    if isinstance(lane, NumberLane):
        values = lane.values if lane.values is not None else lane.codes
        assert values is not None
        width = values.itemsize
        sections.append(values)
        integers = int(lane.integers) if isinstance(lane.integers, bool) else SOME_INTEGERS
        if not isinstance(lane.integers, bool):
            sections.append(lane.integers)
        if lane.table is not None:
            entries = len(lane.table)
            sections.append(lane.table)
    elif isinstance(lane, TextLane):
        width, entries, offset_width = lane.codes.itemsize, len(lane.pool), lane.pool.offsets.itemsize
        sections += [lane.codes, lane.pool.offsets, lane.pool.data]
    elif isinstance(lane, BoolLane):
        sections.append(lane.values)
    length = sum(padded(section.nbytes) for section in sections)
    return LaneRecord(
        kind, layout, width, integers, lane.count, entries, offset_width, 0, length, 0
    ), sections


class _Sections:
    """Cuts a lane's bytes into its sections; ValueError when they do not fit."""

    def __init__(self, data: Array) -> None:
        self.data = data
        self.at = 0

    def take(self, kind: type[np.generic], count: int) -> Array:
        size = np.dtype(kind).itemsize * count
        found = self.data[self.at : self.at + size]
        if len(found) != size:
            raise ValueError("a lane is shorter than its record says")
        self.at += padded(size)
        return found.view(kind)


def lane_of(record: LaneRecord, data: Array, rows: int) -> Lane:
    """The lane that a record and its bytes (u8) are; ValueError when they contradict each other."""
    cut = _Sections(data)
    positions = cut.take(np.uint32, record.count) if record.layout == WITH_POSITIONS else None
    valid = cut.take(np.uint64, bitmaps.words(rows)) if record.layout == WITH_BITMAP else None
    slots = record.count if record.layout == WITH_POSITIONS else rows
    if record.kind == NUMBERS:
        values = codes = table = None
        if record.width == 8:
            values = cut.take(np.float64, slots)
        else:
            codes = cut.take(CODES[record.width], slots)
        integers: Any = record.integers == ALL_INTEGERS
        if record.integers == SOME_INTEGERS:
            integers = cut.take(np.uint64, bitmaps.words(slots))
        if codes is not None:
            table = cut.take(np.float64, record.entries)
            _check_codes(codes, record.entries)
        return NumberLane(rows, record.count, positions, valid, values, codes, table, integers)
    if record.kind == TEXTS:
        codes = cut.take(CODES[record.width], slots)
        offsets = cut.take(OFFSETS[record.offset_width], record.entries + 1)
        _check_codes(codes, record.entries)
        return TextLane(
            rows, record.count, positions, valid, codes, Pool(cut.take(np.uint8, int(offsets[-1])), offsets)
        )
    if record.kind == BOOLS:
        return BoolLane(rows, record.count, positions, valid, cut.take(np.uint64, bitmaps.words(slots)))
    return Lane(rows, record.count, positions, valid)


def _check_codes(codes: Array, entries: int) -> None:
    if len(codes) and int(codes.max()) >= entries:
        raise ValueError("a lane has codes beyond its table")


def lanes_of(column: Column) -> Iterator[tuple[int, Lane]]:
    """The lanes of a column with their kinds."""
    kinds = (NUMBERS, TEXTS, BOOLS, NULLS, OTHERS)
    for kind, lane in zip(
        kinds, (column.numbers, column.texts, column.bools, column.nulls, column.others), strict=True
    ):
        if lane is not None:
            yield kind, lane


def pack_entry(name: bytes, column: Column, records: Sequence[LaneRecord]) -> bytes:
    """A directory entry."""
    lanes = b"".join(LANE.pack(*vars(record).values()) for record in records)
    return ENTRY.pack(len(name), column.count, len(records)) + name + lanes


def unpack_entry(page: bytes, at: int) -> tuple[bytes, int, list[LaneRecord]]:
    """Name, count and lanes of the entry at an offset of a page; struct.error when it is cut off."""
    length, count, lanes = ENTRY.unpack_from(page, at)
    at += ENTRY.size
    name = page[at : at + length]
    at += length
    return name, count, [LaneRecord(*LANE.unpack_from(page, at + n * LANE.size)) for n in range(lanes)]


def entry_name(page: bytes, at: int) -> bytes:
    """The name of the entry at an offset of a page."""
    length = ENTRY.unpack_from(page, at)[0]
    return page[at + ENTRY.size : at + ENTRY.size + length]
