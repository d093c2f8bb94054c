"""Which bytes of an LMDB ``data.mdb`` matter: a walk over the B-trees of the latest committed state.

The layout is in ``runstone.storage.pages``, which reads the pages; environments with duplicates (DUPSORT) are not understood.

*Used* bytes are those that opening, getting, scanning or counting entries can depend on. *Bookkeeping* bytes
are read by the next writer only: the free list's tree, a page's own number, page counts, the key of a
branch's first entry. All else (free pages, gaps, padding, the pages of the older state) can be turned over
without a reader of LMDB seeing it. *Pointers* are the used bytes that hold the page numbers of branches' children.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from runstone.errors import Corrupt
from runstone.storage.pages import BIGDATA, HEADER, NO_PAGE, NODE, RECORD, SUBDATA, Page, PageFile

Range = tuple[int, int]

#: In a meta page: the root in a record, the free list's record, the main tree's, the last page, the commit.
_ROOT = 40
_FREE, _MAIN, _LAST_PAGE, _COMMIT = (HEADER + at for at in (24, 72, 120, 128))


def used_byte_ranges(data_mdb: Path | str) -> list[Range]:
    """Lists the bytes, as (offset, length), that a reader of the latest committed state can depend on.

    Sorted, apart and merged where they touch. No transaction may be writing. Raises ValueError for a file
    that is not LMDB's, is of another version, or is damaged so that its trees cannot be walked.
    """
    return _walked(data_mdb).ranges(_Walk.USED)


def bookkeeping_byte_ranges(data_mdb: Path | str) -> list[Range]:
    """Lists the bytes no reader depends on but the next writer does, as used_byte_ranges does its own."""
    return _walked(data_mdb).ranges(_Walk.BOOKKEEPING)


def pointer_byte_ranges(data_mdb: Path | str) -> list[Range]:
    """Lists the bytes that hold the page numbers of branches' children, as used_byte_ranges does its own."""
    return list(_merged(_walked(data_mdb).pointers))


def page_use(data_mdb: Path | str) -> tuple[set[int], set[int], set[int], int]:
    """Answers the pages of the data, those of the free list's tree, those listed as free, and their count."""
    walk = _walked(data_mdb)
    return walk.pages[_Walk.USED], walk.pages[_Walk.BOOKKEEPING], walk.free, walk.last_page + 1


