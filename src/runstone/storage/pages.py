"""The pages of an LMDB data file, checked without LMDB: damage can be named here that would crash a reader of the mapping.

The layout is that of LMDB 0.9 (data version 1) on a 64-bit little-endian machine, as read in its ``mdb.c``. A file is pages of
``psize`` bytes; page n starts at n * psize.

Page header, 16 bytes:

======  ====  ========  ======================================================================================
offset  size  name
======  ====  ========  ======================================================================================
0       8     pgno      own number
8       2     pad       not used
10      2     flags     1 branch, 2 leaf, 4 overflow, 8 meta
12      2     lower     end of the pointer array: 16 + 2 * entries
14      2     upper     start of the nodes; the gap between lower and upper is not used
12      4     pages     of an overflow page, in place of lower and upper: how many pages it goes over
======  ====  ========  ======================================================================================

- Branch and leaf: an array of 2-byte offsets of nodes, in the order of their keys. A node is lo, hi, flags, ksize (2 bytes each),
  then the key, then the data, padded to an even length. The nodes fill the page from ``upper`` to its end.
- Branch node: lo, hi, flags are the 48 bits of the child's page number. The key of entry 0 is never compared.
- Leaf node: hi, lo are the length of the data. Flags: 1 the data is the 8-byte number of an overflow page and follows the header
  there; 2 the data is the record of a named tree (in the main tree only).
- Record of a tree, 48 bytes: pad 4, flags 2, depth 2, branch pages 8, leaf pages 8, overflow pages 8, entries 8, root 8.
- Meta pages, 0 and 1; commit n is in page n mod 2, and the higher number is the latest state. After the header: magic 4, version 4,
  address 8, map size 8, the record of the free list (its pad is psize, its flags are the environment's), the record of the main tree,
  last page 8, commit 8.
- The free list is a tree: commit number (8 bytes, native) → a count, and as many numbers of the pages that were free after it.
  Every commit but the first frees a page, so its own number is the last key.

Trees with duplicates (DUPSORT) are not made by runstone and count as damage.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Container, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from runstone.errors import Corrupt

T = TypeVar("T")
HEADER = 16
BRANCH, LEAF, OVERFLOW, META = 1, 2, 4, 8
BIGDATA, SUBDATA = 1, 2
NO_PAGE = (1 << 64) - 1
MAGIC, VERSION = 0xBEEFC0DE, 1
PAGE = struct.Struct("<QHHHH")
NODE = struct.Struct("<HHHH")
RECORD = struct.Struct("<IHHQQQQQ")
_META = struct.Struct("<IIQQ")
_U64 = struct.Struct("<Q")
_META_SIZE = _META.size + 2 * RECORD.size + 16
_INTEGER_KEYS = 8
_MAX_KEY = 511
_ATTEMPTS = 100


class Record(NamedTuple):
    """What is recorded of a tree: its shape and its root."""

    pad: int
    flags: int
    depth: int
    branches: int
    leaves: int
    overflows: int
    entries: int
    root: int


class Meta(NamedTuple):
    """A meta page: one committed state."""

    page: int
    commit: int
    map_size: int
    free: Record
    main: Record
    last_page: int

    @property
    def psize(self) -> int:
        """Bytes a page."""
        return self.free.pad


class Page(NamedTuple):
    """A branch or leaf page that is sound in itself: its nodes by key, as (lo, hi, flags, ksize), with their offsets."""

    number: int
    branch: bool
    data: bytes
    lower: int
    offsets: tuple[int, ...]
    nodes: list[tuple[int, int, int, int]]
    keys: list[bytes]

    def children(self) -> Iterator[int]:
        """The page numbers that a branch's nodes lead to."""
        return (low | high << 16 | flags << 32 for low, high, flags, _ in self.nodes)

    def value_at(self, place: int) -> int:
        """The offset of a leaf node's data."""
        return self.offsets[place] + NODE.size + self.nodes[place][3]


class PageReport(msgspec.Struct):
    """What of one committed state was found sound: pages in all, those in use and those free, and the entries of each table.

    ``free`` is 0, and lost pages are not looked for, when only some tables were checked.
    """

    commit: int
    pages: int
    used: int = 0
    free: int = 0
    tables: dict[str, int] = {}


