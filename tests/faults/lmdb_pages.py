"""Which bytes of an LMDB ``data.mdb`` matter: a walk over the B-trees of the latest committed state.

The layout is that of LMDB 0.9 (data version 1) on a 64-bit little-endian machine, as read in its ``mdb.c``.
A file is pages of ``psize`` bytes; page n starts at n * psize.

Page header, 16 bytes:

======  ====  ========  ======================================================================================
offset  size  name
======  ====  ========  ======================================================================================
0       8     pgno      own number; only writers look at it
8       2     pad       key size of a LEAF2 page
10      2     flags     1 branch, 2 leaf, 4 overflow, 8 meta, 32 LEAF2, 64 sub-page
12      2     lower     end of the pointer array: 16 + 2 * entries
14      2     upper     start of the nodes; the gap between lower and upper is not used
12      4     pages     of an overflow page, in place of lower and upper: how many pages it goes over
======  ====  ========  ======================================================================================

- Branch and leaf: an array of 2-byte offsets of nodes. A node is lo, hi, flags, ksize (2 bytes each), then
  the key, then the data, padded to an even length.
- Branch node: lo, hi, flags are the 48 bits of the child's page number. The key of entry 0 is never compared.
- Leaf node: hi, lo are the length of the data. Flags: 1 the data is the 8-byte number of an overflow page
  and follows the header there; 2 the data is a database record (in the main database: a named database's);
  4 duplicates, in a sub-page that is the data, or, with 2, in a tree of their own.
- LEAF2: keys of one size straight after the header.
- Database record, 48 bytes: pad 4, flags 2, depth 2, branch pages 8, leaf pages 8, overflow pages 8,
  entries 8, root 8.
- Meta pages, 0 and 1; the higher txnid is the latest state. After the header: magic 4, version 4, address 8,
  map size 8, the record of the free list (its pad is psize, its flags are the environment's), the record of
  the main database, last page 8, txnid 8. Of the older one only flags, magic, version and txnid are read, and
  of page 0 its psize.

*Used* bytes are those that opening, getting, scanning or counting entries can depend on. *Bookkeeping* bytes
are read by the next writer only: the free list's tree, a page's own number, page counts, the key of a
branch's first entry. All else (free pages, gaps, padding, the pages of the older state) can be turned over
without anyone seeing it.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

Range = tuple[int, int]

_HEADER = 16
_BRANCH, _LEAF, _LEAF2, _SUBPAGE = 1, 2, 32, 64
_BIGDATA, _SUBDATA, _DUPDATA = 1, 2, 4
_NONE = (1 << 64) - 1
_MAGIC = 0xBEEFC0DE
_PAGE = struct.Struct("<QHHHH")
_NODE = struct.Struct("<HHHH")
_RECORD = struct.Struct("<IHHQQQQQ")
_ROOT = 40
_FREE, _MAIN, _LAST_PAGE, _TXNID = 24, 72, 120, 128


def used_byte_ranges(data_mdb: Path | str) -> list[Range]:
    """Lists the bytes, as (offset, length), that a reader of the latest committed state can depend on.

    Sorted, apart and merged where they touch. No transaction may be writing. Raises ValueError for a file
    that is not LMDB's, is of another version, or is damaged so that its trees cannot be walked.
    """
    return _walked(data_mdb).ranges(_Walk.USED)


def bookkeeping_byte_ranges(data_mdb: Path | str) -> list[Range]:
    """Lists the bytes no reader depends on but the next writer does, as used_byte_ranges does its own."""
    return _walked(data_mdb).ranges(_Walk.BOOKKEEPING)


def page_use(data_mdb: Path | str) -> tuple[set[int], set[int], set[int], int]:
    """Answers the pages of the data, those of the free list's tree, those listed as free, and their count."""
    walk = _walked(data_mdb)
    return walk.pages[_Walk.USED], walk.pages[_Walk.BOOKKEEPING], walk.free, walk.last_page + 1