class _Walk:
    """The latest state of one file: what its bytes and pages are for."""

    USED, BOOKKEEPING = 0, 1

    def __init__(self, file: PageFile) -> None:
        self.file = file
        self.found: tuple[list[Range], list[Range]] = ([], [])
        self.pointers: list[Range] = []
        self.pages: tuple[set[int], set[int]] = (set(), set())
        self.free: set[int] = set()
        self._metas()

    def ranges(self, purpose: int) -> list[Range]:
        return list(_merged(self.found[purpose]))

    def _metas(self) -> None:
        older, newer = self.file.metas()
        for meta in (older, newer):
            at = meta.page * meta.psize
            self._mark(at + 10, 2)
            self._mark(at + HEADER, 8)
            self._mark(at + _COMMIT, 8)
        self._mark(_FREE, 4)
        self.pages[self.USED].update((0, 1))
        self.last_page = newer.last_page
        at = newer.page * newer.psize
        self._mark(at + HEADER + 16, 8)
        self._mark(at + _LAST_PAGE, 8)
        self._mark(at + _FREE, 6)
        self._mark(at + HEADER + 8, 8, self.BOOKKEEPING)
        self._mark(at + _FREE + 6, RECORD.size - 6, self.BOOKKEEPING)
        self._record(at + _MAIN, newer.main.root, self.USED)
        self._tree(newer.free.root, self.BOOKKEEPING)

    def _mark(self, offset: int, length: int, purpose: int = USED) -> None:
        self.found[purpose].append((offset, length))

    def _record(self, at: int, root: int, purpose: int) -> None:
        """A tree's record, and the tree."""
        self._mark(at, 8, purpose)
        self._mark(at + 8, 24, self.BOOKKEEPING)
        self._mark(at + 32, 16, purpose)
        self._tree(root, purpose)

    def _tree(self, root: int, purpose: int) -> None:
        pending = [] if root == NO_PAGE else [root]
        while pending:
            page = self.file.page(pending.pop())
            self._claim(page.number, 1, purpose)
            at = page.number * self.file.psize
            self._mark(at, 10, self.BOOKKEEPING)
            self._mark(at + 10, page.lower - 10, purpose)
            if page.branch:
                self._branch(at, page, purpose)
                pending.extend(page.children())
            else:
                self._leaf(at, page, purpose)

    def _branch(self, at: int, page: Page, purpose: int) -> None:
        for place, (offset, node) in enumerate(zip(page.offsets, page.nodes, strict=True)):
            self.pointers.append((at + offset, 6))
            if place:
                self._mark(at + offset, NODE.size + node[3], purpose)
            else:
                self._mark(at + offset, 6, purpose)
                self._mark(at + offset + 6, 2 + node[3], self.BOOKKEEPING)

    def _leaf(self, at: int, page: Page, purpose: int) -> None:
        for place, (offset, (low, high, flags, ksize)) in enumerate(
            zip(page.offsets, page.nodes, strict=True)
        ):
            value, size = page.value_at(place), low | high << 16
            self._mark(at + offset, NODE.size + ksize, purpose)
            if purpose == self.BOOKKEEPING:
                self._free_list(self.file.data(page, place))
            if flags == BIGDATA:
                self._mark(at + value, 8, purpose)
                self._overflow(struct.unpack_from("<Q", page.data, value)[0], size, purpose)
            elif flags == SUBDATA:
                self._record(at + value, struct.unpack_from("<Q", page.data, value + _ROOT)[0], purpose)
            elif flags:
                raise ValueError(f"page {page.number} has a node of duplicates")
            else:
                self._mark(at + value, size, purpose)

    def _overflow(self, page: int, size: int, purpose: int) -> None:
        self._claim(page, self.file.overflow(page, size), purpose)
        at = page * self.file.psize
        self._mark(at, 10, self.BOOKKEEPING)
        self._mark(at + 10, 2, purpose)
        self._mark(at + 12, 4, self.BOOKKEEPING)
        self._mark(at + HEADER, size, purpose)

    def _free_list(self, data: bytes) -> None:
        """The data of a free-list entry: a count, then that many page numbers."""
        (count,) = struct.unpack_from("<Q", data)
        self.free.update(struct.unpack_from(f"<{count}Q", data, 8))

    def _claim(self, page: int, count: int, purpose: int) -> None:
        claimed = set(range(page, page + count))
        if claimed & (self.pages[self.USED] | self.pages[self.BOOKKEEPING]) or max(claimed) > self.last_page:
            raise ValueError(f"pages {page} to {max(claimed)} are used twice, or outside the file")
        self.pages[purpose].update(claimed)


def _walked(data_mdb: Path | str) -> _Walk:
    try:
        with PageFile(Path(data_mdb)) as file:
            return _Walk(file)
    except Corrupt as error:
        raise ValueError(error.message) from error


def _merged(ranges: list[Range]) -> Iterator[Range]:
    start = end = 0
    for offset, length in sorted(ranges):
        if offset > end:
            if end > start:
                yield start, end - start
            start = offset
            end = offset
        end = max(end, offset + length)
    if end > start:
        yield start, end - start


def record_of(file: PageFile, table: str) -> tuple[Page, int]:
    """The leaf of the main tree with the record of a table, and which of its entries that is."""
    name = table.encode()
    page = file.page(file.metas()[1].main.root)
    while page.branch:
        place = max(at for at, key in enumerate(page.keys) if at == 0 or key <= name)
        page = file.page(list(page.children())[place])
    return page, page.keys.index(name)


def root_of(file: PageFile, table: str) -> int:
    """The number of a table's root page."""
    page, place = record_of(file, table)
    at = page.value_at(place) + _ROOT
    return int.from_bytes(page.data[at : at + 8], "little")