class PageFile:
    """A data file, read with ``pread``. Every method raises :class:`Corrupt` naming the page."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.psize = 0
        self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> PageFile:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._handle)

    def corrupt(self, what: str) -> Corrupt:
        """The error for a finding."""
        return Corrupt(f"{self.path}: {what}; run 'runstone rebuild', or restore the index from a backup")

    def metas(self) -> tuple[Meta, Meta]:
        """Both meta pages, the older state first."""
        first = self._meta(0, 0)
        if first.psize < 256 or first.psize > 1 << 16 or first.psize & (first.psize - 1):
            raise self.corrupt(f"meta page 0 names an impossible page size, {first.psize}")
        self.psize = first.psize
        second = self._meta(1, first.psize)
        if second.psize != first.psize:
            raise self.corrupt("the meta pages name different page sizes")
        older, newer = sorted((first, second), key=lambda meta: (meta.commit, -meta.page))
        if not older.last_page <= newer.last_page < newer.map_size // newer.psize:
            # It never moves down. Little else may be asked of the older page: a commit that failed leaves some of its own there.
            raise self.corrupt(
                f"meta page {newer.page} names {newer.last_page} as the last page, after {older.last_page}, "
                f"in a map of {newer.map_size} bytes"
            )
        if (older.commit, newer.commit) != (0, 0) and (
            newer.commit - older.commit != 1 or newer.commit & 1 != newer.page
        ):
            raise self.corrupt(
                f"the meta pages name the commits {first.commit} and {second.commit}, which do not follow each other"
            )
        return older, newer

    def raw_metas(self) -> bytes:
        """The bytes of both meta pages as they are now."""
        size = self.psize or 4096
        return os.pread(self._handle, _META_SIZE + HEADER, 0) + os.pread(
            self._handle, _META_SIZE + HEADER, size
        )

    def _meta(self, page: int, offset: int) -> Meta:
        data = self._read(offset, HEADER + _META_SIZE, page)
        number, _, flags, _, _ = PAGE.unpack_from(data)
        magic, version, _, map_size = _META.unpack_from(data, HEADER)
        if (magic, version) != (MAGIC, VERSION) or number != page or flags != META:
            raise self.corrupt(f"page {page} is not an LMDB meta page")
        at = HEADER + _META.size
        free, main = (Record(*RECORD.unpack_from(data, at + n * RECORD.size)) for n in (0, 1))
        last, commit = struct.unpack_from("<QQ", data, at + 2 * RECORD.size)
        if free.flags != _INTEGER_KEYS or (main.pad, main.flags) != (0, 0) or last < 1:
            raise self.corrupt(f"meta page {page} is damaged")
        return Meta(page, commit, map_size, free, main, last)

    def _read(self, offset: int, length: int, page: int) -> bytes:
        try:
            data = os.pread(self._handle, length, offset)
        except OSError as error:
            raise self.corrupt(f"page {page} cannot be read ({error.strerror})") from error
        except OverflowError:
            data = b""
        if len(data) != length:
            raise self.corrupt(f"page {page} lies past the end of the file")
        return data

    def page(self, number: int) -> Page:
        """A branch or leaf page, its nodes and the order of its keys checked."""
        data = self._read(number * self.psize, self.psize, number)
        pgno, _, flags, lower, upper = PAGE.unpack_from(data)
        if pgno != number or flags not in (BRANCH, LEAF):
            raise self.corrupt(f"page {number} calls itself page {pgno} with flags {flags:#x}")
        count = (lower - HEADER) // 2
        if not HEADER < lower <= upper < self.psize or lower & 1:
            raise self.corrupt(f"page {number} has its gap from {lower} to {upper}")
        offsets = struct.unpack_from(f"<{count}H", data, HEADER)
        if min(offsets) < upper or max(offsets) > self.psize - NODE.size:
            raise self.corrupt(f"page {number} has a node outside of its nodes")
        nodes = [NODE.unpack_from(data, offset) for offset in offsets]
        sizes = (
            [8 + ksize for _, _, _, ksize in nodes]
            if flags == BRANCH
            else [_leaf_size(*node) for node in nodes]
        )
        self._fills(number, sorted(zip(offsets, sizes, strict=True)), upper)
        keys = [data[at + 8 : at + 8 + node[3]] for at, node in zip(offsets, nodes, strict=True)]
        return Page(number, flags == BRANCH, data, lower, offsets, nodes, keys)

    def _fills(self, number: int, placed: list[tuple[int, int]], upper: int) -> None:
        at = upper
        for offset, size in placed:
            if offset != at:
                break
            at += size + (size & 1)
        if at != self.psize:
            raise self.corrupt(f"the nodes of page {number} do not lie side by side")

    def overflow(self, number: int, size: int) -> int:
        """How many pages the overflow page of a value of ``size`` bytes goes over; more than needed if it has shrunk in place."""
        data = self._read(number * self.psize, HEADER, number)
        pgno, _, flags, low, high = PAGE.unpack_from(data)
        count = int(low | high << 16)
        if pgno != number or flags != OVERFLOW or count * self.psize < HEADER + size:
            raise self.corrupt(f"page {number} is not the overflow page of {size} bytes")
        return count

    def data(self, page: Page, place: int) -> bytes:
        """The data of a leaf's node, from its overflow pages if it is there."""
        low, high, flags, _ = page.nodes[place]
        size, at = low | high << 16, page.value_at(place)
        if flags != BIGDATA:
            return page.data[at : at + size]
        number = _U64.unpack_from(page.data, at)[0]
        return self._read(number * self.psize + HEADER, size, number)

    def last_free(self, meta: Meta) -> int | None:
        """The last commit that the free list of a state has pages of; None when it is empty."""
        number = meta.free.root
        if number == NO_PAGE:
            return None
        for _ in range(meta.free.depth):
            page = self.page(number)
            if not page.branch:
                return _number(page.keys[-1])
            number = list(page.children())[-1]
        raise self.corrupt("the free list is deeper than its record says")

    def require_consistent(self, meta: Meta) -> None:
        """Checks that a state's number is the one that its own free list ends with: a turned bit makes an old state the latest."""
        last = self.last_free(meta)
        if (last or 0) > meta.commit or (meta.commit > 1 and last != meta.commit):
            raise self.corrupt(
                f"meta page {meta.page} names commit {meta.commit}, and its free list ends with {last}"
            )


