"""The chunk index: where each known chunk lies, so that nothing is stored twice in a residency domain.

Every row points into bytes that a row of ``blob_parts`` covers. Whoever takes rows away, or makes stored bytes doubtful, moves the
*generation* on: an upload that sees the generation it started with knows that all the places it looked up still hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TypeVar

from msgspec.structs import replace

from runstone.errors import Corrupt
from runstone.storage.index import Index, MapGrown, Txn, View
from runstone.storage.intervals import Intervals
from runstone.storage.parts import DIGEST_SIZE, PLACE, placed
from runstone.storage.tables import BLOB_PARTS, BLOBS, CHUNKS, DAMAGES, PACKS, SETTINGS, Part

T = TypeVar("T")
#: A blob larger than this is indexed in several transactions: 16 parts are 1 GiB and some 50 ms.
PARTS_A_TRANSACTION = 16
_GENERATION = "blobs.generation"
_EPOCH = "blobs.epoch"
_REPAIRED = "blobs.repaired"
_AUDIT = "blobs.audit"
_ROWS_AN_AUDIT = 4096


def transact(index: Index, change: Callable[[Txn], T]) -> T:
    """Runs a change in a write transaction, again if the map had to grow."""
    while True:
        try:
            with index.write() as txn:
                return change(txn)
        except MapGrown:
            continue


def _counter(view: View, name: str) -> int:
    found: bytes | None = view.get(SETTINGS, name)
    return 0 if found is None else int.from_bytes(found, "little")


def generation(view: View) -> int:
    """How often rows were taken away or found doubtful."""
    return _counter(view, _GENERATION)


def bump_generation(txn: Txn) -> None:
    """Says that a place that was looked up before may no longer hold."""
    txn.put(SETTINGS, _GENERATION, (generation(txn) + 1).to_bytes(8, "little"))


def epoch(view: View) -> int:
    """How many collections and repairs there were. An upload keeps alive what was let go after it began."""
    return _counter(view, _EPOCH)


def advance_epoch(txn: Txn) -> None:
    """Ends the marking of a collection, or begins what follows a repair."""
    txn.put(SETTINGS, _EPOCH, (epoch(txn) + 1).to_bytes(8, "little"))


def note_repair(txn: Txn) -> None:
    """Says that parts of a blob were replaced: bytes that uploads under way may have looked up are referred to no more."""
    bump_generation(txn)
    advance_epoch(txn)
    txn.put(SETTINGS, _REPAIRED, epoch(txn).to_bytes(8, "little"))


def repair_epoch(view: View) -> int:
    """The epoch that the last repair began: what it let go of may be freed when all older uploads have ended."""
    return _counter(view, _REPAIRED)


def ask_for_audit(txn: Txn) -> None:
    """Says that rows of a part were lost, so that the index may point at bytes that nothing covers: nothing is freed before an audit."""
    txn.put(SETTINGS, _AUDIT, b"1")


def audit(index: Index, live: Callable[[], dict[int, Intervals]]) -> int:
    """After :func:`ask_for_audit`, takes away the rows that point at bytes no blob covers; how many."""
    with index.read() as view:
        if view.get(SETTINGS, _AUDIT) is None:
            return 0
    covered, nowhere, taken = live(), Intervals(), 0
    rows = index.rows(CHUNKS)
    while some := list(islice(rows, _ROWS_AN_AUDIT)):
        loose = []
        for key, row in some:
            pack, at = PLACE.unpack_from(row)
            length = int.from_bytes(row[-4:], "little")
            if not covered.get(pack, nowhere).covers(at, at + length):
                loose.append((key, row))
        if loose:
            taken += transact(index, partial(_take_loose, rows=loose))

    def done(txn: Txn) -> None:
        note_repair(txn)
        txn.delete(SETTINGS, _AUDIT)

    transact(index, done)
    return taken


def _take_loose(txn: Txn, rows: list[tuple[bytes, bytes]]) -> int:
    taken = sum(txn.delete_body(CHUNKS, key) for key, row in rows if txn.get_body(CHUNKS, key) == row)
    bump_generation(txn)
    return taken


def chunk_key(domain: int, digest: bytes) -> bytes:
    """The packed key of a chunk's row."""
    return domain.to_bytes(2, "big") + digest


