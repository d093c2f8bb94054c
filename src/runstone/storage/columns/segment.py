"""A sealed segment: one immutable file, mapped; its directory is searched, never read whole."""

from __future__ import annotations

import heapq
import mmap
import os
import struct
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from runstone.storage.columns import layout, scalars
from runstone.storage.columns.lanes import BoolLane, Column, Lane, NumberLane, TextLane

Ids = npt.NDArray[np.int64]

#: How many looked-up fields a segment keeps at hand.
KEPT_FIELDS = 1024
#: Pages of the directory that are gone through to find the fields that most rows have.
MOST_PAGES = 2000
#: Pages of the directory that are gone through together.
AT_ONCE = 64
#: Where an entry says how many rows have the field.
_ROWS_OF_ENTRY = np.arange(4, 8, dtype=np.uint64)
#: Behind all that begins with what it is put to.
_END = "\U0010ffff"


class Damaged(
    Exception
):  # an order to the table to make the segment again; what cannot be mended leaves it as Corrupt
    """The bytes of a segment fail their check."""

    def __init__(self, message: str, segment: int) -> None:
        super().__init__(message)
        self.segment = segment


class Segment:
    """Rows of a file, by ascending id. Opening reads the header; every lane is verified when it is first used.

    The file may be deleted while it is open. Raises :class:`Damaged` wherever bytes are not what was written.
    """

    def __init__(self, path: Path, segment: int) -> None:
        self.path, self.segment = path, segment
        self._lock = threading.Lock()
        self._columns: OrderedDict[str, Column | None] = OrderedDict()
        handle = os.open(path, os.O_RDONLY)
        try:
            if os.fstat(handle).st_size < layout.HEADER_SIZE:
                raise self.damaged("it is shorter than a header")
            self._map = mmap.mmap(handle, 0, prot=mmap.PROT_READ)
        finally:
            os.close(handle)
        self._bytes = np.frombuffer(self._map, np.uint8)
        header = self._map[: layout.HEADER.size]
        (check,) = layout.CHECK.unpack_from(self._map, layout.HEADER.size)
        if check != layout.checksum(header, segment, 0):
            raise self.damaged("its header fails its check")
        magic, version, _, rows, fields, pages, ids_at, ids_check, table_at, size = layout.HEADER.unpack(
            header
        )
        if (magic, version) != (layout.MAGIC, layout.VERSION) or size != len(self._map):
            raise self.damaged(f"it is of another format ({version}) or length")
        self.rows: int = rows
        self.fields: int = fields
        self.size: int = size
        self._pages, self._table_at = pages, table_at
        self._ids_at, self._ids_check = ids_at, ids_check
        self._ids: Ids | None = None

    def damaged(self, what: str) -> Damaged:
        """The error for a fault of this file."""
        return Damaged(f"the column segment {self.path} is damaged: {what}", segment=self.segment)

    @property
    def ids(self) -> Ids:
        """The rows' ids, ascending."""
        if self._ids is None:
            self._ids = self._checked(self._ids_at, 8 * self.rows, self._ids_check, "its ids").view(np.int64)
        return self._ids

    def _checked(self, at: int, length: int, check: int, what: str) -> npt.NDArray[np.uint8]:
        data = self._bytes[at : at + length]
        if len(data) != length or layout.checksum(data.data, self.segment, at) != check:
            raise self.damaged(f"{what} fail their check")
        return data

    def column(self, field: str) -> Column | None:
        """A field's column; None if no row has it."""
        with self._lock:
            if field in self._columns:
                self._columns.move_to_end(field)
                return self._columns[field]
        found = self._load(scalars.encode(field))
        with self._lock:
            self._columns[field] = found
            if len(self._columns) > KEPT_FIELDS:
                self._columns.popitem(last=False)
        return found

    def _load(self, name: bytes) -> Column | None:
        page, at = self._search(name)
        if page is None or layout.entry_name(page, at) != name:
            return None
        return self._column(page, at)

    def _column(self, page: bytes, at: int) -> Column:
        numbers = texts = bools = nulls = others = None
        name, count, records = layout.unpack_entry(page, at)
        for record in records:
            lane = self._lane(record, name)
            if isinstance(lane, NumberLane):
                numbers = lane
            elif isinstance(lane, TextLane):
                texts = lane
            elif isinstance(lane, BoolLane):
                bools = lane
            elif record.kind == layout.NULLS:
                nulls = lane
            else:
                others = lane
        return Column(self.rows, count, numbers, texts, bools, nulls, others)

    def _lane(self, record: layout.LaneRecord, name: bytes) -> Lane:
        what = f"the values of {scalars.decode(name)!r}"
        data = self._checked(record.offset, record.length, record.checksum, what)
        try:
            return layout.lane_of(record, data, self.rows)
        except (ValueError, KeyError) as error:
            raise self.damaged(f"{what}: {error}") from error

    def _page(self, number: int) -> tuple[bytes, int]:
        """A page of the directory, verified, and how many entries it has."""
        at, length, count, check = layout.PAGE.unpack_from(
            self._map, self._table_at + number * layout.PAGE.size
        )
        page = self._map[at : at + length]
        if (
            len(page) != length
            or layout.checksum(page, self.segment, at) != check
            or not 0 < 4 * count <= length
        ):
            raise self.damaged("its directory fails its check")
        return page, count

    def _search(self, name: bytes) -> tuple[bytes | None, int]:
        """The page and offset of the first entry whose name is not before ``name`` in the page that would hold it."""
        if not self._pages:
            return None, 0
        page, count = self._page(self._page_of(name))
        offsets = struct.unpack_from(f"<{count}I", page)
        first, last = 0, count
        while first < last:
            middle = (first + last) // 2
            if layout.entry_name(page, offsets[middle]) < name:
                first = middle + 1
            else:
                last = middle
        return (page, offsets[first]) if first < count else (None, 0)

    def names(self, start: str = "", having: bytes = b"") -> Iterator[tuple[str, int]]:
        """Field names from ``start`` on, ascending by code point, with how many rows have each, superseded ones included.

        Pages of names in none of which, in lower case, ``having`` is, are passed over, and told by the first name of the last of some
        with the number of them, negative.
        """
        wanted = scalars.encode(start)
        passed = 0
        for number in range(self._page_of(wanted), self._pages):
            page, count = self._page(number)
            if having and having not in page.lower():
                passed += 1
                if passed == AT_ONCE:
                    yield scalars.decode(layout.entry_name(page, struct.unpack_from("<I", page)[0])), -passed
                    passed = 0
                continue
            for at in struct.unpack_from(f"<{count}I", page):
                length, rows, _ = layout.ENTRY.unpack_from(page, at)
                name = page[at + layout.ENTRY.size : at + layout.ENTRY.size + length]
                if name >= wanted:
                    yield scalars.decode(name), rows

    def having(self, field: str) -> int:
        """How many rows have a field, superseded ones included."""
        name = scalars.encode(field)
        page, at = self._search(name)
        if page is None or layout.entry_name(page, at) != name:
            return 0
        return int(layout.ENTRY.unpack_from(page, at)[1])

    def frequent(self, prefix: str, most: int) -> list[tuple[str, int]]:
        """The names with a prefix that most rows have, superseded ones included; equals by name.

        Of a directory of very many pages the first 2,000, about 50,000 names, are gone through.
        """
        wanted = scalars.encode(prefix)
        found: list[tuple[int, bytes]] = []  # rows, negative, and the name
        least = 1
        first = self._page_of(wanted)
        last = min(self._page_of(scalars.encode(prefix + _END)) + 1, self._pages, first + MOST_PAGES)
        for start in range(first, last, AT_ONCE):
            pages = [self._page(number) for number in range(start, min(start + AT_ONCE, last))]
            joined = b"".join(page for page, _ in pages)
            places, base = [], 0
            for page, count in pages:
                places.append(np.frombuffer(page, "<u4", count) + np.uint64(base))
                base += len(page)
            at = np.concatenate(places)
            counts = np.frombuffer(joined, np.uint8)[at[:, None] + _ROWS_OF_ENTRY].view("<u4")[:, 0]
            for place in np.flatnonzero(counts >= least).tolist():
                name = layout.entry_name(joined, int(at[place]))
                if name.startswith(wanted):
                    found.append((-int(counts[place]), name))
            if len(found) > 2 * most:
                found = heapq.nsmallest(most, found)
                # Those that follow come behind by name.
                least = 1 - found[-1][0]
        return [(scalars.decode(name), -rows) for rows, name in heapq.nsmallest(most, found)]

    def _page_of(self, name: bytes) -> int:
        """The page that would hold a name."""
        low, high = 0, self._pages
        while high - low > 1:
            middle = (low + high) // 2
            page, _ = self._page(middle)
            if layout.entry_name(page, struct.unpack_from("<I", page)[0]) <= name:
                low = middle
            else:
                high = middle
        return low

    def columns(self) -> Iterator[tuple[bytes, Column]]:
        """Every field in order, loaded but not kept: for a merge."""
        for number in range(self._pages):
            page, count = self._page(number)
            for at in struct.unpack_from(f"<{count}I", page):
                yield layout.entry_name(page, at), self._column(page, at)