def _leaf_size(low: int, high: int, flags: int, ksize: int) -> int:
    return 8 + ksize + (8 if flags & BIGDATA else low | high << 16)


def _number(key: bytes) -> int:
    return int.from_bytes(key, "little")


def check(path: Path, commit: int | None = None, only: Container[str] | None = None) -> PageReport | None:
    """Walks one committed state: every page of every tree is sound, in order, used once, and all others are free.

    ``commit`` is the state to walk, which the caller holds with a read transaction while others write; None is answered when its meta
    page has been written over since, and the caller tries again with a new one. By default, the latest, and nobody may be writing.
    ``only`` restricts the walk to some tables. Raises :class:`Corrupt` naming the page.
    """
    with PageFile(path) as file:
        metas = _stable(file, PageFile.metas)
        meta = metas[1] if commit is None else next((meta for meta in metas if meta.commit == commit), None)
        if meta is None:
            return None
        file.require_consistent(meta)
        return _Walk(file, meta, only).report


def check_roots(path: Path, noted: int = 0) -> None:
    """Checks the meta pages, the pages of the main tree and those that lead to the end of the free list: what opening depends on.

    ``noted`` is a commit that is known to have been made: an older state must not be the latest. Quick: some ten pages. Others may be
    writing. Raises :class:`Corrupt` naming the page.
    """

    def look(file: PageFile) -> None:
        _, newest = file.metas()
        if newest.commit < noted:
            raise file.corrupt(
                f"commit {noted} has been made and the latest is {newest.commit}: a meta page is damaged, or the file is an older copy "
                f"(if that is on purpose, remove the file 'commit' beside it)"
            )
        file.require_consistent(newest)
        _Walk(file, newest, ())

    with PageFile(path) as file:
        _stable(file, look)


def _stable(file: PageFile, look: Callable[[PageFile], T]) -> T:
    """What a look at the latest state answers; again, if somebody has made another commit during one that found damage."""
    for attempt in range(_ATTEMPTS):
        before = file.raw_metas()
        try:
            return look(file)
        except Corrupt:
            if attempt == _ATTEMPTS - 1 or file.raw_metas() == before:
                raise
    raise AssertionError("the last attempt returns or raises")