class _Walk:
    """The latest state of one file: what its bytes and pages are for."""

    USED, BOOKKEEPING = 0, 1

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.found: tuple[list[Range], list[Range]] = ([], [])
        self.pages: tuple[set[int], set[int]] = (set(), set())
        self.free: set[int] = set()
        self.psize, self.last_page = 0, 1
        self._metas()

    def ranges(self, purpose: int) -> list[Range]:
        return list(_merged(self.found[purpose]))

    def _metas(self) -> None:
        data = self.data
        if len(data) < 2 * _HEADER + 256 or self._u32(_HEADER) != _MAGIC:
            raise ValueError("not an LMDB data file of a 64-bit little-endian machine")
        self.psize = self._u32(_HEADER + _FREE)
        if self.psize < 256 or self.psize & (self.psize - 1) or len(data) < 2 * self.psize:
            raise ValueError(f"page size {self.psize} is impossible")
        bodies = [page * self.psize + _HEADER for page in (0, 1)]
        for body in bodies:
            if (self._u32(body), self._u32(body + 4)) != (_MAGIC, 1):
                raise ValueError("a meta page is not of data version 1")
        old, new = sorted(bodies, key=lambda body: (self._u64(body + _TXNID), -body))
        for body in bodies:
            self._mark(body - _HEADER + 10, 2)
            self._mark(body, 8)
            self._mark(body + _TXNID, 8)
        self._mark(min(old, new) + _FREE, 4)
        self.pages[self.USED].update((0, 1))
        self.last_page = self._u64(new + _LAST_PAGE)
        if self.last_page < 1:
            raise ValueError("the last page is a meta page")
        self._mark(new + 16, 8)
        self._mark(new + _LAST_PAGE, 8)
        self._mark(new + _FREE, 6)
        self._mark(new + 8, 8, self.BOOKKEEPING)
        self._mark(new + _FREE + 6, _RECORD.size - 6, self.BOOKKEEPING)
        self._record(new + _MAIN, self.USED)
        self._tree(self._u64(new + _FREE + _ROOT), self.BOOKKEEPING)

    def _mark(self, offset: int, length: int, purpose: int = USED) -> None:
        self.found[purpose].append((offset, length))

    def _record(self, at: int, purpose: int) -> None:
        """A database record, and the tree it is the root of."""
        self._mark(at, 8, purpose)
        self._mark(at + 8, 24, self.BOOKKEEPING)
        self._mark(at + 32, 16, purpose)
        self._tree(self._u64(at + _ROOT), purpose)

    def _tree(self, root: int, purpose: int) -> None:
        pending = [] if root == _NONE else [root]
        while pending:
            page = pending.pop()
            self._claim(page, 1, purpose)
            at = page * self.psize
            _, _, flags, lower, upper = _PAGE.unpack_from(self.data, at)
            if not _HEADER <= lower <= upper <= self.psize:
                raise ValueError(f"page {page} has its gap from {lower} to {upper}")
            if flags & _BRANCH:
                pending.extend(self._branch(at, lower, purpose))
            elif flags & _LEAF:
                self._leaf(at, flags, lower, purpose)
            else:
                raise ValueError(f"page {page} of a tree has flags {flags:#x}")

    def _branch(self, at: int, lower: int, purpose: int) -> Iterator[int]:
        self._mark(at, 10, self.BOOKKEEPING)
        self._mark(at + 10, lower - 10, purpose)
        for index, node in enumerate(self._nodes(at, lower)):
            low, high, flags, ksize = _NODE.unpack_from(self.data, node)
            if index:
                self._mark(node, _NODE.size + ksize, purpose)
            else:
                self._mark(node, 6, purpose)
                self._mark(node + 6, 2 + ksize, self.BOOKKEEPING)
            yield low | high << 16 | flags << 32

    def _leaf(self, at: int, page_flags: int, lower: int, purpose: int) -> None:
        """A leaf page, or the sub-page of a node, which looks the same."""
        # The number of a sub-page is its root's, which a reader compares.
        self._mark(at, 8, purpose if page_flags & _SUBPAGE else self.BOOKKEEPING)
        self._mark(at + 8, 2, purpose if page_flags & _LEAF2 else self.BOOKKEEPING)
        self._mark(at + 10, lower - 10, purpose)
        if page_flags & _LEAF2:
            (ksize,) = struct.unpack_from("<H", self.data, at + 8)
            self._mark(at + _HEADER, (lower - _HEADER) // 2 * ksize, purpose)
            return
        for node in self._nodes(at, lower):
            low, high, flags, ksize = _NODE.unpack_from(self.data, node)
            value, size = node + _NODE.size + ksize, low | high << 16
            self._mark(node, _NODE.size + ksize, purpose)
            if flags & _BIGDATA:
                self._mark(value, 8, purpose)
                self._overflow(self._u64(value), size, purpose)
            elif flags & _SUBDATA:
                self._record(value, purpose)
            elif flags & _DUPDATA:
                _, _, sub_flags, sub_lower, _ = _PAGE.unpack_from(self.data, value)
                self._leaf(value, sub_flags, sub_lower, purpose)
            else:
                self._mark(value, size, purpose)
                if purpose == self.BOOKKEEPING:
                    self._free_list(value)

    def _overflow(self, page: int, size: int, purpose: int) -> None:
        at = page * self.psize
        # A value that shrank in place keeps all its pages.
        self._claim(page, max(self._u32(at + 12), -(-(_HEADER + size) // self.psize)), purpose)
        self._mark(at, 10, self.BOOKKEEPING)
        self._mark(at + 10, 2, purpose)
        self._mark(at + 12, 4, self.BOOKKEEPING)
        self._mark(at + _HEADER, size, purpose)
        if purpose == self.BOOKKEEPING:
            self._free_list(at + _HEADER)

    def _free_list(self, at: int) -> None:
        """The data of a free-list entry: a count, then that many page numbers."""
        count = self._u64(at)
        self.free.update(struct.unpack_from(f"<{count}Q", self.data, at + 8))

    def _nodes(self, at: int, lower: int) -> Iterable[int]:
        pointers = struct.unpack_from(f"<{(lower - _HEADER) // 2}H", self.data, at + _HEADER)
        return (at + pointer for pointer in pointers)

    def _claim(self, page: int, count: int, purpose: int) -> None:
        last = page + count - 1
        if page < 2 or last > self.last_page or (last + 1) * self.psize > len(self.data):
            raise ValueError(f"pages {page} to {last} are outside the file")
        for each in range(page, last + 1):
            if each in self.pages[self.USED] or each in self.pages[self.BOOKKEEPING]:
                raise ValueError(f"page {each} is used twice")
            self.pages[purpose].add(each)

    def _u32(self, at: int) -> int:
        value: int = struct.unpack_from("<I", self.data, at)[0]
        return value

    def _u64(self, at: int) -> int:
        value: int = struct.unpack_from("<Q", self.data, at)[0]
        return value


def _walked(data_mdb: Path | str) -> _Walk:
    with Path(data_mdb).open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:
            raise ValueError(f"{data_mdb} is empty") from error
    with data:
        try:
            return _Walk(data)
        except struct.error as error:
            raise ValueError(f"{data_mdb} points outside itself: {error}") from error


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
