"""Folding the log into an index, and checking that an index is what its log says."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Container, Iterator
from pathlib import Path

from runstone._native.digests import fold_rows
from runstone.errors import Corrupt
from runstone.storage import erasing, merkle, pages
from runstone.storage.changelog import ChangeLog
from runstone.storage.entry import Header, payload_digest, unpack_header
from runstone.storage.index import Index, MapGrown, View
from runstone.storage.tables import (
    COMMANDS,
    HEAD,
    LOG_HEADERS,
    LOG_PAYLOADS,
    TABLES,
    TILES,
    Head,
    Stored,
)

Progress = Callable[[int, int], None]
VERIFY_SECONDS = 24 * 3600.0
_BATCH = 2048


def rebuild(
    source: ChangeLog, target: Path, *, upto: int | None = None, progress: Progress | None = None
) -> Head:
    """Folds the first ``upto`` entries of a log (default: all) into a new index in the empty directory ``target``.

    Local tables (where the bytes are) are copied as they stand; derived ones are left to be made again. Raises :class:`Corrupt`
    when the whole log does not give the root and state hash that the source has, and :class:`Gone` when what an entry before ``upto`` said
    was erased by one after it; the target is then of no use.
    """
    check_pages(source.index, [table.name for table in TABLES.values() if table.group in ("log", "local")])
    head = source.head()
    upto = head.size if upto is None else min(upto, head.size)
    index = Index(target)
    try:
        log = ChangeLog(index)
        for batch in _batches(source, upto):
            with source.index.read() as view:
                erased = dict(erasing.erasures(view, batch, upto))
            log.replay(batch, erased)
            if progress:
                progress(batch[-1][0].seq + 1, upto)
        copy_local_tables(source.index, index)
        made = log.head()
        if made.root != source.root_at(upto) or (upto == head.size and made.state != head.state):
            raise Corrupt(
                "the log does not lead to the state that this index has; restore the index from a backup"
            )
        return made
    finally:
        index.close()


def _batches(log: ChangeLog, upto: int) -> Iterator[list[tuple[Header, Stored]]]:
    for start in range(0, upto, _BATCH):
        yield list(log.entries(start, min(start + _BATCH, upto)))


def copy_local_tables(source: Index, target: Index) -> None:
    """Copies the tables that say where the bytes are."""
    for table in TABLES.values():
        if table.group != "local":
            continue
        rows = source.rows(table)
        while batch := list(itertools.islice(rows, _BATCH)):
            _put(target, table.name, batch)


def _put(index: Index, table: str, rows: list[tuple[bytes, bytes]]) -> None:
    while True:
        try:
            with index.write() as txn:
                txn.put_bodies(TABLES[table], rows)
            return
        except MapGrown:
            continue


def verify(log: ChangeLog, progress: Progress | None = None) -> Head:
    """Checks an index against its log: its pages, every row by scan and by key, payloads against headers, tree and state hash against
    the head.

    All of it is of one moment, so the pages that writers free meanwhile are kept until it is done.
    Raises :class:`Corrupt` naming what fails; the head that was verified.
    """
    with _checked(log.index) as (view, _):
        head = view.get(HEAD, 0) or Head()
        _verify_entries(view, head, progress)
        if _verify_rows(view) != head.state:
            raise Corrupt(
                "the rows of the index do not add up to its state hash: one was lost, added or changed; run 'runstone rebuild'"
            )
    return head


def check_pages(index: Index, only: Container[str] | None = None) -> pages.PageReport:
    """Checks the pages of the index file as they are now, without touching its mapping; see :func:`pages.check`."""
    with _checked(index, only) as (_, report):
        return report


@contextlib.contextmanager
def _checked(index: Index, only: Container[str] | None = None) -> Iterator[tuple[View, pages.PageReport]]:
    """A read transaction whose pages have been checked; first, for what is read through the mapping may crash if they are damaged."""
    while True:
        noted = index.noted_commit()
        with index.read(seconds=VERIFY_SECONDS) as view:
            if view.commit < noted:
                raise Corrupt(
                    f"{index.path}: commit {noted} has been made, and the latest is {view.commit}: a meta page is damaged"
                )
            report = pages.check(index.path / "data.mdb", view.commit, only)
            if report is None:
                continue
            if unknown := sorted(report.tables.keys() - TABLES.keys()):
                # A table whose name is damaged has been made again, empty, when the index was opened.
                raise Corrupt(
                    f"{index.path}: the tables {unknown} are not known: their names are damaged, or a newer runstone made them"
                )
            yield view, report
            return


def _verify_entries(view: View, head: Head, progress: Progress | None) -> None:
    tree, edge = _MemoryTiles(), merkle.Frontier(0, ())
    headers = view.scan(LOG_HEADERS)
    while batch := list(itertools.islice(headers, _BATCH)):
        leaves: list[bytes] = []
        for (seq,), packed in batch:
            _verify_entry(view, seq, edge.size + len(leaves), packed)
            leaves.append(merkle.leaf_hash(packed))
        changed, edge = merkle.extend(tree, edge, leaves)
        tree.tiles.update(changed)
        if progress:
            progress(edge.size, head.size)
    if (edge.size, edge.root(), edge.peaks) != (head.size, head.root, head.peaks):
        raise Corrupt(
            "the log's entries do not hash to the root that its head names; restore the index from a backup"
        )
    for place, hashes in tree.tiles.items():
        if view.get(TILES, *place) != hashes:
            raise Corrupt(f"tile {place} of the Merkle tree is not what its entries hash to")


def _verify_entry(view: View, seq: int, place: int, packed: bytes) -> None:
    header, stored = unpack_header(packed), view.get(LOG_PAYLOADS, seq)
    if not seq == place == header.seq:
        raise Corrupt(f"log entry {place} is missing, or calls itself {header.seq}")
    if stored is None:
        raise Corrupt(f"log entry {seq} has no payload row")
    if stored.payload is None:
        erasing.left_of(view, header)
    elif payload_digest(stored.salt, stored.payload) != header.digest:
        raise Corrupt(f"the payload of log entry {seq} is not the one its header names")
    if view.get(COMMANDS, header.command_id) != seq:
        raise Corrupt(f"the command id of log entry {seq} does not lead to it")


class _MemoryTiles:
    def __init__(self) -> None:
        self.tiles: dict[tuple[int, int], bytes] = {}

    def tile(self, level: int, index: int) -> bytes:
        return self.tiles.get((level, index), b"")


def _verify_rows(view: View) -> bytes:
    """Reads every row twice, by scan and by its key (which a damaged inner page would lead astray); the state hash."""
    total = bytes(32)
    for table in TABLES.values():
        rows = view.scan_bodies(table)
        while batch := list(itertools.islice(rows, _BATCH)):
            for key, body in batch:
                if view.get_body(table, key) != body:
                    raise Corrupt(
                        f"index: the row {key.hex()} of table {table.name} cannot be found by its key"
                    )
            if table.hashed:
                total = fold_rows(total, table.number, batch, [])
    return total