class _Walk:
    """A walk over the trees of one state."""

    _USED, _FREE = 1, 2

    def __init__(self, file: PageFile, meta: Meta, only: Container[str] | None) -> None:
        self._file, self._only = file, only
        self.report = PageReport(meta.commit, meta.last_page + 1)
        self._marks = bytearray(meta.last_page + 1)
        self._marks[:2] = bytes((self._USED, self._USED))
        for name, record in self._named(meta.main):
            self.report.tables[name] = record.entries
            if only is None or name in only:
                for _ in self._tree(name, record):
                    pass
        if only is None:
            self._free_list(meta.free)
            self._none_is_lost()
        self.report.used = self._marks.count(self._USED)
        self.report.free = self._marks.count(self._FREE)

    def _named(self, main: Record) -> list[tuple[str, Record]]:
        found = []
        for page in self._tree("of all tables", main, SUBDATA):
            for place, key in enumerate(page.keys):
                record = Record(*RECORD.unpack(self._file.data(page, place)))
                name = key.decode("utf-8", "replace")
                if (record.pad, record.flags) != (0, 0):
                    raise self._file.corrupt(f"table {name}: its record, in page {page.number}, is damaged")
                found.append((name, record))
        return found

    def _tree(
        self, name: str, record: Record, node_flags: int = 0, *, numbers: bool = False
    ) -> Iterator[Page]:
        """Yields the leaves of a tree in order; when it ends, all that its record says has been found to hold."""
        branches = leaves = overflows = entries = 0
        pending: list[tuple[int, int, bytes | None, bytes | None]] = []
        if record.root != NO_PAGE:
            pending.append((record.root, 1, None, None))
        while pending:
            number, level, low, high = pending.pop()
            self._claim(name, number, 1, self._USED)
            page = self._file.page(number)
            if page.branch != (level < record.depth):
                raise self._wrong(name, number, f"is not at the depth of {record.depth} that its tree has")
            self._in_order(name, page, low, high, numbers)
            if page.branch:
                branches += 1
                bounds = [low, *page.keys[1:], high]
                children = [
                    (c, level + 1, *b) for c, b in zip(page.children(), pairwise(bounds), strict=True)
                ]
                pending.extend(reversed(children))
            else:
                leaves += 1
                entries += len(page.keys)
                overflows += self._values(name, page, node_flags)
                yield page
        if (branches, leaves, overflows, entries) != record[3:7] or (record.root == NO_PAGE) != (
            record.depth == 0
        ):
            raise self._file.corrupt(
                f"table {name}: {branches} branch, {leaves} leaf and {overflows} overflow pages with {entries} entries "
                f"were found, and its record says {record[3:7]}"
            )

    def _in_order(self, name: str, page: Page, low: bytes | None, high: bytes | None, numbers: bool) -> None:
        keys = page.keys[1:] if page.branch else page.keys
        bounds = [*([] if low is None else [low]), *keys, *([] if high is None else [high])]
        if any(not 0 < len(key) <= _MAX_KEY for key in keys) or (
            numbers and any(len(key) != 8 for key in keys)
        ):
            raise self._wrong(name, page.number, "has a key of an impossible length")
        if numbers:
            bounds = [key[::-1] for key in bounds]
        # The bound below is the first key itself, or less.
        first = low is not None and not page.branch and bounds[0] <= bounds[1]
        if any(left >= right for left, right in pairwise(bounds[1:] if first else bounds)):
            raise self._wrong(name, page.number, "has its keys out of order, or out of its parent's bounds")

    def _values(self, name: str, page: Page, node_flags: int) -> int:
        """Checks what the nodes of a leaf are; how many overflow pages they have."""
        overflows = 0
        special = [(place, node) for place, node in enumerate(page.nodes) if node_flags or node[2]]
        for place, (low, high, flags, _) in special:
            size = low | high << 16
            if flags == SUBDATA == node_flags and size == RECORD.size:
                continue
            if flags != BIGDATA or node_flags:
                raise self._wrong(name, page.number, f"has a node of flags {flags:#x} and {size} bytes")
            number = _U64.unpack_from(page.data, page.value_at(place))[0]
            self._claim(name, number, 1, 0)
            count = self._file.overflow(number, size)
            self._claim(name, number, count, self._USED)
            overflows += count
        return overflows

    def _free_list(self, record: Record) -> None:
        record = record._replace(pad=0, flags=0)
        for page in self._tree("of free pages", record, numbers=True):
            for place in range(len(page.keys)):
                data = self._file.data(page, place)
                count = _U64.unpack_from(data)[0] if len(data) >= 8 else NO_PAGE
                if 8 + 8 * count > len(data):
                    raise self._wrong("of free pages", page.number, "has a list that is longer than its room")
                for number in struct.unpack_from(f"<{count}Q", data, 8):
                    self._claim("of free pages", number, 1, self._FREE)

    def _claim(self, name: str, number: int, count: int, purpose: int) -> None:
        """Marks pages; with purpose 0, only checks that the first may be."""
        if not 2 <= number <= number + count - 1 < len(self._marks):
            raise self._wrong(name, number, "lies outside of the file")
        if any(self._marks[number : number + count]):
            raise self._wrong(name, number, "is used twice, or used and free")
        if purpose:
            self._marks[number : number + count] = bytes((purpose,)) * count

    def _none_is_lost(self) -> None:
        lost = self._marks.find(0)
        if lost >= 0:
            raise self._file.corrupt(f"page {lost} is neither used nor free")

    def _wrong(self, name: str, number: int, what: str) -> Corrupt:
        return self._file.corrupt(f"table {name}: page {number} {what}")