def find(view: View, domain: int, records: Sequence[bytes]) -> list[tuple[int, int] | None]:
    """The place (pack, offset) of each chunk record, or None for a chunk that is not known."""
    prefix, unpack = domain.to_bytes(2, "big"), PLACE.unpack_from
    found: list[tuple[int, int] | None] = []
    for record in records:
        try:
            row = view.get_body(CHUNKS, prefix + record[:DIGEST_SIZE])
        except Corrupt:
            row = None  # sharing is not worth an upload's failure
        # The row ends as the record does. One that differs describes other bytes, and is not trusted.
        same = row is not None and row[PLACE.size :] == record[DIGEST_SIZE:]
        found.append(unpack(row) if same else None)  # type: ignore[arg-type]
    return found


def index_own(txn: Txn, domain: int, part: Part, ranges: Sequence[tuple[int, int, int]]) -> None:
    """Points the index at the chunks of a part that lie in ``ranges`` (pack, start, stop): those an upload wrote itself."""
    prefix, rows = domain.to_bytes(2, "big"), []
    for record, pack, at, _ in placed(part):
        if _within(ranges, pack, at):
            rows.append((prefix + record[:DIGEST_SIZE], PLACE.pack(pack, at) + record[DIGEST_SIZE:]))
    if rows:
        rows.sort()
        txn.put_bodies(CHUNKS, rows)


def index_missing(txn: Txn, domain: int, part: Part) -> None:
    """Adds the chunks of a part that have no row, but for damaged ones; rows that are there stay as they are."""
    rows = {}
    bad = {(damage.pack, damage.pack_offset) for _, damage in txn.scan(DAMAGES)}
    for record, pack, at, _ in placed(part):
        key = chunk_key(domain, record[:DIGEST_SIZE])
        if (pack, at) not in bad and txn.get_body(CHUNKS, key) is None:
            rows[key] = PLACE.pack(pack, at) + record[DIGEST_SIZE:]
    if rows:
        txn.put_bodies(CHUNKS, sorted(rows.items()))


def unindex(txn: Txn, domain: int, part: Part, keep: dict[int, Intervals]) -> int:
    """Takes away the rows that point into a part, except into stretches of packs to ``keep``; how many it took."""
    taken = 0
    for record, pack, at, length in placed(part):
        if pack in keep and keep[pack].covers(at, at + length):
            continue
        key = chunk_key(domain, record[:DIGEST_SIZE])
        row = txn.get_body(CHUNKS, key)
        if row is not None and PLACE.unpack_from(row) == (pack, at):
            taken += txn.delete_body(CHUNKS, key)
    if taken:
        bump_generation(txn)
    return taken


def unindexed(
    view: View, domain: int, part: Part, ranges: Sequence[tuple[int, int, int]]
) -> Iterator[tuple[bytes, int, int, int]]:
    """The chunks of a part that lie outside ``ranges`` and that the index does not know at that place."""
    chunks = [chunk for chunk in placed(part) if not _within(ranges, chunk[1], chunk[2])]
    for chunk, place in zip(chunks, find(view, domain, [chunk[0] for chunk in chunks]), strict=True):
        if place != chunk[1:3]:
            yield chunk


def index_blob(index: Index, domain: int, sha256: bytes, add: Callable[[Txn, Part], None]) -> None:
    """Runs ``add`` over the parts of a live blob, in transactions of bounded size, and notes that all its chunks are indexed."""
    after: tuple[int, bytes, int] | None = None

    def batch(txn: Txn) -> tuple[int, bytes, int] | None:
        row = txn.get(BLOBS, domain, sha256)
        if row is None or row.garbage or row.dying:
            return None
        some = list(islice(txn.scan(BLOB_PARTS, domain, sha256, after=after), PARTS_A_TRANSACTION))
        for _, part in some:
            add(txn, part)
        if len(some) == PARTS_A_TRANSACTION:
            return some[-1][0]
        txn.put(BLOBS, domain, sha256, replace(row, indexed=True))
        return None

    while True:
        after = transact(index, batch)
        if after is None:
            return


def _within(ranges: Sequence[tuple[int, int, int]], pack: int, at: int) -> bool:
    return any(pack == own and start <= at < stop for own, start, stop in ranges)


def pack_size(view: View, pack: int) -> int:
    """The accounted size of a pack, 0 for one without a row."""
    row = view.get(PACKS, pack)
    return 0 if row is None else row.size
