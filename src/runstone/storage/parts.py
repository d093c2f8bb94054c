"""Parts of a blob, chunk records and extents: their packed forms, and walking over them. ``docs/format/packs.md`` has the bytes."""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

from runstone.errors import Corrupt
from runstone.storage.tables import Part

#: A chunk record is BLAKE3 (32 bytes), xxh3-64 (8, little-endian), length (4, little-endian).
RECORD_SIZE = 44
DIGEST_SIZE = 32
#: Pack, offset, length.
EXTENT = struct.Struct("<QQQ")
#: Pack and offset: the head of a row of the chunk index, whose tail is the record without its digest.
PLACE = struct.Struct("<QQ")
#: So that a range read of a large blob decodes one or two rows of at most 70 KB.
PART_CHUNKS = 1024


class Run(NamedTuple):
    """Whole chunks of a blob that lie side by side in one pack."""

    pack: int
    pack_offset: int
    offset: int
    length: int
    records: bytes


class PartBuilder:
    """Gathers chunks of one blob, in order, into a part that starts at ``offset``."""

    def __init__(self, offset: int = 0, part: Part | None = None) -> None:
        self.offset = offset
        self.size = part.size if part else 0
        self._chunks = bytearray(part.chunks if part else b"")
        self._extents: list[list[int]] = (
            [list(extent) for extent in EXTENT.iter_unpack(part.extents)] if part else []
        )

    def __len__(self) -> int:
        return len(self._chunks) // RECORD_SIZE

    def add(self, record: bytes, pack: int, pack_offset: int, length: int) -> None:
        """Adds a chunk that lies at ``pack_offset`` of a pack."""
        self._chunks += record
        self.size += length
        if self._extents:
            last = self._extents[-1]
            if last[0] == pack and last[1] + last[2] == pack_offset:
                last[2] += length
                return
        self._extents.append([pack, pack_offset, length])

    def build(self) -> Part:
        """The part so far."""
        return Part(
            self.size, bytes(self._chunks), b"".join(EXTENT.pack(*extent) for extent in self._extents)
        )


def lengths(records: bytes) -> array[int]:
    """The lengths in packed chunk records."""
    if len(records) % RECORD_SIZE:
        raise Corrupt(f"chunk records take {RECORD_SIZE} bytes each, and {len(records)} is no multiple of it")
    words = array("I", records)[10::11]
    if sys.byteorder == "big":
        words.byteswap()
    return words


def extents(part: Part) -> Iterator[tuple[int, int, int]]:
    """The (pack, offset, length) of a part."""
    return EXTENT.iter_unpack(part.extents)


def placed(part: Part) -> Iterator[tuple[bytes, int, int, int]]:
    """Every chunk of a part: its record, pack, offset in the pack, length."""
    left, pack, at, place = 0, 0, 0, extents(part)
    for index, length in enumerate(lengths(part.chunks)):
        if not left:
            pack, at, left = next(place)
        yield part.chunks[index * RECORD_SIZE : (index + 1) * RECORD_SIZE], pack, at, length
        at += length
        left -= length


def runs(part: Part, base: int, start: int, stop: int) -> Iterator[Run]:
    """The runs of whole chunks that cover bytes ``start`` to ``stop`` of a blob, in a part that begins at ``base``."""
    ends = list(accumulate(lengths(part.chunks)))
    first = bisect_right(ends, start - base)
    last = min(bisect_left(ends, stop - base) + 1, len(ends))
    low, high = (ends[first - 1] if first else 0), ends[last - 1]
    at = 0
    for pack, pack_offset, length in extents(part):
        begin, end = max(low, at), min(high, at + length)
        if begin < end:
            one, two = bisect_right(ends, begin), bisect_left(ends, end) + 1
            records = part.chunks[one * RECORD_SIZE : two * RECORD_SIZE]
            yield Run(pack, pack_offset + begin - at, base + begin, end - begin, records)
        at += length
